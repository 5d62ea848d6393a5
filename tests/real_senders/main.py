"""main.py HOOKYARD_BINARY BRIDGE_MJS: what real senders sign is taken, once, and nothing else is.

And what `hookyard send` signs as they do, their own libraries take. A scheme of the binary's for which there is no
sender here is a failure, and so is a sender whose rule the binary does not load: nothing is passed over in silence.
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import send_back
from daemon import Daemon, check, known_schemes
from node import Node
from scenario import ask_libraries, post
from sender import Sender
from senders import everyone
from tally import Tally


def loadable(binary: str, senders: list[Sender], folder: Path, tally: Tally) -> list[Sender]:
    """Those whose rules load. All should."""
    # `adyen` is what `adyen_payments` has under another name.
    # A client certificate is shown in the handshake of TLS, not in a request that could be changed here: .ci/edge has it.
    covered = {sender.scheme for sender in senders} | {"none", "client_cert", "adyen"}
    missing = sorted(known_schemes(binary, folder) - covered)
    tally.check("every scheme has a sender here", not missing, ", ".join(missing))
    if check(binary, senders, folder) is None:
        return senders
    loaded = []
    for sender in senders:
        found = check(binary, [sender], folder)
        tally.check(f"{sender.rule}: its rule loads", found is None, f"SKIPPED, for {found}")
        if found is None:
            loaded.append(sender)
    return loaded


def post_all(daemon: Daemon, senders: list[Sender], tally: Tally) -> int:
    """How many requests were made; every event that was taken is acted on once."""
    taken, count = [], 0
    for sender in senders:
        of_this = 0
        for request in sender.requests(sender):
            ask_libraries(sender, request, tally)
            taken += post(daemon, sender, request, tally)
            of_this += 1
        by = f"library: {', '.join(sender.packages)}" if sender.packages else "document"
        print(f"{sender.rule:17} {of_this:4} signed and judged by {by}", flush=True)
        count += of_this
    check_actions(daemon, taken, tally)
    return count


def check_actions(daemon: Daemon, taken: list[str], tally: Tally) -> None:
    """Every event that was taken has its line, once, and there is no other line."""
    seen: list[str] = []
    for _ in range(300):
        seen = daemon.seen.read_text().splitlines() if daemon.seen.exists() else []
        if len(seen) >= len(taken):
            break
        time.sleep(0.1)
    missing, extra = Counter(taken) - Counter(seen), Counter(seen) - Counter(taken)
    tally.check(
        f"{len(taken)} events taken, each acted on once", not missing and not extra, f"missing {missing}, extra {extra}"
    )


def check_log(daemon: Daemon, senders: list[Sender], tally: Tally) -> None:
    """No secret, the senders' or another, is in the log."""
    log = daemon.log.read_text(errors="replace")
    for sender in senders:
        keys = sender.keys
        for secret in {keys.sign, keys.other, *(keys.daemon if keys.secret else ())}:
            tally.check(f"{sender.rule}: a secret is not in the log", secret not in log)


def main() -> int:
    binary, bridge = sys.argv[1:]
    tally = Tally()
    node = Node(bridge)
    try:
        senders = everyone(node)
        with tempfile.TemporaryDirectory(prefix="hookyard-senders-") as folder:
            senders = loadable(binary, senders, Path(folder), tally)
            daemon = Daemon(binary, senders, Path(folder))
            try:
                daemon.wait_until_listening()
                requests = post_all(daemon, senders, tally)
            finally:
                code = daemon.stop()
            tally.equal("the daemon's exit code", code, 0)
            check_log(daemon, senders, tally)
            sent = send_back.try_all(binary, senders, Path(folder), tally)
            if tally.failed:
                print(
                    "the end of the daemon's log:",
                    *daemon.log.read_text(errors="replace").splitlines()[-30:],
                    sep="\n  ",
                )
    finally:
        node.stop()
    print(f"{requests} requests of {len(senders)} senders, and {sent} by `hookyard send`")
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
