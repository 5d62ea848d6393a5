"""At a sender's pace: how many events are taken durably over so many connections, and how soon they are acted on."""

import statistics

from course import Course, push_rule
from machine import quiet, resident

# How far from an answer to the start of its action, at the most, for 99 of 100.
SOON = 20


def rates(course: Course) -> None:
    """Different events, each written down before its answer, over ever more connections."""
    print(f"\n{'taken durably over':26}{'events/s':>12}{'p50 ms':>10}{'p99 ms':>10}")
    server = course.hookyard("rates", "rates", push_rule(f"append: {course.folder}/rates/seen"))
    course.send(server, 1)
    for connections in (1, 8, 64, 256):
        found = []
        for _ in range(course.options.rounds):
            quiet(server)
            found.append(course.send(server, course.options.seconds, connections))
        rate = statistics.median(report["rate"] for report in found)
        p50, p99 = (statistics.median(report["answer"][which] for report in found) for which in ("p50", "p99"))
        print(f"{connections:>4} connections{'':10}{rate:12.0f}{p50:10.2f}{p99:10.2f}", flush=True)
    print(f"        peak of the daemon: {resident(server, 'VmHWM'):.1f} MiB")
    course.servers.stop(server.process)


def latency(course: Course) -> None:
    """From the answer to the start of the action, as the file shows to which the action writes."""
    print(f"\n{'answer → action':26}{'events/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}{'answer p99':>12}")
    found = {}
    for kind, rate in (("append", 100), ("append", 1000), ("run", 100)):
        key = f"{kind}-{rate}"
        file = course.folder / key / "seen"
        number = '"{{ payload.n }}"'
        if kind == "append":
            rule = push_rule(f"{{append: {file}, line: {number}}}")
        else:
            rule = push_rule(f"{{run: [/bin/sh, -c, 'echo \"$N\" >> {file}'], stdin: none, env: {{N: {number}}}}}")
        server = course.hookyard(key, key, rule)
        course.send(server, 1, rate=rate)
        quiet(server)
        reports = [course.send(server, 2 * course.options.seconds, 64, rate, watched=file) for _ in range(course.options.rounds)]
        p50, p99, most = (statistics.median(report["action"][which] for report in reports) for which in ("p50", "p99", "max"))
        answer = statistics.median(report["answer"]["p99"] for report in reports)
        print(f"{kind:26}{rate:12.0f}{p50:10.2f}{p99:10.2f}{most:10.2f}{answer:12.2f}", flush=True)
        found[key] = p99
        course.servers.stop(server.process)
    print()
    course.judge("answer to action, p99, `append` at 1,000/s", found["append-1000"], SOON, False, " ms")
