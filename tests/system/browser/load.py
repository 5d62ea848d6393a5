"""Figures of the operator's page under load; they decide nothing. `just page-load --help` explains.

`watched`: events at an even rate, once alone and once with the page open in a browser.
`many`: the same with many open pages, each of which fetches its view again as the script does.
`million`: a store with a million events: the time of a first page, of filtered pages, and of the other views.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import statistics
import subprocess
import tempfile
import time
import urllib.parse
from pathlib import Path

from browser.conftest import ARGUMENTS, DESKTOP
from browser.daemon import SECRET, Daemon, github
from browser.relay import Relay
from paths import TARGET
from playwright.sync_api import expect, sync_playwright
from polling import wait_until

RULES = """\
server: {listen: "127.0.0.1:@PORT@", stop_grace: 1s}
store: {path: hookyard.db, max_size: 16GiB}
endpoints: {/github: {verify: {github: env:SECRET}}}
rules:
  - {name: site, endpoint: /github, match: {$.kind: {in: [site, push]}}, actions: [append: seen.jsonl]}
  - {name: docs, endpoint: /github, match: {$.kind: docs}, actions: [run: [/bin/echo, built]]}
  - name: refund
    endpoint: /github
    match: {$.kind: refund}
    retry: {attempts: 1}
    actions: [run: [/bin/false]]
  - name: later
    endpoint: /github
    match: {$.kind: later}
    retry: {attempts: 9, backoff: [12h]}
    actions: [run: [/bin/false]]
