"""The daemon behind the page: started with given rules, posted to, stopped, and started again."""

import hashlib
import hmac
import http.client
import json
import os
import socket
import subprocess
import time
from urllib.parse import urlsplit

from polling import wait_until

SECRET = "a secret of the browser test"
TIME_LIMIT = 30
"""Seconds for one answer."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Daemon:
    """The binary with one rules file, on ports that stay the same when it starts again."""

    def __init__(self, binary, folder, rules, **names):
        """`rules` is a text with `PORT` and further names in capitals, which are replaced."""
        self.binary, self.folder, self.process = binary, folder, None
        self.port = free_port()
        self.socket = folder / "hookyard.db.sock"
        for name, value in {"PORT": self.port, **names}.items():
            rules = rules.replace(f"@{name}@", str(value))
        self.rules = folder / "rules.yaml"
        self.rules.write_text(rules)

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "rules.yaml"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
            )
        wait_until("the daemon listens", self.is_listening, 15)
        return self

    def is_listening(self):
        assert self.process.poll() is None, f"the daemon did not start:\n{self.diagnostics()}"
        return self.status_of_admin() == 200 and can_connect(self.port)

    def status_of_admin(self):
        try:
            return self.admin("GET", "/readyz")[0]
        except OSError:
            return 0

    def stop(self):
        """Ends the daemon. What it runs is interrupted."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(45)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def post(self, path, body=b"{}", headers=None, method="POST"):
        """Status and text of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIME_LIMIT)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def send_raw(self, request):
        """The answer to exactly these bytes, which need not be HTTP."""
        with socket.create_connection(("127.0.0.1", self.port), TIME_LIMIT) as stream:
            stream.sendall(request)
            stream.shutdown(socket.SHUT_WR)
            answer = b""
            while some := stream.recv(65536):
                answer += some
        return answer

    def admin(self, method, path, body=None, headers=None):
        """Status and text of an answer on the unix socket."""
        connection = UnixConnection(self.socket)
        try:
            connection.request(method, path, body, {"Host": "localhost", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def api(self, path):
        """The JSON of `GET /api/v1…`, with numbers kept as text so that none loses a digit."""
        status, text = self.admin("GET", f"/api/v1{path}")
        assert status == 200, f"{path}: {status} {text}"
        return json.loads(text, parse_int=str, parse_float=str)

    def run(self, *arguments):
        """Exit code and output of the command line."""
        done = subprocess.run(
            [self.binary, *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment(),
            timeout=60,
        )
        return done.returncode, done.stdout + done.stderr

    def output(self, *arguments):
        code, output = self.run(*arguments)
        assert code == 0, f"hookyard {' '.join(arguments)}: {code}: {output}"
        return output

    def arrivals(self, *filters):
        """Arrivals from the store, newest first, as the command line prints them in JSON."""
        code, output = self.run("events", "list", "--format", "json", "--limit", "1000", *filters)
        assert code in (0, 1), output
        return json.loads(output)["arrivals"]

    def log(self):
        path = self.folder / "log"
        # The folder is gone once the test has passed.
        return path.read_text(errors="replace") if path.exists() else ""

    def diagnostics(self):
        return "\n".join(self.log().splitlines()[-40:])


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=TIME_LIMIT)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def environment():
    return {"PATH": os.environ["PATH"], "SECRET": SECRET}


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def digest(text, secret=SECRET):
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def github(payload, event="push", secret=SECRET, delivery=None):
    """Body and headers of a GitHub webhook."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Event": event,
        "X-Hub-Signature-256": f"sha256={digest(body, secret)}",
    }
    return body, headers | ({"X-GitHub-Delivery": delivery} if delivery else {})


def stripe(payload, at=None):
    """Body and headers of a Stripe webhook."""
    body = json.dumps(payload).encode()
    at = int(at if at is not None else time.time())
    signature = digest(b"%d." % at + body)
    return body, {"Content-Type": "application/json", "Stripe-Signature": f"t={at},v1={signature}"}


def slack(payload):
    """Body and headers of a Slack request."""
    body, at = json.dumps(payload).encode(), int(time.time())
    signature = digest(b"v0:%d:" % at + body)
    headers = {"X-Slack-Request-Timestamp": str(at), "X-Slack-Signature": f"v0={signature}"}
    return body, {"Content-Type": "application/json", **headers}


def origin(url):
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
