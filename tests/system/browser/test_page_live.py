"""What happens shows on an open page, and nothing is missed."""

import pytest
from browser.daemon import github
from browser.traffic import release, shop
from playwright.sync_api import expect
from polling import wait_until

ROWS = "#arrivals tbody tr"


@pytest.fixture(scope="module")
def numbers():
    return iter(range(1000, 100_000))


@pytest.fixture
def arrive(daemon, numbers):
    """Sends events, each of which becomes an arrival."""

    def arrive(count=1):
        for _ in range(count):
            assert (
                "accepted" in daemon.post("/github", *github({"issue": {"number": next(numbers)}}, "issue_comment"))[1]
            )

    return arrive


def test_a_new_arrival_appears(daemon, url, open_page, arrive):
    page = open_page(url)
    wait_until_live(page)
    first = page.locator(ROWS).first.get_attribute("id")
    arrive()
    expect(page.locator(ROWS).first).not_to_have_attribute("id", first)
    assert page.locator(ROWS).first.get_attribute("id") == f"a-{daemon.arrivals()[0]['id']}"
    assert "label-issues" in page.locator(ROWS).first.inner_text()


def test_while_the_operator_reads_new_arrivals_are_counted_and_wait(daemon, url, open_page, arrive):
    page = open_page(url, viewport={"width": 1280, "height": 500})
    wait_until_live(page)
    first = page.locator(ROWS).first.get_attribute("id")
    page.mouse.wheel(0, 400)
    wait_until("it has scrolled", lambda: page.evaluate("scrollY") > 100)
    arrive(37)
    expect(page.locator("#show-news")).to_have_text("37 new")
    assert page.locator(ROWS).first.get_attribute("id") == first
    page.click("#show-news")
    expect(page.locator("#show-news")).to_have_count(0)
    assert page.locator(ROWS).first.get_attribute("id") == f"a-{daemon.arrivals()[0]['id']}"
    assert page.evaluate("scrollY") == 0


def test_while_a_row_has_the_focus_new_arrivals_wait(url, open_page, arrive):
    page = open_page(url)
    wait_until_live(page)
    page.keyboard.press("j")
    focused = page.evaluate("document.activeElement.href")
    arrive(3)
    expect(page.locator("#show-news")).to_have_text("3 new")
    assert page.evaluate("document.activeElement.href") == focused


def test_a_filtered_page_counts_what_matches(url, open_page, arrive, daemon):
    page = open_page(f"{url}/?q=outcome:ignored")
    wait_until_live(page)
    before = page.locator(ROWS).count()
    arrive(2)
    daemon.post("/github", *github({"zen": "one more"}, "ping"))
    expect(page.locator(ROWS)).to_have_count(before + 1)


def test_the_output_of_a_running_command_grows(daemon, url, open_page):
    running = next(one for arrival in daemon.arrivals() for one in arrival["deliveries"] if one["phase"] == "running")
    page = open_page(f"{url}/deliveries/{running['delivery']}")
    output = page.locator("[data-output]")
    expect(output).to_contain_text("building")
    steps = output.inner_text().count("step")
    wait_until("more is printed", lambda: output.inner_text().count("step") >= steps + 3)
    lines = [line for line in output.inner_text().splitlines() if line.startswith("step")]
    assert lines == [f"step {number}" for number in range(1, len(lines) + 1)], "lines are missing, or shown twice"


def test_after_a_restart_the_page_goes_on_and_misses_nothing(binary, tmp_path, open_page):
    from browser.relay import Relay

    daemon = shop(binary, tmp_path)
    try:
        with Relay(daemon.socket) as relay:
            page = open_page(relay.url)
            # The browser reports connections that break, and so it should.
            page.watch.expect("Failed to load resource")
            wait_until_live(page)
            release(daemon)
            daemon.stop()
            expect(page.locator("#connection")).to_contain_text("not live")
            daemon.start()
            for number in range(5):
                daemon.post("/github", *github({"issue": {"number": f"after {number}"}}, "issue_comment"))
            newest = daemon.arrivals()[0]["id"]
            expect(page.locator(f"#a-{newest}")).to_be_visible(timeout=30_000)
            expected = [f"a-{arrival['id']}" for arrival in daemon.arrivals()][:10]
            assert [row.get_attribute("id") for row in page.locator(ROWS).all()[:10]] == expected
            expect(page.locator("#connection")).to_have_text("live")
    finally:
        daemon.stop()


def wait_until_live(page):
    expect(page.locator("#connection")).to_have_text("live")
