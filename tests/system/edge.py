"""The daemon at the edge of the network, on loopback: TLS, client certificates, limits."""

import re
import subprocess

from certificates import issued, self_signed
from polling import wait_until

RULES = """\
server:
  listen: 127.0.0.1:0
  tls: {cert: server.pem, key: server.key, client_ca: authority.pem}
  max_connections: 200
endpoints:
  /limited: {rate_limit: {rate: 10/h, per: client}}
  /open: {methods: [POST, HEAD]}
rules:
  - {name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}
  - {name: limited, endpoint: /limited, verify: none, actions: [append: limited.jsonl]}
  - {name: ci, endpoint: /ci, verify: {client_cert: {subject: "CN=ci,O=Acme"}}, actions: [append: ci.jsonl]}
"""


class Edge:
    """A running daemon, its certificates, and other programs as its clients."""

    def __init__(self, binary, folder):
        self.binary = binary
        self.folder = folder
        self_signed(folder, "server", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self_signed(folder, "authority", "/CN=authority of clients")
        issued(folder, "client", "/O=Acme/CN=ci", "authority")
        (folder / "rules.yaml").write_text(RULES)

    def __enter__(self):
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "rules.yaml"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self.address = wait_until("the daemon listens", self.listening, 10)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.url = f"https://{self.address}"
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            code = self.process.wait(45)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        assert code == 0, f"the daemon stopped with {code}:\n{self.diagnostics()}"

    def listening(self):
        found = re.search(r"https://([0-9.:]+)", self.log())
        assert self.process.poll() is None, f"the daemon did not start:\n{self.log()}"
        return found and found[1]

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def diagnostics(self):
        """The end of the log, without the many lines about events that were accepted."""
        lines = self.log().splitlines()
        return "\n".join([line for line in lines if " INFO a" not in line][-60:])

    def run(self, *command):
        """Exit code and output of a client."""
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
        )
        return done.returncode, done.stdout.decode(errors="replace")

    def handshake(self, *arguments):
        """What OpenSSL says about a handshake. A client that is refused exits with 1."""
        trust = ["-CAfile", "server.pem", "-verify_return_error"]
        return self.run("openssl", "s_client", "-connect", self.address, *trust, *arguments)[1]

    def curl(self, *arguments):
        """What curl says about a request that is answered."""
        trust = ["--silent", "--show-error", "--max-time", "20", "--cacert", "server.pem"]
        code, output = self.run("curl", *trust, *arguments)
        assert code == 0, f"curl {' '.join(arguments)}: {code}: {output}"
        return output

    def answer(self, *arguments):
        """Status and version of HTTP, such as `200 2`."""
        form = ["--output", "/dev/null", "--write-out", "%{http_code} %{http_version}", "--json", '{"n": 1}']
        return self.curl(*form, *arguments)

    def h2load(self, *arguments):
        """What h2load says about many requests over HTTP/2."""
        return self.run("h2load", *arguments)[1]
