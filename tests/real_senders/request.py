"""Requests: what goes over the wire, and what a sender's requests have in common."""

import hmac
import re
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace

PUBLIC = "https://hooks.example.com"
"""The `server.public_url` of the daemon: what senders that sign the URL believe to be calling."""

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

TRAPS = "café § $& $1 \\1 %s {timestamp} {body} {{x}} \u2028"
"""Text over which programs have stumbled that put contents together by replacing something in a text."""


@dataclass(frozen=True)
class Sent:
    """The very bytes."""

    body: bytes
    headers: dict[str, str]
    target: str = ""
    """The path and the query; without one, the path of the sender's endpoint."""
    server: str = PUBLIC
    """Where the sender believes it to be."""

    @property
    def url(self) -> str:
        return self.server + self.target

    def header(self, name: str) -> str:
        """Its value, whatever the case of its name."""
        return next(value for key, value in self.headers.items() if key.lower() == name.lower())

    def with_header(self, name: str, value: str | None) -> "Sent":
        headers = {key: text for key, text in self.headers.items() if key != name}
        return replace(self, headers=headers if value is None else headers | {name: value})


Seal = Callable[[str, float], Sent]
"""The sender's signature with this key, at this time."""


@dataclass
class Request:
    """One event as its sender sends it, and what is no longer genuine about it."""

    name: str
    genuine: Sent
    forged: Sent
    """Signed with the key of another sender."""
    proof: str | None
    """The header in which the signature or the token stands; `None`: it stands in the body."""
    covers_body: bool
    """Whether it proves anything about every byte of the body."""
    remembered: bool
    """Whether the event is recognised when it comes again."""
    stale: list[Sent] = field(default_factory=list)
    """Genuine signatures over a time too long ago, or too far ahead."""
    same_event: list[tuple[str, Sent]] = field(default_factory=list)
    """Other ways in which the same event may come, once it was taken."""
    also_genuine: list[tuple[str, Sent]] = field(default_factory=list)
    """Other events of the same kind, each of which is taken once."""
    spoilt: list[tuple[str, Sent]] = field(default_factory=list)
    """What is signed otherwise than it is sent."""


def made(
    name: str,
    seal: Seal,
    key: str,
    other: str,
    *,
    proof: str | None,
    covers_body: bool = True,
    remembered: bool = True,
    window: float | None = None,
    has_id: bool = False,
    **more,
) -> Request:
    """The request that `seal` signs now.

    `window` is for how many seconds a signature is fresh, where the time is signed; `has_id` says that the event is
    known by an id, so that signed at another time it is still the same event.
    """
    now = time.time()
    request = Request(name, seal(key, now), seal(other, now), proof, covers_body, remembered, **more)
    if window is not None:
        request.stale = [seal(key, now - 1.5 * window - 3), seal(key, now + 1.5 * window + 3)]
        # Of five seconds some have passed when it arrives.
        still = window * (0.8 if window >= 60 else 0.4)
        fresh = [
            ("signed some time ago", seal(key, now - still)),
            ("signed by a clock that is ahead", seal(key, now + still)),
        ]
        (request.same_event if has_id else request.also_genuine).extend(fresh)
    return request


def mac(key: bytes, content: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.digest(key, content, algorithm)


def base64(raw: bytes) -> str:
    return b64encode(raw).decode()


def changed(body: bytes) -> bytes:
    """The body with one bit of one byte in its middle changed, so that it is still as long."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def garbled(proof: str) -> str:
    """The signatures in a header, each with one digit changed; prefixes and timestamps are too short to be one.

    Of a token in three parts it is the last.
    """

    def other(run: re.Match) -> str:
        text, middle = run[0], len(run[0]) // 2
        return text[:middle] + ("1" if text[middle] == "0" else "0") + text[middle + 1 :]

    before = proof.rfind(".") + 1
    return proof[:before] + re.sub(r"[0-9A-Za-z+/_-]{12,}", other, proof[before:])


def agree(library: str, plain: str) -> str:
    """The library's signature; one that changes its mind is noticed as such, and not as a fault of the daemon."""
    assert library == plain, f"the library signs otherwise than its documents say: {library} / {plain}"
    return library
