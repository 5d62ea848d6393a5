"""The filter line: what it finds, what it suggests, and what it says about a mistake."""

import re

import pytest
from playwright.sync_api import expect

ROWS = "#arrivals tbody tr"


@pytest.mark.parametrize(
    "line, options",
    [
        ("outcome:ignored", ["--outcome", "ignored"]),
        ("rule:refund", ["--rule", "refund"]),
        ("endpoint:/stripe", ["--endpoint", "/stripe"]),
        ("state:dead", ["--state", "dead"]),
        ("client:2001:db8::17", ["--client", "2001:db8::17"]),
        ("outcome:refused endpoint:/github", ["--outcome", "refused", "--endpoint", "/github"]),
        ("$.type:charge.refunded", ["--where", "{$.type: charge.refunded}"]),
    ],
)
def test_a_filter_finds_what_the_command_line_finds(daemon, url, open_page, line, options):
    page = open_page(url)
    page.fill("#filter", line)
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=*")
    expected = [f"a-{arrival['id']}" for arrival in daemon.arrivals(*options)]
    assert expected
    assert [row.get_attribute("id") for row in page.locator(ROWS).all()] == expected
    expect(page.locator("#filter")).to_have_value(line)


def test_nothing_found_says_so(url, open_page):
    page = open_page(f"{url}/?q=rule:no-such-rule-here")
    assert page.locator(ROWS).count() == 0
    assert page.locator(".empty, .notice").count() > 0


@pytest.mark.parametrize(
    "line, said",
    [("outcme:ignored", "outcome"), ("outcome:ignord", "ignored"), ("since:yesterday", "since"), ("$.[:x", "$")],
)
def test_a_mistake_is_shown_at_its_place_with_a_hint(url, open_page, line, said):
    page = open_page()
    page.goto(url)
    page.fill("#filter", line)
    page.keyboard.press("Enter")
    error = page.locator("#filter-error")
    expect(error).to_be_visible()
    assert said in error.inner_text()
    assert "^" in error.inner_text()
    expect(page.locator("#filter")).to_have_value(line)
    expect(page.locator("#filter")).to_have_attribute("aria-invalid", "true")


def test_suggestions_are_chosen_by_the_keyboard(url, open_page):
    page = open_page(url)
    page.keyboard.press("/")
    page.keyboard.type("outc")
    suggestions = page.locator("#suggestions [role=option]")
    expect(suggestions).to_have_count(1)
    expect(suggestions.first).to_contain_text("outcome:")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#filter")).to_have_value("outcome:")
    page.keyboard.type("ign")
    expect(suggestions).to_have_count(1)
    expect(suggestions.first).to_contain_text("ignored")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(page.locator("#filter")).to_have_value(re.compile("^outcome:ignored ?$"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=outcome%3Aignored*")


def test_suggestions_know_the_rules_and_are_chosen_by_the_pointer(url, open_page):
    page = open_page(url)
    page.fill("#filter", "")
    page.locator("#filter").press_sequentially("rule:dep")
    page.click("#suggestions [role=option] >> text=deploy-site")
    expect(page.locator("#filter")).to_have_value(re.compile("^rule:deploy-site ?$"))
    expect(page.locator("#suggestions")).to_be_hidden()


def test_a_page_further_back_follows_without_a_gap(daemon, url, open_page):
    page = open_page(url)
    seen = []
    while True:
        seen += [row.get_attribute("id") for row in page.locator(ROWS).all()]
        older = page.locator("a.button", has_text="Older")
        if not older.count():
            break
        older.click()
        page.wait_for_url("**before=*")
    assert seen == [f"a-{arrival['id']}" for arrival in daemon.arrivals()]
