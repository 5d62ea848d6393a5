"""What runs on this machine, and how it is looked at: servers by their ids, memory, processor time, sizes."""

import http.client
import os
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

# What the rules of all daemons take for a sender's.
SECRET = "a secret for the load test"


class Servers:
    """What was started, to be stopped by its own id at the end, whatever happens."""

    def __init__(self):
        self.running: list[subprocess.Popen] = []

    def start(self, command: list[str], port: int, log: Path) -> subprocess.Popen:
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment(), cwd=log.parent
            )
        self.running.append(process)
        # Looked at closely: how long a start takes is measured, too.
        for _ in range(6000):
            if process.poll() is not None:
                sys.exit(f"{command[0]} ended with {process.returncode}:\n{log.read_text(errors='replace')[-4000:]}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return process
            except OSError:
                time.sleep(0.005)
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


def environment() -> dict[str, str]:
    """That of a daemon. MALLOC_ARENA_MAX as in the shipped unit."""
    return {"PATH": os.environ["PATH"], "SECRET": SECRET, "MALLOC_ARENA_MAX": "4"}


@dataclass
class Server:
    """One server under load, and what came of each round."""

    name: str
    port: int
    process: subprocess.Popen
    home: Path
    # Port of the admin API, 0 without one.
    admin: int = 0
    rates: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def p99(self) -> float:
        return statistics.median(self.p99s)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def resident(server: Server, which: str) -> float:
    """`VmRSS` or `VmHWM` (the peak of it), in MiB."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith(which + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def ticks(server: Server) -> int:
    """Processor time that the server and its children have used, in hundredths of a second."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def on_processor(server: Server) -> int:
    """Processor time of the threads that run now, in nanoseconds. Finer than `ticks`, without threads that have ended."""
    total = 0
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:
            # The thread has ended.
            continue
    return total


def metrics(server: Server) -> dict[str, float]:
    """The series of the daemon's metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", server.admin, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def behind(series: dict[str, float]) -> float:
    """Deliveries that have not ended."""
    return series['hookyard_deliveries{state="waiting"}'] + series['hookyard_deliveries{state="running"}']


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
        elif len(slices) > 2:
            break
        else:
            # A pulse of threads, or of somebody else's processes, is no backlog.
            slices.clear()
    # The first and the last may have been cut short.
    return statistics.median(slices[1:-1] or slices or [0])


def stored(server: Server) -> float:
    """The size of the daemon's store, its log included, in MiB."""
    files = (server.home / name for name in ("hookyard.db", "hookyard.db-wal"))
    return sum(file.stat().st_size for file in files if file.exists()) / (1 << 20)
