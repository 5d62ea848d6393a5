"""Every action of the page: asked for, shown before it happens, done, and written down with who did it."""

import re

import pytest
from browser.daemon import github
from browser.relay import Relay
from browser.traffic import payment, shop
from playwright.sync_api import expect
from polling import wait_until


@pytest.fixture
def acting(binary, tmp_path):
    """A daemon of its own: what these tests do cannot be undone."""
    daemon = shop(binary, tmp_path)
    try:
        with Relay(daemon.socket) as relay:
            daemon.url = relay.url
            yield daemon
    finally:
        daemon.stop()


def delivery(daemon, rule, state=None, phase=None):
    """The newest delivery of a rule, in this state."""
    for arrival in daemon.arrivals():
        for one in arrival["deliveries"]:
            if one["rule"] == rule and state in (None, one["state"]) and phase in (None, one["phase"]):
                return one
    raise AssertionError(f"no delivery of {rule} is {state} {phase}")


def state_of(daemon, identity):
    deliveries = [one for arrival in daemon.arrivals() for one in arrival["deliveries"]]
    return next((one["state"] for one in deliveries if one["delivery"] == identity), "gone")


def press(page, name):
    """Presses the button of an action, and returns the dialog that asks."""
    page.get_by_role("button", name=name, exact=True).click()
    dialog = page.locator("#confirm")
    expect(dialog).to_be_visible()
    return dialog


def confirm(page, typed=None):
    ok = page.locator("#confirm-ok")
    if typed is not None:
        expect(ok).to_be_disabled()
        page.fill("#confirm-count", str(typed))
    expect(ok).to_be_enabled()
    ok.click()
    expect(page.locator("#announcement")).to_be_visible()


def test_a_delivery_that_waits_is_given_up_and_one_that_ended_is_replayed(acting, open_page):
    waiting = delivery(acting, "sync-customers", "waiting")
    page = open_page(f"{acting.url}/deliveries/{waiting['delivery']}")
    press(page, "Give up")
    page.keyboard.press("Escape")
    assert state_of(acting, waiting["delivery"]) == "waiting", "Escape has done it"
    press(page, "Give up")
    confirm(page)
    wait_until("it is dead", lambda: state_of(acting, waiting["delivery"]) == "dead")
    expect(page.get_by_role("button", name="Replay")).to_be_visible()
    press(page, "Replay")
    confirm(page)
    wait_until("it waits again", lambda: state_of(acting, waiting["delivery"]) == "waiting")
    history = page.locator(".timeline")
    expect(history).to_contain_text("dropped")
    expect(history).to_contain_text("replayed")
    # Who did it: the peer of the socket is the user that runs this test.
    expect(history).to_contain_text(user())
    assert user() in acting.log().split("dropped")[-1] or user() in acting.log()


def test_an_ended_delivery_is_deleted(acting, open_page):
    dead = delivery(acting, "refund", "dead")
    page = open_page(f"{acting.url}/deliveries/{dead['delivery']}")
    press(page, "Delete")
    page.click("#confirm-ok")
    wait_until("it is gone", lambda: state_of(acting, dead["delivery"]) == "gone")


def test_an_arrival_that_was_ignored_is_run_by_todays_rules(acting, open_page):
    ignored = next(one for one in acting.arrivals("--outcome", "ignored") if "ping" in str(one["reason"]))
    page = open_page(f"{acting.url}/arrivals/{ignored['id']}")
    added = "  - name: pong\n    endpoint: /github\n    match: {event: ping}\n    actions: [{run: [/bin/echo, pong]}]\n"
    acting.rules.write_text(acting.rules.read_text() + added)
    wait_until("the rules are in force", lambda: "pong" in acting.output("rules", "list"))
    page.reload()
    dialog = press(page, "Run it now")
    expect(dialog).to_contain_text("pong")
    confirm(page)
    expect(page.locator("main")).to_contain_text("pong")
    wait_until("it is done", lambda: delivery(acting, "pong", "done"), ignore=(AssertionError,))


@pytest.mark.parametrize("after, state", [("dead letter", "dead"), ("tries it again", "waiting")])
def test_a_running_attempt_is_stopped(acting, open_page, after, state):
    running = delivery(acting, "deploy-site", "waiting", "running")
    page = open_page(f"{acting.url}/deliveries/{running['delivery']}")
    dialog = press(page, "Stop")
    dialog.get_by_label(after).check()
    confirm(page)
    wait_until("it has ended", lambda: state_of(acting, running["delivery"]) == state)
    expect(page.locator(".timeline")).to_contain_text("cancelled")


