"""The configurations of nginx and Caddy in the manual: real requests through them to the daemon."""

import pytest
from manual import Page
from programs import needs
from proxies import CLIENT, Proxied

PAGE = "guides/behind-nginx-caddy-traefik.md"
ADDRESS = "127.0.0.1:9000"
CASES = ["has no prefix", "keeps /hooks", "strips /hooks"]


@pytest.fixture
def proxied(binary, tmp_path):
    needs("curl", "openssl")
    with Proxied(binary, tmp_path) as proxied:
        yield proxied


def row(page, case):
    """What the page's table says about a case: the sender's URL, the endpoint, and `public_url`."""
    for url, what, endpoint, public_url in page.rows("the sender calls", "the proxy"):
        if what.replace("`", "") == case:
            return url, endpoint, public_url
    raise AssertionError(f"no row says `{case}`")


def nginx_server(page, case, folder):
    """The `server` block of the page for a case."""
    alone, locations, included = (page.take("nginx") for _ in range(3))
    if case == "has no prefix":
        return alone
    (folder / "hookyard-proxy.conf").write_text(included)
    location = locations.splitlines()[CASES.index(case) - 1]
    location = location.replace("/etc/nginx/hookyard-proxy.conf", str(folder / "hookyard-proxy.conf"))
    # The block of the page, for the host of the other site, with this location in place of its own.
    head, _ = alone.split("    location / {")
    return head.replace("server_name hooks.example.com", "server_name example.com") + location + "\n}\n"


def caddy_site(page, case, folder):
    return [page.take("caddy") for _ in range(3)][CASES.index(case)]


CONFIGURATIONS = {"nginx": nginx_server, "caddy": caddy_site}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("proxy", CONFIGURATIONS)
def test_a_signed_request_is_accepted_through_the_documented_configuration(proxied, proxy, case):
    needs(proxy)
    page = Page(PAGE)
    url, endpoint, public_url = row(page, case)
    address = proxied.serve(endpoint, public_url)
    text = CONFIGURATIONS[proxy](page, case, proxied.folder)
    assert text.count(ADDRESS) == 1
    port = getattr(proxied, proxy)(text.replace(ADDRESS, address))

    assert proxied.github(port, url, {"n": 1}) == (200, "accepted")
    # The sender signs the URL, of which `public_url` and the path must be the two parts.
    assert proxied.twilio(port, f"{url}/url") == (200, "accepted")
    # The client's own address, through `trusted_proxies`.
    assert f"client={CLIENT} " in proxied.log()
    assert "client=127.0.0.1 " not in proxied.log()
    # Larger than what nginx admits by default.
    assert proxied.github(port, url, {"n": "x" * (2 << 20)}) == (200, "accepted")
    wrong, _ = proxied.github(port, url.replace("/github", "/another"), {"n": 2})
    assert wrong == 404
