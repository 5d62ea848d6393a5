"""Every view shows what the API and the command line say."""

import json
import re

import pytest
from browser.traffic import HUGE, OUTCOMES
from browser.views import LISTS, views
from playwright.sync_api import expect

ROWS = "#arrivals tbody tr"


def text(page, selector="main"):
    return page.locator(selector).inner_text()


def test_the_arrivals_are_all_there_newest_first(daemon, url, open_page):
    page = open_page(url)
    arrivals = daemon.arrivals()
    rows = page.locator(ROWS).all()
    assert [row.get_attribute("id") for row in rows] == [f"a-{arrival['id']}" for arrival in arrivals][: len(rows)]
    for row, arrival in zip(rows, arrivals, strict=False):
        said = row.inner_text()
        assert arrival["outcome"].replace("-", " ") in said.replace("-", " "), said
        assert arrival["endpoint"] in said and (arrival["client"] or "") in said
        for delivery in arrival["deliveries"]:
            assert delivery["rule"] in said and (delivery["phase"] or delivery["state"]) in said, said


def test_the_api_lists_what_the_command_line_lists(daemon):
    listed = daemon.api("/arrivals")["arrivals"]
    arrivals = daemon.arrivals()
    assert [one["id"] for one in listed] == [one["id"] for one in arrivals][: len(listed)]
    assert [one["outcome"] for one in listed] == [one["outcome"] for one in arrivals][: len(listed)]


@pytest.mark.parametrize("outcome", sorted(OUTCOMES))
def test_an_arrival_of_every_outcome_says_why(daemon, url, open_page, outcome):
    arrival = daemon.arrivals("--outcome", outcome)[0]
    page = open_page(f"{url}/arrivals/{arrival['id']}")
    shown = text(page)
    assert arrival["endpoint"] in shown and arrival["id"] in shown
    assert (arrival["reason"] or "") in shown
    for delivery in arrival["deliveries"]:
        assert page.locator(f"a[href='/deliveries/{delivery['delivery']}']").count()


def test_a_condition_that_failed_is_shown_with_what_was_found(daemon, url, open_page):
    arrival = next(one for one in daemon.arrivals("--outcome", "ignored") if "feature" in one["reason"])
    page = open_page(f"{url}/arrivals/{arrival['id']}")
    shown = text(page)
    # As decided then, and by today's rules.
    assert shown.count('"refs/heads/main"') >= 2 and shown.count('"refs/heads/feature"') >= 3
    assert "deploy-site" in shown and "rebuild-docs" in shown


def test_numbers_that_javascript_cannot_hold_are_exact(daemon, url, open_page):
    arrival = daemon.arrivals("--rule", "book-payment")[0]
    number = re.search(rf"{HUGE // 1000}\d+", daemon.output("events", "capture", arrival["id"]))[0]
    page = open_page()
    for form in ["pretty", "raw"]:
        page.goto(f"{url}/arrivals/{arrival['id']}?payload={form}")
        assert number in text(page, "#payload")
        # The view is replaced while it is open.
        page.wait_for_timeout(3500 if form == "pretty" else 0)
        assert number in text(page, "#payload")
    page.goto(f"{url}/arrivals/{arrival['id']}?payload=hex")
    assert number[:4].encode().hex(" ") in text(page, "#payload")


def test_the_body_is_an_attachment_byte_for_byte(daemon, url, open_page):
    arrival = daemon.arrivals("--rule", "scan-upload")[0]
    page = open_page(f"{url}/arrivals/{arrival['id']}")
    with page.expect_download() as downloaded:
        page.get_by_role("link", name="Body as file").click()
    body = downloaded.value.path().read_bytes()
    assert b"%PDF-1.7\x00\xff\xfe" in body
    status, _ = daemon.admin("GET", f"/api/v1/arrivals/{arrival['id']}/body")
    assert status == 200


def test_a_dead_letter_shows_its_attempt_with_output(daemon, url, open_page):
    dead = daemon.arrivals("--state", "dead")[0]["deliveries"][0]
    page = open_page(f"{url}/deliveries/{dead['delivery']}")
    timeline = text(page, ".timeline")
    for part in ["received", "failed", "exit 3", "stderr", "ledger: account", "is closed", "dead letter"]:
        assert part in timeline, part


@pytest.mark.parametrize(
    "rule, phase, said",
    [
        ("rebuild-docs", "debounced", "quiet"),
        ("deploy-site", "queued", "group"),
        ("sync-customers", "retry", "attempt"),
        ("archive-alerts", None, "paused"),
    ],
)
def test_a_delivery_that_waits_says_for_what(daemon, url, open_page, rule, phase, said):
    deliveries = [one for arrival in daemon.arrivals("--rule", rule) for one in arrival["deliveries"]]
    waiting = next(
        one for one in deliveries if (one["rule"], one["state"]) == (rule, "waiting") and phase in (None, one["phase"])
    )
    page = open_page(f"{url}/deliveries/{waiting['delivery']}")
    assert said in text(page)


