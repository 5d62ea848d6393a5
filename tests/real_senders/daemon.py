"""The daemon under test: its rules, its start, its end, and a plain way to post bytes to it."""

import http.client
import os
import socket
import subprocess
import time
from pathlib import Path

from signers import SECRETS, Request

# What each rule asks of an event, beside being genuine.
MATCH = {
    "github": "header.X-GitHub-Event: {exists: true}",
    "github_sha1": "header.X-GitHub-Event: push",
    "gitlab": "$.object_kind: push",
    "gitea": "$.repository.full_name: acme/site",
    "forgejo": "$.repository.full_name: acme/site",
    "gogs": "$.repository.full_name: acme/site",
    "bitbucket": "$.repository.full_name: acme/site",
    "shopify": "$.id: 820982911946154508",
    "stripe": "$.type: payment_intent.succeeded",
    "slack": "$.command: /webhook-collect",
    "standard": "$.data.id: {exists: true}",
    "svix": "$.data.id: {exists: true}",
    "plain": "$.id: {exists: true}",
}


def verify(rule: str) -> str:
    """The `verify:` of a rule; secrets come from the environment, several where one is being rolled."""
    names = [f"env:{rule.upper()}_{which.upper()}" for which in ("secret", "rotated") if which in SECRETS[rule]]
    secret = names[0] if len(names) == 1 else f"[{', '.join(names)}]"
    if rule == "plain":
        return f"{{hmac: {{secret: {secret}, timestamp: {{header: X-Timestamp, unit: s}}}}}}"
    preset = "standard" if rule == "svix" else rule
    return f"{{{preset}: {{secret: {secret}}}}}"


def rules(address: str, folder: Path) -> str:
    lines = [f"server: {{listen: '{address}'}}", f"store: {{path: {folder}/hookyard.db}}", "endpoints:"]
    lines += [f"  /{rule}: {{verify: {verify(rule)}}}" for rule in SECRETS]
    lines.append("rules:")
    for rule in SECRETS:
        lines += [
            f"  - name: {rule}",
            f"    endpoint: /{rule}",
            f"    match: {{{MATCH[rule]}}}" if "{" not in MATCH[rule] else f"    match:\n      {MATCH[rule]}",
            "    actions:",
            f"      - append: {folder}/seen",
            '        line: "{{ rule }} {{ event.id }}"',
        ]
    return "\n".join(lines) + "\n"


class Daemon:
    """The running binary, stopped by its own id."""

    def __init__(self, binary: str, folder: Path):
        self.folder = folder
        self.seen = folder / "seen"
        self.log = folder / "log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (folder / "rules.yaml").write_text(rules(f"127.0.0.1:{self.port}", folder))
        environment = {"PATH": os.environ["PATH"]}
        for rule, secrets in SECRETS.items():
            for which in ("secret", "rotated"):
                if which in secrets:
                    environment[f"{rule.upper()}_{which.upper()}"] = secrets[which]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [binary, "serve", str(folder / "rules.yaml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=folder,
            )

    def wait_until_listening(self) -> None:
        for _ in range(200):
            if self.process.poll() is not None:
                raise SystemExit(f"the daemon ended with {self.process.returncode} at its start:\n{self.log.read_text()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"the daemon does not listen:\n{self.log.read_text()}")

    def post(self, request: Request, headers: dict | None = None, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of the answer to exactly these bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(
                "POST",
                f"/{request.rule}",
                body=request.body if body is None else body,
                headers=request.headers if headers is None else headers,
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stop(self) -> int:
        """Its exit code; a daemon that does not stop when told to is killed, and has failed."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(45)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return -1
