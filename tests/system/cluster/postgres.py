"""PostgreSQL servers of the tests' own, on loopback: one, or a primary with a standby."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from polling import wait_until

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": 60,
    "superuser_reserved_connections": 5,
    "shared_buffers": "64MB",
    "max_wal_senders": 4,
    "wal_keep_size": "256MB",
    "recovery_init_sync_method": "syncfs",
    "logging_collector": "off",
    "log_min_error_statement": "panic",
    "log_line_prefix": "%m [%p] %a ",
    "wal_receiver_timeout": "10s",
    "wal_retrieve_retry_interval": "200ms",
}


def programs():
    """The folder of the newest PostgreSQL of this machine, if there is one. Debian puts it outside of PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = folders[-1] if folders else shutil.which("initdb")
    return Path(found).parent if found else None


class Server:
    """One server, in the folder `data` below `folder`. As root it runs as Debian's user for it."""

    def __init__(self, name, folder, port, **settings):
        self.name, self.port, self.bin = name, port, programs()
        self.settings = SETTINGS | {"port": port, "unix_socket_directories": folder} | settings
        self.data, self.log = folder / name, folder / f"{name}.log"
        self.folder, self.process = folder, None
        self.user = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            self.user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(folder, account.pw_uid, account.pw_gid)

    def run(self, program, *arguments, limit=60):
        done = subprocess.run(
            [self.bin / program, *map(str, arguments)],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit,
            **self.user,
        )
        if done.returncode:
            raise subprocess.SubprocessError(f"{program}: {done.returncode}: {done.stdout.strip()}")
        return done.stdout

    def create(self):
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync", "-N")

    def copy(self, primary):
        """Makes this server a standby of another one, whatever it was before."""
        shutil.rmtree(self.data, ignore_errors=True)
        source = f"host=127.0.0.1 port={primary.port} user=postgres application_name={self.name}"
        self.run("pg_basebackup", "-D", self.data, "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    self.bin / "postgres",
                    "-D",
                    self.data,
                    *(f"--{name}={value}" for name, value in self.settings.items()),
                ],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.user,
            )

        def up():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
            return self.sql("SELECT 1") == "1"

        wait_until(f"{self.name} accepts connections", up, ignore=subprocess.SubprocessError)

    def sql(self, *statements, user="postgres", database="postgres", limit=30):
        """The rows of the statements, each sent by itself, as psql prints them."""
        target = (
            f"host=127.0.0.1 port={self.port} user={user} dbname={database} connect_timeout=5 application_name=test"
        )
        commands = [part for statement in statements for part in ("-c", statement)]
        return self.run(
            "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", target, *commands, limit=limit
        ).strip()

    def children(self):
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(child) for child in path.read_text().split()] if path.exists() else []

    def kill(self):
        """Kills all its processes, as a machine that dies."""
        children = self.children()
        self.process.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """A fast stop: open transactions are aborted."""
        if self.process and self.process.poll() is None:
            self.signal_all(signal.SIGCONT)
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def signal_all(self, number):
        for process in [self.process.pid, *self.children()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def freeze(self):
        """Stops the server and its processes: connections are accepted by the kernel, and nothing is answered."""
        self.signal_all(signal.SIGSTOP)

    def thaw(self):
        self.signal_all(signal.SIGCONT)

    def set(self, name, value):
        self.sql(f"ALTER SYSTEM SET {name} = $value${value}$value$", "SELECT pg_reload_conf()")

    def setting(self, name):
        return self.sql(f"SHOW {name}")

    def tail(self, lines=10):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Pair:
    """A primary and a standby that streams from it."""

    def __init__(self, folder, ports, synchronous=True, **settings):
        pairs = zip("ab", ports, strict=True)
        self.primary, self.standby = (Server(name, folder, port, **settings) for name, port in pairs)
        self.synchronous, self.schema = synchronous, "hookyard"

    def __enter__(self):
        try:
            self.primary.create()
            self.primary.start()
            self.primary.sql("CREATE ROLE hookyard LOGIN IN ROLE pg_monitor", "CREATE DATABASE hookyard OWNER hookyard")
            self.rebuild()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # The standby ends first, so that the primary does not wait for it.
        self.standby.stop()
        self.primary.stop()

    @property
    def servers(self):
        return sorted((self.primary, self.standby), key=lambda server: server.name)

    @property
    def ports(self):
        return [server.port for server in self.servers]

    def url(self, ports):
        """For servers on these ports, of which the primary is used."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"postgres://hookyard@{hosts}/hookyard?target_session_attrs=read-write"

    def sql(self, *statements, user="hookyard", limit=30):
        """Runs statements in the daemons' schema."""
        path = f"SET search_path TO {self.schema}, public"
        return self.primary.sql(path, *statements, user=user, database="hookyard", limit=limit)

    def prepare(self, schema, synchronous):
        """Repairs what a test has broken, for the next one."""
        self.schema, self.synchronous = schema, synchronous
        if self.primary.process.poll() is not None:
            self.primary.start()
        if self.is_streaming():
            self.wait_for_streaming()
        else:
            self.rebuild()

    def is_streaming(self):
        return self.primary.sql("SELECT state FROM pg_stat_replication WHERE state = 'streaming'") != ""

    def rebuild(self):
        """Makes the standby anew, and waits for it if it is to be synchronous."""
        self.primary.set("synchronous_standby_names", "")
        self.standby.stop()
        self.standby.copy(self.primary)
        self.standby.start()
        self.wait_for_streaming()

    def wait_for_streaming(self):
        name = self.standby.name
        wait_until(f"{name} streams", self.is_streaming)
        self.primary.set("synchronous_standby_names", name if self.synchronous else "")
        if self.synchronous:
            kind = lambda: self.primary.sql("SELECT sync_state FROM pg_stat_replication") == "sync"
            wait_until(f"{name} is synchronous", kind)

    def promote(self):
        """Makes the standby the primary, which then has no standby."""
        self.standby.run("pg_ctl", "-D", self.standby.data, "-w", "promote")
        self.primary, self.standby = self.standby, self.primary

    def cut(self):
        """Cuts the standby off: it receives nothing more."""
        conninfo = self.standby.setting("primary_conninfo")
        self.standby.set("primary_conninfo", "")
        streaming = lambda: self.standby.sql("SELECT pid FROM pg_stat_wal_receiver")
        wait_until(f"{self.standby.name} receives nothing", lambda: not streaming())
        return conninfo

    def join(self, conninfo):
        self.standby.set("primary_conninfo", conninfo)

    def waiting_for_standby(self):
        return self.primary.sql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'").split()

    def tail(self):
        return "\n".join(f"--- {server.name}\n{server.tail()}" for server in self.servers if server.log.exists())
