"""Who gets in: on TCP a password, and guests only read."""

import subprocess

import pytest
from browser.daemon import Daemon, free_port
from browser.relay import Relay
from browser.traffic import RULES, fill
from browser.views import violations
from playwright.sync_api import expect

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def guarded(binary, tmp_path_factory):
    """A daemon with the page on TCP behind a password, and a socket for guests."""
    folder = tmp_path_factory.mktemp("guarded")
    made = subprocess.run(
        [binary, "admin", "password"], input=PASSWORD + "\n", capture_output=True, text=True, check=True
    )
    (folder / "admin.hash").write_text(made.stdout)
    (folder / "admin.hash").chmod(0o600)
    admin = "admin: {listen: '127.0.0.1:@ADMIN@', password: 'file:admin.hash', read_only_socket: guests.sock}\n"
    port = free_port()
    daemon = Daemon(binary, folder, RULES + admin, CLOSED=free_port(), ADMIN=port).start()
    try:
        daemon.url = f"http://127.0.0.1:{port}"
        fill(daemon)
        yield daemon
    finally:
        daemon.stop()


def log_in(page, password=PASSWORD):
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_the_page_on_tcp_asks_for_the_password_first(guarded, open_page):
    page = open_page()
    page.watch.expect("status of 401")
    for path in ["/", "/rules", "/system"]:
        page.goto(guarded.url + path)
        assert page.get_by_label("Password").is_visible()
        assert "deploy-site" not in page.content()
    assert not violations(page)


def test_a_wrong_password_says_so_and_the_right_one_opens_the_page(guarded, open_page):
    page = open_page()
    page.watch.expect("status of 401")
    page.goto(guarded.url)
    log_in(page, "wrong")
    expect(page.locator("main")).to_contain_text("Wrong password")
    log_in(page)
    expect(page.locator("#arrivals tbody tr").first).to_be_visible()
    cookie = next(one for one in page.context.cookies() if "session" in one["name"])
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
    assert page.evaluate("document.cookie") == ""


def test_after_logging_out_the_page_is_closed(guarded, open_page):
    page = open_page()
    page.watch.expect("status of 401")
    page.goto(guarded.url)
    log_in(page)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    page.goto(f"{guarded.url}/rules")
    expect(page.get_by_label("Password")).to_be_visible()


def test_a_session_may_act_and_the_log_says_so(guarded, open_page):
    page = open_page()
    page.watch.expect("status of 401")
    page.goto(guarded.url)
    log_in(page)
    page.goto(f"{guarded.url}/rules/label-issues")
    page.get_by_role("button", name="Pause").click()
    page.locator("#confirm-ok").click()
    expect(page.locator("main")).to_contain_text("paused")
    assert "session" in guarded.log()


def test_the_log_in_works_without_javascript(guarded, open_page):
    page = open_page(java_script_enabled=False)
    page.goto(guarded.url)
    log_in(page)
    assert page.locator("#arrivals tbody tr").count() > 10


def test_a_guest_sees_no_actions_and_can_do_nothing(guarded, open_page):
    dead = guarded.arrivals("--state", "dead")[0]["deliveries"][0]["delivery"]
    with Relay(guarded.folder / "guests.sock") as relay:
        page = open_page()
        for path in ["/", f"/deliveries/{dead}", "/rules/deploy-site", "/queue", "/problems"]:
            page.goto(relay.url + path)
            assert page.locator("[data-action]").count() == 0, path
            expect(page.locator("header")).to_contain_text("read only")
        page.watch.expect("status of 403")
        status = page.evaluate(
            """path => fetch(path, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'})
                .then(answer => answer.status)""",
            f"/api/v1/deliveries/{dead}/drop",
        )
        assert status == 403
        open_page.leave(page)
        assert guarded.arrivals("--state", "dead")
