"""The harness, proved with one daemon on SQLite behind the balancer."""

import time

import pytest
from cluster import stored
from cluster.checks import every_check
from cluster.harness import Cluster, keep
from cluster.kinds import KINDS
from programs import needs

SECONDS = 6


@pytest.fixture
def cluster(binary):
    needs("perl")
    settings = lambda name, folder: f"store: {{path: {folder}/hookyard.db}}\n"
    with Cluster(binary, ["solo"], settings) as cluster:
        yield cluster
        keep(cluster, "sqlite")


def test_a_daemon_that_is_killed_keeps_its_promises(cluster, measured):
    (node,) = cluster.nodes
    read = lambda: stored.in_sqlite(node.folder / "hookyard.db")
    with cluster.senders([kind for kind in KINDS if kind != "slow"], rate=60) as senders:
        time.sleep(SECONDS / 3)
        cluster.kill(node)
        time.sleep(SECONDS / 3)
        cluster.restart(node)
        time.sleep(SECONDS / 3)
        # Outside of faults, one event that comes twice at once is one event.
        words = sorted(answer["word"] for answer in senders.send_everywhere([node.port] * 3, "plain"))
    healed = 1000 * time.time()
    found = cluster.evidence(cluster.wait_until_quiet(read, 30))
    failed = {name: findings[:5] for name, findings in every_check(found, lease=1, healed=healed).items() if findings}
    assert failed == {}
    assert words == ["accepted", "duplicate", "duplicate"]
    measured(f"{len(found.sent)} requests, {len(found.stored.events)} events, {len(found.runs)} runs")
