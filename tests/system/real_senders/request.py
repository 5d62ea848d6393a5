"""Requests: the bytes on the wire, and what the requests of all senders have in common."""

import hmac
import re
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace

PUBLIC = "https://hooks.example.com"
"""The `server.public_url` of the daemon. Some senders sign the URL that they call."""

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

TRAPS = "café § $& $1 \\1 %s {timestamp} {body} {{x}} \u2028"
"""Text that breaks programs which assemble the signed content by search and replace."""


@dataclass(frozen=True)
class Sent:
    """The exact bytes of a request."""

    body: bytes
    headers: dict[str, str]
    target: str = ""
    """The path and the query; without one, the path of the sender's endpoint."""
    server: str = PUBLIC
    """The server's address as the sender knows it."""

    @property
    def url(self) -> str:
        return self.server + self.target

    def header(self, name: str) -> str:
        """The value of a header. Names are compared without case."""
        return next(value for key, value in self.headers.items() if key.lower() == name.lower())

    def with_header(self, name: str, value: str | None) -> "Sent":
        headers = {key: text for key, text in self.headers.items() if key != name}
        return replace(self, headers=headers if value is None else headers | {name: value})


Seal = Callable[[str, float], Sent]
"""The sender's signature with this key, at this time."""


@dataclass
class Request:
    """One event as its sender sends it, and changed forms of it that are not genuine."""

    name: str
    genuine: Sent
    forged: Sent
    """Signed with the key of another sender."""
    proof: str | None
    """The header with the signature or token. `None` if the body holds it."""
    covers_body: bool
    """True if the signature covers every byte of the body."""
    remembered: bool
    """True if the event is recognised when it arrives again."""
    stale: list[Sent] = field(default_factory=list)
    """Genuine signatures over a time outside the window, in the past and in the future."""
    same_event: list[tuple[str, Sent]] = field(default_factory=list)
    """Other forms in which the same event may arrive after it was accepted."""
    also_genuine: list[tuple[str, Sent]] = field(default_factory=list)
    """Other events of the same kind. Each is accepted once."""
    spoilt: list[tuple[str, Sent]] = field(default_factory=list)
    """Requests with a signature over something else than what is sent."""


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

    If the sender signs the time, `window` is the number of seconds for which a signature is fresh. `has_id` is true if
    an id identifies the event: signed at another time, it is still the same event.
    """
    now = time.time()
    request = Request(name, seal(key, now), seal(other, now), proof, covers_body, remembered, **more)
    if window is not None:
        request.stale = [seal(key, now - 1.5 * window - 3), seal(key, now + 1.5 * window + 3)]
        # A part of a short window has passed when the request arrives.
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
    """The body with one bit in its middle changed. The length stays the same."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def garbled(proof: str) -> str:
    """The header with one digit of each signature changed. Prefixes and timestamps are too short to match.

    A token in three parts changes in its last part.
    """

    def other(run: re.Match) -> str:
        text, middle = run[0], len(run[0]) // 2
        return text[:middle] + ("1" if text[middle] == "0" else "0") + text[middle + 1 :]

    before = proof.rfind(".") + 1
    return proof[:before] + re.sub(r"[0-9A-Za-z+/_-]{12,}", other, proof[before:])


def agree(library: str, plain: str) -> str:
    """The library's signature. A library that contradicts its documents is no fault of the daemon."""
    assert library == plain, f"the library contradicts its documents: {library} / {plain}"
    return library