def test_the_rules_are_listed_with_their_state(daemon, url, open_page):
    page = open_page(f"{url}/rules")
    listed = json.loads(daemon.output("rules", "list", "--format", "json"))["rules"]
    for rule in listed:
        row = page.locator("main tr", has=page.locator(f"a[href='/rules/{rule['name']}']"))
        assert row.count() == 1, rule["name"]
    assert "paused" in page.locator("main tr", has_text="archive-alerts").inner_text()
    assert "paused" not in page.locator("main tr", has_text="deploy-site").inner_text()


def test_a_rule_shows_its_source_with_the_numbers_of_the_file(daemon, url, open_page):
    page = open_page(f"{url}/rules/refund")
    lines = daemon.rules.read_text().splitlines()
    source = text(page, "pre.source")
    assert "name: refund" in source and "account $ID is closed" in source
    for line in page.locator("pre.source [data-line]").all():
        assert line.inner_text() == lines[int(line.get_attribute("data-line")) - 1]
    assert "name: sync-customers" not in source


def test_the_queue_shows_what_runs_and_what_everything_waits_for(daemon, url, open_page):
    page = open_page(f"{url}/queue")
    shown = text(page)
    for part in ["deploy-site", "rebuild-docs", "tell-chat", "sync-customers", "archive-alerts", "127.0.0.1:"]:
        assert part in shown, part
    running = next(one for one in daemon.arrivals("--rule", "deploy-site") if running_in(one))
    assert page.locator(f"a[href='/deliveries/{running_in(running)}']").count()


def running_in(arrival):
    return next((one["delivery"] for one in arrival["deliveries"] if one["phase"] == "running"), None)


def test_problems_are_grouped_and_counted(daemon, url, open_page):
    page = open_page(f"{url}/problems")
    dead = page.locator("main tr", has_text="refund").filter(has_text="exit 3")
    assert dead.count() == 1 and "3" in dead.inner_text()
    refused = page.locator("main tr", has_text="x-hub-signature-256")
    assert refused.count() == 1 and "/github" in refused.inner_text() and "3" in refused.inner_text()


def test_a_rules_file_that_does_not_load_is_a_problem_with_its_place(binary, tmp_path, open_page):
    from browser.relay import Relay
    from browser.traffic import shop

    daemon = shop(binary, tmp_path)
    try:
        daemon.rules.write_text(daemon.rules.read_text().replace("match: {event: issues}", "mtach: {event: issues}"))
        with Relay(daemon.socket) as relay:
            page = open_page(f"{relay.url}/problems")
            expect(page.locator("main")).to_contain_text("mtach")
            shown = text(page)
            assert "did you mean `match`" in shown and "rules.yaml:" in shown
            open_page.leave(page)
    finally:
        daemon.stop()


def test_the_system_view_says_what_runs(daemon, url, open_page):
    page = open_page(f"{url}/system")
    shown = text(page)
    version = daemon.output("--version").split()[-1]
    for part in [version, f"127.0.0.1:{daemon.port}", "generation"]:
        assert part in shown.lower() or part in shown, part


def test_what_is_not_there_is_404_with_words(daemon, url, open_page):
    page = open_page()
    page.watch.expect("status of 404")
    for path in ["/arrivals/nothing", "/deliveries/01a22d51-aaaf-79d2-bd56-14a0b24af145", "/rules/no-such", "/nothing"]:
        answer = page.goto(url + path)
        assert answer.status == 404, path
        assert page.locator("h1").count() == 1, path


def test_times_are_relative_and_exact_on_hover(daemon, url, open_page):
    page = open_page()
    seen = 0
    for path in views(daemon).values():
        page.watch.expect("status of 404")
        page.goto(url + path)
        for time in page.locator("main time").all():
            exact = time.get_attribute("datetime")
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", exact), exact
            assert time.get_attribute("title") == exact.replace("T", " ").replace("Z", " UTC")
            assert re.fullmatch(r"now|(in )?\d+ (s|min|h|days)( ago)?", time.inner_text()), time.inner_text()
            seen += 1
    assert seen > 100


@pytest.mark.parametrize("name, path", LISTS.items())
def test_one_view_is_current_in_the_navigation(url, open_page, name, path):
    page = open_page(url + path)
    current = page.locator("nav [aria-current=page]")
    assert current.count() == 1 and current.get_attribute("href") == path
    assert page.title().lower().startswith(name)
