"""systemd's watchdog over the packaged service."""

import time

import pytest
from polling import wait_until
from service import WATCHDOG

pytestmark = pytest.mark.container


def test_a_process_that_hangs_is_killed_and_replaced(service, measured):
    first = service.property("MainPID")
    assert service.property("WatchdogUSec") == f"{WATCHDOG}s"
    # A daemon that works outlives the limit.
    time.sleep(WATCHDOG + 1)
    assert service.property("MainPID") == first
    begun = time.monotonic()
    service.output("kill", "-STOP", first)
    # The request waits in the socket, and the next daemon answers it.
    assert service.post("push", {"after": "4"}) == (200, "accepted")
    took = time.monotonic() - begun
    assert service.property("MainPID") != first
    assert service.property("NRestarts") == "1"
    service.wait_for_journal("Watchdog timeout")
    ran = lambda: "4 by hookyard" in service.text("/var/lib/hookyard/deployed")
    wait_until("the command ran", ran)
    delay = service.property("RestartUSec")
    measured(f"replaced {took:.1f} s after it was stopped, at WatchdogSec={WATCHDOG}s and RestartSec={delay}")
