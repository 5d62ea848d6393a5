"""A daemon that gets its certificate from an ACME authority: Debian's pebble, which connects back and validates.

Everything listens on loopback. A name server of pebble's gives every name the address of this machine.
"""

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
import urllib.request

from certificates import issued, openssl, self_signed
from polling import wait_until

LIMIT = 90
"""Seconds that one wait may take: an order has several round trips and pauses."""
DAY = 86400
NO_ANSWER = (OSError, ssl.SSLError)

RULES = """\
server:
  listen: [127.0.0.1:{tls}, {{address: 127.0.0.1:{plain}, tls: false}}]
  tls:
    acme:
      domains: [{domains}]
      agree_tos: true
      contact: ops@hook.test
      directory: https://127.0.0.1:{directory}/dir
      ca: authority.pem
{more}
store: {{path: hookyard.db}}
rules:
  - {{name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}}
"""


class Acme:
    """A folder with the daemon, the authority and the name server of one test."""

    def __init__(self, binary, folder):
        self.binary = binary
        self.folder = folder
        names = ["tls", "plain", "directory", "management", "dns", "mock"]
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.running = []
        self.daemon = self.authority = self.names = None
        self.root = None
        self.secrets = ["PRIVATE"]
        """What must not stand in the daemon's log."""
        # The certificate of the authority's own directory.
        self_signed(folder, "authority", "/CN=authority")
        issued(folder, "directory", "/CN=directory", "authority", "subjectAltName=IP:127.0.0.1")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            if self.daemon:
                self.stop_daemon()
        finally:
            for process in list(self.running):
                process.kill()
                process.wait()
        for secret in self.secrets:
            assert secret not in self.log(), "a secret is in the log"

    # --- Programs

    def start(self, name, command, **variables):
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | variables,
            )
        self.running.append(process)
        return process

    def stop(self, process):
        """The exit code of a program that is told to end."""
        process.terminate()
        code = process.wait(30)
        self.running.remove(process)
        return code

    def start_authority(self, validity=90 * DAY, **settings):
        """Starts pebble, which remembers nothing of an earlier one, with certificates valid for so many seconds."""
        config = {
            "listenAddress": f"127.0.0.1:{self.ports['directory']}",
            "managementListenAddress": f"127.0.0.1:{self.ports['management']}",
            "certificate": "directory.pem",
            "privateKey": "directory.key",
            "httpPort": 1,
            "tlsPort": self.ports["tls"],
            "certificateValidityPeriod": validity,
        } | settings
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": config}))
        self.authority = self.start(
            "pebble",
            ["pebble", "-config", "pebble.json", "-dnsserver", f"127.0.0.1:{self.ports['dns']}"],
            PEBBLE_VA_NOSLEEP="1",
            PEBBLE_WFE_NONCEREJECT="0",
            PEBBLE_AUTHZREUSE="0",
        )
        self.root = wait_until("the authority answers", self.trusted_root, LIMIT, NO_ANSWER)

    def stop_authority(self):
        self.stop(self.authority)
        self.authority = None

    def trusted_root(self):
        """The root certificate of the authority, which a new one makes when it starts."""
        context = ssl.create_default_context(cafile=self.folder / "authority.pem")
        url = f"https://127.0.0.1:{self.ports['management']}/roots/0"
        with urllib.request.urlopen(url, context=context, timeout=5) as answer:
            return answer.read().decode()

    def start_names(self):
        unused = ["-http01", "", "-https01", "", "-tlsalpn01", ""]
        dns = ["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", f"127.0.0.1:{self.ports['dns']}"]
        management = ["-management", f"127.0.0.1:{self.ports['mock']}"]
        self.names = self.start("names", ["pebble-challtestsrv", *dns, *unused, *management])

    def set_rules(self, *domains, more=""):
        text = RULES.format(domains=", ".join(domains), more=more, **self.ports)
        (self.folder / "rules.yaml").write_text(text)

    def launch_daemon(self):
        """Starts the daemon and does not wait for it."""
        self.daemon = self.start("hookyard", [self.binary, "serve", "rules.yaml"])

    def start_daemon(self):
        self.launch_daemon()
        wait_until("the daemon serves", lambda: self.plain_status() == 200, LIMIT, NO_ANSWER)

    def stop_daemon(self):
        daemon, self.daemon = self.daemon, None
        assert self.stop(daemon) == 0

    def reload(self):
        """Reloads the rules, which also asks the authority again at once."""
        self.daemon.send_signal(signal.SIGHUP)

    def certify(self, *domains, validity=90 * DAY):
        """Starts everything; the digest of the certificate for the domains."""
        self.start_names()
        self.start_authority(validity)
        self.set_rules(*domains)
        self.start_daemon()
        return self.wait_for_certificate(domains[0])

    # --- Requests and reports

    def plain_status(self):
        """The status of a request without TLS."""
        return status_of(socket.create_connection(("127.0.0.1", self.ports["plain"]), 5))

    def certificate_of(self, name):
        """The digest of the certificate for a name, valid under the authority's root. A request is answered."""
        context = ssl.create_default_context(cadata=self.root)
        context.set_alpn_protocols(["http/1.1"])
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.ports["tls"]), 5)) as plain:
            with contextlib.closing(context.wrap_socket(plain, server_hostname=name)) as secured:
                digest = hashlib.sha256(secured.getpeercert(binary_form=True)).hexdigest()
                assert status_of(secured) == 200
                return digest

    def wait_for_certificate(self, name):
        what = f"a certificate for {name} is served"
        return wait_until(what, lambda: self.certificate_of(name), LIMIT, NO_ANSWER)

    def certificate_of_first_connection(self, name):
        """As `certificate_of`, on the first connection that a starting daemon accepts."""
        end = time.monotonic() + LIMIT
        while True:
            try:
                return self.certificate_of(name)
            except ConnectionRefusedError:
                assert time.monotonic() < end
                time.sleep(0.002)

    def status(self, *arguments):
        """Exit code and output of `hookyard status`."""
        done = subprocess.run(
            [self.binary, "status", "--rules", "rules.yaml", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=30,
        )
        return done.returncode, done.stdout + done.stderr

    def wait_for_status(self, text):
        """The output of a failing `status --check`, once it holds this text in any case."""

        def output():
            code, output = self.status("--check")
            return output if code == 1 and text in output.lower() else None

        return wait_until(f"status says `{text}`", output, LIMIT)

    def wait_until_well(self):
        """Waits until `status --check` finds no problem. The status follows the certificate a moment later."""
        well = lambda: self.status("--check") == (0, "ok\n")
        wait_until("`hookyard status --check` finds no problem", well, LIMIT)

    def issued(self):
        """How many certificates the authority has issued."""
        return (self.folder / "pebble.log").read_text().count("Issued certificate serial")

    def certificate_file(self, name):
        """The file of the certificate for this name only."""
        for path in (self.folder / "acme").glob("certificate-*.pem"):
            if path.is_file():
                text = openssl(self.folder, "x509", "-in", str(path), "-noout", "-ext", "subjectAltName")
                if re.findall(r"DNS:([^\s,]+)", text) == [name]:
                    return path
        raise AssertionError(f"no file holds a certificate for {name}")

    def log(self):
        path = self.folder / "hookyard.log"
        return path.read_text() if path.exists() else ""

    def diagnostics(self):
        logs = [self.folder / "pebble.log", self.folder / "hookyard.log"]
        ends = [f"--- {log.stem}\n" + "\n".join(log.read_text().splitlines()[-60:]) for log in logs if log.exists()]
        return "\n".join(ends)


def free_ports(count):
    """Free ports, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def status_of(connection):
    """The status of a request on a new connection, which ends it."""
    with contextlib.closing(connection):
        connection.settimeout(10)
        connection.sendall(
            b"POST /open HTTP/1.1\r\nHost: hook.test\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
        )
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
        return int(answer.split(b" ", 2)[1])
