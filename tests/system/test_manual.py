"""The commands of the manual that need root and systemd, run in the container as the pages show them.

A test takes the blocks of its page one after the other. At its end no `sh system` block of the page may be left, so
that a block that is new in a page fails the page's test. Replaced are only an id, a version and a commit, which a page
cannot know. A repository, a web server's name and the tools of a build are stood in for.
"""

import json
import re
import shutil
from pathlib import Path

import pytest
from certificates import self_signed
from manual import Page, pages_with
from paths import ROOT
from polling import wait_until
from service import OVERRIDE, RULES_FILE, SECRET

pytestmark = pytest.mark.container

CHECKOUT = "/root/checkout"
"""Where the reader has cloned hookyard."""
SCRATCH = "/root/scratch"
PAGES = {
    "guides/backup-restore.md",
    "guides/run-as-user.md",
    "guides/socket-activation.md",
    "guides/tls-acme.md",
    "install/binary.md",
    "install/deb.md",
    "install/uninstall.md",
    "install/upgrade.md",
    "reference/cli.md",
    "tutorial/github-deploy.md",
}
"""Pages with `sh system` blocks. Each has a test below."""


class Reader:
    """Someone who types what the manual shows, as root."""

    def __init__(self, service):
        self.service = service
        service.output(
            "rm", "-rf", CHECKOUT, SCRATCH, "/root/shims", "/srv/site", "/root/remote", "/var/backups/hookyard.db"
        )
        service.output("mkdir", "-p", SCRATCH, "/root/shims")
        self.pages = []

    def open(self, name):
        page = Page(name)
        self.pages.append(page)
        return page

    def type(self, text, folder=SCRATCH, **variables):
        """Runs a block; its output. Any command that fails ends it, as `set -e` does."""
        setting = "".join(f"export {name}='{value}'\n" for name, value in variables.items())
        path = "PATH=/root/shims:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return self.service.output("bash", "-euc", f"export {path}\n{setting}cd {folder}\n{text}")

    def clone(self):
        """Copies the parts of the checkout that the pages name."""
        folder = self.service.path(CHECKOUT)
        folder.mkdir()
        for part in ("systemd", "docs"):
            shutil.copytree(ROOT / part, folder / part)
        return folder

    def stand_in(self, program, text):
        """Writes a program that does nothing but this."""
        self.service.write(f"/root/shims/{program}", f"#!/bin/sh\n{text}\n")
        self.service.output("chmod", "0755", f"/root/shims/{program}")

    def edit(self, unit, text):
        """Does what `systemctl edit` does with a drop-in."""
        self.service.write(f"/etc/systemd/system/{unit}.d/override.conf", text)
        self.service.output("systemctl", "daemon-reload")

    def close(self):
        for page in self.pages:
            left = [text for kind, text in page.blocks if kind == "sh system"]
            assert not left, f"{page.name}: not run:\n" + "\n".join(left)


@pytest.fixture
def reader(service):
    reader = Reader(service)
    yield reader
    service.clear()


@pytest.fixture
def newcomer(uninstalled):
    reader = Reader(uninstalled)
    yield reader
    uninstalled.erase()


def first_id(text):
    return re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", text)[0]


def with_id(block, text):
    """The block with the first id of a text in place of the page's."""
    assert "01a229f3-17e7" in block
    return block.replace("01a229f3-17e7", first_id(text)[:18])


def test_each_page_has_a_test():
    assert set(pages_with("sh system")) == PAGES


