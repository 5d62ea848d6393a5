"""Three daemons on one PostgreSQL keep their promises, whatever is done to them and to the servers.

`HOOKYARD_CLUSTER_SECONDS` and `HOOKYARD_CLUSTER_SEED` give the time of faults and the seed from which they are drawn.
"""

import os
import time
from collections import Counter

import pytest
from cluster import stored
from cluster.checks import every_check, gaps, percentile, unfair, waits
from cluster.conftest import LEASE
from cluster.faults import DATABASE, NODES, Faults, draw
from cluster.kinds import KINDS

SECONDS = int(os.environ.get("HOOKYARD_CLUSTER_SECONDS") or 60)
SEED = os.environ.get("HOOKYARD_CLUSTER_SEED") or "1"
MIXED = [kind for kind in KINDS if kind != "slow"]
SHOWN = 5
"""Findings of each check that a failure shows."""
GAP = 5
"""Seconds from a promotion until events are accepted again. A bound for a loaded machine."""


def settled(world, limit=LEASE + 30):
    """The evidence, once all is quiet, or at the limit: the checks say what is not."""
    end = time.monotonic() + limit
    while world.pair.sql("SELECT count(*) FROM queue WHERE state <> 'dropped'") != "0" and time.monotonic() < end:
        time.sleep(0.5)
    return world.cluster.evidence(stored.in_postgres(world.pair))


def findings(evidence, healed):
    found = every_check(evidence, LEASE, healed) | {"gaps": gaps(evidence, GAP)}
    return {name: [len(lines), *lines[:SHOWN]] for name, lines in found.items() if lines}


def figures(evidence):
    answers = Counter(f"{sent.answer.status} {sent.answer.word}" for sent in evidence.sent)
    said = ", ".join(f"{count} × {answer}" for answer, count in answers.most_common())
    return f"{len(evidence.stored.events)} events, {len(evidence.runs)} runs; answers: {said}"


def test_the_same_seed_draws_the_same_faults():
    assert draw("a", 600, 3) == draw("a", 600, 3) != draw("b", 600, 3)
    assert {fault.what for fault in draw("a", 600, 3)} == NODES.keys() | DATABASE.keys()


def test_three_daemons_share_the_work(world, measured):
    with world.cluster.senders(MIXED, rate=60) as senders:
        time.sleep(5)
        words = [senders.send_everywhere([node.port for node in world.nodes], "plain") for _ in range(5)]
    healed = 1000 * time.time()
    evidence = settled(world)
    assert findings(evidence, healed) == {}
    assert [sorted(answer["word"] for answer in answers) for answers in words] == [
        ["accepted", "duplicate", "duplicate"]
    ] * 5
    assert {run.node for run in evidence.runs} == {node.name for node in world.nodes}
    measured(figures(evidence))


def test_a_rolling_restart_refuses_nothing(world, measured):
    with world.cluster.senders(MIXED, rate=60):
        for node in world.nodes:
            time.sleep(1)
            # No fault in the ledger for the checks of requests: none of them may fail.
            node.terminate()
            node.start()
            node.wait_until_ready()
        time.sleep(1)
    healed = 1000 * time.time()
    evidence = settled(world)
    assert {sent.answer.status for sent in evidence.sent} == {200}
    # A daemon that ends may interrupt an attempt.
    found = findings(evidence, healed)
    found.pop("L4", None)
    assert found == {}
    measured(figures(evidence))


def test_a_flood_for_a_slow_rule_delays_no_other_rule(world, measured):
    cluster = world.cluster
    with cluster.senders(["plain"], rate=20):
        time.sleep(5)
    alone = waits(settled(world), "plain")
    # About five seconds of work for all daemons together.
    with cluster.senders(["slow"], threads=40, rate=400, first=10_000):
        time.sleep(0.4)
    with cluster.senders(["plain"], rate=20, first=20_000):
        time.sleep(4)
    evidence = settled(world)
    beside = waits(evidence, "plain")[len(alone) :]
    assert unfair(alone, beside) == []
    slow = waits(evidence, "slow")
    assert max(slow) > 1, "there was no flood"
    said = [f"{percentile(found, 0.99):.3f} s {name}" for found, name in ((alone, "alone"), (beside, "beside it"))]
    measured(f"{len(slow)} slow events; 99th percentile of a plain event's wait: {', '.join(said)}")


def test_faults_by_a_seed_lose_nothing_and_do_nothing_twice(world, measured):
    planned = draw(SEED, SECONDS, len(world.nodes))
    with world.cluster.senders(MIXED, rate=50) as senders:
        faults = Faults(world, senders, LEASE)
        faults.run(planned)
        healed = 1000 * time.time()
        time.sleep(2)
    evidence = settled(world)
    assert findings(evidence, healed) == {}, f"seed {SEED}"
    for words in faults.words:
        assert words.count("accepted") <= 1, words
    many = Counter(fault.what for fault in planned)
    measured(f"seed {SEED}, {SECONDS} s, {len(planned)} faults: {dict(many)}; {figures(evidence)}")


@pytest.mark.parametrize("world", ["asynchronous"], indirect=True)
def test_a_lagging_standby_loses_events_and_the_ledger_shows_it(world, measured):
    """A control: without synchronous replication a failover loses what was answered, and L1 must say so."""
    with world.cluster.senders(["plain", "standard"], rate=50):
        time.sleep(2)
        with world.cluster.fault("failover", world.pair.primary.name):
            world.pair.cut()
            time.sleep(1)
            world.pair.primary.kill()
            world.pair.promote()
        time.sleep(2)
    healed = 1000 * time.time()
    # Settlements are lost, too: some deliveries stay leased until their daemons forget them.
    evidence = settled(world, limit=5)
    found = every_check(evidence, LEASE, healed)
    lost = [line for line in found["L1"] if line.endswith("the event is not there")]
    assert lost
    measured(f"{len(lost)} lost")


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        pytest.param("UPDATE queue SET node = NULL, lease = NULL WHERE node IS NOT NULL", "L4", id="leases"),
        pytest.param("UPDATE queue SET state = 'ready' WHERE state = 'queued'", "L5", id="groups"),
        pytest.param("DELETE FROM dedup_keys", "L1", id="dedup keys"),
        pytest.param("DELETE FROM queue WHERE rule = 'copy'", "L3", id="half of an event"),
    ],
)
def test_the_ledger_shows_what_is_done_to_the_store(world, statement, expected):
    """Controls: what a daemon that forgot a lease, a group, a dedup key or half of an event would do to the store."""
    # A group must get events faster than it performs them: one then always waits.
    kinds, rate = (["ordered"], 60) if expected == "L5" else (["plain", "ordered", "slow"], 40)
    with world.cluster.senders(kinds, rate=rate):
        for _ in range(20):
            time.sleep(0.2)
            world.pair.sql(statement)
    healed = 1000 * time.time()
    assert every_check(settled(world, limit=5), LEASE, healed)[expected]
