"""The ways to the operator's page, and curl as a client on each of them."""

import json
import os
import re
import signal
import subprocess
from typing import NamedTuple

from browser.daemon import Daemon, environment, free_port
from certificates import self_signed

PASSWORD = "correct horse battery"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
JSON = "Content-Type: application/json"
DRY_RUN = ("/api/v1/rules/open/fire?dry_run=1", '{"text": "{}"}')
"""Path and body of an action that changes nothing."""
RULES = """\
server: {listen: 127.0.0.1:@PORT@@TLS@}
store: {path: hookyard.db}
admin:
  socket: admin.sock
  listen: @ADDRESS@:@ADMIN@
  password: file:admin.hash
  read_only_socket: {path: guests.sock, mode: "0666"}
  page: full
@PUBLIC@rules:
  - {name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}
  - {name: never, endpoint: /open, verify: none, match: {$.n: never}, actions: [append: never.jsonl]}
  - name: broken
    endpoint: /broken
    verify: none
    retry: {attempts: 1}
    actions: [run: [/bin/false]]
  - name: slow
    endpoint: /slow
    verify: none
    retry: {attempts: 1}
    actions: [run: [/bin/sleep, "600"]]
  - {name: forwards, endpoint: /forwards, verify: none, actions: [forward: {url: "http://127.0.0.1:9/"}]}
"""


class Answer(NamedTuple):
    status: int
    head: str
    body: str

    def header(self, name):
        """The values of a header, joined."""
        return ", ".join(re.findall(rf"(?im)^{name}: (.*)$", self.head))

    def json(self):
        return json.loads(self.body)


