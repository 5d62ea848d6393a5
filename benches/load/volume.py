"""Much of it: a million deliveries that wait, and a day of events in minutes."""

import hashlib
import hmac
import http.client
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

from course import Course, push_rule
from machine import SECRET, Server, quiet, resident, stored

MILLION = 1_000_000
# A day at two events a second, in four minutes.
DAY, DAY_EVENTS = 240, 2 * 24 * 3600
# So much of it is an hour.
HOUR = DAY / 24


def million(course: Course) -> None:
    """What a million deliveries that wait cost: memory, and everybody else's events."""
    rules = push_rule(f"append: {course.folder}/seen") + (
        "  - {name: later, endpoint: /later, verify: {github: {secret: env:SECRET}}, actions: [forward: 'http://127.0.0.1:1/'],\n"
        "     retry: {attempts: 8, backoff: [12h]}}\n"
    )
    full = course.hookyard("a million waiting", "million", rules)
    post(full, "/later", {"n": 0})
    quiet(full)
    course.servers.stop(full.process)
    begin = time.monotonic()
    multiply(full.home / "hookyard.db", MILLION)
    print(f"\n        {MILLION:,} events written into a store of {stored(full):.0f} MiB in {time.monotonic() - begin:.0f} s", flush=True)
    full = course.hookyard("a million waiting", "million", rules)
    empty = course.hookyard("empty", "empty", rules)
    for server in (empty, full):
        course.send(server, 1)
    for _ in range(course.options.rounds):
        for server in (empty, full):
            quiet(server)
            report = course.send(server, course.options.seconds)
            server.rates.append(report["rate"])
            server.p99s.append(report["answer"]["p99"])
    print(f"\n{'':26}{'events/s':>12}{'p99 ms':>10}{'peak MiB':>10}")
    for server in (empty, full):
        print(f"{server.name:26}{server.rate:12.0f}{server.p99:10.2f}{resident(server, 'VmHWM'):10.1f}")
    print()
    course.judge("events taken with a million waiting, to none", full.rate / empty.rate, 0.8, True)
    course.judge("memory with a million waiting", resident(full, "VmRSS"), 100, False, " MiB")
    for server in (empty, full):
        course.servers.stop(server.process)
    check(course, full)


def day(course: Course) -> None:
    """A day of events in minutes, each forgotten an hour after it was done: the store comes to rest at some size."""
    body = course.folder / "small.json"
    push = {"ref": "refs/heads/main", "repository": {"full_name": "acme/site"}, "head_commit": {"message": "x" * 900}}
    body.write_text(json.dumps(push))
    server = course.hookyard(
        "a day", "day", push_rule(f"append: {course.folder}/day-seen"), f"replay_window: {HOUR:.0f}s", f"{{done: {HOUR:.0f}s}}"
    )
    sizes: list[tuple[float, float]] = []
    begin, over = time.monotonic(), threading.Event()

    def look() -> None:
        while not over.wait(1):
            sizes.append((time.monotonic() - begin, stored(server)))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        report = course.send(server, DAY, rate=DAY_EVENTS / DAY, body=body)
    finally:
        over.set()
        looking.join()
    print(f"\n        {report['answered']:,} events in {report['seconds']:.0f} s, answered with a p99 of {report['answer']['p99']:.1f} ms")
    for hour in (3, 6, 9, 12, 15, 18, 21, 24):
        known = [size for at, size in sizes if at <= hour * HOUR]
        print(f"        after {hour:2} hours {known[-1]:8.1f} MiB")
    half = max(size for at, size in sizes if at <= DAY / 2)
    whole = max(size for _, size in sizes)
    course.judge("the store's size in a day, to that in half of it", whole / half, 1.5, False)
    print(f"        peak of the daemon: {resident(server, 'VmHWM'):.1f} MiB")
    course.servers.stop(server.process)
    check(course, server)


def post(server: Server, path: str, payload: dict) -> None:
    """Sends one event, which is to be taken."""
    body = json.dumps(payload).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
    connection.request("POST", path, body=body, headers=headers)
    answer = connection.getresponse()
    said = answer.read().decode(errors="replace")
    connection.close()
    if answer.status != 200 or "accepted" not in said:
        sys.exit(f"{server.name}: {path} is answered {answer.status} {said}")


def multiply(path: Path, count: int) -> None:
    """Makes many of the one event in a store that nobody has open, with its delivery and its dedup key: rows like it, with
    other ids. To send them would take an hour."""
    store = sqlite3.connect(path)
    # A crash would lose a store that is thrown away in any case.
    store.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -600000; PRAGMA foreign_keys = OFF;")
    # Ids are version 7 UUIDs and grow with time: these are earlier than any that is to come. Every due time is far away.
    changed = {
        "events": {"seq": "seq + i", "id": "printf('00ffffff-ffff-7000-8000-%012x', i)"},
        "bodies": {"event": "event + i"},
        "deliveries": {"seq": "seq + i", "event": "event + i", "id": "printf('00ffffff-ffff-7000-9000-%012x', i)"},
        "dedup_keys": {"seq": "seq + i", "key": "randomblob(32)", "event": "printf('00ffffff-ffff-7000-8000-%012x', i)"},
    }
    for table, other in changed.items():
        columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
        values = ", ".join(other.get(column, column) for column in columns)
        store.execute(
            "WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ?) "
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM numbers, {table} AS one WHERE one.rowid = 1",
            (count,),
        )
        store.commit()
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()


def forget_pages(path: Path) -> None:
    """Takes the file out of the kernel's memory, as a boot would."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def check(course: Course, server: Server) -> None:
    """The store is sound, as `hookyard store check` reads it."""
    command = [course.options.hookyard, "store", "check", "--store", str(server.home / "hookyard.db")]
    said = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if said.returncode:
        sys.exit(f"{server.name}: {said.stdout}{said.stderr}")
