"""Load on the packaged service: signed events, each on a connection of its own.

Senders run in the network of the container, as a program of their own: `load.py SENDERS`.
"""

import hashlib
import hmac
import http.client
import itertools
import json
import subprocess
import sys
import threading
import time

from polling import LIMIT, wait_until
from service import SECRET, STATE

SENDERS = 16


def send_until_stdin_ends(senders):
    """Sends numbered events until standard input ends, then prints the figures as JSON."""
    numbers, lock, over = itertools.count(1), threading.Lock(), threading.Event()
    figures = {"sent": 0, "count": [], "slow": [], "answers": {}, "refused": 0, "broken": [], "longest": 0.0}

    def send():
        while not over.is_set():
            number = next(numbers)
            event = "slow" if number % 40 == 0 else "count"
            begun, outcome, failure = time.monotonic(), None, None
            try:
                outcome = post(event, number)
            except (OSError, http.client.HTTPException) as error:
                failure = error
            took = time.monotonic() - begun
            with lock:
                figures["sent"] += 1
                figures["longest"] = max(figures["longest"], took)
                if isinstance(failure, ConnectionRefusedError):
                    figures["refused"] += 1
                elif failure is not None:
                    figures["broken"].append(f"{number}: {failure!r}")
                else:
                    figures["answers"][outcome] = figures["answers"].get(outcome, 0) + 1
                    if outcome == "200 accepted":
                        figures[event].append(number)
            time.sleep(0.02)

    threads = [threading.Thread(target=send) for _ in range(senders)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    print(json.dumps(figures))


def post(event, number):
    """Status and answer, as one text."""
    body = json.dumps({"n": number})
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest(),
        "Connection": "close",
    }
    connection = http.client.HTTPConnection("127.0.0.1", 9000, timeout=LIMIT)
    try:
        connection.request("POST", "/github", body, headers)
        answer = connection.getresponse()
        return f"{answer.status} {json.loads(answer.read())['status']}"
    finally:
        connection.close()


def under_load(service, action):
    """Runs an action while events arrive; the figures."""
    begun = time.monotonic()
    sending = subprocess.Popen(
        service.container.in_network(sys.executable, __file__, SENDERS),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        time.sleep(1)
        action()
        time.sleep(1)
        printed, _ = sending.communicate(timeout=LIMIT * 2)
    finally:
        if sending.poll() is None:
            sending.kill()
            sending.wait()
    figures = json.loads(printed)
    figures["took"] = time.monotonic() - begun
    return figures


def assert_nothing_was_lost(service, figures):
    """Every request was answered 200, and every event was acted on once. The figures, as a line."""
    assert figures["refused"] == 0, f"{figures['refused']} connections refused"
    broken = figures["broken"]
    assert not broken, f"{len(broken)} connections broken: {broken[:10]}"
    # Also no 503: a daemon answers what it has accepted before it ends; the rest waits for the next one.
    assert set(figures["answers"]) <= {"200 accepted"}, figures["answers"]
    assert_acted_on_once(service, "counted", figures["count"])
    assert_acted_on_once(service, "slow", figures["slow"])
    answers = ", ".join(f"{many} × {answer}" for answer, many in sorted(figures["answers"].items()))
    return (
        f"{figures['sent']} requests in {figures['took']:.1f} s: {answers}; 0 refused, 0 broken, 0 lost, "
        f"0 done twice; longest wait {figures['longest']:.2f} s"
    )


def assert_acted_on_once(service, file, accepted):
    assert accepted, f"{file}: no event was accepted"

    def lines():
        return [int(line) for line in service.text(f"{STATE}/{file}").split()]

    try:
        wait_until("every event is acted on", lambda: sorted(lines()) == sorted(accepted))
    except AssertionError:
        done = lines()
        lost, extra = set(accepted) - set(done), set(done) - set(accepted)
        twice = len(done) - len(set(done))
        raise AssertionError(f"{file}: {len(lost)} lost, {twice} twice, {len(extra)} never accepted") from None


if __name__ == "__main__":
    send_until_stdin_ends(int(sys.argv[1]))
