"""Daemons behind a balancer, with senders and ledgers."""

import contextlib
import itertools
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

from cluster import kinds
from cluster.balancer import Balancer
from cluster.ledger import Evidence, Ledger, faults_of, runs_of, sent_of
from cluster.node import Node
from cluster.senders import Senders
from polling import wait_until
from proxies import free_port

PROGRAM = Path(__file__).with_name("perform.pl")


MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes that must be free in memory for files of the tests to lie there."""


def scratch():
    """A folder that the user of PostgreSQL can reach, unlike those of pytest.

    In memory if there is room: the tests kill processes and no machine, so what was written stays. A standby is made
    there in a second instead of ten, so that more faults happen.
    """
    room = os.statvfs(MEMORY) if MEMORY.is_dir() and "TMPDIR" not in os.environ else None
    folder = MEMORY if room and room.f_bavail * room.f_frsize >= ROOM else None
    folder = Path(tempfile.mkdtemp(prefix="hookyard-cluster-", dir=folder))
    folder.chmod(0o711)
    return folder


class Cluster:
    """The daemons, their balancer and the ledgers of senders, actions and faults."""

    def __init__(self, binary, names, store):
        """`store` gives the settings of a daemon's store, by its name and folder."""
        self.folder, self.lock, self.ids = scratch(), threading.Lock(), itertools.count(1)
        self.ledgers = {name: Ledger(self.folder / name) for name in ("sent", "runs", "faults")}
        rules = kinds.rules(PROGRAM, self.ledgers["runs"].path)
        self.nodes = [
            Node(name, binary, self.folder / name, (free_port(), free_port()), store(name, self.folder / name), rules)
            for name in names
        ]
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        self.stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            for node in self.nodes:
                self.stack.callback(node.stop)
                node.start()
            for node in self.nodes:
                node.wait_until_ready()
            self.balancer = self.stack.enter_context(Balancer(node.port for node in self.nodes))
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_):
        self.stack.close()

    def senders(self, kinds, **options):
        return Senders(self.ledgers["sent"], self.balancer.port, kinds, **options)

    @contextlib.contextmanager
    def fault(self, what, target):
        """Writes down that a fault lasts as long as the block."""
        number = next(self.ids)
        self.ledgers["faults"].write(part="begin", id=number, what=what, target=target, at=time.monotonic())
        try:
            yield
        finally:
            self.ledgers["faults"].write(part="end", id=number, at=time.monotonic())

    def kill(self, node, down=0):
        """Kills a daemon with its commands, and starts it again after so many seconds."""
        with self.fault("down", node.name):
            with self.fault("kill", node.name):
                node.kill()
            time.sleep(down)
            node.start()
            node.wait_until_ready()

    def restart(self, node):
        with self.fault("term", node.name):
            node.terminate()
            node.start()
            node.wait_until_ready()

    def wait_until_quiet(self, stored, limit):
        """What the store holds once all deliveries have ended, or at the limit: the checks say what has not ended."""
        ended = lambda: all(delivery.ended_at for delivery in stored().deliveries)
        with contextlib.suppress(AssertionError):
            wait_until("all deliveries have ended", ended, limit)
        return stored()

    def evidence(self, stored):
        entries = {name: ledger.entries() for name, ledger in self.ledgers.items()}
        return Evidence(sent_of(entries["sent"]), runs_of(entries["runs"]), faults_of(entries["faults"]), stored)

    def diagnostics(self):
        return "\n".join(f"--- {node.name}\n{node.tail()}" for node in self.nodes if (node.folder / "log").exists())


def keep(cluster, name):
    """Copies the ledgers and logs to the folder that `HOOKYARD_KEEP` names, for a look at them."""
    if folder := os.environ.get("HOOKYARD_KEEP"):
        ignored = shutil.ignore_patterns("*.db*", "*.sock")
        shutil.copytree(cluster.folder, Path(folder) / name, ignore=ignored, dirs_exist_ok=True)
