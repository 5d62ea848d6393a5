"""The packaged service in the container: its rules, its state, and signed requests to it."""

import hashlib
import hmac
import json
import re

from polling import LIMIT, wait_until

SECRET = "a secret of the container"
WATCHDOG = 5
"""Seconds. The shipped 30 s would make a test of the watchdog take half a minute."""
RULES_FILE = "/etc/hookyard/rules.yaml"
STATE = "/var/lib/hookyard"
DROP_INS = "/etc/systemd/system/hookyard.service.d"
OVERRIDE = f"{DROP_INS}/override.conf"

RULES = """\
server: {listen: systemd}
endpoints:
  /github: {verify: {github: {secret: credential:github}}, replay_window: 1h}
rules:
  - name: deploy
    endpoint: /github
    match: {event: push}
    actions:
      - shell: echo "$COMMIT by $(id -un) for ${SECRET-nobody}" >> /var/lib/hookyard/deployed
        env: {COMMIT: "{{ payload.after }}"}
  - name: count
    endpoint: /github
    match: {event: count}
    actions:
      - append: /var/lib/hookyard/counted
        line: "{{ payload.n }}"
  - name: slow
    endpoint: /github
    match: {event: slow}
    actions:
      - shell: sleep 1; echo "$N" >> /var/lib/hookyard/slow
        env: {N: "{{ payload.n }}"}
  - name: elsewhere
    endpoint: /github
    match: {event: elsewhere}
    retry: {attempts: 1}
    actions:
      - shell: echo written > /etc/elsewhere/written
"""
BROKEN_RULES = RULES.replace("{event: push}", "{evnet: push}")


class Service:
    """hookyard in the container. Each test begins with `begin` or with `erase`."""

    def __init__(self, container):
        self.container = container
        self.first, self.second = container.files
        self.run, self.output = container.run, container.output
        self.path, self.text, self.write = container.path, container.text, container.write
        self.cursor = []

    def begin(self):
        """Starts the first package with `RULES`, a credential and an empty store."""
        self.clear()
        if not self.version().endswith("-1"):
            self.install(self.first)
            self.output("systemctl", "stop", "hookyard.service", "hookyard.socket")
            self.clear_state()
        self.give_credential()
        self.write(RULES_FILE, RULES)
        self.output("systemctl", "daemon-reload")
        self.output("systemctl", "start", "hookyard.socket", "hookyard.service")

    def erase(self):
        """Removes the package and whatever it or another test left."""
        self.clear()
        self.run("dpkg", "--purge", "hookyard")
        self.output("sh", "-c", "rm -rf /etc/hookyard /var/lib/hookyard /var/log/hookyard")
        self.run("userdel", "hookyard")
        self.run("groupdel", "hookyard")
        self.output("systemctl", "daemon-reload")

    def clear(self):
        """Stops the service and removes its state and the drop-ins of the test before."""
        self.run("systemctl", "stop", "hookyard.service", "hookyard.socket", "taken.socket", "taken.service")
        self.clear_state()
        self.output(
            *["rm", "-rf", DROP_INS, "/etc/systemd/system/hookyard.socket.d", "/run/hookyard.sock"],
            *["/etc/elsewhere", "/srv/another"],
        )
        self.output("systemctl", "daemon-reload")
        self.run("systemctl", "reset-failed")
        # The journal of earlier tests is no evidence for this one.
        shown = self.output("journalctl", "--quiet", "--no-pager", "-n", "1", "--show-cursor")
        cursor = re.search(r"^-- cursor: (.*)$", shown, re.MULTILINE)
        self.cursor = [f"--after-cursor={cursor[1]}"] if cursor else []

    def clear_state(self):
        self.output("sh", "-c", f"rm -rf {STATE}/* /var/log/hookyard/*")

    def give_credential(self):
        """Writes the secret that the rules name, and the drop-in that passes it to the service."""
        self.write("/etc/hookyard/credentials/github", SECRET + "\n")
        self.output("chmod", "-R", "go=", "/etc/hookyard/credentials")
        credential = "LoadCredential=github:/etc/hookyard/credentials/github"
        self.write(OVERRIDE, f"[Service]\n{credential}\nWatchdogSec={WATCHDOG}s\n")

    def install(self, package):
        """Installs a package of either revision; dpkg's output."""
        return self.output("dpkg", "-i", package)

    def version(self):
        """The version of the installed package, empty if there is none."""
        code, output = self.run("dpkg-query", "-W", "-f", "${Status} ${Version}", "hookyard")
        return output if code == 0 and output.startswith("install ok installed") else ""

    def set_rules(self, text):
        self.write(RULES_FILE, text)

    def restart(self):
        """Restarts the service with the unit files as they are now."""
        self.output("systemctl", "daemon-reload")
        self.output("systemctl", "restart", "hookyard")

    def property(self, key, unit="hookyard.service"):
        return self.output("systemctl", "show", "--property", key, "--value", unit)

    def wait_for_status(self, text):
        """Waits until the status line begins with or contains a text."""
        wait_until(f"the status line says `{text}`", lambda: text in self.property("StatusText"))

    def journal(self, *arguments):
        """The service's journal since the test began."""
        return self.output("journalctl", "--no-pager", "-u", "hookyard", *self.cursor, *arguments)

    def wait_for_journal(self, text):
        wait_until(f"the journal says `{text}`", lambda: text in self.journal())

    def post(self, event, body, *arguments, secret=SECRET, at="http://127.0.0.1:9000/github"):
        """Sends a signed event by curl; the status and the answer."""
        text = json.dumps(body)
        signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        headers = [
            "Content-Type: application/json",
            f"X-GitHub-Event: {event}",
            f"X-Hub-Signature-256: sha256={signature}",
        ]
        given = [word for header in headers for word in ("-H", header)]
        format = "\n%{http_code}"
        output = self.output("curl", "-sS", "-m", LIMIT, "-w", format, *given, "-d", text, *arguments, at)
        answer, status = output.rsplit("\n", 1)
        return int(status), json.loads(answer)["status"]

    def diagnostics(self):
        """systemd's view of the units, and the journal without the many lines about events."""
        units = ["hookyard.service", "hookyard.socket"]
        status = self.run("systemctl", "status", "--no-pager", "-n", "0", *units)[1]
        journal = self.run("journalctl", "--no-pager", "-u", "hookyard", *self.cursor, "-n", "3000")[1]
        lines = [line for line in journal.splitlines() if " INFO a" not in line]
        return "\n".join([status, *lines[-60:]])
