"""The daemon under test: its rules, its start and end, and a way to post exact bytes to it."""

import http.client
import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path

from real_senders.request import PUBLIC, Sent
from real_senders.sender import Sender


def variables(sender: Sender) -> dict[str, str]:
    """The sender's keys, by the name of the environment variable or file that holds each."""
    return {f"{sender.rule.upper()}_{number}": key for number, key in enumerate(sender.keys.daemon)}


def environment(senders: list[Sender]) -> dict[str, str]:
    """PATH, and the keys that the daemon reads from the environment."""
    keys = {name: key for sender in senders if not sender.in_file for name, key in variables(sender).items()}
    return {"PATH": os.environ["PATH"]} | keys


def verify(sender: Sender, folder: Path) -> dict:
    """The `verify:` of the sender's rule, in its short form where one key is enough."""
    names = [f"file:{folder}/{name}" if sender.in_file else f"env:{name}" for name in variables(sender)]
    names = names[0] if len(names) == 1 else names
    if not sender.fields and sender.key_field == "secret" and isinstance(names, str):
        return {sender.scheme: names}
    keys = {sender.key_field: names} if sender.key_field else {}
    return {sender.scheme: keys | sender.fields}


def rules(senders: list[Sender], address: str, folder: Path) -> str:
    """JSON, which is YAML."""

    def rule(sender: Sender) -> dict:
        event = {"event": {"exists": True} if sender.event == "*" else sender.event} if sender.event else {}
        match = {"match": event | sender.match} if event | sender.match else {}
        action = {"append": f"{folder}/seen", "line": "{{ rule }} {{ event.id }}"}
        return {"name": sender.rule, "endpoint": sender.path, **match, "actions": [action]}

    document = {
        "server": {"listen": address, "public_url": PUBLIC},
        "store": {"path": f"{folder}/hookyard.db"},
        "endpoints": {sender.path: {"verify": verify(sender, folder)} for sender in senders},
        "rules": [rule(sender) for sender in senders],
    }
    return json.dumps(document, indent=1)


def write(senders: list[Sender], address: str, folder: Path) -> Path:
    """Writes the rules file, and the keys that the daemon reads from files."""
    for sender in senders:
        if sender.in_file:
            for name, key in variables(sender).items():
                (folder / name).write_text(key)
    path = folder / "rules.yaml"
    path.write_text(rules(senders, address, folder))
    return path


def check(binary: str, senders: list[Sender], folder: Path) -> str | None:
    """The diagnostics of `hookyard check` for the rules of these senders, if there are any."""
    done = run_check(binary, write(senders, "127.0.0.1:9000", folder), environment(senders))
    return None if done.returncode == 0 else (done.stdout + done.stderr).strip()


def run_check(binary: str, path: Path, variables: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [binary, "check", path], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=variables, timeout=30
    )


def known_schemes(binary: str, folder: Path) -> set[str]:
    """The names of all schemes, as the hint about an unknown scheme lists them."""
    path = folder / "rules.yaml"
    path.write_text('{"endpoints": {"/x": {"verify": {"no such scheme": "env:X"}}}, "rules": []}')
    done = run_check(binary, path, environment([]))
    known = re.search(r"known here: (.*)", done.stdout + done.stderr)
    if not known:
        raise AssertionError(f"the daemon does not say which schemes it knows:\n{done.stdout + done.stderr}")
    return set(known[1].split(", "))


class Daemon:
    """The running binary."""

    def __init__(self, binary: str, senders: list[Sender], folder: Path):
        self.folder = folder
        self.seen = folder / "seen"
        self.log = folder / "log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        path = write(senders, f"127.0.0.1:{self.port}", folder)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [binary, "serve", path],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(senders),
                cwd=folder,
            )

    def wait_until_listening(self) -> None:
        for _ in range(200):
            if self.process.poll() is not None:
                raise AssertionError(
                    f"the daemon ended with {self.process.returncode} at its start:\n{self.log.read_text()}"
                )
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"the daemon does not listen:\n{self.log.read_text()}")

    def post(self, sender: Sender, sent: Sent) -> tuple[int, bytes]:
        """Status and body of the answer to exactly these bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", sent.target or sender.path, body=sent.body, headers=sent.headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def lines(self) -> list[str]:
        """One line for each event acted on."""
        return self.seen.read_text().splitlines() if self.seen.exists() else []

    def diagnostics(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])

    def stop(self) -> int:
        """The exit code. A daemon that does not stop in time is killed, and -1 is returned."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(45)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return -1
