"""The trials of one request: the verdict of its sender's libraries, and the answers of the daemon."""

import json
from dataclasses import replace

from real_senders.daemon import Daemon
from real_senders.request import Request, Sent, changed, garbled
from real_senders.sender import Sender
from real_senders.tally import Tally


def status_of(answer: tuple[int, bytes]) -> tuple[int, object]:
    code, body = answer
    try:
        return code, json.loads(body).get("status")
    except (ValueError, AttributeError):
        return code, body


def ask_libraries(sender: Sender, request: Request, tally: Tally) -> None:
    """The sender's libraries accept the request in no changed form. If they did, the daemon would be tested wrongly."""
    for judge in sender.judges:

        def says(what: str, sent: Sent, wanted: bool, judge=judge) -> None:
            doubt = judge.doubt(sender.keys.library, sent)
            where = f"{sender.rule}: {request.name}: {judge.package}: {what}"
            tally.check(where, (doubt is None) == wanted, doubt or "taken for genuine")

        says("as sent", request.genuine, True)
        says("signed with another key", request.forged, False)
        if request.covers_body:
            says("with one byte changed", replace(request.genuine, body=changed(request.genuine.body)), False)
        if judge.asks_time and request.stale:
            says("long ago", request.stale[0], False)
        for what, sent in request.also_genuine:
            says(what, sent, True)


def post(daemon: Daemon, sender: Sender, request: Request, tally: Tally) -> list[str]:
    """Posts the request in all its forms. Returns a line for each event that the daemon accepted."""
    taken = []

    def expect(what: str, wanted: tuple[int, str], sent: Sent) -> None:
        tally.equal(f"{sender.rule}: {request.name}: {what}", status_of(daemon.post(sender, sent)), wanted)

    def expect_taken(what: str, sent: Sent) -> None:
        answer = daemon.post(sender, sent)
        accepted = status_of(answer) == (200, "accepted")
        tally.check(f"{sender.rule}: {request.name}: {what}", accepted, answer)
        if accepted:
            taken.append(f"{sender.rule} {json.loads(answer[1])['id']}")

    genuine, refused = request.genuine, sender.refused
    # Before the genuine request, so that the replay memory cannot answer any of these.
    expect("signed with another key", refused, request.forged)
    if request.proof:
        expect("without its signature", refused, genuine.with_header(request.proof, None))
        spoilt = garbled(genuine.headers[request.proof])
        expect("with one digit of the signature changed", refused, genuine.with_header(request.proof, spoilt))
    if request.covers_body:
        expect("with one byte changed", refused, replace(genuine, body=changed(genuine.body)))
        expect("with a byte more", refused, replace(genuine, body=genuine.body + b" "))
    for what, sent in request.spoilt:
        expect(what, refused, sent)
    for sent in request.stale:
        expect("stale", sender.stale, sent)

    expect_taken("as sent", genuine)
    if request.remembered:
        expect("sent again", (200, "duplicate"), genuine)
    for what, sent in request.same_event:
        expect(what, (200, "duplicate"), sent)
    for what, sent in request.also_genuine:
        expect_taken(what, sent)
    if request.covers_body:
        expect("with one byte changed, after it was taken", refused, replace(genuine, body=changed(genuine.body)))
    return taken
