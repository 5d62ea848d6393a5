"""main.py HOOKYARD_BINARY SIGN_MJS: what real senders sign is taken, once, and nothing else is."""

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import signers
from daemon import Daemon
from signers import SECRETS, Request


class Tally:
    """Counts, and says what failed."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, what: str, holds: bool, found: object = "") -> None:
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {what}: {found}", flush=True)


def status_of(answer: tuple[int, bytes]) -> tuple[int, object]:
    code, body = answer
    try:
        return code, json.loads(body).get("status")
    except (ValueError, AttributeError):
        return code, body


def changed(body: bytes) -> bytes:
    """The body with one bit of one byte in its middle changed, so that it is still as long."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def without_proof(headers: dict) -> dict:
    return {name: value for name, value in headers.items() if "signature" not in name.lower() and "token" not in name.lower() and "hmac" not in name.lower()}


def scenario(daemon: Daemon, request: Request, tally: Tally) -> str | None:
    """All that is tried with one request; the id under which the daemon took it."""

    def expect(what: str, wanted: tuple[int, str], **sent) -> None:
        found = status_of(daemon.post(request, **sent))
        tally.check(f"{request.rule}: {request.name}: {what}", found == wanted, f"{found}, not {wanted}")

    refused = (403, "refused")
    # Before the genuine one, so that none of these may be answered out of the replay memory.
    expect("signed with another secret", refused, headers=request.forged)
    expect("without its signature", refused, headers=without_proof(request.headers))
    if request.covers_body:
        expect("with one byte changed", refused, body=changed(request.body))
        expect("with a byte more", refused, body=request.body + b" ")
    for headers in request.stale:
        expect("stale", (400, "stale"), headers=headers)

    answer = daemon.post(request)
    tally.check(f"{request.rule}: {request.name}: as sent", status_of(answer) == (200, "accepted"), answer)
    # A token signs nothing by which an event could be recognised again.
    if request.covers_body:
        expect("sent again", (200, "duplicate"))
        for headers in request.same_event:
            expect("the same event, signed otherwise", (200, "duplicate"), headers=headers)
        expect("with one byte changed, after it was taken", refused, body=changed(request.body))
    try:
        return f"{request.rule} {json.loads(answer[1])['id']}"
    except (ValueError, KeyError, TypeError):
        return None


def check_actions(daemon: Daemon, taken: list[str], tally: Tally) -> None:
    """Every event that was taken has its line, once, and there is no other line."""
    seen: list[str] = []
    for _ in range(300):
        seen = daemon.seen.read_text().splitlines() if daemon.seen.exists() else []
        if len(seen) >= len(taken):
            break
        time.sleep(0.1)
    missing, extra = Counter(taken) - Counter(seen), Counter(seen) - Counter(taken)
    tally.check(f"{len(taken)} events taken, each acted on once", not missing and not extra, f"missing {missing}, extra {extra}")


def check_log(daemon: Daemon, tally: Tally) -> None:
    """No secret, the senders' or another, is in the log."""
    log = daemon.log.read_text(errors="replace")
    for rule, secrets in SECRETS.items():
        for which, secret in secrets.items():
            tally.check(f"{rule}: the {which} secret is not in the log", secret not in log)


def main() -> int:
    binary, script = sys.argv[1:]
    requests = signers.node(script) + signers.python()
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="hookyard-senders-") as folder:
        daemon = Daemon(binary, Path(folder))
        try:
            daemon.wait_until_listening()
            taken = [scenario(daemon, request, tally) for request in requests]
            check_actions(daemon, [line for line in taken if line], tally)
        finally:
            code = daemon.stop()
        tally.check("the daemon stops cleanly", code == 0, f"exit {code}")
        check_log(daemon, tally)
        if tally.failed:
            print("the end of the daemon's log:", *daemon.log.read_text(errors="replace").splitlines()[-30:], sep="\n  ")
    print(f"{len(requests)} requests of {len(SECRETS)} senders")
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
