"""Senders that sign the body and nothing else: the header, and how the signature is written in it."""

import json
from collections.abc import Callable, Iterator

from real_senders.request import JSON, TRAPS, Request, Sent, mac, made
from real_senders.sender import Keys, Sender, secrets


def text(payload: object) -> bytes:
    """JSON as a sender might write it: letters as they are, and a line at its end."""
    return json.dumps(payload, ensure_ascii=False).encode() + b"\r\n"


def with_traps(payload: dict) -> bytes:
    return text(payload | {"note": TRAPS})


def by_body(
    rule: str,
    header: str,
    bodies: dict[str, bytes],
    *,
    prefix: str = "",
    encode: Callable[[bytes], str] = bytes.hex,
    algorithm: str = "sha256",
    key: Callable[[str], bytes] = str.encode,
    keys: Keys | None = None,
    headers: dict[str, str] | None = None,
    **more,
) -> Sender:
    """A sender of these bodies, each with the same further `headers`; signed by hand."""

    def requests(sender: Sender) -> Iterator[Request]:
        for name, body in bodies.items():

            def seal(secret: str, _: float, body=body) -> Sent:
                signature = prefix + encode(mac(key(secret), body, algorithm))
                return Sent(body, {"Content-Type": JSON, **(headers or {}), header: signature})

            yield made(name, seal, sender.keys.sign, sender.keys.other, proof=header)

    return Sender(rule, keys or secrets(rule), requests, **more)
