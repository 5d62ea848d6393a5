"""A Debian with a systemd of its own, in a container.

The base system is installed once and kept in the target folder for the next run. The container is a copy of it, which
is removed at the end; if a run is killed, the next run removes what it left.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from paths import CACHE
from polling import LIMIT, wait_until

PACKAGES = "systemd,systemd-sysv,dbus,adduser,ca-certificates,curl,procps,git,nginx,openssh-client,openssl,sqlite3"
"""systemd, what the package of a daemon finds on any Debian, and the programs that the manual names."""
NSPAWN = ["systemd-nspawn", "--register=no", "--keep-unit", "--private-network", "--quiet"]
BASE = CACHE / "machine.base"
FOLDER = CACHE / "machine"
LOG = CACHE / "machine.log"


class Unsupported(Exception):
    """The reason why no container can run on this machine."""


class Container:
    """The container, booted on entry and shut down on exit."""

    def __init__(self, files):
        """Prepares the folder of the container, with these files in its /root."""
        install_base()
        raise_if_unsupported()
        remove(FOLDER)
        FOLDER.mkdir()
        subprocess.run(["cp", "-a", "--reflink=auto", f"{BASE}/.", FOLDER], check=True)
        for file in files:
            shutil.copy(file, FOLDER / "root")
        self.files = [f"/root/{file.name}" for file in files]
        self.leader = None

    def __enter__(self):
        self.log = open(LOG, "wb")
        self.process = subprocess.Popen(
            # The container ends with this program, even if this program is killed.
            ["setpriv", "--pdeathsig", "KILL", *NSPAWN, "--boot", f"--machine=hookyard-{os.getpid()}", "-D", FOLDER],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            # The interrupt of a terminal goes to this program only, which shuts the container down.
            start_new_session=True,
        )
        try:
            self.leader = wait_until("the container has a first process", self.first_process)
            # `degraded`: one of Debian's own units fails in a container.
            booted = lambda: self.run("systemctl", "is-system-running")[1] in ("running", "degraded")
            wait_until("the container has booted", booted)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # The signal with which a host shuts a container down.
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            for process in filter(None, (self.leader, self.process.pid)):
                os.kill(process, signal.SIGKILL)
            self.process.wait()
        self.log.close()
        remove(FOLDER)

    def first_process(self):
        if self.process.poll() is not None:
            raise AssertionError("the container ended: " + LOG.read_text(errors="replace"))
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def run(self, *command):
        """Exit code and output of a command inside."""
        entering = ["nsenter", "-t", str(self.leader), *"-m -u -i -n -p -C".split(), "--"]
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        clean = ["env", "-i", path, "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
        done = subprocess.run(
            [*entering, *clean, *map(str, command)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT * 2,
        )
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace").strip()

    def output(self, *command):
        """Output of a command that succeeds."""
        code, output = self.run(*command)
        assert code == 0, f"{' '.join(map(str, command))}: {code}: {output}"
        return output

    def in_network(self, *command):
        """The command that runs a program of this machine in the network of the container."""
        return ["nsenter", "-t", str(self.leader), "-n", "--", *map(str, command)]

    def path(self, name):
        """The path of a file of the container on this machine."""
        return FOLDER / name.lstrip("/")

    def text(self, name):
        """The text of a file, empty if it is missing."""
        path = self.path(name)
        return path.read_text() if path.exists() else ""

    def write(self, name, text):
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        # In place, so that the file keeps its owner and mode.
        self.path(name).write_text(text)


def install_base():
    """Installs a Debian of this machine's own release, from the mirror that its apt uses."""
    stamp = BASE / "etc/hookyard-base"
    lines = Path("/etc/os-release").read_text().splitlines()
    release = dict(line.replace('"', "").split("=", 1) for line in lines if "=" in line)
    codename = release.get("VERSION_CODENAME")
    if not codename:
        raise Unsupported("/etc/os-release has no VERSION_CODENAME for debootstrap")
    wanted = f"{codename} {PACKAGES}\n"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    remove(BASE)
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    )
    mirrors = [line.split(" ", 1)[1] for line in listed.stdout.splitlines() if line.startswith(codename + " ")]
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", codename, str(BASE), *mirrors[:1]]
    with open(CACHE / "debootstrap.log", "wb") as log:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    if done.returncode != 0:
        tail = (CACHE / "debootstrap.log").read_text(errors="replace").splitlines()[-10:]
        raise AssertionError("debootstrap failed:\n" + "\n".join(tail))
    stamp.write_text(wanted)


def raise_if_unsupported():
    command = [*NSPAWN, "-D", BASE, "/bin/true"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT)
    if done.returncode != 0:
        raise Unsupported(done.stderr.decode(errors="replace").strip())


def remove(folder):
    """Removes a folder. Unmounts first what is mounted below it, which belongs to this machine."""
    if not folder.exists():
        return
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        mounted = line.split()[1]
        if mounted.startswith(f"{folder}/"):
            subprocess.run(["umount", mounted], check=True)
    shutil.rmtree(folder)
