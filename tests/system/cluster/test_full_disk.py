"""A server whose disk is full (needs root, for a filesystem of its own)."""

import os
import shutil
import subprocess
import time
from types import SimpleNamespace

import pytest
from cluster import stored
from cluster.checks import every_check
from cluster.conftest import LEASE, PATIENCE
from cluster.harness import Cluster, scratch
from cluster.postgres import Server
from polling import wait_until
from programs import needs
from proxies import free_port

SIZE = 64 << 20
"""Bytes of the filesystem with the tables. The log of the server lies elsewhere, or it would end."""


@pytest.fixture
def server(postgres):
    if os.geteuid() != 0:
        pytest.skip("a filesystem of its own needs root")
    needs("mount", "umount")
    folder = scratch()
    server, small = Server("small", folder, free_port()), folder / "tables"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", small], capture_output=True).returncode:
        shutil.rmtree(folder)
        pytest.skip("this machine mounts no filesystem")
    try:
        tables = small / "space"
        tables.mkdir()
        shutil.chown(tables, "postgres", "postgres")
        server.create()
        server.start()
        server.sql(
            "CREATE ROLE hookyard LOGIN",
            f"CREATE TABLESPACE small LOCATION '{tables}'",
            "CREATE DATABASE hookyard OWNER hookyard TABLESPACE small",
        )
        ask = lambda *statements: server.sql(
            "SET search_path TO hookyard", *statements, user="hookyard", database="hookyard"
        )
        yield SimpleNamespace(small=small, port=server.port, sql=ask)
    finally:
        server.stop()
        subprocess.run(["umount", small], check=True)
        shutil.rmtree(folder)


@pytest.fixture
def cluster(binary, server):
    needs("perl")
    url = f"postgres://hookyard@127.0.0.1:{server.port}/hookyard"
    store = f"store: {{url: '{url}', lease: {LEASE}s, patience: {PATIENCE}s}}\n"
    with Cluster(binary, ["web1"], lambda name, folder: store) as cluster:
        yield cluster


def test_a_full_disk_refuses_events_and_loses_none(cluster, server, measured):
    read = lambda: stored.in_postgres(server)
    answered = lambda status: any(entry["answer"]["status"] == status for entry in cluster.ledgers["sent"].entries())
    with cluster.senders(["plain", "ordered"], rate=40):
        time.sleep(2)
        with cluster.fault("full disk", "small"):
            ballast = fill(server.small)
            wait_until("events are refused", lambda: answered(503))
            time.sleep(1)
            ballast.unlink()
        time.sleep(3)
    healed = 1000 * time.time()
    evidence = cluster.evidence(cluster.wait_until_quiet(read, LEASE + 30))
    found = {name: lines[:5] for name, lines in every_check(evidence, LEASE, healed).items() if lines}
    assert found == {}
    refused = sum(sent.answer.status == 503 for sent in evidence.sent)
    measured(f"{len(evidence.stored.events)} events, {refused} answers 503")


def fill(folder):
    """Writes until nothing is free."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as ballast:
        try:
            while ballast.write(bytes(1 << 20)):
                pass
        except OSError:
            return path
