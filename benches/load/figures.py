"""What one server does at one number of connections: rate, latency, processor time, size of commits, deliveries left behind."""

import statistics
import time
from dataclasses import dataclass, field

from course import Course
from machine import Server, behind, metrics, quiet, ticks

COMMITS = "hookyard_store_commits_total"


@dataclass
class Figures:
    """The rounds of one server at one number of connections, of which the medians count."""

    name: str
    connections: int
    rates: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)
    # Microseconds of processor time for each request, the work on its deliveries included.
    costs: list[float] = field(default_factory=list)
    # Requests for each transaction of the store.
    batches: list[float] = field(default_factory=list)
    # Deliveries that had not ended when the last request was answered.
    lags: list[float] = field(default_factory=list)

    def measure(self, course: Course, server: Server, seconds: float) -> None:
        """One round. The server has nothing left to do before and after."""
        used = ticks(server)
        commits = metrics(server)[COMMITS] if server.admin else 0
        rate, p99 = course.wrk(server, seconds, self.connections)
        requests = rate * seconds
        if server.admin:
            series = metrics(server)
            self.lags.append(behind(series))
            self.batches.append(requests / max(series[COMMITS] - commits, 1))
            drained(server)
        # What this round still has to do would otherwise be paid by the next server.
        quiet(server)
        self.rates.append(rate)
        self.p99s.append(p99)
        self.costs.append((ticks(server) - used) * 10_000 / requests)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def cost(self) -> float:
        return statistics.median(self.costs)

    @property
    def lag(self) -> float:
        return statistics.median(self.lags)

    def row(self) -> str:
        p99 = statistics.median(self.p99s)
        store = f"{statistics.median(self.batches):12.1f}{self.lag:12.0f}" if max(self.lags, default=0) > 0 else ""
        return f"{self.name:24}{self.connections:>6}{self.rate:12.0f}{p99:10.2f}{self.cost:12.1f}{store}"


HEADING = f"\n{'':24}{'conns':>6}{'requests/s':>12}{'p99 ms':>10}{'CPU µs/req':>12}{'req/commit':>12}{'lag':>12}"


def drained(server: Server, limit: float = 60) -> None:
    """Waits until no delivery is left."""
    end = time.monotonic() + limit
    while behind(metrics(server)) > 0:
        if time.monotonic() > end:
            print(f"        {server.name} has deliveries left after {limit:.0f} s", flush=True)
            return
        time.sleep(0.1)
