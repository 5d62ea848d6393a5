"""Requests signed by the senders' own libraries: accepted once, and in no changed form.

The other way round, the libraries accept what `hookyard send` signs. A scheme of the daemon's without a sender here is
a failure, and so is a sender whose rule does not load.
"""

import time
from collections import Counter

import pytest
from paths import WORK

if not (WORK / "senders.installed").exists():
    pytest.skip("the senders' libraries are not installed: `just senders` installs them", allow_module_level=True)

from real_senders import send_back
from real_senders.daemon import Daemon, check, known_schemes
from real_senders.node import Node
from real_senders.scenario import ask_libraries, post
from real_senders.senders import everyone
from real_senders.tally import Tally

NODE = Node(WORK / "node" / "bridge.mjs")
SENDERS = everyone(NODE)
BACK = [
    pytest.param(sender, number, back, id=f"{sender.rule}-{number}")
    for sender in SENDERS
    for number, back in enumerate(sender.back)
]


@pytest.fixture(scope="module", autouse=True)
def node():
    yield
    NODE.stop()


@pytest.fixture(scope="module")
def rejected(binary, tmp_path_factory):
    """The senders whose rule does not load, each with the reason."""
    folder = tmp_path_factory.mktemp("check")
    if check(binary, SENDERS, folder) is None:
        return {}
    reasons = {sender.rule: check(binary, [sender], folder) for sender in SENDERS}
    return {rule: reason for rule, reason in reasons.items() if reason is not None}


@pytest.fixture(scope="module")
def daemon(binary, rejected, tmp_path_factory):
    """A daemon with a rule for every sender. At the end, each event was acted on once and no secret is in the log."""
    senders = [sender for sender in SENDERS if sender.rule not in rejected]
    daemon = Daemon(binary, senders, tmp_path_factory.mktemp("senders"))
    daemon.accepted = []
    try:
        daemon.wait_until_listening()
        yield daemon
    finally:
        code = daemon.stop()
    assert code == 0, f"the daemon's exit code is {code}"
    assert Counter(daemon.lines()) == Counter(daemon.accepted), "an event was acted on twice, or was never accepted"
    log = daemon.log.read_text(errors="replace")
    for sender in senders:
        keys = sender.keys
        for secret in {keys.sign, keys.other, *(keys.daemon if keys.secret else ())}:
            assert secret not in log, f"{sender.rule}: a secret is in the log"


@pytest.fixture(scope="module")
def sink():
    sink = send_back.Sink()
    yield sink
    sink.stop()


def test_every_scheme_has_a_sender(binary, tmp_path, measured):
    # A client certificate is shown in the TLS handshake, not in a request that could be changed here. The tests of the
    # edge have one. `adyen` is another name of `adyen_payments`.
    covered = {sender.scheme for sender in SENDERS} | {"none", "client_cert", "adyen"}
    known = known_schemes(binary, tmp_path)
    assert known - covered == set()
    measured(f"{len(known)} schemes, {len(SENDERS)} senders")


@pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.rule)
def test_what_a_sender_signs_is_accepted_once_and_nothing_else_is(sender, daemon, rejected, measured):
    assert sender.rule not in rejected, f"its rule does not load: {rejected[sender.rule]}"
    tally, accepted, requests = Tally(), [], 0
    for request in sender.requests(sender):
        ask_libraries(sender, request, tally)
        accepted += post(daemon, sender, request, tally)
        requests += 1
    daemon.accepted += accepted
    acted_on = wait_for_lines(daemon, sender.rule, len(accepted))
    missing, extra = Counter(accepted) - Counter(acted_on), Counter(acted_on) - Counter(accepted)
    tally.check("each event is acted on once", not missing and not extra, f"missing {missing}, extra {extra}")
    by = f"library: {', '.join(sender.packages)}" if sender.packages else "document"
    measured(f"{requests} requests, {tally.passed} checks, signed and judged by {by}")
    tally.assert_all_held()


def wait_for_lines(daemon, rule, count):
    """The lines that the rule has written, once there are so many, or after 30 s."""
    for _ in range(300):
        lines = [line for line in daemon.lines() if line.split()[0] == rule]
        if len(lines) >= count:
            break
        time.sleep(0.1)
    return lines


@pytest.mark.parametrize(("sender", "number", "back"), BACK)
def test_what_hookyard_send_signs_is_genuine_to_the_senders_library(
    sender, number, back, binary, sink, tmp_path, measured
):
    tally = Tally()
    send_back.try_one(binary, sink, sender, back, number, tmp_path, tally)
    measured(f"{tally.passed} checks by library: {', '.join(sender.packages)}")
    tally.assert_all_held()
