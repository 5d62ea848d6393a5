"""A course: the binaries, the folder that everything is in, how the daemon is driven, and what was missed."""

import hmac
import http.client
import json
import subprocess
import sys
from pathlib import Path

from machine import SECRET, Server, Servers, free_port

ROOT = Path(__file__).resolve().parent.parent.parent
PUSH = ROOT / "tests/fixtures/github/push.json"
SIGNATURE = "sha256=" + hmac.digest(SECRET.encode(), PUSH.read_bytes(), "sha256").hex()
CONNECTIONS = 32


class Course:
    """One run: the binaries, the folder that everything is in, and what was found."""

    def __init__(self, options, folder: Path):
        self.options = options
        self.folder = folder
        self.servers = Servers()
        self.missed = 0

    # --- starting

    def bare(self) -> Server:
        port = free_port()
        command = [self.options.bare, "serve", f"127.0.0.1:{port}", SECRET]
        return Server("bare hyper server", port, self.servers.start(command, port, self.folder / "bare.log"), self.folder)

    def hookyard(self, name: str, key: str, rules: str, endpoint: str = "", keep: str = "", store: str = "") -> Server:
        """The daemon in a folder of its own, `key`; with what is there, if anything is."""
        port, admin = free_port(), free_port()
        home = self.folder / key
        home.mkdir(exist_ok=True)
        store = store or f"{{path: {home}/hookyard.db, max_size: 16GiB{keep and ', keep: ' + keep}}}"
        (home / "rules.yaml").write_text(
            f"server: {{listen: '127.0.0.1:{port}'}}\n"
            f"admin: {{listen: '127.0.0.1:{admin}', socket: {home}/admin.sock}}\n"
            f"store: {store}\n"
            "endpoints:\n"
            f"  /github: {{verify: {{github: {{secret: env:SECRET}}}}{endpoint and ', ' + endpoint}}}\n"
            f"rules:\n{rules}"
        )
        command = [self.options.hookyard, "serve", str(home / "rules.yaml")]
        return Server(name, port, self.servers.start(command, port, home / "log"), home, admin)

    # --- driving

    def wrk(self, server: Server, seconds: float, connections: int = CONNECTIONS) -> tuple[float, float]:
        """Requests a second and the 99th percentile in milliseconds; any answer but 2xx ends the run."""
        command = ["wrk", "-t2", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "30s", "--latency"]
        command += ["-s", str(ROOT / "benches/bare/push.lua"), f"http://127.0.0.1:{server.port}/github"]
        said = subprocess.run(command + ["--", str(PUSH), SIGNATURE], capture_output=True, text=True, timeout=seconds + 120)
        results = [line.split()[1:] for line in said.stdout.splitlines() if line.startswith("RESULT")]
        if not results:
            sys.exit(f"wrk said:\n{said.stdout}{said.stderr}")
        requests, microseconds, p99, bad, broken = map(int, results[0])
        if bad or broken:
            sys.exit(f"{server.name}: of {requests} answers {bad} were not 2xx, {broken} connections broke")
        return requests / (microseconds / 1e6), p99 / 1000

    def send(
        self, server: Server, seconds: float, connections: int = CONNECTIONS, rate: float = 0, body: Path = PUSH, watched: Path | None = None
    ) -> dict:
        """Different events, each taken; as fast as can be or `rate` a second. What `bare send` reports, and the rate."""
        command = [self.options.bare, "send", f"127.0.0.1:{server.port}", SECRET, str(body), str(connections), f"{seconds}", f"{rate}"]
        said = subprocess.run(command + [str(watched)] * bool(watched), capture_output=True, text=True, timeout=seconds + 180)
        if said.returncode:
            sys.exit(f"{server.name}: the sender said:\n{said.stdout}{said.stderr}")
        report = json.loads(said.stdout)
        report["rate"] = report["answered"] / report["seconds"]
        return report

    def judge(self, what: str, found: float, bound: float, at_least: bool, unit: str = "") -> None:
        kept = found >= bound if at_least else found <= bound
        self.missed += not kept
        sign = "≥" if at_least else "≤"
        print(f"{'ok    ' if kept else 'MISSED'}  {what}: {found:.2f}{unit}  (promised {sign} {bound:g}{unit})", flush=True)


def elsewhere(count: int) -> str:
    """Rules for other repositories than the push's: no one of them wants it."""
    rule = (
        "  - name: site-{0}\n    endpoint: /github\n"
        "    match: {{header.X-GitHub-Event: push, $.ref: refs/heads/main, $.repository.full_name: acme/site-{0}}}\n"
        "    actions: [{{run: [/bin/true]}}]\n"
    )
    return "".join(rule.format(number) for number in range(count))


def push_rule(action: str, *more: str) -> str:
    """The rule that wants the push."""
    return (
        "  - name: push\n    endpoint: /github\n"
        "    match: {header.X-GitHub-Event: push, $.ref: refs/heads/main, $.repository.full_name: acme/site}\n"
        f"    actions:\n      - {action}\n" + "".join(f"    {line}\n" for line in more)
    )


def ask(server: Server) -> str:
    """The answer to one push."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "push", "X-Hub-Signature-256": SIGNATURE}
    connection.request("POST", "/github", body=PUSH.read_bytes(), headers=headers)
    answer = connection.getresponse()
    text = f"{answer.status} {answer.read().decode(errors='replace')}"
    connection.close()
    return text
