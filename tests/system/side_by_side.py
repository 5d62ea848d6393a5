"""adnanh/webhook and hookyard side by side: the same hooks, the same requests, and what came of each.

Both run on loopback, each in a folder of its own. The command of every hook is `record`, which writes down how it was
called. The first header of a request numbers it, so that both records can be told apart.
"""

import base64
import json
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from polling import wait_until

NUMBER = "X-Number"
"""The header that numbers a request. Every hook passes it as its first argument."""

RECORD = """\
#!/bin/sh
# Writes down the arguments, the variables, the input and a file, says something, and exits as it is told.
folder=$(mktemp -d "$PWD/records/XXXXXXXX")
cat "/proc/$$/cmdline" > "$folder/arguments"
cat "/proc/$$/environ" > "$folder/variables"
cat > "$folder/input"
for name in FILE HOOK_CONTENT; do
    eval "path=\\${$name-}"
    [ -z "$path" ] || { cp "$path" "$folder/file"; touch "$folder/named-by-$name"; }
done
printf 'ran %s\\n' "$1"
printf done > "$folder/done"
exit "${EXIT_CODE:-0}"
"""


@dataclass
class Request:
    """A request to the hook `hook`."""

    hook: str
    method: str = "POST"
    query: str = ""
    headers: dict = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Call:
    """How a command was called."""

    arguments: list
    variables: dict
    input: bytes
    file: bytes | None
    named_by: list


@dataclass
class Answer:
    status: int
    body: str
    headers: dict


def shown(text):
    """A value as both write it: JSON as the value that it stands for, and null as JSON writes it."""
    if text == "<nil>":
        return "null"
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text


def lowered(headers):
    return {name.lower(): value for name, value in headers.items()}


class Program:
    """One of the two programs, with the calls of its commands."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "records").mkdir(parents=True)
        self.process = None
        self.script("record", RECORD)

    def script(self, name, text):
        """Writes a command of a hook."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)

    def lines(self, name):
        """The lines of a file that a command has written."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def hooks(self, hooks):
        """The hooks with this program's folder as the working directory."""
        text = json.dumps([{**hook, "command-working-directory": str(self.folder)} for hook in hooks])
        path = self.folder / "hooks.json"
        path.write_text(text)
        return path

    def start(self, *command):
        self.log = self.folder / "log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
            self.process = None

    def send(self, request, number):
        url = f"http://{self.address}/hooks/{request.hook}{request.query}"
        headers = {NUMBER: str(number), **request.headers}
        sent = urllib.request.Request(url, request.body or None, headers, method=request.method)
        # Without this, urllib says that every body is a form.
        if "Content-Type" not in request.headers:
            sent.add_unredirected_header("Content-Type", "application/octet-stream")
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sent, timeout=30) as answer:
                return Answer(answer.status, answer.read().decode(errors="replace"), lowered(answer.headers))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode(errors="replace"), lowered(error.headers))

    def calls(self):
        """The calls that have ended, by the numbers of their requests."""
        calls = {}
        for folder in (self.folder / "records").iterdir():
            if not (folder / "done").exists():
                continue
            # The interpreter and the script come first.
            words = (folder / "arguments").read_bytes().decode(errors="replace").split("\0")[2:-1]
            variables = (folder / "variables").read_bytes().decode(errors="replace").split("\0")
            variables = dict(variable.split("=", 1) for variable in variables if "=" in variable)
            file = folder / "file"
            call = Call(
                [shown(word) for word in words[1:]],
                # A missing value is no variable for one, and an empty one for the other.
                {
                    name: shown(value)
                    for name, value in variables.items()
                    if value and re.match("HOOK_|VAR_", name) and value != str(self.folder)
                },
                (folder / "input").read_bytes(),
                file.read_bytes() if file.exists() else None,
                sorted(path.name for path in folder.glob("named-by-*")),
            )
            # The names of files differ.
            for name in ("FILE", "HOOK_CONTENT"):
                call.variables.pop(name, None)
            calls.setdefault(int(words[0]), []).append(call)
        return calls

    def clear(self):
        shutil.rmtree(self.folder / "records")
        (self.folder / "records").mkdir()


