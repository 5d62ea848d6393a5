"""One daemon of the cluster, in a folder of its own."""

import http.client
import os
import signal
import subprocess
from pathlib import Path

from cluster.kinds import GITHUB, STANDARD
from polling import wait_until


class Node:
    """A daemon that is started, ended and frozen. It keeps its ports."""

    def __init__(self, name, binary, folder, ports, store, rules):
        self.name, self.binary, self.folder = name, binary, folder
        self.port, self.admin = ports
        self.store, self.process, self.frozen = store, None, False
        folder.mkdir()
        self.write(rules)

    def write(self, rules):
        (self.folder / "rules.yaml").write_text(
            f"server: {{listen: '127.0.0.1:{self.port}', stop_grace: 5s}}\n"
            f"admin: {{listen: '127.0.0.1:{self.admin}', socket: {self.folder}/admin.sock}}\n"
            "deliveries: {limit: 16, per_rule: 8}\n"
            f"{self.store}{rules}"
        )

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "rules.yaml"],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "GITHUB": GITHUB, "STANDARD": STANDARD},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # What is left in its session is killed with it, as systemd kills a control group.
                start_new_session=True,
            )

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_until_ready(self):
        wait_until(f"{self.name} is ready", self.is_ready)

    def kill(self):
        """Kills the daemon and its commands."""
        self.process.kill()
        for process in session(self.process.pid):
            kill(process)
        self.process.wait()
        # Commands that were started between the list and the end of the daemon.
        for process in session(self.process.pid):
            kill(process)
        self.frozen = False

    def terminate(self):
        self.process.terminate()
        self.process.wait(40)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self):
        self.frozen = False
        self.process.send_signal(signal.SIGCONT)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        """Ends the daemon, also if it is frozen. Kills what does not end."""
        if self.process and self.process.poll() is None:
            if self.frozen:
                self.thaw()
            try:
                self.terminate()
            except subprocess.TimeoutExpired:
                self.kill()

    def tail(self, lines=10):
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-lines:])


def kill(process):
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        pass


def session(leader):
    """The processes of a session, without its leader."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == leader and int(status.parent.name) != leader:
            found.append(int(status.parent.name))
    return found
