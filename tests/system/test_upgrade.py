"""An upgrade from one package to the next."""

import pytest
from load import assert_nothing_was_lost, under_load
from polling import wait_until
from service import BROKEN_RULES, RULES, RULES_FILE

pytestmark = pytest.mark.container


def test_an_upgrade_under_load_refuses_and_loses_nothing(service, measured):
    before = service.property("MainPID")
    socket = service.property("ActiveEnterTimestampMonotonic", "hookyard.socket")
    figures = under_load(service, lambda: service.install(service.second))
    measured("an upgrade: " + assert_nothing_was_lost(service, figures))
    assert service.version().endswith("-2")
    assert service.property("MainPID") != before
    assert service.property("ActiveEnterTimestampMonotonic", "hookyard.socket") == socket
    assert service.text(RULES_FILE) == RULES, "the upgrade changed an edited file"
    assert service.output("stat", "-c", "%U:%G %a", RULES_FILE) == "root:hookyard 640"


def test_an_upgrade_with_broken_rules_restarts_nothing(service):
    before = service.property("MainPID")
    service.set_rules(BROKEN_RULES)
    broken = lambda: service.property("StatusText").startswith("the rules file does not load")
    wait_until("the status line says that the rules do not load", broken)
    assert "hookyard: not restarted" in service.install(service.second)
    assert service.property("MainPID") == before
    assert service.post("push", {"after": "broken"}) == (200, "accepted")
    service.set_rules(RULES)
    repaired = lambda: service.property("StatusText").startswith("4 rules, generation ")
    wait_until("the repaired rules are in force", repaired)
    # With rules that load, changing the package restarts the service.
    service.install(service.first)
    assert service.property("MainPID") != before
