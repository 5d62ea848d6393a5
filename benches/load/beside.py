"""Beside the bare server and the bare loop: requests, memory, starts of commands."""

import statistics
import subprocess
import sys
import time

from course import Course, ask, elsewhere, push_rule
from machine import drain, quiet, resident

WAITING = 100_000
# wrk sends one event over and over: each is to be taken as if it were new.
AGAIN = "on_duplicate: run"


def http(course: Course) -> None:
    """An ignored event with 10 and with 10,000 rules, and one taken durably, beside the bare server."""
    bare = course.bare()
    few = course.hookyard("ignored, 10 rules", "few", elsewhere(10), AGAIN)
    many = course.hookyard("ignored, 10,000 rules", "many", elsewhere(10_000), AGAIN)
    taken = course.hookyard("taken durably, 10 rules", "taken", elsewhere(9) + push_rule(f"append: {course.folder}/taken/seen"), AGAIN)
    for server, status in ((few, "ignored"), (many, "ignored"), (taken, "accepted")):
        found = ask(server)
        if status not in found:
            sys.exit(f"{server.name}: one push is answered {found}, not `{status}`")
    everybody = [bare, few, many, taken]
    for server in everybody:
        course.wrk(server, 1)
        quiet(server)
    for _ in range(course.options.rounds):
        for server in everybody:
            rate, p99 = course.wrk(server, course.options.seconds)
            server.rates.append(rate)
            server.p99s.append(p99)
            # What the last one still has to do would otherwise be paid by the next.
            quiet(server)
    print(f"\n{'':26}{'requests/s':>12}{'p99 ms':>10}{'peak MiB':>10}")
    for server in everybody:
        print(f"{server.name:26}{server.rate:12.0f}{server.p99:10.2f}{resident(server, 'VmHWM'):10.1f}")
    print()
    course.judge("an event that no rule wants, to the bare server", few.rate / bare.rate, 0.8, True)
    course.judge("an event taken durably, to the bare server", taken.rate / bare.rate, 0.4, True)
    course.judge("the cost of 10,000 rules, to that of 10", few.rate / many.rate, 1.5, False)
    for server in everybody:
        course.servers.stop(server.process)


def memory(course: Course) -> None:
    """At rest, and with many events waiting; the same once more after a restart."""
    # Nobody listens on port 1: every delivery fails at once and waits an hour.
    waits = push_rule("forward: http://127.0.0.1:1/", "retry: {attempts: 8, backoff: [1h]}")
    server = course.hookyard("waiting", "waiting", waits, AGAIN)
    time.sleep(3)
    print()
    course.judge("a daemon at rest", resident(server, "VmRSS"), 20, False, " MiB")
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
