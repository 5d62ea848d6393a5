"""The addresses of all views, and what tests look for in them."""

from paths import WORK

AXE = WORK / "browser/node_modules/axe-core/axe.min.js"
LISTS = {
    "arrivals": "/",
    "rules": "/rules",
    "queue": "/queue",
    "problems": "/problems",
    "try": "/try",
    "system": "/system",
}


def views(daemon):
    """An address of each view, by a name that fits a file, in each state that looks different."""
    arrivals = daemon.arrivals()

    def arrival(outcome, endpoint="/github"):
        return next(one for one in arrivals if one["outcome"] == outcome and one["endpoint"].startswith(endpoint))

    def delivery(state, rule, phase=None):
        deliveries = [one for arrival in arrivals for one in arrival["deliveries"]]
        return next(one for one in deliveries if (one["state"], one["rule"]) == (state, rule) and one["phase"] == phase)

    return LISTS | {
        "arrivals-filtered": "/?q=outcome:ignored",
        "arrivals-error": "/?q=outcme:ignored",
        "arrival": f"/arrivals/{arrival('accepted')['id']}",
        "arrival-ignored": f"/arrivals/{arrival('ignored')['id']}",
        "arrival-refused": f"/arrivals/{arrival('refused')['id']}",
        "delivery-dead": f"/deliveries/{delivery('dead', 'refund')['delivery']}",
        "delivery-running": f"/deliveries/{delivery('waiting', 'deploy-site', 'running')['delivery']}",
        "delivery-waiting": f"/deliveries/{delivery('waiting', 'rebuild-docs', 'debounced')['delivery']}",
        "rule": "/rules/deploy-site",
        "not-found": "/arrivals/nothing",
    }


def violations(page):
    """What axe-core finds, a line each."""
    page.evaluate(AXE.read_text())
    found = page.evaluate(
        """async () => (await axe.run(document, {resultTypes: ['violations']})).violations.flatMap(rule =>
            rule.nodes.map(node => `${rule.id} (${rule.impact}): ${node.target.join(' ')}: ${node.failureSummary}`))"""
    )
    return [" ".join(line.split()) for line in found]
