"""Nothing that a stranger sends acts in the operator's browser."""

import random

import pytest
from browser.attacks import ATTACKS, VISIBLE, header
from browser.relay import Relay
from playwright.sync_api import expect

VIEWS = ["/", "/rules", "/queue", "/problems", "/system"]
MOST_PAGES = 150
# These have no character that a page may show in another way.
PLAIN = [name for name in ATTACKS if name not in ("bidi", "control", "combining", "lines")]


@pytest.fixture(scope="module")
def attacked_url(attacked_daemon):
    with Relay(attacked_daemon.socket) as relay:
        yield relay.url


def links(page):
    """Addresses of the same origin that the page links to, without its fragments. Downloads are not followed."""
    return page.evaluate(
        """() => [...document.querySelectorAll('a[href]:not([download])')]
            .map(link => new URL(link.href, location.href))
            .filter(url => url.origin === location.origin && !url.pathname.startsWith('/api/'))
            .map(url => url.pathname + url.search)"""
    )


def test_a_page_with_attacks_in_every_field_does_nothing(attacked_daemon, attacked_url, open_page, measured):
    page = open_page()
    arrivals = attacked_daemon.arrivals()
    waiting = [f"/arrivals/{arrival['id']}" for arrival in arrivals]
    waiting += [f"/deliveries/{one['delivery']}" for arrival in arrivals for one in arrival["deliveries"][:1]]
    # Always the same ones, from everywhere.
    random.Random(7).shuffle(waiting)
    waiting = VIEWS + waiting
    seen, shown, kinds = set(), 0, set()
    while waiting and len(seen) < MOST_PAGES:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        page.goto(attacked_url + path)
        shown += VISIBLE in page.content()
        page.watch.clean(path)
        for link in links(page):
            kind = link.split("?")[0].split("/")[1]
            if kind == "try" and not page.locator("nav a[href='/try']").count():
                continue
            # What has not been looked at yet comes first.
            waiting.insert(len(waiting) if kind in kinds else 0, link)
            kinds.add(kind)
    measured(f"{len(seen)} pages, {shown} of them with what a stranger wrote")
    assert shown > 30


def of(daemon, rule):
    """A delivery of a rule."""
    return next(
        one for arrival in daemon.arrivals("--rule", rule) for one in arrival["deliveries"] if one["rule"] == rule
    )


def test_an_attack_is_shown_as_the_text_that_it_is(attacked_daemon, attacked_url, open_page):
    page = open_page()
    arrivals = attacked_daemon.arrivals("--rule", "print")
    assert len(arrivals) == len(ATTACKS)
    # The newest is the last that was sent.
    for (name, attack), arrival in zip(ATTACKS.items(), reversed(arrivals), strict=True):
        if name in PLAIN:
            page.goto(f"{attacked_url}/arrivals/{arrival['id']}?payload=raw")
            assert (
                attack.replace('"', '\\"').replace("\\u", "\\\\u").replace("\\x", "\\\\x")
                in page.locator("#payload").inner_text()
            ), name
            assert header(attack)[:200] in page.locator("main").inner_text(), name


def test_the_script_shows_attacks_as_text(attacked_daemon, attacked_url, open_page):
    """What the script itself writes: dialogs, suggestions, announcements, output."""
    page = open_page(f"{attacked_url}/deliveries/{of(attacked_daemon, 'fail')['delivery']}")
    for name in ["Replay", "Delete"]:
        page.get_by_role("button", name=name).click()
        expect(page.locator("#confirm-text pre")).to_be_visible()
        page.keyboard.press("Escape")
    page.goto(f"{attacked_url}/problems")
    for button in page.get_by_role("button", name="Replay").all()[:10]:
        button.click()
        expect(page.locator("#confirm-text pre")).to_be_visible()
        page.keyboard.press("Escape")
    page.goto(attacked_url)
    for line in ["event:", "endpoint:", "rule:", "client:", "<img src=x onerror=alert(1)>", "$.<script>:"]:
        page.fill("#filter", "")
        page.locator("#filter").press_sequentially(line)
        page.wait_for_timeout(400)
    page.keyboard.press("Enter")
    expect(page.locator("#filter-error")).to_be_visible()


def test_output_that_attacks_is_text_while_it_is_printed(attacked_daemon, attacked_url, open_page):
    page = open_page(f"{attacked_url}/deliveries/{of(attacked_daemon, 'slow')['delivery']}")
    output = page.locator("[data-output]")
    expect(output).to_contain_text(ATTACKS["script"])
    expect(output).to_contain_text(ATTACKS["frame"])
    assert output.evaluate("e => e.querySelectorAll(':not(span)').length") == 0
