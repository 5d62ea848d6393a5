"""No 2xx leaves before the sync that covers it, as the kernel sees it (needs strace, and root for a daemon that is not
dumpable)."""

import http.client
import itertools
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from polling import wait_until
from programs import needs
from sync_order import CALLS, order_of

RULES = """\
server: {listen: '127.0.0.1:0'}
rules:
  - {name: open, endpoint: /open, verify: none, actions: [append: seen.jsonl]}
"""
SENDERS = 8
SECONDS = 2

EVENT = "01936d3f-5a7b-7c21-9d4e-0123456789ab"
WRITE = f'7 pwrite64(14</s/h.db-wal>, "..{EVENT}..", 8192, 32) = 8192'
SYNC = "7 fdatasync(14</s/h.db-wal>) = 0"
BEGIN, END = "7 fdatasync(14</s/h.db-wal> <unfinished ...>", "7 <... fdatasync resumed>) = 0"
BODY = f'{{"status":"accepted","id":"{EVENT}"}}'
ANSWER = f'9 writev(20<socket:[5]>, [{{iov_base="HTTP/1.1 200 OK..{BODY}"}}], 2) = 99'


@pytest.mark.parametrize(
    ("lines", "early"),
    [
        pytest.param([WRITE, SYNC, ANSWER], 0, id="after the sync"),
        pytest.param([WRITE, ANSWER, SYNC], 1, id="before the sync"),
        pytest.param([SYNC, WRITE, ANSWER], 1, id="after an earlier sync"),
        pytest.param([SYNC, ANSWER], 1, id="never written"),
        pytest.param([WRITE, BEGIN, ANSWER, END], 1, id="during the sync"),
        pytest.param(
            [BEGIN, WRITE.replace("7 ", "8 ", 1), END, ANSWER],
            1,
            id="written during the sync",
        ),
        pytest.param([WRITE, SYNC.replace("= 0", "= -1 EIO (Input/output error)"), ANSWER], 1, id="failed sync"),
        pytest.param([WRITE, SYNC.replace("-wal", ""), ANSWER], 1, id="sync of another file"),
    ],
)
def test_the_check_finds_an_early_answer(lines, early):
    order = order_of(lines)
    assert (order.answered, len(order.early)) == (1, early)


@pytest.fixture
def traced(binary, tmp_path):
    """The address of a daemon that runs under strace, and the trace."""
    needs("strace")
    if os.geteuid() != 0:
        pytest.skip("tracing a daemon that is not dumpable needs root")
    (tmp_path / "rules.yaml").write_text(RULES)
    trace, log = tmp_path / "trace", tmp_path / "log"
    tracer = ["strace", "-f", "-y", "-s", "16384", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", trace]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*tracer, binary, "serve", "rules.yaml"],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        found = wait_until("the daemon listens", lambda: re.search(r"http://([0-9.:]+)", log.read_text()), 30)
        yield found[1], trace
    finally:
        # strace ends with the daemon, and hands no signal on to it.
        for child in children(process.pid):
            os.kill(child, signal.SIGTERM)
        process.wait(60)


def children(process):
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in text.split()]


def send(address, numbers, until):
    """Sends events over one connection. Each is answered before the next."""
    connection = http.client.HTTPConnection(address, timeout=30)
    while time.monotonic() < until:
        connection.request("POST", "/open", f'{{"n": {next(numbers)}}}', {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert (answer.status, b"accepted" in answer.read()) == (200, True)
    connection.close()


def test_no_event_is_answered_before_its_sync(traced, measured):
    address, trace = traced
    numbers, until = itertools.count(1), time.monotonic() + SECONDS
    senders = [threading.Thread(target=send, args=(address, numbers, until)) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    sent = next(numbers) - 1
    with trace.open(errors="replace") as lines:
        order = order_of(lines)
    assert order.early == []
    assert sent > SENDERS
    assert order.answered == sent
    measured(f"{sent} events over {SENDERS} connections, {len(order.syncs)} syncs")