class Doors(Daemon):
    """A daemon with a socket, a socket of guests, and a page with a password on TCP."""

    def __init__(self, binary, folder, address="127.0.0.1", tls=False, rules=RULES):
        self.admin_port = free_port()
        names = {"ADDRESS": address, "ADMIN": self.admin_port}
        if tls:
            self_signed(folder, "page", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        names["TLS"] = ", tls: {cert: page.pem, key: page.key}" if tls else ""
        names["PUBLIC"] = "" if address == "127.0.0.1" else "  public_url: https://ops.example.com\n"
        super().__init__(binary, folder, rules, **names)
        self.socket, self.guests = folder / "admin.sock", folder / "guests.sock"
        self.scheme = "https" if tls else "http"
        self.set_password(PASSWORD)

    def set_password(self, password):
        hashed = subprocess.run(
            [self.binary, "admin", "password"], input=password + "\n", capture_output=True, text=True, timeout=60
        )
        assert hashed.returncode == 0, hashed.stderr
        self.hash = hashed.stdout.strip()
        (self.folder / "admin.hash").write_text(hashed.stdout)
        (self.folder / "admin.hash").chmod(0o600)

    def reload(self, **changed):
        """Replaces values of the rules file, or removes the key, and tells the daemon. The caller waits for it."""
        text = self.rules.read_text()
        for key, value in changed.items():
            text = re.sub(rf"(?m)^  {key}: .*\n", f"  {key}: {value}\n" if value else "", text)
        self.rules.write_text(text)
        self.hang_up()

    def hang_up(self):
        """Tells the daemon to read its rules again. The caller waits for what changes by that."""
        os.kill(self.process.pid, signal.SIGHUP)

    def by_socket(self):
        return Way("socket", "http://localhost", ["--unix-socket", str(self.socket)])

    def by_guests(self):
        return Way("guests", "http://localhost", ["--unix-socket", str(self.guests)])

    def by_tcp(self, *arguments):
        return Way("tcp", f"{self.scheme}://localhost:{self.admin_port}", ["--insecure", *arguments])

    def by_session(self):
        way = self.by_tcp()
        answer = way.log_in(PASSWORD)
        assert answer.status == 303, answer
        return way.with_headers(f"Cookie: {answer.header('set-cookie').split(';')[0]}")


class Way:
    """Requests by one way. `headers` go with each of them."""

    def __init__(self, name, url, arguments, headers=(), prefix=()):
        self.name, self.url, self.arguments, self.headers, self.prefix = name, url, arguments, headers, prefix

    def __repr__(self):
        return self.name

    def with_headers(self, *headers):
        return Way(self.name, self.url, self.arguments, (*self.headers, *headers), self.prefix)

    def as_user(self, user, group, groups):
        """The same way for another user of this machine."""
        ids = [f"--reuid={user}", f"--regid={group}", f"--groups={groups}" if groups else "--clear-groups"]
        return Way(self.name, self.url, self.arguments, self.headers, ["setpriv", *ids, "--"])

    def curl(self, method, path, *headers, body=None):
        """Exit code and output of curl."""
        given = [word for header in (*self.headers, *headers) for word in ("--header", header)]
        given += ["--request", method] if method != "HEAD" else ["--head"]
        if body is not None:
            # Otherwise curl declares a form.
            kind = [] if any(header.lower().startswith("content-type:") for header in headers) else ["Content-Type:"]
            given += [word for header in kind for word in ("--header", header)] + ["--data-binary", "@-"]
        # Not for large bodies either: it would ask for permission first.
        given += ["--header", "Expect:"]
        command = [*self.prefix, "curl", "--silent", "--show-error", "--include", "--max-time", "20", "--path-as-is"]
        command += [*self.arguments, *given, self.url + path]
        done = subprocess.run(command, input=(body or "").encode(), capture_output=True, env=environment(), timeout=60)
        return done.returncode, done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")

    def ask(self, method, path, *headers, body=None):
        code, output = self.curl(method, path, *headers, body=body)
        assert code == 0, f"curl by {self.name}: {method} {path} {headers}: {code}: {output}"
        head, body = output.replace("\r\n", "\n").split("\n\n", 1)
        return Answer(int(head.split()[1]), head, body)

    def get(self, path, *headers):
        return self.ask("GET", path, *headers)

    def post(self, path, body="{}", *headers):
        return self.ask("POST", path, JSON, *headers, body=body)

    def log_in(self, password, *headers):
        form = "application/x-www-form-urlencoded"
        headers = headers or (f"Origin: {self.url}",)
        body = "password=" + password.replace(" ", "+")
        return self.ask("POST", "/login", f"Content-Type: {form}", *headers, body=body)


def running(daemon):
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


def actions(door, world, way=None):
    """Path and body of every action of the API, on what is there, and those of the command line."""
    described = (way or door.by_socket()).get("/api/v1/openapi.json").json()["paths"]
    known = {
        "/arrivals/{id}/replay": {"id": world["arrival"]},
        "/arrivals/{id}/stop": {"id": world["arrival"]},
        "/deliveries/{id}/replay": {"id": world["broken"]},
        "/deliveries/{id}/drop": {"id": world["broken"]},
        "/deliveries/{id}/stop": {"id": world["slow"]},
    }
    found = []
    for pattern, path in described.items():
        if "post" in path:
            names = {"name": "open"} | known.get(pattern, {})
            body = '{"rule": "broken", "reason": "exit 1", "target": "127.0.0.1:9", "after": "retry", "text": "{}"}'
            found.append(("/api/v1" + pattern.format(**names), body))
    assert len(found) > 10
    return [*found, ("/rules", '{"list": {}}')]


def state(door):
    """Everything that an action can change, as text."""
    way = door.by_socket()
    rules = way.get("/api/v1/rules").json()
    listed = way.get("/api/v1/arrivals?limit=500").json()["arrivals"]
    deliveries = sorted(
        (one["delivery"], one["state"], one["replays"]) for arrival in listed for one in arrival["deliveries"]
    )
    paused = [(rule["name"], rule.get("paused")) for rule in rules["rules"]]
    return str((len(listed), deliveries, paused, rules.get("targets")))


def is_protected(answer, stored=False):
    assert answer.header("content-security-policy") == POLICY, answer
    assert answer.header("x-content-type-options") == "nosniff", answer
    assert answer.header("x-frame-options") == "DENY", answer
    assert answer.header("referrer-policy") == "same-origin", answer
    assert answer.header("cache-control") == ("no-cache" if stored else "no-store"), answer
    assert answer.header("content-type") or answer.status == 304, answer
