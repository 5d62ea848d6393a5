#!/usr/bin/env python3
"""benches/load [PHASE…]: the release daemon beside a bare server, in one run, on this machine's loopback.

Phases: http, memory, spawn; all of them unless some are named. Builds what it starts, drives it with `wrk` (Debian's
package) over 32 kept connections, each of which waits for its answer before it sends again, prints what it measured
and how that stands to what is promised, and stops everything that it started. Exits 1 if a promise is not kept.

Ratios are to be read, not rates: machines drift, so the servers take turns, several rounds of each, and the medians
are compared. The database lies under the target folder, on a real disk: an fsync on tmpfs would be a lie.
"""

import argparse
import hmac
import http.client
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PUSH = ROOT / "tests/fixtures/github/push.json"
SECRET = "a secret for the load test"
SIGNATURE = "sha256=" + hmac.digest(SECRET.encode(), PUSH.read_bytes(), "sha256").hex()
CONNECTIONS = 32
WAITING = 100_000


class Servers:
    """What was started, to be stopped by its own id at the end, whatever happens."""

    def __init__(self):
        self.running: list[subprocess.Popen] = []

    def start(self, command: list[str], port: int, log: Path) -> subprocess.Popen:
        # MALLOC_ARENA_MAX as in the shipped unit.
        environment = {"PATH": os.environ["PATH"], "SECRET": SECRET, "MALLOC_ARENA_MAX": "4"}
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=log.parent
            )
        self.running.append(process)
        for _ in range(600):
            if process.poll() is not None:
                sys.exit(f"{command[0]} ended with {process.returncode}:\n{log.read_text(errors='replace')[-4000:]}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return process
            except OSError:
                time.sleep(0.05)
        sys.exit(f"{command[0]} does not listen on {port}")

    def stop(self, process: subprocess.Popen) -> None:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.remove(process)

    def stop_all(self) -> None:
        for process in list(self.running):
            self.stop(process)


@dataclass
class Server:
    """One server under load, and what came of each round."""

    name: str
    port: int
    process: subprocess.Popen
    rates: list[float]
    p99s: list[float]

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def p99(self) -> float:
        return statistics.median(self.p99s)


class Load:
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
        return Server("bare hyper server", port, self.servers.start(command, port, self.folder / "bare.log"), [], [])

    def hookyard(self, name: str, key: str, rules: str) -> Server:
        port = free_port()
        home = self.folder / key
        home.mkdir(exist_ok=True)
        (home / "rules.yaml").write_text(
            f"server: {{listen: '127.0.0.1:{port}'}}\n"
            f"store: {{path: {home}/hookyard.db, max_size: 16GiB}}\n"
            # wrk sends one event over and over: each is to be taken as if it were new.
            "endpoints:\n"
            "  /github: {verify: {github: {secret: env:SECRET}}, on_duplicate: run}\n"
            f"rules:\n{rules}"
        )
        command = [self.options.hookyard, "serve", str(home / "rules.yaml")]
        return Server(name, port, self.servers.start(command, port, home / "log"), [], [])

    # --- driving

    def wrk(self, server: Server, seconds: float) -> tuple[float, float]:
        """Requests a second and the 99th percentile in milliseconds; any answer but 2xx ends the run."""
        command = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "--timeout", "30s", "--latency"]
        command += ["-s", str(ROOT / "benches/bare/push.lua"), f"http://127.0.0.1:{server.port}/github"]
        said = subprocess.run(command + ["--", str(PUSH), SIGNATURE], capture_output=True, text=True, timeout=seconds + 120)
        results = [line.split()[1:] for line in said.stdout.splitlines() if line.startswith("RESULT")]
        if not results:
            sys.exit(f"wrk said:\n{said.stdout}{said.stderr}")
        requests, microseconds, p99, bad, broken = map(int, results[0])
        if bad or broken:
            sys.exit(f"{server.name}: of {requests} answers {bad} were not 2xx, {broken} connections broke")
        return requests / (microseconds / 1e6), p99 / 1000

    def judge(self, what: str, found: float, bound: float, at_least: bool, unit: str = "") -> None:
        kept = found >= bound if at_least else found <= bound
        self.missed += not kept
        sign = "≥" if at_least else "≤"
        print(f"{'ok    ' if kept else 'MISSED'}  {what}: {found:.2f}{unit}  (promised {sign} {bound:g}{unit})", flush=True)

    # --- phases

    def http(self) -> None:
        """An ignored event with 10 and with 10,000 rules, and one taken durably, beside the bare server."""
        bare = self.bare()
        few = self.hookyard("ignored, 10 rules", "few", elsewhere(10))
        many = self.hookyard("ignored, 10,000 rules", "many", elsewhere(10_000))
        taken = self.hookyard("taken durably, 10 rules", "taken", elsewhere(9) + push_rule(f"append: {self.folder}/taken/seen"))
        for server, status in ((few, "ignored"), (many, "ignored"), (taken, "accepted")):
            found = ask(server)
            if status not in found:
                sys.exit(f"{server.name}: one push is answered {found}, not `{status}`")
        everybody = [bare, few, many, taken]
        for server in everybody:
            self.wrk(server, 1)
            quiet(server)
        for _ in range(self.options.rounds):
            for server in everybody:
                rate, p99 = self.wrk(server, self.options.seconds)
                server.rates.append(rate)
                server.p99s.append(p99)
                # What the last one still has to do would otherwise be paid by the next.
                quiet(server)
        print(f"\n{'':26}{'requests/s':>12}{'p99 ms':>10}{'peak MiB':>10}")
        for server in everybody:
            print(f"{server.name:26}{server.rate:12.0f}{server.p99:10.2f}{memory(server, 'VmHWM'):10.1f}")
        print()
        self.judge("an event that no rule wants, to the bare server", few.rate / bare.rate, 0.8, True)
        self.judge("an event taken durably, to the bare server", taken.rate / bare.rate, 0.4, True)
        self.judge("the cost of 10,000 rules, to that of 10", few.rate / many.rate, 1.5, False)
        for server in everybody:
            self.servers.stop(server.process)

    def memory(self) -> None:
        """At rest, and with many events waiting; the same once more after a restart."""
        # Nobody listens on port 1: every delivery fails at once and waits an hour.
        waits = push_rule("forward: http://127.0.0.1:1/", "retry: {attempts: 8, backoff: [1h]}")
        server = self.hookyard("waiting", "waiting", waits)
        time.sleep(3)
        print()
        self.judge("a daemon at rest", memory(server, "VmRSS"), 20, False, " MiB")
        sent = 0
        while sent < WAITING:
            rate, _ = self.wrk(server, 5)
            sent += round(rate * 5)
        quiet(server, limit=300)
        self.judge(f"with {sent:,} events waiting", memory(server, "VmRSS"), 100, False, " MiB")
        print(f"        its peak, while they came in: {memory(server, 'VmHWM'):.1f} MiB")
        self.servers.stop(server.process)
        server = self.hookyard("waiting", "waiting", waits)
        quiet(server)
        self.judge("the same, started anew", memory(server, "VmHWM"), 100, False, " MiB")
        self.servers.stop(server.process)

    def spawn(self) -> None:
        """How fast a backlog of `run: [/bin/true]` drains, beside a loop that starts the same program.

        The backlog is made by a forward that fails and is tried again later; then the rule is edited, so that the
        deliveries that wait run the command instead, all at once and with nobody sending meanwhile.
        """
        seconds, later = 6, 20
        ratios = []
        for turn in range(2):
            forward = push_rule("forward: http://127.0.0.1:1/", f"retry: {{attempts: 3, backoff: [{later}s]}}")
            server = self.hookyard("spawn", f"spawn{turn}", forward)
            self.wrk(server, 5)
            rules = self.folder / f"spawn{turn}" / "rules.yaml"
            rules.write_text(rules.read_text().replace("forward: http://127.0.0.1:1/", "run: [/bin/true]"))
            loop = float(subprocess.run([self.options.bare, "spawn", "5"], capture_output=True, check=True).stdout)
            drained = drain(later + 15, seconds)
            ratios.append(drained / loop)
            print(f"\nstarts of /bin/true a second: {drained:.0f} by the daemon, {loop:.0f} by the bare loop", flush=True)
            self.servers.stop(server.process)
        self.judge("`run: [/bin/true]`, to the bare loop", statistics.median(ratios), 0.7, True)


