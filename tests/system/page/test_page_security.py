"""The security table of the operator's page: other pages in the operator's browser, with curl as the client.

Each test asks by every way that leads to the page: the socket, a port that is forwarded to it as by `ssh -L`, and TCP
with a session. `docs/explain/security-model.md` has the table. `test_page_access.py` has the other rows.
"""

import re

import pytest
from page.doors import DRY_RUN, JSON, PASSWORD, Way, actions, is_protected, state
from polling import wait_until

OTHER_HOSTS = {
    "evil.example": 421,
    "localhost.evil.example": 421,
    "evil.example:80": 421,
    "127.0.0.1.evil.example": 421,
    "127.1": 421,
    "0.0.0.0": 421,
    "[::]": 421,
    "192.0.2.1": 421,
    "localhost@evil.example": 400,
    "evil.example@localhost": 400,
    "localhost:": 400,
    "localhost:x": 400,
    "localhost:0": 400,
    "localhost:80:80": 400,
    "localhost/evil.example": 400,
    "localhost, evil.example": 400,
}
OTHER_PAGES = {
    "another site": ["Sec-Fetch-Site: cross-site"],
    "another port of this machine": ["Sec-Fetch-Site: same-site"],
    "a word that no browser sends": ["Sec-Fetch-Site: same-origin, none"],
    "two words": ["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
    "an empty word": ["Sec-Fetch-Site;"],
    "another origin": ["Origin: http://evil.example"],
    "another port": ["Origin: http://localhost:1"],
    "an opaque origin": ["Origin: null"],
    "an opaque origin that claims to be the same": ["Origin: null", "Sec-Fetch-Site: same-origin"],
    "an empty origin": ["Origin;"],
    "two origins": ["Origin: http://localhost", "Origin: http://evil.example"],
}
"""Headers of requests that can change nothing, whatever their type."""
SIMPLE_TYPES = [
    "Content-Type: text/plain",
    "Content-Type: application/x-www-form-urlencoded",
    "Content-Type: multipart/form-data; boundary=x",
    "Content-Type: text/plain; application/json",
    "Content-Type: application/json-patch+json",
    "Content-Type:",
]
"""Types that a page may send to another origin without asking first, and some that are almost JSON."""


# DNS rebinding


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_a_request_under_another_name_is_refused(door, ways, world, host):
    for way in ways:
        for path in ("/", "/api/v1/arrivals", "/status", "/assets/page.js"):
            answer = way.get(path, f"Host: {host}")
            assert answer.status == OTHER_HOSTS[host], f"{way}: {path}: {answer}"
            assert len(answer.body) < 20, answer
        answer = way.post("/api/v1/rules/open/pause", "{}", f"Host: {host}")
        assert answer.status == OTHER_HOSTS[host], f"{way}: {answer}"
    assert door.by_tcp().get("/login", f"Host: {host}").status == OTHER_HOSTS[host]


def test_a_request_without_a_host_or_for_a_whole_url_is_refused(ways):
    for way in ways:
        assert way.get("/", "Host:").status == 400
        proxied = Way(way.name, way.url, [*way.arguments, "--request-target", "http://evil.example/"], way.headers)
        assert proxied.get("/").status == 400


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9001", "127.0.0.1", "127.0.0.1:1", "[::1]:65535"])
def test_a_name_of_this_machine_is_served_with_any_port(ways, host):
    for way in ways:
        assert way.get("/", f"Host: {host}").status == 200, f"{way}"


def test_only_the_host_of_the_public_url_is_served_beside_these(other_door):
    other_door.reload(page="full\n  public_url: https://ops.example.com")
    way = other_door.by_socket()
    ask = lambda *headers: way.post(*DRY_RUN, *headers).status
    wait_until("the new rules are in force", lambda: ask("Host: ops.example.com") == 200)
    assert ask("Host: ops.example.com", "Origin: https://ops.example.com") == 200
    assert ask("Host: ops.example.com", "Origin: http://ops.example.com") == 403
    assert ask("Host: x.ops.example.com") == 421
    # Behind a proxy with TLS, the cookie is one of TLS.
    answer = other_door.by_tcp().log_in(PASSWORD, "Host: ops.example.com", "Origin: https://ops.example.com")
    assert answer.status == 303 and answer.header("set-cookie").startswith("__Host-"), answer


# Cross-site POST


@pytest.mark.parametrize("page", OTHER_PAGES)
def test_no_action_of_another_page_is_done(door, ways, world, page):
    before = state(door)
    for way in ways:
        for path, body in actions(door, world):
            for kind in (JSON, "Content-Type: text/plain"):
                answer = way.ask("POST", path, kind, *OTHER_PAGES[page], body=body)
                assert (answer.status, answer.body) == (403, "forbidden\n"), f"{way}: {path}: {answer}"
    assert state(door) == before


@pytest.mark.parametrize("kind", SIMPLE_TYPES)
def test_no_action_of_an_unknown_page_is_done(door, ways, world, kind):
    before = state(door)
    for way in ways:
        for path, body in actions(door, world):
            answer = way.ask("POST", path, kind, body=body)
            assert (answer.status, answer.body) == (403, "forbidden\n"), f"{way}: {path}: {answer}"
    assert state(door) == before


def test_the_page_itself_and_the_command_line_may_act(ways):
    for way in ways:
        origin = f"Origin: {way.url}"
        plain = "Content-Type: text/plain"
        for headers in (
            [JSON],
            [plain, origin],
            [plain, origin, "Sec-Fetch-Site: same-origin"],
            [JSON, "Sec-Fetch-Site: none"],
        ):
            answer = way.ask("POST", DRY_RUN[0], *headers, body=DRY_RUN[1])
            assert answer.status == 200, f"{way}: {headers}: {answer}"


def test_a_preflight_gets_no_permission(door, ways, world):
    asked = ["Origin: http://evil.example", "Access-Control-Request-Method: POST"]
    asked += ["Access-Control-Request-Headers: content-type", "Access-Control-Request-Private-Network: true"]
    for way in [*ways, door.by_guests(), door.by_tcp()]:
        for path in ["/", "/status", "*", "/login"] + [path for path, _ in actions(door, world)]:
            target = ["--request-target", "*"] if path == "*" else []
            way_to = Way(way.name, way.url, [*way.arguments, *target], way.headers)
            answer = way_to.ask("OPTIONS", "/" if target else path, *asked)
            assert answer.status == 405, f"{way}: {path}: {answer}"
            assert "access-control" not in answer.head.lower(), answer
        answer = way.get("/api/v1/arrivals", "Origin: http://evil.example", "Sec-Fetch-Site: cross-site")
        assert "access-control" not in answer.head.lower(), answer
        assert answer.header("cross-origin-resource-policy") == "same-origin"


# Safe methods have no effects


def test_reading_changes_nothing(door, ways, world):
    before = state(door)
    described = door.by_socket().get("/api/v1/openapi.json").json()["paths"]
    override = ["X-HTTP-Method-Override: POST", "X-HTTP-Method: POST", "X-Method-Override: POST"]
    for way in ways:
        for path, body in actions(door, world):
            for method in ("GET", "HEAD"):
                answer = way.ask(
                    method, f"{path}?_method=POST&dry_run=0", JSON, *override, body=body if method == "GET" else None
                )
                described_as = path.removeprefix("/api/v1")
                readable = path in ("/rules",) or "get" in described.get(described_as, {})
                assert readable or answer.status == 405, f"{way}: {method} {path}: {answer}"
            for method in ("PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "post"):
                if method != "CONNECT":
                    answer = way.ask(method, path, JSON, body=body)
                    assert answer.status == 405, f"{way}: {method} {path}: {answer}"
        for path in ("/logout", "/login"):
            way.get(path)
            way.ask("HEAD", path)
        assert way.get("/api/v1/rules").status == 200, f"{way}: a session has ended"
    assert state(door) == before


# Stored script injection: what limits it


def test_every_answer_carries_the_policy(door, ways, world):
    arrival, delivery = world["arrival"], world["broken"]
    views = [
        "/",
        f"/arrivals/{arrival}",
        f"/deliveries/{delivery}",
        "/rules",
        "/rules/open",
        "/queue",
        "/problems",
        "/system",
    ]
    paths = {view: 200 for view in views}
    paths |= {"/api/v1" + (view if view != "/" else "/arrivals"): 200 for view in views}
    paths |= {f"/assets/{name}": 200 for name in ("page.js", "style.css", "icon.svg")}
    paths |= {f"/api/v1/arrivals/{arrival}/body": 200, "/api/v1/openapi.json": 200, "/status": 200}
    paths |= {"/metrics": 200, "/healthz": 200, "/readyz": 200}
    paths |= {"/none": 404, "/api/v1/none": 404, "/rules/none": 404, "/arrivals/none": 404, "/deliveries/none": 404}
    paths |= {"/?q=nonsense:1": 200, "/api/v1/arrivals?limit=x": 400, "/api/v1/rules/open/pause": 405}
    for way in [*ways, door.by_guests()]:
        for path, status in paths.items():
            answer = way.get(path)
            if path.startswith(("/api/v1/arrivals?", "/arrivals/none", "/deliveries/none", "/?q")):
                assert answer.status < 500, f"{way}: {path}: {answer}"
            else:
                assert answer.status == status, f"{way}: {path}: {answer}"
            is_protected(answer, stored=path.startswith("/assets/"))
        for headers in (["Host: evil.example"], ["Host:"]):
            is_protected(way.get("/", *headers))
        is_protected(way.ask("POST", "/rules", "Origin: null", body=""))
        is_protected(way.ask("DELETE", "/"))
    for answer in (door.by_tcp().get("/login"), door.by_tcp().get("/"), door.by_tcp().get("/api/v1/rules")):
        is_protected(answer)
    is_protected(
        ways[0].get("/assets/page.js", f"If-None-Match: {ways[0].get('/assets/page.js').header('etag')}"), True
    )


def test_a_body_is_handed_out_only_as_a_file(door, ways, world):
    for way in ways:
        answer = way.get(f"/api/v1/arrivals/{world['arrival']}/body")
        assert answer.body == "<script>alert(1)</script>"
        assert answer.header("content-type") == "application/octet-stream"
        assert answer.header("content-disposition") == f'attachment; filename="{world["arrival"]}.body"'
        is_protected(answer)
        # In all other answers it is text.
        assert "<script>alert" not in way.get(f"/arrivals/{world['arrival']}").body


def test_the_page_loads_nothing_from_elsewhere_and_has_no_script_in_its_text(ways, world):
    for path in ("/", "/rules", "/rules/open", "/queue", "/problems", "/system", f"/arrivals/{world['arrival']}"):
        page = ways[0].get(path).body
        assert re.findall(r"<script[^>]*>", page) == ['<script type="module" src="/assets/page.js"></script>'[:-9]], (
            path
        )
        assert not re.search(r"""(?i)(src|href|action)\s*=\s*["']?\s*(https?:)?//""", page), path
        assert not re.search(r"""(?i)<[^>]*\son[a-z]+\s*=|<[^>]*\sstyle\s*=|<style""", page), path
