"""Each check finds the fault that is planted in its ledgers, and nothing in sound ones."""

from dataclasses import replace

import pytest
from cluster.checks import every_check, gaps, unfair, waits
from cluster.kinds import KINDS
from cluster.ledger import Answer, Attempt, Delivery, Evidence, Fault, Run, Sent, Stored

LEASE = 5
HEALED = 1_000_000


def sound():
    """Ledgers without a fault: two plain events, two of an ordered lane, and three of which the newest counts."""
    evidence = Evidence([], [], [], Stored())
    take(evidence, 1, "plain", begin=1)
    take(evidence, 2, "ordered", "0", begin=2)
    take(evidence, 3, "ordered", "0", begin=3)
    take(evidence, 4, "coalesced", "0", begin=4)
    take(evidence, 5, "coalesced", "0", begin=5, state="superseded")
    take(evidence, 6, "coalesced", "0", begin=6)
    evidence.stored.counts["pending"] = evidence.stored.sums["pending"] = 0
    return evidence


def take(evidence, number, kind, lane="", begin=0.0, state="done"):
    """An event that is sent at `begin`, answered after 0.1 s, and performed from 0.2 s to 0.5 s."""
    event, stored = f"event-{number}", evidence.stored
    evidence.sent.append(Sent(number, kind, lane, begin, Answer(begin + 0.1, 200, "accepted", event)))
    stored.events[event] = number
    stored.requests.add(event)
    for rule in KINDS[kind].rules:
        delivery = f"{rule}-{number}"
        stored.keys.add((event, rule))
        stored.deliveries.append(Delivery(delivery, event, rule, state, number, int(1000 * (begin + 0.5))))
        if state == "done":
            clock = 1000 * (begin + 0.2)
            evidence.runs.append(Run(delivery, event, rule, 1, "web1", begin + 0.2, begin + 0.5, "done", clock))
            stored.attempts.append(Attempt(delivery, 0, 1, "done"))


def failing(evidence):
    return {name for name, findings in every_check(evidence, LEASE, HEALED).items() if findings}


def change(items, condition, **fields):
    """Changes the items that meet the condition."""
    assert any(map(condition, items))
    items[:] = [replace(item, **fields) if condition(item) else item for item in items]


def drop(items, condition):
    assert any(map(condition, items))
    items[:] = [item for item in items if not condition(item)]


of = lambda number: lambda item: item.event == f"event-{number}"
rerun = lambda start, node="web2": Run("plain-1", "event-1", "plain", 1, node, start, start + 0.1, "done", 1000 * start)


def lose_the_event(evidence):
    del evidence.stored.events["event-1"]
    evidence.stored.requests.discard("event-1")
    evidence.stored.keys -= {("event-1", "plain"), ("event-1", "copy")}
    drop(evidence.stored.deliveries, of(1))


def lose_a_delivery(evidence):
    drop(evidence.stored.deliveries, lambda delivery: delivery.id == "copy-1")


def lose_a_request(evidence):
    evidence.stored.requests.discard("event-1")


def lose_a_dedup_key(evidence):
    evidence.stored.keys.discard(("event-1", "copy"))


def leave_pending(evidence):
    change(evidence.stored.deliveries, lambda delivery: delivery.id == "copy-1", state="ready", ended_at=None)


def make_dead(evidence):
    change(evidence.stored.deliveries, lambda delivery: delivery.id == "copy-1", state="dead")


def perform_nothing(evidence):
    drop(evidence.runs, lambda run: run.delivery == "copy-1")


def take_twice(evidence):
    evidence.stored.events["event-9"] = 1
    evidence.stored.requests.add("event-9")
    for rule in ("plain", "copy"):
        evidence.stored.keys.add(("event-9", rule))
        evidence.stored.deliveries.append(Delivery(f"{rule}-9", "event-9", rule, "done", 9, 1500))


def answer_duplicate_of_nothing(evidence):
    evidence.sent.append(Sent(1, "plain", "", 1.5, Answer(1.6, 200, "duplicate", "event-nowhere")))


def answer_duplicate_of_another(evidence):
    evidence.sent.append(Sent(1, "plain", "", 1.5, Answer(1.6, 200, "duplicate", "event-2")))


def leave_a_delivery_without_event(evidence):
    evidence.stored.deliveries.append(Delivery("plain-9", "event-9", "plain", "done", 9, 1500))


def leave_a_request_without_event(evidence):
    evidence.stored.requests.add("event-9")


def leave_a_dedup_key_without_event(evidence):
    evidence.stored.keys.add(("event-9", "plain"))


def miscount(evidence):
    evidence.stored.sums["pending"] = 1


def write_an_attempt_twice(evidence):
    evidence.stored.attempts.append(Attempt("plain-1", 0, 1, "done"))


def perform_twice(evidence):
    evidence.runs.append(rerun(1.25))


def perform_after_the_end(evidence):
    evidence.runs.append(replace(rerun(2.6), attempt=2))


def perform_at_once(evidence):
    change(evidence.runs, of(3), start=2.4)


def run_on_for_ever(evidence):
    change(evidence.runs, of(2), end=None, outcome="killed")
    evidence.runs.append(Run("ordered-2", "event-2", "ordered", 2, "web1", 2.6, 2.7, "done", 2400))


