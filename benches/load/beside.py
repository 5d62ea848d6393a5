"""Beside the bare server and the bare loop: requests, memory, starts of commands."""

import shutil
import statistics
import subprocess
import sys
import time

from course import Course, ask, elsewhere, push_rule
from figures import HEADING, Figures, drained
from machine import Server, drain, on_processor, quiet, resident

WAITING = 100_000
# Numbers of connections. The promises are about the first two.
LOADS = (32, 128, 512)
# Length of a round at the most: there are many.
HTTP_SECONDS = 3
TAKEN = "taken durably, 10 rules"
# For so long a daemon at rest is looked at.
REST = 20
# wrk sends one event over and over: each is to be taken as if it were new.
AGAIN = "on_duplicate: run"


def http(course: Course) -> None:
    """An ignored event with 10 and with 10,000 rules, and one taken durably, beside the bare server."""
    seconds = min(course.options.seconds, HTTP_SECONDS)
    bare = course.bare()
    few = course.hookyard("ignored, 10 rules", "few", elsewhere(10), AGAIN)
    many = course.hookyard("ignored, 10,000 rules", "many", elsewhere(10_000), AGAIN)
    for server in (bare, few, many):
        if server is not bare:
            expect(server, "ignored")
        course.wrk(server, 1)
        quiet(server)
    figures = {(name, connections): Figures(name, connections) for connections in LOADS for name in (bare.name, TAKEN)}
    ignored = {server.name: Figures(server.name, LOADS[0]) for server in (few, many)}
    peak = 0.0
    for number in range(course.options.rounds):
        # A new store for each round: it does not fill up, and every round writes into the same.
        home = course.folder / f"taken{number}"
        taken = course.hookyard(TAKEN, home.name, elsewhere(9) + push_rule(f"append: {home}/seen"), AGAIN)
        expect(taken, "accepted")
        course.wrk(taken, 1)
        drained(taken)
        quiet(taken)
        for server in (few, many):
            ignored[server.name].measure(course, server, seconds)
        for connections in LOADS:
            for server in (bare, taken):
                figures[server.name, connections].measure(course, server, seconds)
        peak = max(peak, resident(taken, "VmHWM"))
        course.servers.stop(taken.process)
        shutil.rmtree(home)
    print(HEADING)
    for row in (*ignored.values(), *figures.values()):
        print(row.row())
    peaks = [(server.name, resident(server, "VmHWM")) for server in (bare, few, many)]
    print("        peaks in MiB: " + ", ".join(f"{name} {size:.1f}" for name, size in (*peaks, (TAKEN, peak))) + "\n")
    least = figures[bare.name, LOADS[0]]
    course.judge("an event that no rule wants, to the bare server", ignored[few.name].rate / least.rate, 1.0, True)
    course.judge("the cost of 10,000 rules, to that of 10", ignored[few.name].rate / ignored[many.name].rate, 1.2, False)
    for connections in LOADS[:2]:
        beside, found = figures[bare.name, connections], figures[TAKEN, connections]
        at = f"at {connections} connections"
        course.judge(f"an event taken durably, to the bare server, {at}", found.rate / beside.rate, 0.4, True)
        course.judge(f"its processor time, to the bare server's, {at}", found.cost / beside.cost, 2.7, False)
    course.judge(f"deliveries left behind {at}", found.lag, 1000, False)
    for server in (bare, few, many):
        course.servers.stop(server.process)


def expect(server: Server, outcome: str) -> None:
    """Ends the run unless one push has this outcome."""
    found = ask(server)
    if outcome not in found:
        sys.exit(f"{server.name}: one push is answered {found}, not `{outcome}`")


def memory(course: Course) -> None:
    """At rest, and with many events waiting; the same once more after a restart."""
    # Nobody listens on port 1: every delivery fails at once and waits an hour.
    waits = push_rule("forward: http://127.0.0.1:1/", "retry: {attempts: 8, backoff: [1h]}")
    server = course.hookyard("waiting", "waiting", waits, AGAIN)
    time.sleep(3)
    print()
    course.judge("a daemon at rest", resident(server, "VmRSS"), 20, False, " MiB")
    used, begin = on_processor(server), time.monotonic_ns()
    time.sleep(REST)
    share = 100 * (on_processor(server) - used) / (time.monotonic_ns() - begin)
    course.judge("its processor time", share, 0.2, False, " %")
    sent = 0
    while sent < WAITING:
        rate, _ = course.wrk(server, 5)
        sent += round(rate * 5)
    quiet(server, limit=300)
    course.judge(f"with {sent:,} events waiting", resident(server, "VmRSS"), 100, False, " MiB")
    print(f"        its peak, while they came in: {resident(server, 'VmHWM'):.1f} MiB")
    course.servers.stop(server.process)
    server = course.hookyard("waiting", "waiting", waits, AGAIN)
    quiet(server)
    course.judge("the same, started anew", resident(server, "VmHWM"), 100, False, " MiB")
    course.servers.stop(server.process)


def spawn(course: Course) -> None:
    """How fast a backlog of `run: [/bin/true]` drains, beside a loop that starts the same program.

    The backlog is made by a forward that fails and is tried again later; then the rule is edited, so that the
    deliveries that wait run the command instead, all at once and with nobody sending meanwhile.
    """
    seconds, later = 6, 20
    ratios = []
    for turn in range(2):
        forward = push_rule("forward: http://127.0.0.1:1/", f"retry: {{attempts: 3, backoff: [{later}s]}}")
        server = course.hookyard("spawn", f"spawn{turn}", forward, AGAIN)
        course.wrk(server, 5)
        rules = course.folder / f"spawn{turn}" / "rules.yaml"
        rules.write_text(rules.read_text().replace("forward: http://127.0.0.1:1/", "run: [/bin/true]"))
        loop = float(subprocess.run([course.options.bare, "spawn", "5"], capture_output=True, check=True).stdout)
        drained = drain(later + 15, seconds)
        ratios.append(drained / loop)
        print(f"\nstarts of /bin/true a second: {drained:.0f} by the daemon, {loop:.0f} by the bare loop", flush=True)
        course.servers.stop(server.process)
    course.judge("`run: [/bin/true]`, to the bare loop", statistics.median(ratios), 0.7, True)