def test_the_package_is_built_installed_configured_and_upgraded(newcomer):
    service, page = newcomer.service, newcomer.open("install/deb.md")
    checkout = newcomer.clone()
    newcomer.stand_in("cargo", "exit 0")
    # The package under test is already built, by the same script.
    package = Path(service.first).name
    build = f"mkdir -p target/debian && cp {service.first} target/debian/"
    (checkout / "systemd/debian/build").write_text(f"#!/bin/sh\n{build}\n")
    named = page.take("sh system", "cargo install").replace("hookyard_0.1.0-1_amd64.deb", package)
    newcomer.type(named, CHECKOUT)
    assert service.output("systemctl", "is-active", "hookyard") == "active"

    service.write(f"{SCRATCH}/github.secret", SECRET + "\n")
    newcomer.type(page.take("sh system", "install -D"))
    newcomer.edit("hookyard.service", page.take("ini"))
    service.output("systemctl", "restart", "hookyard")
    rules = "server: {listen: systemd}\nrules:\n- name: a\n  endpoint: /github\n"
    actions = "  actions: [{append: /var/log/hookyard/a.jsonl}]\n"
    service.set_rules(f"{rules}  verify: {{github: {{secret: credential:github}}}}\n{actions}")
    service.wait_for_status("1 rule, ")
    assert service.post("push", {"n": 1}) == (200, "accepted")

    upgrade = newcomer.open("install/upgrade.md")
    service.output("cp", service.second, SCRATCH)
    named = upgrade.take("sh system", "apt install").replace("hookyard_VERSION_amd64.deb", Path(service.second).name)
    newcomer.type(named)
    assert service.version().endswith("-2")
    assert service.post("push", {"n": 1}) == (200, "duplicate")
    service.output("cp", "/usr/bin/hookyard", SCRATCH)
    credentials = "/etc/hookyard/credentials"
    newcomer.type(upgrade.take("sh system", "./hookyard check"), CREDENTIALS_DIRECTORY=credentials)
    assert service.post("push", {"n": 2}) == (200, "accepted")
    newcomer.close()


def test_the_binary_is_installed_by_hand_with_its_socket_and_removed(newcomer):
    service, page = newcomer.service, newcomer.open("install/binary.md")
    checkout = newcomer.clone()
    newcomer.stand_in("cargo", "exit 0")
    service.output("dpkg-deb", "-x", service.first, f"{SCRATCH}/package")
    (checkout / "target/release").mkdir(parents=True)
    shutil.copy(service.path(f"{SCRATCH}/package/usr/bin/hookyard"), checkout / "target/release")
    (checkout / "rules.yaml").write_text("server: {listen: 127.0.0.1:9000}\nrules: []\n")
    newcomer.type(page.take("sh system", "cargo build"), CHECKOUT)
    service.wait_for_status("0 rules, ")
    assert service.post("push", {}) == (404, "not found")

    guide = newcomer.open("guides/socket-activation.md")
    service.output("systemctl", "stop", "hookyard.service")
    newcomer.type(guide.take("sh system", "install"), CHECKOUT)
    newcomer.edit("hookyard.socket", guide.take("ini"))
    service.set_rules("server: {listen: systemd}\nrules: []\n")
    newcomer.type(guide.take("sh system", "systemctl stop"))
    answers = newcomer.type(guide.take("sh system", "for n in")).split()
    assert answers == ["404"] * 50
    assert service.output(*"curl -sS --unix-socket /run/hookyard.sock http://hookyard/".split())

    removal = newcomer.open("install/uninstall.md")
    newcomer.type(removal.take("sh system"))
    assert service.run("curl", "-sS", "http://127.0.0.1:9000/")[0] == 7
    assert service.path(RULES_FILE).exists()
    assert not service.path("/usr/bin/hookyard").exists()
    newcomer.close()


