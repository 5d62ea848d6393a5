"""python3 benches/load [PHASE…]: the release daemon under load, in one run, on this machine's loopback.

Beside a bare server and a bare loop: `http`, `memory`, `spawn`. At a sender's pace: `rates`,
`latency`, and `flood` beside refused requests. Much of it:
`startup`, `million`, `day`, which take minutes. On PostgreSQL beside SQLite: `postgres`. All of them unless some are named. Builds what it starts, drives it with `wrk`
(Debian's package), which sends one event over and over, or with `bare send`, whose events are all different; prints what
it measured and how that stands to what is promised, and stops everything that it started. Exits 1 if a promise is not
kept.

Ratios are to be read, not rates: machines drift, so the servers take turns, several rounds of each, and the medians
are compared. The database lies under the target folder, on a real disk: an fsync on tmpfs would be a lie. `--folder` puts
it elsewhere, such as on a filesystem with a journal, which makes a sync dearer.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from beside import http, memory, spawn
from course import ROOT, Course
from flood import flood
from pace import latency, rates
from shared import postgres
from startup import startup
from volume import day, million

PHASES = {
    "http": http,
    "memory": memory,
    "spawn": spawn,
    "rates": rates,
    "latency": latency,
    "flood": flood,
    "postgres": postgres,
    "startup": startup,
    "million": million,
    "day": day,
}
WITH_WRK = {"http", "memory", "spawn"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phases", nargs="*", help="some of them (default: all)")
    parser.add_argument("--hookyard", help="a binary to measure; by default the release build of this checkout")
    parser.add_argument("--bare", help="the bare server; likewise")
    parser.add_argument("--folder", type=Path, help="where databases lie (target)")
    parser.add_argument("--seconds", type=float, default=5, help="length of a round (5)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of every server (3)")
    options = parser.parse_args()
    phases = options.phases or list(PHASES)
    if unknown := set(phases) - set(PHASES):
        parser.error(f"unknown phase: {', '.join(sorted(unknown))}")
    if set(phases) & WITH_WRK and shutil.which("wrk") is None:
        parser.error("wrk is missing: apt-get install wrk")

    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
    if not (options.hookyard and options.bare):
        build = ["cargo", "build", "--locked", "--release", "--features", "jemalloc", "--bin", "hookyard", "--example", "bare"]
        subprocess.run(build, cwd=ROOT, check=True)
    options.hookyard = str(Path(options.hookyard or target / "release/hookyard").resolve())
    options.bare = str(Path(options.bare or target / "release/examples/bare").resolve())

    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="load-", dir=options.folder or target) as folder:
        course = Course(options, Path(folder))
        try:
            for phase in phases:
                PHASES[phase](course)
        finally:
            course.servers.stop_all()
    print(f"\n{course.missed} promises missed" if course.missed else "\nall promises kept")
    return 1 if course.missed else 0


if __name__ == "__main__":
    sys.exit(main())
