"""Three daemons on a pair of servers, behind a balancer."""

import contextlib
import itertools
import os
import shutil

import pytest
from cluster.harness import Cluster, keep, scratch
from cluster.postgres import Pair, programs
from cluster.relay import Relay
from programs import needs
from proxies import free_port

NAMES = ("web1", "web2", "web3")
LEASE = 10
"""Seconds, the least that a daemon allows. The default of a minute would make a test of a lost lease take that long."""
PATIENCE = 4
SCHEMAS = itertools.count(1)


class World:
    """The cluster, its daemons, the servers of their store, and what lies between."""

    def __init__(self, cluster, pair, relays):
        self.cluster, self.pair, self.relays, self.nodes = cluster, pair, relays, cluster.nodes

    def diagnostics(self):
        pending = self.pair.sql("SELECT row_to_json(queue) FROM queue ORDER BY seq LIMIT 5")
        return f"{self.cluster.diagnostics()}\n{self.pair.tail()}\n--- pending\n{pending}"


@pytest.fixture(scope="session")
def postgres():
    if programs() is None:
        pytest.skip("not installed: postgresql")


@pytest.fixture(scope="session")
def servers(postgres):
    """A primary and a standby. Tests break and repair them; each has a schema of its own."""
    folder = scratch()
    try:
        with Pair(folder, [free_port(), free_port()]) as pair:
            yield pair
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def world(binary, servers, request):
    """With a synchronous standby, unless the test's parameter says `asynchronous`."""
    needs("perl")
    servers.prepare(f"hookyard_{next(SCHEMAS)}", getattr(request, "param", "synchronous") == "synchronous")
    with contextlib.ExitStack() as stack:
        relays = {name: stack.enter_context(Relay(servers.ports)) for name in NAMES}
        cluster = Cluster(binary, NAMES, lambda name, folder: store_of(servers, name, relays[name]))
        stack.enter_context(cluster)
        try:
            yield World(cluster, servers, relays)
        finally:
            keep(cluster, request.node.originalname)
            if kept := os.environ.get("HOOKYARD_KEEP"):
                for server in servers.servers:
                    shutil.copy(server.log, f"{kept}/{request.node.originalname}")


def store_of(pair, name, relay):
    store = {
        "url": f"'{pair.url(relay.ports)}'",
        "schema": pair.schema,
        "lease": f"{LEASE}s",
        "patience": f"{PATIENCE}s",
    }
    return f"store: {{{', '.join(f'{key}: {value}' for key, value in store.items())}}}\nnode: {name}\n"