# --- rules


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


# --- looking


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(server: Server) -> str:
    """The answer to one push."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "push", "X-Hub-Signature-256": SIGNATURE}
    connection.request("POST", "/github", body=PUSH.read_bytes(), headers=headers)
    answer = connection.getresponse()
    text = f"{answer.status} {answer.read().decode(errors='replace')}"
    connection.close()
    return text


def memory(server: Server, which: str) -> float:
    """`VmRSS` or `VmHWM` (the peak of it), in MiB."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith(which + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def ticks(server: Server) -> int:
    """Processor time that the server and its children have used, in hundredths of a second."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def quiet(server: Server, limit: float = 60) -> None:
    """Waits until the server has nothing to do: three times running less than 5 % of a core in half a second."""
    calm, end = 0, time.monotonic() + limit
    before = ticks(server)
    while calm < 3:
        if time.monotonic() > end:
            print(f"        {server.name} is still busy after {limit:.0f} s", flush=True)
            return
        time.sleep(0.5)
        now = ticks(server)
        calm = calm + 1 if now - before <= 2 else 0
        before = now


def forks() -> int:
    """How many processes and threads this machine has started since its boot."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("processes "):
            return int(line.split()[1])
    return 0


def drain(patience: float, seconds: float) -> float:
    """Starts a second while a backlog drains, as the kernel counted them: the median of the half seconds in which it
    drained, once it has begun."""
    slices, step, end = [], 0.5, time.monotonic() + patience
    before = forks()
    while time.monotonic() < end and len(slices) < seconds / step:
        at = time.monotonic()
        time.sleep(step)
        now = forks()
        rate = (now - before) / (time.monotonic() - at)
        before = now
        if rate > 50:
            slices.append(rate)
        elif slices:
            break
    # The first and the last may have been cut short.
    return statistics.median(slices[1:-1] or slices or [0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phases", nargs="*", help="http, memory, spawn (default: all)")
    parser.add_argument("--hookyard", help="a binary to measure; by default the release build of this checkout")
    parser.add_argument("--bare", help="the bare server; likewise")
    parser.add_argument("--seconds", type=float, default=5, help="length of a round (5)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of every server (3)")
    options = parser.parse_args()
    phases = options.phases or ["http", "memory", "spawn"]
    if unknown := set(phases) - {"http", "memory", "spawn"}:
        parser.error(f"unknown phase: {', '.join(sorted(unknown))}")
    if shutil.which("wrk") is None:
        parser.error("wrk is missing: apt-get install wrk")

    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
    if not (options.hookyard and options.bare):
        build = ["cargo", "build", "--locked", "--release", "--bin", "hookyard", "--example", "bare"]
        subprocess.run(build, cwd=ROOT, check=True)
    options.hookyard = str(Path(options.hookyard or target / "release/hookyard").resolve())
    options.bare = str(Path(options.bare or target / "release/examples/bare").resolve())

    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="load-", dir=target) as folder:
        load = Load(options, Path(folder))
        try:
            for phase in phases:
                getattr(load, phase)()
        finally:
            load.servers.stop_all()
    print(f"\n{load.missed} promises missed" if load.missed else "\nall promises kept")
    return 1 if load.missed else 0


if __name__ == "__main__":
    sys.exit(main())
