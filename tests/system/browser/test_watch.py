"""The tests of the page can fail: an attack that works is noticed, and the traffic has what the views show."""

import http.server
import threading
from collections import Counter

import pytest
from browser.attacks import ATTACKS, MARK
from browser.traffic import OUTCOMES

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'"
# These attack only inside an attribute, a link or a template.
INERT = {"unquoted", "template", "link", "data", "bidi", "control", "entity", "encoded", "long", "combining", "lines"}


@pytest.fixture(scope="module")
def unescaped():
    """A page that shows an attack without escaping it. With `/strict/`, under a policy."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            parts = self.path.strip("/").split("/")
            body = f"<!doctype html><title>x</title><pre>{ATTACKS.get(parts[-1], '')}</pre>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            if parts[0] == "strict":
                self.send_header("Content-Security-Policy", POLICY)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.mark.parametrize("policy", ["lax", "strict"])
def test_an_attack_that_is_not_escaped_is_noticed(unescaped, open_page, policy):
    page = open_page(watched=False)
    for name in ATTACKS.keys() - INERT:
        page.watch.found.clear()
        page.goto(f"{unescaped}/{policy}/{name}")
        # What loads and fails does so soon after the page.
        page.wait_for_timeout(200)
        if (name, policy) == ("style", "lax"):
            # A style is no script: nothing but the policy forbids it.
            page.watch.clean()
            continue
        with pytest.raises(AssertionError):
            page.watch.clean(name)


def test_what_is_no_attack_is_not_noticed(unescaped, open_page):
    page = open_page(f"{unescaped}/strict/entity", watched=False)
    page.watch.expect("favicon")
    page.watch.clean()
    page.evaluate(MARK)
    with pytest.raises(AssertionError, match="__attacked"):
        page.watch.clean()


def test_the_traffic_has_every_outcome_and_every_state(daemon):
    arrivals = daemon.arrivals()
    assert {arrival["outcome"] for arrival in arrivals} >= OUTCOMES
    deliveries = [delivery for arrival in arrivals for delivery in arrival["deliveries"]]
    states = Counter(delivery["state"] for delivery in deliveries)
    assert states["done"] >= 8 and states["dead"] == 3 and states["waiting"] >= 8 and states["superseded"] == 2
    phases = {delivery["phase"] for delivery in deliveries}
    assert phases >= {"running", "queued", "debounced"}, phases
