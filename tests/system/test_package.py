"""The package: installed, removed, purged."""

import pytest
from polling import wait_until
from service import RULES, RULES_FILE

pytestmark = pytest.mark.container

UNITS = ["hookyard.service", "hookyard.socket"]


def owner_and_mode(service, path):
    return service.output("stat", "-c", "%U:%G %a", path)


def test_installing_starts_the_service_and_lets_no_request_in(uninstalled):
    service = uninstalled
    service.install(service.first)
    for unit in UNITS:
        assert service.output("systemctl", "is-active", unit) == "active"
        assert service.output("systemctl", "is-enabled", unit) == "enabled"
    assert "0 rules, generation 1; queue: 0 waiting" in service.property("StatusText")
    assert owner_and_mode(service, RULES_FILE) == "root:hookyard 640"
    assert owner_and_mode(service, "/var/lib/hookyard") == "hookyard:hookyard 700"
    assert owner_and_mode(service, "/var/log/hookyard") == "hookyard:hookyard 750"
    assert "0 rules, 0 warnings" in service.output("hookyard", "check")
    service.output("hookyard", "status")
    assert b"_RJEM_MALLOC_CONF" in service.path("/usr/bin/hookyard").read_bytes(), "jemalloc is not built in"
    assert service.post("push", {"after": "0"}) == (404, "not found")
    assert service.path("/usr/share/man/man1/hookyard-serve.1.gz").exists()
    assert service.path("/usr/share/man/man5/hookyard-rules.5.gz").exists()
    for schema in ("rules.schema.json", "rules.test.schema.json"):
        assert "draft-07" in service.text(f"/usr/share/hookyard/{schema}")
    examples = service.output("ls", "/usr/share/doc/hookyard/examples").split()
    assert examples == ["alerts.yml", "deploy.sh", "override.conf", "rules.yaml", "several-machines.yaml"]
    assert "hookyard" in service.text("/usr/share/bash-completion/completions/hookyard")


def test_removing_keeps_rules_and_data_and_purging_removes_them(service):
    assert service.post("push", {"after": "1"}) == (200, "accepted")
    service.output("dpkg", "-r", "hookyard")
    code, output = service.run("curl", "-sS", "http://127.0.0.1:9000/")
    assert code == 7, f"the port still accepts connections: {code}: {output}"
    assert service.run("pgrep", "-x", "hookyard")[0] == 1
    assert service.text(RULES_FILE) == RULES
    assert service.path("/var/lib/hookyard/hookyard.db").exists()
    assert service.path("/var/log/hookyard").exists()

    service.install(service.second)
    assert service.post("push", {"after": "1"}) == (200, "duplicate"), "the replay memory was lost"

    service.output("dpkg", "--purge", "hookyard")
    for gone in (RULES_FILE, "/var/lib/hookyard", "/var/log/hookyard", "/usr/bin/hookyard"):
        assert not service.path(gone).exists(), gone
    credential = "/etc/hookyard/credentials/github"
    assert service.path(credential).exists(), "purging removed a file that the package did not bring"
    assert service.run("systemctl", "is-active", *UNITS)[1].split() == ["inactive"] * 2
    folders = ["/etc/systemd/system", "/var/lib/systemd"]
    left = service.output("find", *folders, "-name", "hookyard*", "-not", "-name", "*.d")
    assert left == "", left


def test_an_existing_user_is_kept(uninstalled):
    service = uninstalled
    service.output("useradd", "--uid", "1500", "--user-group", "hookyard")
    service.install(service.first)
    assert service.output("id", "-u", "hookyard") == "1500"
    assert service.output("systemctl", "is-active", *UNITS).split() == ["active"] * 2


def test_a_port_in_use_is_reported_and_the_package_installed(uninstalled):
    service = uninstalled
    socket = "--socket-property=ListenStream=127.0.0.1:9000"
    service.output("systemd-run", "--unit=taken", socket, "sleep", "infinity")
    output = service.install(service.first)
    assert "hookyard: installed, and not started; why: systemctl status hookyard.socket" in output
    service.wait_for_journal("systemd handed over no socket: `systemctl status hookyard.socket` says why")
    # Once the port is free, starting the units is all that is left to do.
    service.output("systemctl", "stop", "taken.socket", "hookyard.service")
    service.output("systemctl", "reset-failed")
    service.output("systemctl", "start", "hookyard.socket", "hookyard.service")
    assert service.post("push", {"after": "0"}) == (404, "not found")


def test_a_rules_file_that_dpkg_brings_back_can_be_read(uninstalled):
    service = uninstalled
    service.install(service.first)
    service.path(RULES_FILE).unlink()
    service.output("dpkg", "--force-confmiss", "-i", service.first)
    assert owner_and_mode(service, RULES_FILE) == "root:hookyard 640"
    assert service.output("systemctl", "is-active", "hookyard.service") == "active"


def test_a_signed_request_runs_a_command_as_the_service_user(service):
    assert service.post("push", {"after": "1"}, secret="another") == (403, "refused")
    assert service.post("push", {"after": "1"}) == (200, "accepted")
    assert service.post("push", {"after": "1"}) == (200, "duplicate")
    # `nobody`: no variable of the command's environment holds the secret.
    done = "1 by hookyard for nobody\n"
    wait_until("the command ran", lambda: service.text("/var/lib/hookyard/deployed") == done)
