"""How long the daemon takes to start on a store with a million events, in the shapes that cost the most."""

import sqlite3
import time
from pathlib import Path

from course import Course
from machine import quiet
from volume import MILLION, forget_pages, multiply, post

PROMISED = 2

# What each shape makes of the deliveries: whether they are done, and the group that they go in.
SHAPES = {
    "done": (True, None),
    "waiting": (False, None),
    "waiting, one group": (False, "'group:one'"),
    "waiting, two to a group": (False, "'group:' || (seq / 2)"),
}


def startup(course: Course) -> None:
    """Warm, and with the file not in memory, as after a boot; until it listens, which is when it takes events."""
    rules = "  - {name: later, endpoint: /github, actions: [forward: 'http://127.0.0.1:1/'], retry: {attempts: 8, backoff: [12h]}}\n"
    print()
    for number, (shape, (done, group)) in enumerate(SHAPES.items()):
        key = f"startup-{number}"
        server = course.hookyard(shape, key, rules, keep="{done: 3650d}")
        post(server, "/github", {"n": 0})
        quiet(server)
        course.servers.stop(server.process)
        store = server.home / "hookyard.db"
        multiply(store, MILLION)
        become(store, done, group)
        for how in ("warm", "cold"):
            if how == "cold":
                forget_pages(store)
            begin = time.monotonic()
            server = course.hookyard(shape, key, rules, keep="{done: 3650d}")
            course.judge(f"a start with {MILLION:,} events {shape}, {how}", time.monotonic() - begin, PROMISED, False, " s")
            course.servers.stop(server.process)
        store.unlink()


def become(path: Path, done: bool, group: str | None) -> None:
    """Gives the deliveries their shape; what the daemon makes of them is its own."""
    store = sqlite3.connect(path)
    store.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -600000;")
    if done:
        store.execute("UPDATE deliveries SET state = 'done', ended_at = due")
        store.execute("UPDATE events SET pending = 0, ended_at = received_at")
        store.execute(
            "INSERT INTO attempts (delivery, action, number, started_at, duration, outcome, detail, stdout, stderr) "
            "SELECT seq, 0, 1, due, 3, 'done', 'HTTP 200', x'', x'' FROM deliveries"
        )
    if group:
        # The first of each group is under way, the others are queued.
        store.execute(f"UPDATE deliveries SET group_key = {group}, group_limit = 1, state = 'queued'")
        store.execute("UPDATE deliveries SET state = 'ready' WHERE seq IN (SELECT min(seq) FROM deliveries GROUP BY group_key)")
    store.commit()
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
