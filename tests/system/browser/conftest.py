"""The browser, and pages in it that are watched: a page that does something wrong fails its test."""

import pytest
from paths import WORK
from programs import needs

if not (WORK / "browser.installed").exists():
    collect_ignore_glob = ["test_*.py"]
else:
    from browser.attacks import attacked
    from browser.relay import Relay
    from browser.traffic import shop
    from browser.watch import Watch
    from playwright.sync_api import expect, sync_playwright

    # Above the longest time between two refreshes of a page, 10 s.
    expect.set_options(timeout=20_000)

# A sandbox needs user namespaces, which a container may forbid. The browser shows nothing but the daemon's page.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb", "--font-render-hinting=none"]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def chromium():
    needs("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """A function that opens a page in a context of its own. What its pages did wrong fails the test at the end."""
    opened = []

    def open_page(url=None, watched=True, **options):
        options = {"viewport": DESKTOP, "reduced_motion": "reduce", "locale": "en-GB", "timezone_id": "UTC"} | options
        context = chromium.new_context(**options)
        context.set_default_timeout(15_000)
        page = context.new_page()
        scripts = options.get("java_script_enabled", True)
        page.watch = Watch(page, scripts)
        opened.append((context, page, watched and scripts))
        if url:
            page.goto(url)
        return page

    def leave(page):
        """Closes a page before the daemon or the relay behind it ends."""
        page.watch.clean()
        page.close()

    open_page.leave = leave
    yield open_page
    try:
        for _, page, watched in opened:
            if watched and not page.is_closed():
                page.watch.clean()
    finally:
        for context, _, _ in opened:
            context.close()


@pytest.fixture(scope="module")
def daemon(binary, tmp_path_factory):
    """A daemon with all kinds of traffic, which the tests of one file share."""
    daemon = shop(binary, tmp_path_factory.mktemp("shop"))
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def url(daemon):
    """Where the page of this daemon is, through a relay to its socket."""
    with Relay(daemon.socket) as relay:
        yield relay.url


@pytest.fixture(scope="module")
def attacked_daemon(binary, tmp_path_factory):
    needs("openssl")
    with attacked(binary, tmp_path_factory.mktemp("attacked")) as daemon:
        yield daemon
