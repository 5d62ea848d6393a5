"""Edits of the rules while the packaged service runs."""

import re

import pytest
from polling import wait_until
from service import BROKEN_RULES, RULES

pytestmark = pytest.mark.container

MORE = """\
  - name: more
    endpoint: /more
    verify: none
    actions:
      - append: /var/lib/hookyard/more
"""


def generation(service, rules):
    """The generation in the status line, if so many rules are in force."""
    found = re.match(rf"{rules} rules, generation (\d+);", service.property("StatusText"))
    return int(found[1]) if found else None


def wait_until_active(service):
    wait_until("the unit is active", lambda: service.property("ActiveState") == "active")


def test_an_edit_and_a_reload_take_effect_without_a_restart(service):
    assert generation(service, rules=4) == 1
    service.set_rules(RULES + MORE)
    edited = wait_until("the edit is in force", lambda: generation(service, rules=5))
    assert edited > 1
    assert service.post("any", {}, at="http://127.0.0.1:9000/more") == (200, "accepted")
    service.output("systemctl", "reload", "hookyard")
    wait_until("the reload is over", lambda: generation(service, rules=5) == edited + 1)
    wait_until_active(service)
    assert service.property("NRestarts") == "0"
    activated = [line for line in service.journal().splitlines() if "reloaded" in line and "rules=5" in line]
    assert len(activated) == 2, activated


def test_a_broken_edit_keeps_the_rules_in_force_and_shows(service):
    service.set_rules(BROKEN_RULES)
    status = lambda: service.run("systemctl", "status", "--no-pager", "hookyard")[1]
    wait_until("systemctl status shows it", lambda: "the rules file does not load (1 diagnostic)" in status())
    assert service.post("push", {"after": "2"}) == (200, "accepted")
    service.wait_for_journal("evnet")
    # A reload of the same file: systemd learns that the reload is over, and the old rules stay.
    service.output("systemctl", "reload", "hookyard")
    wait_until_active(service)
    assert service.post("push", {"after": "3"}) == (200, "accepted")
    service.set_rules(RULES)
    repaired = lambda: service.property("StatusText").startswith("4 rules, generation ")
    wait_until("the repaired rules are in force", repaired)