def test_a_rule_is_paused_and_resumed(acting, open_page):
    page = open_page(f"{acting.url}/rules/label-issues")
    press(page, "Pause")
    confirm(page)
    expect(page.locator("main")).to_contain_text("paused")
    acting.post("/github", *github({"issue": {"number": "while paused"}}, "issue_comment"))
    waiting = delivery(acting, "label-issues", "waiting")
    press(page, "Resume")
    confirm(page)
    wait_until("it is done", lambda: state_of(acting, waiting["delivery"]) == "done")


def test_a_rule_is_fired_by_hand(acting, open_page):
    page = open_page(f"{acting.url}/rules/book-payment")
    payload = '{"type": "payment_intent.succeeded", "data": {"object": {"amount": 9007199254740993}}}'
    page.get_by_label("Payload").fill(payload)
    press(page, "Fire")
    expect(page.locator("#confirm-ok")).to_be_enabled()
    page.click("#confirm-ok")
    # The page goes to what it has made.
    page.wait_for_url(re.compile("/(arrivals|deliveries)/"))
    fired = wait_until("it was fired", lambda: acting.arrivals("--outcome", "fired"))[0]
    assert fired["fired_by"] == user()
    page.goto(f"{acting.url}/arrivals/{fired['id']}")
    expect(page.locator("#payload")).to_contain_text("9007199254740993")
    wait_until("it is done", lambda: "booked 9007199254740993" in acting.output("events", "show", fired["id"]))


def test_a_payload_that_the_rule_does_not_want_says_why_before_anything_runs(acting, open_page):
    page = open_page(f"{acting.url}/rules/book-payment")
    page.watch.expect("status of 409")
    page.get_by_label("Payload").fill('{"type": "charge.refunded"}')
    dialog = press(page, "Fire")
    expect(dialog).to_contain_text("payment_intent.succeeded")
    expect(page.locator("#confirm-ok")).to_be_disabled()
    page.keyboard.press("Escape")
    assert not acting.arrivals("--outcome", "fired")


def test_a_group_of_dead_letters_is_replayed_after_a_dry_run_and_the_typed_count(acting, open_page):
    page = open_page(f"{acting.url}/problems")
    group = page.locator("tr", has_text="refund").filter(has_text="exit 3")
    expect(group).to_contain_text("3")
    group.get_by_role("button", name="Replay").click()
    dialog = page.locator("#confirm")
    expect(dialog).to_contain_text("3")
    page.fill("#confirm-count", "2")
    expect(page.locator("#confirm-ok")).to_be_disabled()
    confirm(page, typed=3)
    replayed = lambda: [one["deliveries"][0]["replays"] for one in acting.arrivals("--rule", "refund")]
    wait_until("all three ran again", lambda: replayed() == [1, 1, 1])


def test_a_group_of_dead_letters_is_dropped(acting, open_page):
    page = open_page(f"{acting.url}/problems")
    group = page.locator("tr", has_text="refund").filter(has_text="exit 3")
    group.get_by_role("button", name="Delete").click()
    confirm(page, typed=3)
    wait_until("all three are gone", lambda: not acting.arrivals("--state", "dead"))


def test_what_arrives_after_the_dry_run_is_not_touched(acting, open_page):
    from browser.daemon import stripe

    page = open_page(f"{acting.url}/problems")
    group = page.locator("tr", has_text="refund").filter(has_text="exit 3")
    group.get_by_role("button", name="Delete").click()
    expect(page.locator("#confirm-count")).to_be_visible()
    acting.post("/stripe", *stripe(payment("charge.refunded", 77)))
    wait_until("one more is dead", lambda: len(acting.arrivals("--state", "dead")) == 4)
    # A count that is no longer right is refused; nothing is done.
    page.fill("#confirm-count", "3")
    page.watch.expect("Failed to load resource")
    page.click("#confirm-ok")
    expect(page.locator("#announcement")).to_be_visible()
    assert len(acting.arrivals("--state", "dead")) in (1, 4)


def user():
    import os
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name