"""
# Of 100 events in a store with a million.
KINDS = {"site": 85, "docs": 12, "refund": 1, "later": 2}
QUERIES = [
    "outcome:accepted",
    "outcome:ignored",
    "rule:docs",
    "rule:refund",
    "state:dead",
    "state:waiting",
    "endpoint:/github",
    "endpoint:/nowhere",
    "client:127.0.0.1",
    "client:192.0.2.0/24",
    "since:1h",
    "since:2h state:dead",
    "$.kind:docs",
    "$.number:999999999",
    "rule:docs $.number:17",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phases", nargs="*", choices=["watched", "many", "million", []], default=[])
    parser.add_argument("--hookyard", default=TARGET / "release/hookyard")
    parser.add_argument("--sender", default=TARGET / "release/examples/bare")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--events", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        for phase in options.phases or ["watched", "many", "million"]:
            home = Path(folder) / phase
            home.mkdir()
            globals()[phase](options, home)


def watched(options, home):
    alone = under_load(options, home, "alone", lambda daemon: None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        seen = []

        def look(daemon):
            page = browser.new_page(viewport=DESKTOP)
            relay = Relay(daemon.socket).__enter__()
            page.goto(relay.url)
            expect(page.locator("#connection")).to_have_text("live")
            seen.append(page)

        with_page = under_load(options, home, "page open", look)
        page = seen[0]
        text = page.locator("#arrived").inner_text
        wait_until("the page has counted all", lambda: f"{with_page['answered']:,} arrived" in text(), 20)
        print(f"        the page says: {text()}; stored: {with_page['stored']:,}")
        browser.close()
    print(f"        intake with the page open, to that without: {with_page['rate'] / alone['rate']:.3f}")


def many(options, home):
    alone = under_load(options, home, "alone", lambda daemon: None)
    figures = {}
    crowd = under_load(options, home, f"{options.pages} pages", lambda daemon: Crowd(daemon, options, figures))
    print(f"        pages fetched: {figures}")
    print(f"        intake with {options.pages} pages open, to that without: {crowd['rate'] / alone['rate']:.3f}")


def under_load(options, home, name, begin):
    """Starts a daemon, lets somebody look at it, sends, and prints a line."""
    folder = home / name.replace(" ", "-")
    folder.mkdir()
    body = home / "body.json"
    body.write_text(json.dumps({"kind": "push", "ref": "refs/heads/main", "message": "x" * 900}))
    daemon = Daemon(options.hookyard, folder, RULES).start()
    try:
        looking = begin(daemon)
        command = [options.sender, "send", f"127.0.0.1:{daemon.port}", SECRET, body, "32"]
        command += [f"{options.seconds}", f"{options.rate}"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
        report = json.loads(done.stdout)
        if looking:
            looking.end()
        report["rate"] = report["answered"] / report["seconds"]
        store = sqlite3.connect(f"file:{folder}/hookyard.db?mode=ro", uri=True)
        report["stored"] = store.execute("SELECT count(*) FROM events").fetchone()[0]
        store.close()
        print(
            f"{name:16} {report['answered']:8,} answered, {report['stored']:8,} stored, {report['rate']:7.1f}/s, "
            f"p50 {report['answer']['p50']:6.2f} ms, p99 {report['answer']['p99']:7.2f} ms, "
            f"peak of the daemon {resident(daemon):5.1f} MiB",
            flush=True,
        )
        if name == "page open":
            time.sleep(2)
        return report
    finally:
        daemon.stop()


def resident(daemon):
    text = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")) / 1024


class Crowd:
    """Open pages without a browser: each has a stream, and fetches the view at most once a second."""

    def __init__(self, daemon, options, figures):
        import threading

        self.socket, self.pages, self.figures = str(daemon.socket), options.pages, figures
        self.times, self.streams, self.failed = [], 0, 0
        self.over = False
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()))
        self.thread.start()

    def end(self):
        self.over = True
        self.thread.join(60)
        times = sorted(self.times)
        self.figures |= {"fetched": len(times), "failed": self.failed, "streams": self.streams}
        if times:
            self.figures |= {
                "median ms": round(statistics.median(times)),
                "p99 ms": round(times[len(times) * 99 // 100]),
            }

    async def run(self):
        await asyncio.gather(*(self.page() for _ in range(self.pages)))

    async def page(self):
        await asyncio.gather(self.stream(), self.fetch())

    async def stream(self):
        while not self.over:
            try:
                reader, writer = await asyncio.open_unix_connection(self.socket)
                writer.write(b"GET /api/v1/arrivals/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
                head = await reader.readline()
                self.streams += b" 200 " in head
                self.failed += b" 200 " not in head
                while not self.over and await asyncio.wait_for(reader.read(65536), 20):
                    pass
                writer.close()
            except (OSError, TimeoutError):
                self.failed += 1
            await asyncio.sleep(1)

    async def fetch(self):
        while not self.over:
            begun = time.monotonic()
            try:
                reader, writer = await asyncio.open_unix_connection(self.socket)
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = await reader.read(-1)
                writer.close()
                if b" 200 " in answer[:20]:
                    self.times.append((time.monotonic() - begun) * 1000)
                else:
                    self.failed += 1
            except OSError:
                self.failed += 1
            await asyncio.sleep(max(0, 1 - (time.monotonic() - begun)))


def million(options, home):
    daemon = Daemon(options.hookyard, home, RULES).start()
    for number, kind in enumerate([*KINDS, "nothing"]):
        daemon.post("/github", *github({"kind": kind, "number": number, "message": "x" * 900}))
    wait_until("all kinds are there", lambda: len(daemon.arrivals()) == len(KINDS) + 1)
    wait_until("they are worked on", lambda: "ready" not in daemon.output("events", "list", "--state", "waiting"))
    time.sleep(1)
    daemon.stop()
    begun = time.monotonic()
    multiply(home / "hookyard.db", options.events)
    size = (home / "hookyard.db").stat().st_size / 2**20
    print(f"{options.events:,} events, {size:.0f} MiB, made in {time.monotonic() - begun:.0f} s")
    begun = time.monotonic()
    daemon.start()
    print(f"        started in {time.monotonic() - begun:.1f} s")
    try:
        views = ["/", "/rules", "/rules/site", "/queue", "/problems", "/system"]
        filtered = [f"/?{urllib.parse.urlencode({'q': query})}" for query in QUERIES]
        for path in views + filtered:
            times = []
            for _ in range(5):
                begun = time.monotonic()
                status, text = daemon.admin("GET", path)
                times.append((time.monotonic() - begun) * 1000)
            first, best = times[0], statistics.median(times)
            rows = text.count('<tr id="a-')
            looked = "looked back" in text
            print(
                f"{urllib.parse.unquote_plus(path):32} {status} first {first:7.1f} ms, median of 5 {best:7.1f} ms, "
                f"{rows} rows{', bounded' if looked else ''}",
                flush=True,
            )
        print(f"        peak of the daemon {resident(daemon):.1f} MiB")
    finally:
        daemon.stop()


def multiply(path, count):
    """Makes many of the events in a store that no daemon has open, at even intervals over the last day."""
    store = sqlite3.connect(path)
    # A crash would lose a store that is thrown away in any case.
    store.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -600000; PRAGMA foreign_keys = OFF;")
    kinds = dict(store.execute("SELECT rule, event FROM deliveries"))
    slots = [kinds[kind] for kind, many in KINDS.items() for _ in range(many)]
    store.execute("CREATE TEMP TABLE slots (slot INTEGER PRIMARY KEY, event INTEGER)")
    # Spread, so that a page has all kinds.
    store.executemany(
        "INSERT INTO slots VALUES (?, ?)", [(number * 37 % 100, event) for number, event in enumerate(slots)]
    )
    now, day = int(time.time() * 1000), 24 * 3600 * 1000
    at = f"({now} - {day} + i * {day} / {count})"
    id_of = f"printf('%08x-%04x-7000-8000-%012x', {at} / 65536, {at} % 65536, i)"
    # What waits has not ended.
    ended = f"CASE WHEN ended_at IS NULL THEN NULL ELSE {at} + 9 END"
    changes = {
        "events": ("seq", {"seq": "i", "id": id_of, "received_at": at, "ended_at": ended}),
        "bodies": ("event", {"event": "i"}),
        "deliveries": ("event", {"seq": "i", "event": "i", "id": id_of.replace("8000", "9000"), "ended_at": ended}),
        "attempts": ("delivery", {"seq": "NULL", "delivery": "i", "started_at": f"{at} + 5"}),
    }
    for table, (key, changed) in changes.items():
        columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
        values = ", ".join(changed.get(column, column) for column in columns)
        store.execute(f"CREATE TEMP TABLE one AS SELECT * FROM {table}")
        store.execute(f"DELETE FROM {table}")
        store.execute(
            "WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ?) "
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM numbers "
            f"JOIN slots ON slot = i % 100 JOIN one ON one.{key} = slots.event",
            (count,),
        )
        store.execute("DROP TABLE one")
        store.commit()
    store.execute("DELETE FROM dedup_keys")
    store.execute("DELETE FROM sightings")
    store.commit()
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()


if __name__ == "__main__":
    main()