class Theirs(Program):
    """adnanh/webhook."""

    def run(self, hooks, ip="127.0.0.1"):
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        with socket.socket(family) as free:
            free.bind((ip, 0))
            port = free.getsockname()[1]
        self.address = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
        self.hooks(hooks)
        listen = self.address.rsplit(":", 1)[0]
        self.start("webhook", "-hooks", "hooks.json", "-ip", listen, "-port", str(port), "-verbose")
        wait_until("webhook listens", lambda: socket.create_connection((ip, port)).close() is None, 30, OSError)


class Ours(Program):
    """hookyard with the imported rules."""

    def __init__(self, folder, binary):
        super().__init__(folder)
        self.binary = binary

    def imported(self, hooks):
        """The rules, and what `hookyard import` says of them."""
        path = self.hooks(hooks)
        done = subprocess.run([self.binary, "import", path.name], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout, done.stderr

    def run(self, hooks, ip="127.0.0.1", server="", edit=str):
        """Serves the imported rules as `edit` changes them, with more settings of the server."""
        rules, self.told = self.imported(hooks)
        address = f"[{ip}]:0" if ":" in ip else f"{ip}:0"
        (self.folder / "rules.yaml").write_text(f"server: {{listen: '{address}'{server}}}\n{edit(rules)}")
        for old in self.folder.glob("hookyard.db*"):
            old.unlink()
        self.serve()

    def serve(self):
        """Starts the daemon, perhaps again."""
        self.start(self.binary, "serve", "rules.yaml")
        self.address = wait_until("hookyard listens", self.listening, 30)[1]

    def command(self, *arguments):
        """Runs `hookyard` to its end. Returns the exit code and all that it said."""
        done = subprocess.run([self.binary, *arguments], cwd=self.folder, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def rule(self, hook):
        """The rule of a hook, for a failure."""
        rules = (self.folder / "rules.yaml").read_text().split("\n\n")
        return next((rule for rule in rules if f"endpoint: /hooks/{hook}\n" in rule), rules[-1])

    def listening(self):
        assert self.process.poll() is None, self.log.read_text()
        return re.search(r"http://([]0-9a-f.:[]+)", self.log.read_text())


class Pair:
    """Both programs."""

    def __init__(self, binary, folder):
        self.theirs = Theirs(Path(folder) / "theirs")
        self.ours = Ours(Path(folder) / "ours", binary)
        self.requests = 0

    def diagnostics(self):
        logs = [program.folder / "log" for program in (self.theirs, self.ours)]
        return "\n\n".join(log.read_text(errors="replace")[-2000:] for log in logs if log.exists())

    def stop(self):
        self.theirs.stop()
        self.ours.stop()

    @contextmanager
    def running(self, hooks, ip="127.0.0.1", **ours):
        """Both programs with these hooks."""
        try:
            self.theirs.run(hooks, ip)
            self.ours.run(hooks, ip, **ours)
            yield
        finally:
            self.stop()

    def send(self, request, number=0):
        """Sends a request to both. Returns both statuses."""
        return self.theirs.send(request, number).status, self.ours.send(request, number).status

    def script(self, name, text):
        self.theirs.script(name, text)
        self.ours.script(name, text)

    def run(self, hooks, requests, **more):
        """Sends all requests to both. Returns for each the answers and the calls of theirs and ours."""
        self.theirs.clear()
        self.ours.clear()
        with self.running(hooks, **more):
            answers = [
                (self.theirs.send(request, number), self.ours.send(request, number))
                for number, request in enumerate(requests)
            ]
            self.requests += len(requests)
            self.settle()
            theirs, ours = self.theirs.calls(), self.ours.calls()
        return [(*answers[number], theirs.get(number, []), ours.get(number, [])) for number in range(len(requests))]

    def settle(self):
        """Waits until both have called as many commands, and a moment longer."""

        def counts():
            return [len(list((program.folder / "records").iterdir())) for program in (self.theirs, self.ours)]

        def done():
            return [len(list((program.folder / "records").glob("*/done"))) for program in (self.theirs, self.ours)]

        # Where one calls a command more than the other, nothing happens any more.
        end, last = time.monotonic() + 2, counts()
        while time.monotonic() < end and (done()[0] != done()[1] or done() != counts()):
            if (now := counts()) != last:
                end, last = time.monotonic() + 2, now
            time.sleep(0.02)
        time.sleep(0.1)


def encoded(data):
    return base64.b64encode(data).decode()
