"""Socket activation of the packaged service."""

import pytest
from polling import wait_until
from service import RULES

pytestmark = pytest.mark.container

UNIX = ("--unix-socket", "/run/hookyard.sock")
SECOND_PORT = "http://127.0.0.1:9001/github"


@pytest.fixture
def sockets(service):
    """The service with a second port and a Unix socket, by a drop-in of its socket unit."""
    service.write(
        "/etc/systemd/system/hookyard.socket.d/override.conf",
        "[Socket]\nListenStream=127.0.0.1:9001\nListenStream=/run/hookyard.sock\n",
    )
    service.output("systemctl", "daemon-reload")
    service.output("systemctl", "stop", "hookyard.service")
    service.output("systemctl", "restart", "hookyard.socket")
    service.output("systemctl", "start", "hookyard.service")
    return service


def test_all_sockets_of_the_unit_are_served(sockets):
    assert sockets.post("push", {"after": "5"}) == (200, "accepted")
    assert sockets.post("push", {"after": "6"}, at=SECOND_PORT) == (200, "accepted")
    assert sockets.post("push", {"after": "7"}, *UNIX) == (200, "accepted")


def test_an_address_in_the_rules_is_the_socket_that_systemd_holds(sockets):
    # Addresses in place of `systemd` are the most natural edit; one address is left out here.
    sockets.set_rules(RULES.replace("listen: systemd", "listen: ['127.0.0.1:9000', 'unix:/run/hookyard.sock']"))
    needed = "a restart is needed for server.listen: 4 rules, "
    wait_until("the edit is read", lambda: sockets.property("StatusText").startswith(needed))
    sockets.output("systemctl", "restart", "hookyard")
    assert sockets.post("push", {"after": "8"}) == (200, "accepted")
    assert sockets.post("push", {"after": "9"}, *UNIX) == (200, "accepted")
    sockets.wait_for_journal("systemd holds 127.0.0.1:9001, on which the rules do not listen")
    sockets.set_rules(RULES)
    sockets.output("systemctl", "restart", "hookyard")
    assert sockets.post("push", {"after": "10"}, at=SECOND_PORT) == (200, "accepted")
