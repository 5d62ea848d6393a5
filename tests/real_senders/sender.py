"""Senders: a rule of the daemon for each, the keys on both sides, its requests, and its own library as a judge."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from request import Request, Sent

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


@dataclass(frozen=True)
class Judge:
    """A library that says whether a request is genuine."""

    package: str
    verify: Callable[[str, Sent], object]
    """By this key. It gives something true, or something false, or throws."""
    asks_time: bool = False
    """Whether it refuses what was signed long ago."""

    def doubt(self, key: str, sent: Sent) -> str | None:
        """Why it does not take the request for genuine; `None` if it does."""
        try:
            said = self.verify(key, sent)
            return None if said else f"it says {said}"
        except Exception as error:  # whatever it throws is its way to say no
            return f"{type(error).__name__}: {error}"


@dataclass(frozen=True)
class Keys:
    """The keys of one sender."""

    sign: str
    """What it signs with."""
    other: str
    """The key of another sender."""
    verify: tuple[str, ...] = ()
    """What the daemon verifies with; by default the same. Several, while one replaces the other."""
    judge: str = ""
    """What its library verifies with."""
    secret: bool = True
    """Whether what the daemon has must not be known."""

    @property
    def daemon(self) -> tuple[str, ...]:
        return self.verify or (self.sign,)

    @property
    def library(self) -> str:
        return self.judge or self.sign


@dataclass
class Sender:
    rule: str
    """The name of the rule, of its endpoint, and, where nothing else is said, of the scheme."""
    keys: Keys
    requests: Callable[["Sender"], Iterator[Request]]
    """Made when they are asked for, for some are fresh for seconds only."""
    scheme: str = ""
    fields: dict = field(default_factory=dict)
    """More fields of the scheme."""
    key_field: str = "secret"
    event: str | None = None
    """What its events are called; `*` is whatever they are."""
    match: dict = field(default_factory=dict)
    """More that its rule asks for."""
    refused: tuple[int, str] = (403, "refused")
    stale: tuple[int, str] = (400, "stale")
    signer: str = ""
    """The package that signs; without one it is done by hand, as the sender's documents say."""
    judges: list[Judge] = field(default_factory=list)
    in_file: bool = False
    """Whether the daemon reads its keys from files rather than from the environment."""
    back: "list[Back]" = field(default_factory=list)
    """What `hookyard send` is told to sign as this sender; where there is a library to judge it."""

    def __post_init__(self):
        self.scheme = self.scheme or self.rule

    @property
    def path(self) -> str:
        return f"/{self.rule}"

    @property
    def packages(self) -> list[str]:
        """The libraries that have a say in it."""
        return sorted({judge.package for judge in self.judges} | ({self.signer} if self.signer else set()))


@dataclass(frozen=True)
class Back:
    """What `hookyard send` is given, for the sender's library to judge."""

    body: bytes
    headers: tuple[str, ...] = ()
    query: str = ""
    fields: dict = field(default_factory=dict)
    """Fields of the scheme, beside the key."""


def secrets(rule: str, rotated: bool = False) -> Keys:
    """Two texts that are nothing but secrets, and perhaps the one before."""
    secret = f"{rule} secret: It's for Everybody, café"
    verify = (secret, f"{rule} secret: the one before") if rotated else ()
    return Keys(secret, f"{rule} secret: not this one", verify)


def fixture(path: str) -> bytes:
    return (FIXTURES / path).read_bytes()
