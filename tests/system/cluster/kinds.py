"""The kinds of events that the senders send, and the rules that take them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """`rules` take an event of this kind; its deliveries end in a state of `ends`."""

    rules: tuple[str, ...]
    lanes: int = 0
    ends: tuple[str, ...] = ("done",)
    limit: int = 0
    """Runs of a lane at once; 0 without a limit."""
    ordered: bool = False
    """Events of a lane start in the order in which they were sent."""
    newest: bool = False
    """A newer event supersedes the older ones of its lane."""
    work: int = 5
    """Milliseconds of an action."""
    failures: int = 0
    scheme: str = "github"


SUPERSEDED = ("done", "superseded")
KINDS = {
    "plain": Kind(("plain", "copy")),
    "standard": Kind(("standard",), scheme="standard"),
    "failing": Kind(("failing",), failures=2),
    "hopeless": Kind(("hopeless",), ends=("dead",), failures=9),
    "ordered": Kind(("ordered",), lanes=4, limit=1, ordered=True, work=10),
    "pool": Kind(("pool",), lanes=2, limit=3, work=20),
    "coalesced": Kind(("coalesced",), lanes=2, ends=SUPERSEDED, limit=1, newest=True, work=50),
    "replaced": Kind(("replaced",), lanes=2, ends=SUPERSEDED, limit=1, newest=True, work=50),
    "debounced": Kind(("debounced",), lanes=2, ends=SUPERSEDED, newest=True),
    "slow": Kind(("slow",), work=1000),
}
GITHUB = "a secret of the GitHub sender"
STANDARD = "b25seS1mb3ItdGhlLXN5c3RlbS10ZXN0cw=="

EXTRA = {
    "failing": "retry: {attempts: 4, backoff: [100ms]}",
    "hopeless": "retry: {attempts: 2, backoff: [100ms]}",
    "ordered": 'concurrency: {group: "ordered {{ payload.lane }}"}',
    "pool": 'concurrency: {group: "pool {{ payload.lane }}", limit: 3}',
    "coalesced": 'concurrency: {group: "coalesced {{ payload.lane }}", overlap: coalesce}',
    "replaced": 'concurrency: {group: "replaced {{ payload.lane }}", overlap: replace}',
    "debounced": 'concurrency: {group: "debounced {{ payload.lane }}"}\n    debounce: {quiet: 300ms, at_most: 1s}',
}


def rules(program, ledger):
    """The rules of all kinds. Their action is `program`, which writes into `ledger`."""
    text = "endpoints:\n"
    for scheme, name in (("github", "GITHUB"), ("standard", "STANDARD")):
        text += f"  /{scheme}: {{verify: {{{scheme}: {{secret: env:{name}}}}}, replay_window: 1h}}\n"
    text += "rules:\n"
    for name, kind in KINDS.items():
        for rule in kind.rules:
            text += f"  - name: {rule}\n    endpoint: /{kind.scheme}\n    match: {{$.kind: {name}}}\n"
            if rule in EXTRA:
                text += f"    {EXTRA[rule]}\n"
            text += f'    actions: [run: [/usr/bin/perl, "{program}", "{ledger}", "{kind.work}", "{kind.failures}"]]\n'
    return text
