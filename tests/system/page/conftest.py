"""Daemons with a page, shared by the tests of one file."""

import pytest
from browser.relay import Relay
from page.doors import Doors, Way, running
from polling import wait_until
from programs import needs


@pytest.fixture(scope="module")
def door(binary, tmp_path_factory):
    needs("curl")
    yield from running(Doors(binary, tmp_path_factory.mktemp("door")))


@pytest.fixture
def other_door(binary, tmp_path):
    """A daemon of the test's own: its rules change, or its limits are used up."""
    needs("curl")
    yield from running(Doors(binary, tmp_path))


@pytest.fixture(scope="module")
def ways(door):
    """The ways by which an operator reaches the page."""
    with Relay(door.socket) as relay:
        yield [door.by_socket(), Way("ssh -L", relay.url, []), door.by_session()]


@pytest.fixture(scope="module")
def world(door):
    """Ids of what is there to act on."""
    for path in ("/open", "/broken", "/slow", "/forwards"):
        assert door.post(path, b"<script>alert(1)</script>", {"Content-Type": "text/html"})[0] in (200, 202), path
    way = door.by_socket()

    def found():
        arrivals = {arrival["endpoint"]: arrival for arrival in way.get("/api/v1/arrivals").json()["arrivals"]}
        deliveries = {
            rule: arrivals[path]["deliveries"][0]["delivery"]
            for rule, path in [("broken", "/broken"), ("slow", "/slow"), ("open", "/open")]
        }
        dead = way.get(f"/api/v1/deliveries/{deliveries['broken']}").json()
        running = way.get("/api/v1/queue").json()["running"]
        return {"arrival": arrivals["/open"]["id"], **deliveries} if "dead" in str(dead) and running else None

    return wait_until("deliveries have ended, and one runs", found)
