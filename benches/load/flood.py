"""Beside a flood: how soon a genuine sender is answered while a stranger sends 50,000 requests that are refused."""

import multiprocessing
import socket
import statistics
import time

from course import Course, push_rule
from machine import Server, quiet

REFUSED = 50_000
SECONDS = 10
# Requests that the stranger sends at once.
BATCH = 50
# Genuine events a second.
HONEST = 200


def flood(course: Course) -> None:
    """The 99th percentile of genuine senders with the flood, to that without it."""
    rule = push_rule(f"append: {course.folder}/flood/seen")
    server = course.hookyard("flood", "flood", rule)
    course.send(server, 1, rate=HONEST)
    found = {False: [], True: []}
    for _ in range(course.options.rounds):
        for flooded in (False, True):
            quiet(server)
            stranger = multiprocessing.Process(target=refused, args=(server,))
            if flooded:
                stranger.start()
            found[flooded].append(course.send(server, SECONDS, 8, HONEST)["answer"]["p99"])
            if flooded:
                stranger.join()
                if stranger.exitcode:
                    raise SystemExit("the flood broke off")
    alone, beside = (statistics.median(found[flooded]) for flooded in (False, True))
    print(f"\ngenuine events, {HONEST}/s, answered within (p99): {alone:.2f} ms alone, {beside:.2f} ms beside {REFUSED:,} refused requests")
    course.judge("their p99 beside a flood, to that without", beside / alone, 2, False)
    course.servers.stop(server.process)


def refused(server: Server) -> None:
    """Sends requests without a signature, evenly over the time, and reads their answers."""
    body = b"{}"
    request = f"POST /github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        answers = connection.makefile("rb")
        for batch in range(REFUSED // BATCH):
            time.sleep(max(0, begin + batch * SECONDS * BATCH / REFUSED - time.monotonic()))
            connection.sendall(request * BATCH)
            for _ in range(BATCH):
                expect_refusal(answers)


def expect_refusal(answers) -> None:
    """Reads one answer, which must be 403."""
    head = iter(answers.readline, b"\r\n")
    lines = [line.lower() for line in head if line]
    if not lines or b" 403 " not in lines[0]:
        raise SystemExit(f"not refused: {lines[:1]}")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
    answers.read(length)