def start_in_the_wrong_order(evidence):
    change(evidence.runs, of(2), start=4.2, end=4.5)


def store_in_the_wrong_order(evidence):
    change(evidence.stored.deliveries, of(2), seq=30)


def supersede_the_newest(evidence):
    change(evidence.stored.deliveries, of(6), state="superseded")


def start_the_newest_first(evidence):
    change(evidence.runs, of(6), start=4.05, end=4.1)


def end_late(evidence):
    change(evidence.stored.deliveries, of(1), ended_at=HEALED + 1000 * (LEASE + 11))


def refuse(evidence):
    evidence.sent.append(Sent(7, "plain", "", 7, Answer(7.1, 503, "unavailable")))


def break_the_connection(evidence):
    evidence.sent.append(Sent(7, "plain", "", 7, Answer(7.1, 0, "ConnectionResetError")))


def test_sound_ledgers_pass():
    assert every_check(sound(), LEASE, HEALED) == {f"L{number}": [] for number in range(1, 10)}


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        # Its runs are left over, which no check minds.
        (lose_the_event, {"L1"}),
        (lose_a_delivery, {"L1", "L3"}),
        (lose_a_request, {"L1", "L3"}),
        (lose_a_dedup_key, {"L1", "L3"}),
        (leave_pending, {"L1", "L8"}),
        (make_dead, {"L1"}),
        (perform_nothing, {"L1"}),
        (take_twice, {"L2"}),
        (answer_duplicate_of_nothing, {"L2"}),
        (answer_duplicate_of_another, {"L2"}),
        (leave_a_delivery_without_event, {"L3"}),
        (leave_a_request_without_event, {"L3"}),
        (leave_a_dedup_key_without_event, {"L3"}),
        (miscount, {"L3"}),
        (write_an_attempt_twice, {"L4"}),
        (perform_twice, {"L4"}),
        (perform_after_the_end, {"L4"}),
        (perform_at_once, {"L5"}),
        (run_on_for_ever, {"L5"}),
        (start_in_the_wrong_order, {"L6"}),
        (store_in_the_wrong_order, {"L6"}),
        (supersede_the_newest, {"L7"}),
        (start_the_newest_first, {"L7"}),
        (end_late, {"L8"}),
        (refuse, {"L9"}),
        (break_the_connection, {"L9"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_fault_is_found(plant, expected):
    evidence = sound()
    plant(evidence)
    assert failing(evidence) == expected


@pytest.mark.parametrize(
    ("plant", "fault"),
    [
        (perform_twice, Fault("kill", "web1", 1.22, 1.23)),
        (perform_twice, Fault("freeze", "web1", 1.22, 8)),
        (run_on_for_ever, Fault("kill", "web1", 2.3, 2.4)),
        (run_on_for_ever, Fault("kill", "web1", 2.1, 2.3)),
        (refuse, Fault("crash", "a", 5, 6)),
    ],
)
def test_a_fault_explains_what_follows_from_it(plant, fault):
    evidence = sound()
    plant(evidence)
    evidence.faults.append(fault)
    assert failing(evidence) == set()


@pytest.mark.parametrize(
    ("plant", "fault", "expected"),
    [
        pytest.param(perform_twice, Fault("kill", "web3", 1.22, 1.23), {"L4"}, id="of another node"),
        pytest.param(perform_twice, Fault("kill", "web1", 1.4, 1.5), {"L4"}, id="after the second run"),
        pytest.param(perform_twice, Fault("crash", "a", 1, 2), {"L4"}, id="of the database"),
        pytest.param(perform_at_once, Fault("kill", "web1", 2.3, 2.4), {"L5"}, id="a kill ends no run that went on"),
        pytest.param(refuse, Fault("crash", "a", 1, 2), {"L9"}, id="long before"),
        pytest.param(lose_the_event, Fault("failover", "b", 1, 2), {"L1"}, id="a failover loses nothing"),
    ],
)
def test_a_fault_explains_nothing_else(plant, fault, expected):
    evidence = sound()
    plant(evidence)
    evidence.faults.append(fault)
    assert failing(evidence) == expected


def test_a_gap_after_a_failover_is_found():
    evidence = sound()
    evidence.faults.append(Fault("failover", "b", 2.2, 2.5))
    assert gaps(evidence, limit=1) == []
    assert len(gaps(evidence, limit=0.5)) == 1
    evidence.faults.append(Fault("failover", "a", 6.5, 7))
    assert len(gaps(evidence, limit=1)) == 1


def test_a_flood_that_delays_others_is_found():
    alone = [0.1] * 98 + [2.0, 3.0]
    assert unfair(alone, alone) == []
    assert unfair(alone, [2 * wait for wait in alone]) == []
    assert len(unfair(alone, [3 * wait for wait in alone])) == 1
    short = [0.1] * 100
    assert unfair(short, [0.9] * 100) == []
    assert len(unfair(short, short[:-2] + [1.1, 1.1])) == 1


def test_a_wait_lasts_from_the_answer_to_the_start():
    evidence = sound()
    assert waits(evidence, "plain") == [pytest.approx(0.1)]
    change(evidence.runs, lambda run: run.delivery == "plain-1", start=4.1)
    assert waits(evidence, "plain") == [pytest.approx(3)]
