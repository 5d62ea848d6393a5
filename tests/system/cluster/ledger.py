"""Append-only files of JSON lines, and what the checks read from them."""

import json
import os
import time
from dataclasses import dataclass, field


class Ledger:
    """An append-only file. A line is on the disk when `write` returns."""

    def __init__(self, path):
        self.path = path
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def write(self, **entry):
        os.write(self.file, (json.dumps(entry) + "\n").encode())
        os.fdatasync(self.file)

    def entries(self):
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def close(self):
        os.close(self.file)


@dataclass(frozen=True)
class Answer:
    """An answer to a sender. `at` is seconds of the monotonic clock, as everywhere in the ledgers."""

    at: float
    status: int
    word: str = ""
    event: str = ""

    @property
    def succeeded(self):
        return self.status == 200 and self.word in ("accepted", "duplicate")


@dataclass(frozen=True)
class Sent:
    """One request of a sender and its answer. Several have the same number if the sender tried again."""

    number: int
    kind: str
    lane: str
    begin: float
    answer: Answer | None = None


@dataclass(frozen=True)
class Run:
    """One run of an action. `end` is None if it was killed; `clock` is the wall clock at the start, in milliseconds."""

    delivery: str
    event: str
    rule: str
    attempt: int
    node: str
    start: float
    end: float | None
    outcome: str
    clock: float


@dataclass(frozen=True)
class Fault:
    """Something that the test did to a part of the cluster. `end` is the moment from which it may have no effect."""

    what: str
    target: str
    begin: float
    end: float


@dataclass(frozen=True)
class Delivery:
    id: str
    event: str
    rule: str
    state: str
    seq: int
    ended_at: int | None


@dataclass(frozen=True)
class Attempt:
    delivery: str
    action: int
    number: int
    outcome: str


@dataclass
class Stored:
    """The content of a store: `events` maps ids to the numbers of the senders."""

    events: dict[str, int] = field(default_factory=dict)
    requests: set[str] = field(default_factory=set)
    keys: set[tuple[str, str]] = field(default_factory=set)
    deliveries: list[Delivery] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    sums: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass
class Evidence:
    """All ledgers of one test, and the store at its end."""

    sent: list[Sent]
    runs: list[Run]
    faults: list[Fault]
    stored: Stored


def sent_of(entries):
    return [
        Sent(entry["number"], entry["kind"], entry["lane"], entry["begin"], answer and Answer(**answer))
        for entry in entries
        for answer in [entry["answer"]]
    ]


def runs_of(entries):
    """Joins the lines of starts and ends."""
    ends = {(entry["run"], entry["delivery"]): entry for entry in entries if entry["what"] != "start"}
    runs = []
    for entry in (entry for entry in entries if entry["what"] == "start"):
        end = ends.get((entry["run"], entry["delivery"]), {"at": None, "what": "killed"})
        names = ("delivery", "event", "rule", "attempt", "node")
        runs.append(Run(*(entry[name] for name in names), entry["at"], end["at"], end["what"], entry["clock"]))
    return runs


def faults_of(entries):
    """Joins the lines of begins and ends. A fault without an end lasts until now."""
    ends = {entry["id"]: entry["at"] for entry in entries if entry["part"] == "end"}
    return [
        Fault(entry["what"], entry["target"], entry["at"], ends.get(entry["id"], time.monotonic()))
        for entry in entries
        if entry["part"] == "begin"
    ]