def test_a_push_is_deployed_through_nginx_and_rolled_back(reader):
    service, page = reader.service, reader.open("tutorial/github-deploy.md")
    remote = reader.type(
        "git init -q -b main /root/remote/acme/site.git && cd /root/remote/acme/site.git && "
        "git config user.email a@acme.example && git config user.name a && "
        "echo one > index.html && git add . && git commit -qm one && chmod -R a+rX /root /root/remote && "
        # Both addresses of the page lead to this repository.
        "git config --system safe.directory '*' && "
        "git config --system url./root/remote/.insteadOf https://github.com/ && "
        "git config --system --add url./root/remote/.insteadOf git@github.com: && git rev-parse HEAD"
    )
    first = remote.splitlines()[-1]
    reader.type(page.take("sh system", "install -d -m 0700 /etc"))
    secret = service.text("/etc/hookyard/credentials/github").strip()
    reader.edit("hookyard.service", page.take("ini"))
    service.output("systemctl", "restart", "hookyard")

    reader.type(page.take("sh system", "install -m 0755"))
    reader.type(page.take("sh system", "runuser -u hookyard -- git clone --bare https"))
    reader.type("rm -r /srv/site/repository.git")
    assert "ssh-ed25519 " in reader.type(page.take("sh system", "install -d -m 0700 -o"))
    reader.type(page.take("sh system", "runuser -u hookyard -- git clone --bare git@"))
    output = reader.type(page.take("sh system", "runuser -u hookyard -- git -C"))
    assert f"current is {first}" in output.splitlines()

    service.set_rules(page.take("yaml"))
    service.wait_for_status("1 rule, ")
    assert '"ignored"' in reader.type(page.take("sh system", "hookyard send http:"))
    through_nginx(reader)
    assert '"ignored"' in reader.type(page.take("sh system", "hookyard send https:"), SSL_CERT_FILE="/root/hooks.pem")

    push = "cd /root/remote/acme/site.git && echo two > index.html && git commit -qam two && git rev-parse HEAD"
    second = reader.type(push).splitlines()[-1]
    body = {"ref": "refs/heads/main", "deleted": False, "after": second, "repository": {"full_name": "acme/site"}}
    assert service.post("push", body, secret=secret) == (200, "accepted")
    current = lambda: service.output("readlink", "/srv/site/current")
    wait_until("the commit is deployed", lambda: current().endswith(second))
    assert service.output("cat", "/srv/site/current/index.html") == "two"

    looking = page.take("sh system", "hookyard events list")
    listed = reader.type("hookyard events list --since 1h")
    shown = reader.type(with_id(looking, listed))
    assert f"stdout | current is {second}" in shown
    # A delivery that ended well can be replayed, too.
    reader.type(with_id(page.take("sh system", "hookyard events replay"), listed))
    replayed = lambda: "replayed once" in reader.type("hookyard events list --since 1h")
    wait_until("the delivery is replayed", replayed)

    rollback = page.take("sh system", "ls -1dt").replace("COMMIT", first)
    assert f"/srv/site/releases/{second}/" in reader.type(rollback)
    assert service.output("cat", "/srv/site/current/index.html") == "one"

    service.write(f"{SCRATCH}/push.json", json.dumps(body))
    # The branch is deleted: nothing is deployed.
    body |= {"deleted": True, "after": "0" * 40}
    assert service.post("push", body, secret=secret) == (200, "ignored")

    reference = reader.open("reference/cli.md")
    output = reader.type(reference.take("sh system", "hookyard check --running"))
    assert "judged by the daemon of /etc/hookyard/rules.yaml" in output
    assert "yes deploy-site: every condition holds" in output
    reader.close()
    service.output("systemctl", "stop", "nginx")
    service.output("rm", "/etc/nginx/conf.d/hookyard.conf", "/etc/gitconfig")


def through_nginx(reader):
    """Sets nginx up as its page shows, under the name of the page's server."""
    service = reader.service
    text = Page("guides/behind-nginx-caddy-traefik.md").take("nginx")
    service.output("mkdir", "-p", "/etc/letsencrypt/live/hooks.example.com")
    folder = service.path("/etc/letsencrypt/live/hooks.example.com")
    extensions = ["subjectAltName=DNS:hooks.example.com", "basicConstraints=critical,CA:FALSE"]
    self_signed(folder, "hooks", "/CN=hooks.example.com", *extensions)
    (folder / "hooks.pem").rename(folder / "fullchain.pem")
    (folder / "hooks.key").rename(folder / "privkey.pem")
    shutil.copy(folder / "fullchain.pem", service.path("/root/hooks.pem"))
    service.write("/etc/nginx/conf.d/hookyard.conf", text)
    hosts = service.text("/etc/hosts")
    if "hooks.example.com" not in hosts:
        service.write("/etc/hosts", hosts + "127.0.0.1 hooks.example.com\n")
    service.output("nginx", "-t")
    service.output("systemctl", "restart", "nginx")


