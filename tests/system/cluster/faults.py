"""Faults, drawn by a seed, and how each is done to a cluster and undone again."""

import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

NODES = {"kill": 3, "term": 2, "freeze": 2, "freeze_long": 1, "cut": 1, "cut_long": 1, "reload": 1, "everywhere": 3}
"""Faults of one daemon, and how often each is drawn."""
DATABASE = {
    "failover": 2,
    "switchover": 1,
    "crash": 2,
    "stop": 1,
    "freeze_database": 1,
    "freeze_backend": 1,
    "cut_standby": 1,
    "cancel_waits": 1,
    "terminate": 3,
    "exhaust": 1,
    "lock": 1,
    "snapshot": 1,
    "revoke": 1,
}
"""Faults of the database. They do not overlap each other; they overlap those of daemons."""


@dataclass(frozen=True)
class Planned:
    at: float
    what: str
    target: int
    length: float


def draw(seed, seconds, nodes):
    """Faults for so many seconds, in the order of their begin. The same seed gives the same faults."""
    dice = random.Random(seed)
    planned = []
    for kinds, pause in ((NODES, 2.5), (DATABASE, 3)):
        at = dice.uniform(1, pause)
        while at < seconds:
            what = dice.choices(list(kinds), list(kinds.values()))[0]
            planned.append(Planned(at, what, dice.randrange(nodes), dice.uniform(0.2, 2)))
            at += dice.uniform(0.5, 1.5) * pause
    return sorted(planned, key=lambda fault: fault.at)


