"""Three daemons on a pair of servers, behind a balancer."""

import itertools
import os
import shutil

import pytest
from cluster.harness import Cluster, keep, scratch
from cluster.postgres import Pair, programs
from programs import needs
from proxies import free_port

NAMES = ("web1", "web2", "web3")
LEASE = 6
"""Seconds. The default of a minute would make a test of a lost lease take that long."""
PATIENCE = 4
SCHEMAS = itertools.count(1)


class World:
    """The cluster, the pair of servers that holds its store, and the daemons of the cluster."""

    def __init__(self, cluster, pair):
        self.cluster, self.pair, self.nodes = cluster, pair, cluster.nodes

    def diagnostics(self):
        return f"{self.cluster.diagnostics()}\n{self.pair.tail()}"


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
    with Cluster(binary, NAMES, lambda name, folder: store_of(servers, name)) as cluster:
        try:
            yield World(cluster, servers)
        finally:
            keep(cluster, request.node.originalname)
            if kept := os.environ.get("HOOKYARD_KEEP"):
                for server in servers.servers:
                    shutil.copy(server.log, f"{kept}/{request.node.originalname}")


def store_of(pair, name):
    store = {"url": f"'{pair.url}'", "schema": pair.schema, "lease": f"{LEASE}s", "patience": f"{PATIENCE}s"}
    return f"store: {{{', '.join(f'{key}: {value}' for key, value in store.items())}}}\nnode: {name}\n"
