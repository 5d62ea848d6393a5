"""A store on PostgreSQL beside one on SQLite: how fast events are written, and performed, and how soon answered."""

import http.client
import itertools
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from course import ROOT, Course, push_rule
from figures import drained
from machine import Server, environment, free_port, quiet

sys.path.insert(0, str(ROOT / "tests/system"))

from cluster.postgres import Pair, programs  # noqa: E402

CONNECTIONS = 64
SQLITE, LOCAL, REPLICATED = "SQLite", "PostgreSQL", "PostgreSQL, synchronous standby"
SCHEMAS = itertools.count(1)
LARGE = {"shared_buffers": "512MB", "max_wal_size": "8GB"}


@dataclass
class Subject:
    """What was measured of one kind of store, a value for each round."""

    written: list[float] = field(default_factory=list)
    """Events per second that are answered while their rule is paused."""
    performed: list[float] = field(default_factory=list)
    """Events per second from the first request to the end of the last delivery."""
    p99s: list[float] = field(default_factory=list)
    """Of the answers while the rule is paused, in milliseconds."""


def postgres(course: Course) -> None:
    """The same events on each kind of store, in turns. Both servers and the daemon share this machine's cores."""
    if programs() is None:
        sys.exit("PostgreSQL is missing: apt-get install postgresql")
    # By default where the server's user can reach it, also if the checkout is in a home folder.
    folder = Path(tempfile.mkdtemp(prefix="hookyard-load-", dir=course.options.folder))
    folder.chmod(0o711)
    subjects = {name: Subject() for name in (SQLITE, LOCAL, REPLICATED)}
    try:
        with Pair(folder, [free_port(), free_port()], **LARGE) as pair:
            for number in range(course.options.rounds):
                for name, subject in subjects.items():
                    measure(course, name, number, subject, pair)
    finally:
        shutil.rmtree(folder)
    report(course, subjects)


def measure(course: Course, name: str, number: int, subject: Subject, pair: Pair) -> None:
    """One round of one kind of store, with an empty one."""
    home = course.folder / f"{name.replace(', ', '-').replace(' ', '-')}-{number}"
    store = ""
    if name != SQLITE:
        pair.prepare(f"load_{next(SCHEMAS)}", synchronous=name == REPLICATED)
        store = f"{{url: '{pair.url(pair.ports)}', schema: {pair.schema}}}"
    server = course.hookyard(name, home.name, push_rule(f"append: {home}/seen"), store=store)
    wait_until_ready(server)
    course.send(server, 1, CONNECTIONS)
    drained(server)
    quiet(server)
    begin = time.monotonic()
    sent = course.send(server, course.options.seconds, CONNECTIONS)
    drained(server)
    subject.performed.append(sent["answered"] / (time.monotonic() - begin))
    quiet(server)
    pause = [course.options.hookyard, "rules", "pause", "push", "--rules", home / "rules.yaml"]
    subprocess.run(pause, check=True, capture_output=True, env=environment())
    sent = course.send(server, course.options.seconds, CONNECTIONS)
    subject.written.append(sent["rate"])
    subject.p99s.append(sent["answer"]["p99"])
    course.servers.stop(server.process)
    shutil.rmtree(home)
    if name != SQLITE:
        pair.sql(f"DROP SCHEMA {pair.schema} CASCADE")


def wait_until_ready(server: Server) -> None:
    """Waits until the daemon has reached its store. Before, it listens and answers 503."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", server.admin, timeout=10)
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
        connection.close()
        if status == 200:
            return
        time.sleep(0.05)
    sys.exit(f"{server.name} is not ready")


def report(course: Course, subjects: dict[str, Subject]) -> None:
    print(f"\n{'store':34}{'written/s':>12}{'performed/s':>14}{'p99 ms':>10}")
    middle = {}
    for name, found in subjects.items():
        middle[name] = [statistics.median(values) for values in (found.written, found.performed, found.p99s)]
        written, performed, p99 = middle[name]
        print(f"{name:34}{written:12.0f}{performed:14.0f}{p99:10.2f}", flush=True)
    print()
    sqlite, local, replicated = (middle[name] for name in (SQLITE, LOCAL, REPLICATED))
    course.judge("events written, PostgreSQL to SQLite", local[0] / sqlite[0], 0.8, True)
    course.judge("events performed, PostgreSQL to SQLite", local[1] / sqlite[1], 0.8, True)
    course.judge("events written, with a synchronous standby to without", replicated[0] / local[0], 0.7, True)
    course.judge("99th percentile of the answer, PostgreSQL to SQLite", local[2] / sqlite[2], 1.5, False)