def test_a_store_is_backed_up_and_restored(reader):
    service, page = reader.service, reader.open("guides/backup-restore.md")
    assert service.post("push", {"after": "1"}) == (200, "accepted")
    reader.type(page.take("sh system", "hookyard store backup"))
    assert service.post("push", {"after": "2"}) == (200, "accepted")
    reader.type(page.take("sh system", "systemctl stop"))
    assert service.post("push", {"after": "1"}) == (200, "duplicate")
    assert service.post("push", {"after": "2"}) == (200, "accepted")
    assert "|deploy|" in reader.type(page.take("sh system", "sqlite3"))
    reader.close()

    # The line of a crontab that watches the daemon.
    line = Page("guides/monitoring.md").take("cron")
    command = line.split(maxsplit=6)[6]
    reader.stand_in("logger", "echo unhealthy >&2; exit 1")
    reader.type(command)
    service.output("systemctl", "stop", "hookyard.socket", "hookyard.service")
    code, output = service.run("sh", "-c", f"PATH=/root/shims:$PATH; {command}")
    assert code == 1 and output.endswith("unhealthy"), output


def test_a_command_runs_as_another_user(reader):
    service, page = reader.service, reader.open("guides/run-as-user.md")
    secret = "a-secret-of-the-guide-7f3a9c41d05be287"
    rules = "server: {listen: systemd}\n" + page.take("yaml")
    service.write(f"{SCRATCH}/draft.yaml", rules)
    service.write("/etc/hookyard/environment", f"GITHUB_SECRET={secret}\n")
    service.write(OVERRIDE, "[Service]\n")
    service.output("systemctl", "daemon-reload")
    service.set_rules("server: {listen: systemd}\nrules: []\n")
    service.output("systemctl", "restart", "hookyard")
    check = page.take("sh system", "hookyard check")
    code, output = service.run("sh", "-c", f"cd {SCRATCH}; {check}")
    assert code == 1 and "unavailable" in output, output

    reader.edit("hookyard.service", page.take("ini"))
    service.output("systemctl", "restart", "hookyard")
    action = rules.index("      - run:")
    service.set_rules(rules[:action] + page.take("yaml part"))
    service.wait_for_status("1 rule, ")
    testing = page.take("sh system", "hookyard send")
    send, look, show = testing.strip().splitlines()
    reader.type(send, GITHUB_SECRET=secret)
    wait_until("the command ran", lambda: " done " in reader.type(look))
    shown = reader.type(with_id(show, reader.type(look)), GITHUB_SECRET=secret)
    expected = re.search(r"`show` prints `(.*)`\.", page.text)[1]
    assert expected in shown
    service.output("rm", "/etc/hookyard/environment")
    reader.close()


def test_the_hook_of_certbot_hands_the_certificate_over(reader):
    service, page = reader.service, reader.open("guides/tls-acme.md")
    hook = "/etc/letsencrypt/renewal-hooks/deploy/hookyard"
    service.write(hook, page.take("sh system"))
    service.output("chmod", "0755", hook)
    for name in ("fullchain.pem", "privkey.pem"):
        service.write(f"/etc/letsencrypt/live/renewed/{name}", name)
    reader.type(hook, RENEWED_LINEAGE="/etc/letsencrypt/live/renewed")
    for name in ("fullchain.pem", "privkey.pem"):
        assert service.text(f"/etc/hookyard/{name}") == name
        assert service.output("stat", "-c", "%U:%G %a", f"/etc/hookyard/{name}") == "root:hookyard 640"
        service.output("rm", f"/etc/hookyard/{name}")
    reader.close()
