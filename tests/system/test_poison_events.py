"""Events whose commands end the daemon. None of them ends the service for good."""

import json
import time

import pytest
from polling import LIMIT, wait_until
from service import DROP_INS, STATE

pytestmark = pytest.mark.container

RULES = """\
server: {listen: systemd, stop_grace: 1s}
endpoints:
  /github: {verify: {github: {secret: credential:github}}, replay_window: 1h}
rules:
  - name: blocking
    endpoint: /github
    match: {event: blocking}
    retry: {attempts: 2, backoff: [100ms]}
    actions:
      - shell: echo begun >> /var/lib/hookyard/blocking; systemctl restart hookyard.service
  - name: asking
    endpoint: /github
    match: {event: asking}
    retry: {attempts: 2, backoff: [100ms]}
    actions:
      - shell: echo begun >> /var/lib/hookyard/asking; systemctl --no-block restart hookyard.service
  - name: eating
    endpoint: /github
    match: {event: eating}
    retry: {attempts: 3, backoff: [100ms]}
    actions:
      - shell: ulimit -v 900000; echo begun >> /var/lib/hookyard/eating; sleep 0.3; x=x; while :; do x=$x$x; done
  - name: long
    endpoint: /github
    match: {event: long}
    retry: {attempts: 5, backoff: [100ms]}
    actions:
      - shell: echo begun >> /var/lib/hookyard/long; sleep 600
  - name: count
    endpoint: /github
    match: {event: count}
    actions:
      - append: /var/lib/hookyard/counted
        line: "{{ payload.n }}"
"""
# As root, because Debian's smallest system has no polkit by which another user may restart a unit. The memory limit
# holds for the daemon and its commands together. `OOMPolicy=kill`: past the limit, all of them are killed.
LIMITS = """\
[Service]
User=root
Group=root
RestartSec=100ms
MemoryMax=200M
MemorySwapMax=0
OOMPolicy=kill
"""


@pytest.fixture
def poisoned(service):
    """The service with the rules above, as root, with little memory."""
    service.write(f"{DROP_INS}/poison.conf", LIMITS)
    service.set_rules(RULES)
    service.restart()
    return service


def runs(service, rule):
    """How often the command of a rule was started."""
    return len(service.text(f"{STATE}/{rule}").split())


def final_state(service, rule):
    """State, reason and outcomes of the attempts of the rule's only delivery, once it has ended."""

    def ask(*command):
        store = ["--store", f"{STATE}/hookyard.db", "--format", "json"]
        return json.loads(service.output("hookyard", "events", *command, *store))

    def ended():
        arrivals = ask("list", "--rule", rule)["arrivals"]
        rows = [row for arrival in arrivals for row in arrival["deliveries"] if row["rule"] == rule]
        assert len(rows) == 1, rows
        return rows[0] if rows[0]["state"] in ("done", "dead") else None

    row = wait_until(f"the delivery to {rule} has ended", ended, LIMIT * 3)
    shown = ask("show", row["delivery"])["deliveries"][0]
    return row["state"], shown["reason"] or "", [attempt["outcome"] for attempt in shown["attempts"]]


def assert_serves(service):
    """A new event is accepted and acted on."""

    def answer():
        return service.run("systemctl", "is-active", "hookyard.service")[1] == "active" and service.post(
            "count", {"n": 900001}
        )

    assert wait_until("the service answers", answer) == (200, "accepted")
    counted = lambda: "900001" in service.text(f"{STATE}/counted").split()
    wait_until("the event is acted on", counted)


def test_a_command_that_waits_for_a_restart_of_its_service_ends(poisoned, measured):
    assert poisoned.post("blocking", {"n": "blocking"}) == (200, "accepted")
    state, reason, outcomes = final_state(poisoned, "blocking")
    began = runs(poisoned, "blocking")
    # A clean stop does not use up an attempt. Interruptions in a row have a limit of their own.
    assert (state, outcomes, began) == ("dead", ["interrupted"] * 10, 10), (state, reason, outcomes, began)
    assert reason.startswith("interrupted: the daemon ended during 10 attempts in a row"), reason
    assert_serves(poisoned)
    measured(f"{began} runs, {state}")


def test_a_command_that_requests_a_restart_of_its_service_ends(poisoned, measured):
    assert poisoned.post("asking", {"n": "asking"}) == (200, "accepted")
    state, reason, outcomes = final_state(poisoned, "asking")
    began = runs(poisoned, "asking")
    assert outcomes[-1] in ("done", "interrupted") and began <= 10, (state, reason, outcomes)
    assert_serves(poisoned)
    measured(f"{began} runs, {state}")


def test_a_command_that_uses_up_the_memory_ends(poisoned, measured):
    controllers = poisoned.run("cat", "/sys/fs/cgroup/cgroup.controllers")[1]
    if "memory" not in controllers.split():
        pytest.skip("this machine gives the container no memory controller")
    assert poisoned.post("eating", {"n": "eating"}) == (200, "accepted")
    state, reason, outcomes = final_state(poisoned, "eating")
    began = runs(poisoned, "eating")
    # Interrupted if the daemon was killed as well, failed if the kernel killed the command only. The rule allows three
    # attempts; one more run is possible if its attempt was not written before the kill.
    assert state == "dead" and len(outcomes) == 3 and began <= 4, (state, reason, outcomes, began)
    assert "interrupted" in outcomes, outcomes
    assert_serves(poisoned)
    measured(f"{began} runs, {outcomes}")


def test_a_daemon_that_is_killed_again_and_again_gives_the_delivery_up(poisoned, measured):
    active = lambda: poisoned.property("ActiveState") == "active"
    assert poisoned.post("long", {"n": "long"}) == (200, "accepted")
    for _ in range(20):
        process = wait_until("the daemon runs", lambda: active() and int(poisoned.property("MainPID")))
        time.sleep(0.5)
        poisoned.output("kill", "-KILL", process)
        replaced = lambda killed=process: active() and poisoned.property("MainPID") not in ("0", str(killed))
        wait_until("another daemon runs", replaced)
    state, reason, outcomes = final_state(poisoned, "long")
    began = runs(poisoned, "long")
    assert (state, outcomes) == ("dead", ["interrupted"] * 5) and began <= 6, (state, reason, outcomes, began)
    assert_serves(poisoned)
    poisoned.wait_for_journal("interrupted by the end of the last daemon")
    measured(f"killed 20 times during one delivery: {began} runs, {reason}")