class Faults:
    """Does the faults to a world of daemons and servers."""

    def __init__(self, world, senders, lease):
        self.cluster, self.pair, self.relays = world.cluster, world.pair, world.relays
        self.senders, self.lease = senders, lease
        self.database = threading.Lock()
        self.locks = [threading.Lock() for _ in world.nodes]
        self.words = []

    def run(self, planned):
        """Does all of them at their time, and returns when the last is undone. A fault waits for the one before it."""
        begin = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            running = []
            for fault in planned:
                time.sleep(max(0, begin + fault.at - time.monotonic()))
                running.append(pool.submit(self.perform, fault))
            for future in running:
                future.result()

    def perform(self, fault):
        lock = self.locks[fault.target] if fault.what in NODES else self.database
        with lock:
            if fault.what in NODES:
                getattr(self, fault.what)(self.cluster.nodes[fault.target], fault.length)
            else:
                getattr(self, fault.what)(fault.length)

    # Of a daemon.

    def kill(self, node, length):
        self.cluster.kill(node, down=length)

    def term(self, node, length):
        self.cluster.restart(node)

    def freeze(self, node, length):
        with self.cluster.fault("freeze", node.name):
            node.freeze()
            time.sleep(min(length, self.lease / 3))
            node.thaw()

    def freeze_long(self, node, length):
        with self.cluster.fault("freeze", node.name):
            node.freeze()
            time.sleep(self.lease + length)
            node.thaw()
            node.wait_until_ready()

    def cut(self, node, length):
        """Cuts the daemon off from the database."""
        with self.cluster.fault("cut", node.name):
            self.relays[node.name].silence()
            time.sleep(length)
            self.relays[node.name].restore()
            node.wait_until_ready()

    def cut_long(self, node, length):
        self.cut(node, self.lease + length)

    def reload(self, node, length):
        """Takes a rule away from one daemon for a while. The others perform it."""
        text = (node.folder / "rules.yaml").read_text()
        with self.cluster.fault("reload", node.name):
            (node.folder / "rules.yaml").write_text(text.replace("$.kind: standard}", "$.kind: none}"))
            node.reload()
            time.sleep(length)
            (node.folder / "rules.yaml").write_text(text)
            node.reload()
            time.sleep(0.5)

    def everywhere(self, node, length):
        """Sends one event to all daemons in one moment. One of them takes it, whatever happens to the others."""
        answers = self.senders.send_everywhere([node.port for node in self.cluster.nodes], "plain")
        self.words.append(sorted(answer.get("word", "") for answer in answers))

    # Of the database.

    def failover(self, length):
        with self.cluster.fault("failover", self.pair.primary.name):
            self.pair.primary.kill()
            time.sleep(length / 2)
            self.pair.promote()
        self.rebuild()

    def switchover(self, length):
        with self.cluster.fault("failover", self.pair.primary.name):
            self.pair.primary.stop()
            self.pair.promote()
        self.rebuild()

    def rebuild(self):
        with self.cluster.fault("rebuild", self.pair.standby.name):
            self.pair.rebuild()

    def crash(self, length):
        with self.cluster.fault("crash", self.pair.primary.name):
            self.pair.primary.kill()
            time.sleep(length / 2)
            self.pair.primary.start()
            self.pair.wait_for_streaming()

    def stop(self, length):
        with self.cluster.fault("stop", self.pair.primary.name):
            self.pair.primary.stop()
            self.pair.primary.start()
            self.pair.wait_for_streaming()

    def freeze_database(self, length):
        with self.cluster.fault("freeze database", self.pair.primary.name):
            self.pair.primary.freeze()
            time.sleep(length)
            self.pair.primary.thaw()

    def freeze_backend(self, length):
        backends = self.backends()
        if backends:
            with self.cluster.fault("freeze backend", self.pair.primary.name):
                backend = random.choice(backends)
                os.kill(backend, signal.SIGSTOP)
                time.sleep(length)
                os.kill(backend, signal.SIGCONT)

    def cut_standby(self, length):
        """Commits wait until the standby is back."""
        with self.cluster.fault("cut standby", self.pair.standby.name):
            conninfo = self.pair.cut()
            time.sleep(length)
            self.pair.join(conninfo)
            self.pair.wait_for_streaming()

    def cancel_waits(self, length):
        """Commits that wait for the standby are cancelled, and the primary dies. What they wrote is gone with it."""
        with self.cluster.fault("failover", self.pair.primary.name):
            self.pair.cut()
            time.sleep(length / 2)
            for process in self.pair.waiting_for_standby():
                self.pair.primary.sql(f"SELECT pg_terminate_backend({process})")
            time.sleep(length / 2)
            self.pair.primary.kill()
            self.pair.promote()
        self.rebuild()

    def terminate(self, length):
        with self.cluster.fault("terminate", self.pair.primary.name):
            self.pair.primary.sql(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE usename = 'hookyard' AND random() < 0.5"
            )

    def exhaust(self, length):
        """Takes all connections that are free, and ends some of the daemons'."""
        with self.cluster.fault("exhaust", self.pair.primary.name):
            # As the daemons' own user, which has no reserved ones.
            holders = [self.psql("SELECT pg_sleep(60)") for _ in range(60)]
            try:
                time.sleep(1)
                self.terminate(length)
                time.sleep(length)
            finally:
                self.end(holders)

    def lock(self, length):
        with self.cluster.fault("lock", self.pair.primary.name):
            holder = self.psql("BEGIN; LOCK TABLE queue, events IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)")
            time.sleep(2 * length)
            self.end([holder])

    def snapshot(self, length):
        with self.cluster.fault("snapshot", self.pair.primary.name):
            statements = (
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM hookyard.queue; SELECT pg_sleep(60)"
            )
            holder = self.psql(statements)
            time.sleep(4 * length)
            self.end([holder])

    def revoke(self, length):
        with self.cluster.fault("revoke", self.pair.primary.name):
            tables = f"ON ALL TABLES IN SCHEMA {self.pair.schema}"
            self.pair.sql(f"REVOKE INSERT, UPDATE {tables} FROM hookyard")
            time.sleep(length)
            self.pair.sql(f"GRANT INSERT, UPDATE {tables} TO hookyard")

    def backends(self):
        question = "SELECT pid FROM pg_stat_activity WHERE usename = 'hookyard'"
        return [int(process) for process in self.pair.primary.sql(question).split()]

    def psql(self, statements):
        """A connection of the daemons' user that stays until its program ends."""
        server = self.pair.primary
        target = f"host=127.0.0.1 port={server.port} user=hookyard dbname=hookyard application_name=holder"
        return subprocess.Popen(
            [
                server.bin / "psql",
                "-X",
                "-q",
                "-d",
                target,
                "-c",
                f"SET search_path TO {self.pair.schema}; {statements}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end(self, holders):
        """Ends connections. The end of psql alone is noticed by its server process only at its next answer."""
        for holder in holders:
            holder.kill()
            holder.wait()
        self.pair.primary.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'holder'"
        )
