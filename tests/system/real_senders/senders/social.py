"""Where people meet: Twitch, Zoom, Meta, X."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from real_senders.node import Node
from real_senders.request import JSON, TRAPS, Request, Sent, base64, mac, made
from real_senders.sender import Back, Judge, Sender, secrets
from real_senders.senders.by_body import by_body, with_traps


def twitch() -> Sender:
    """Id, time and body; the time in nanoseconds."""
    family = "Twitch-Eventsub-Message"
    header = f"{family}-Signature"
    body = with_traps({"subscription": {"type": "channel.follow"}, "event": {"user_name": "é"}})

    def seal(key: str, at: float) -> Sent:
        event_id = "befa7b53-d79d-478f-86b9-120f112b044e"
        stamp = datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
        headers = {"Content-Type": JSON, "Twitch-Eventsub-Subscription-Type": "channel.follow"}
        headers |= {f"{family}-Id": event_id, f"{family}-Timestamp": stamp, f"{family}-Type": "notification"}
        return Sent(body, headers | {header: "sha256=" + mac(key.encode(), (event_id + stamp).encode() + body).hex()})

    def requests(sender: Sender) -> Iterator[Request]:
        request = made("a follower", seal, sender.keys.sign, sender.keys.other, proof=header, window=600, has_id=True)
        genuine = request.genuine
        stamp = genuine.header(f"{family}-Timestamp")
        request.spoilt += [
            ("with another id", genuine.with_header(f"{family}-Id", "befa7b53-d79d-478f-86b9-120f112b044f")),
            ("with another time", genuine.with_header(f"{family}-Timestamp", stamp.replace("456789Z", "456788Z"))),
            (
                "with the same time in other words",
                genuine.with_header(f"{family}-Timestamp", stamp.replace("Z", "+00:00")),
            ),
        ]
        yield request

    return Sender("twitch", secrets("twitch"), requests, event="channel.follow")


def zoom(node: Node) -> Sender:
    """The library signs JSON that it has serialised again, so the body is serialised in that way."""
    header = "x-zm-signature"
    payload = {"event": "meeting.started", "event_ts": 1795537433123, "payload": {"object": {"topic": TRAPS}}}
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()

    def seal(key: str, at: float) -> Sent:
        stamp = str(int(at))
        signature = "v0=" + mac(key.encode(), f"v0:{stamp}:".encode() + body).hex()
        return Sent(body, {"Content-Type": JSON, "x-zm-request-timestamp": stamp, header: signature})

    def requests(sender: Sender) -> Iterator[Request]:
        yield made("a meeting", seal, sender.keys.sign, sender.keys.other, proof=header, window=300)

    def verify(key: str, sent: Sent) -> object:
        return node("zoom.verify", secret=key, body=sent.body, headers=sent.headers)

    return Sender(
        "zoom",
        secrets("zoom"),
        requests,
        event="meeting.started",
        judges=[Judge("@zoom/rivet", verify)],
        back=[Back(body)],
    )


def senders(node: Node) -> list[Sender]:
    # Meta escapes what is not ASCII, and signs it so.
    escaped = json.dumps({"object": "page", "entry": [{"messaging": [{"text": "caf\u00e9 $& {body}"}]}]}).encode()
    return [
        twitch(),
        zoom(node),
        by_body("meta", "X-Hub-Signature-256", {"a message": escaped}, prefix="sha256=", event="page"),
        by_body(
            "x",
            "x-twitter-webhooks-signature",
            {"a post": with_traps({"for_user_id": "1", "tweet_create_events": [{"text": "é"}]})},
            prefix="sha256=",
            encode=base64,
        ),
    ]
