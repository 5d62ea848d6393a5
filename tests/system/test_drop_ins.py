"""Drop-ins for rules that need more than the shipped unit allows."""

import pytest
from polling import wait_until
from service import OVERRIDE, RULES

pytestmark = pytest.mark.container

ANOTHER = """\
  - name: another
    endpoint: /github
    match: {event: another}
    actions:
      - shell: id -un > who
        cwd: /srv/another
        user: nobody
"""


def test_a_command_writes_below_etc_only_with_a_drop_in(service):
    service.output("install", "-d", "-o", "hookyard", "/etc/elsewhere")
    assert service.post("elsewhere", {"n": "elsewhere"}) == (200, "accepted")
    service.wait_for_status("1 dead")
    assert not service.path("/etc/elsewhere/written").exists()
    service.write(OVERRIDE, service.text(OVERRIDE) + "ReadWritePaths=-/etc/elsewhere\n")
    service.restart()
    replay = "--store /var/lib/hookyard/hookyard.db --dead --rule elsewhere"
    service.output("runuser", "-u", "hookyard", "--", "hookyard", "events", "replay", *replay.split())
    written = lambda: service.text("/etc/elsewhere/written") == "written\n"
    wait_until("the command writes the file", written)


def test_the_example_lets_a_command_become_another_user(service):
    assert service.post("push", {"after": "7"}) == (200, "accepted")
    service.output("install", "-d", "-o", "nobody", "/srv/another")
    example = service.text("/usr/share/doc/hookyard/examples/override.conf")
    service.write(OVERRIDE, example)
    service.restart()
    service.set_rules(RULES + ANOTHER)
    wait_until("the rule is in force", lambda: service.property("StatusText").startswith("5 rules, "))
    assert service.post("another", {"n": "another"}) == (200, "accepted")
    wait_until("it ran as another user", lambda: service.text("/srv/another/who") == "nobody\n")
    # Back to the user of the unit: systemd changes the owner of the folders again.
    service.set_rules(RULES)
    service.write(OVERRIDE, example.replace("User=root", "").replace("Group=root", ""))
    service.restart()
    assert service.post("push", {"after": "7"}) == (200, "duplicate")
    assert service.output("stat", "-c", "%U", "/var/lib/hookyard/hookyard.db") == "hookyard"
