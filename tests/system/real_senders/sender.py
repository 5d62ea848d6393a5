"""Senders: each with its rule, the keys of both sides, its requests, and its own library as a judge."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from real_senders.request import Request, Sent

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


@dataclass(frozen=True)
class Judge:
    """A library that says whether a request is genuine."""

    package: str
    verify: Callable[[str, Sent], object]
    """Verifies with this key. Rejects by a false value or by an exception."""
    asks_time: bool = False
    """True if the library refuses an old signature."""

    def doubt(self, key: str, sent: Sent) -> str | None:
        """The reason why the library rejects the request, `None` if it accepts it."""
        try:
            answer = self.verify(key, sent)
            return None if answer else f"it answers {answer}"
        except Exception as error:  # Each library has exceptions of its own for a rejection.
            return f"{type(error).__name__}: {error}"


@dataclass(frozen=True)
class Keys:
    """The keys of one sender."""

    sign: str
    """The key that the sender signs with."""
    other: str
    """The key of another sender."""
    verify: tuple[str, ...] = ()
    """The keys that the daemon verifies with, by default the same. Several during a rotation."""
    judge: str = ""
    """The key that the library verifies with, by default the same."""
    secret: bool = True
    """True if the keys of the daemon are secret."""

    @property
    def daemon(self) -> tuple[str, ...]:
        return self.verify or (self.sign,)

    @property
    def library(self) -> str:
        return self.judge or self.sign


@dataclass
class Sender:
    rule: str
    """The name of the rule, of its endpoint and, by default, of the scheme."""
    keys: Keys
    requests: Callable[["Sender"], Iterator[Request]]
    """Signed on demand, because some signatures are fresh for seconds only."""
    scheme: str = ""
    fields: dict = field(default_factory=dict)
    """More fields of the scheme."""
    key_field: str = "secret"
    event: str | None = None
    """The name of its events. `*` stands for all."""
    match: dict = field(default_factory=dict)
    """More conditions of its rule."""
    refused: tuple[int, str] = (403, "refused")
    stale: tuple[int, str] = (400, "stale")
    signer: str = ""
    """The package that signs. Without one, the test signs as the sender's documents say."""
    judges: list[Judge] = field(default_factory=list)
    in_file: bool = False
    """True if the daemon reads the keys from files instead of the environment."""
    back: "list[Back]" = field(default_factory=list)
    """What `hookyard send` signs as this sender, if a library can verify it."""

    def __post_init__(self):
        self.scheme = self.scheme or self.rule

    @property
    def path(self) -> str:
        return f"/{self.rule}"

    @property
    def packages(self) -> list[str]:
        """The libraries that sign or verify."""
        return sorted({judge.package for judge in self.judges} | ({self.signer} if self.signer else set()))


@dataclass(frozen=True)
class Back:
    """The input of `hookyard send`. The sender's library verifies the result."""

    body: bytes
    headers: tuple[str, ...] = ()
    query: str = ""
    fields: dict = field(default_factory=dict)
    """Fields of the scheme, beside the key."""


def secrets(rule: str, rotated: bool = False) -> Keys:
    """Two secrets without a required form, and with `rotated` the one before."""
    secret = f"{rule} secret: It's for Everybody, café"
    verify = (secret, f"{rule} secret: the one before") if rotated else ()
    return Keys(secret, f"{rule} secret: not this one", verify)


def fixture(path: str) -> bytes:
    return (FIXTURES / path).read_bytes()
