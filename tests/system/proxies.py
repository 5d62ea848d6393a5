"""A daemon behind nginx or Caddy, with the configuration of the manual, on loopback."""

import base64
import hashlib
import hmac
import json
import os
import re
import signal
import socket
import subprocess

from certificates import self_signed
from polling import LIMIT, wait_until

SECRET = "a-secret-behind-a-proxy-7f3a9c41"
RULES = """\
server:
  listen: 127.0.0.1:0
  trusted_proxies: [127.0.0.1, "::1"]
  public_url: {public_url}
rules:
  - name: github
    endpoint: {endpoint}
    verify: {{github: {{secret: env:SECRET}}}}
    actions: [{{append: github.jsonl}}]
  - name: twilio
    endpoint: {endpoint}/url
    verify: {{twilio: {{secret: env:SECRET}}}}
    actions: [{{append: twilio.jsonl}}]
"""
CLIENT = "127.0.0.2"
"""Address of the client, which is not the one of the proxy."""


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Proxied:
    """A folder, a daemon and a proxy in front of it."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        self.processes = []
        self.trust = folder / "proxy.pem"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(LIMIT)

    def start(self, name, *command, **environment):
        log = open(self.folder / f"{name}.log", "wb")
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        self.processes.append(process)
        return process

    def run(self, *command, **environment):
        """Exit code and output of a program."""
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT,
        )
        return done.returncode, done.stdout.decode(errors="replace")

    def log(self, name="hookyard"):
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def serve(self, endpoint, public_url):
        """Starts the daemon; its address."""
        rules = RULES.format(endpoint=endpoint, public_url=public_url)
        (self.folder / "rules.yaml").write_text(rules)
        process = self.start("hookyard", self.binary, "serve", "rules.yaml", SECRET=SECRET)

        def listening():
            assert process.poll() is None, self.log()
            return re.search(r"http://([0-9.:]+)", self.log())

        return wait_until("the daemon serves", listening)[1]

    def nginx(self, server):
        """Starts nginx with a `server` block that listens on 443; its port."""
        port = free_port()
        self_signed(self.folder, "proxy", "/CN=proxy", "subjectAltName=DNS:hooks.example.com,DNS:example.com")
        server = server.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
        letsencrypt = r"/etc/letsencrypt/live/hooks\.example\.com/"
        server = re.sub(letsencrypt + r"fullchain\.pem", str(self.folder / "proxy.pem"), server)
        server = re.sub(letsencrypt + r"privkey\.pem", str(self.folder / "proxy.key"), server)
        kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        folders = "\n".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in kinds)
        user = "user root;\n" if os.geteuid() == 0 else ""
        text = (
            f"{user}pid nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{folders}\n{server}}}\n"
        )
        (self.folder / "nginx.conf").write_text(text)
        command = ["nginx", "-p", self.folder, "-e", "stderr", "-c", "nginx.conf"]
        code, output = self.run(*command, "-t")
        assert code == 0 and "[warn]" not in output, output
        self.start("nginx", *command, "-g", "daemon off;")
        return port

    def caddy(self, site):
        """Starts Caddy with a site, and with an authority of its own in place of Let's Encrypt; its port."""
        port = free_port()
        data = {"XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder), "HOME": str(self.folder)}
        options = ["admin off", "local_certs", "skip_install_trust", "auto_https disable_redirects"]
        ports = [f"https_port {port}", f"http_port {free_port()}"]
        (self.folder / "Caddyfile").write_text("{\n" + "\n".join(options + ports) + "\n}\n" + site)
        (self.folder / "Caddyfile.documented").write_text(site)
        for file in ("Caddyfile.documented", "Caddyfile"):
            given = ["--config", file, "--adapter", "caddyfile"]
            code, output = self.run("caddy", "validate", *given, **data)
            assert code == 0, output
        self.start("caddy", "caddy", "run", *given, **data)
        self.trust = self.folder / "caddy/pki/authorities/local/root.crt"
        wait_until("Caddy has an authority", self.trust.exists)
        return port

    def post(self, port, url, body, *headers):
        """Status and outcome of a request to a URL whose host is the proxy."""
        given = [word for header in headers for word in ("-H", header)]
        (self.folder / "body").write_bytes(body)
        to = ["--connect-to", f"::127.0.0.1:{port}", "--interface", CLIENT, "--cacert", self.trust]
        waiting = ["--retry", "60", "--retry-delay", "1", "--retry-all-errors", "-m", LIMIT]
        command = ["curl", "-q", "-sS", *to, *waiting, "-w", "\n%{http_code}", *given, "--data-binary", "@body", url]
        code, output = self.run(*command)
        assert code == 0, output
        answer, status = output.rsplit("\n", 1)
        outcome = re.search(r'"status":"([a-z ]+)"', answer)
        return int(status), outcome[1] if outcome else answer.strip()

    def github(self, port, url, body):
        """Posts a push, signed as GitHub does."""
        body = json.dumps(body).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = ["Content-Type: application/json", "X-GitHub-Event: push"]
        return self.post(port, url, body, *headers, f"X-Hub-Signature-256: sha256={signature}")

    def twilio(self, port, url):
        """Posts a form, with a signature of the URL and the form."""
        signed = (url + "MessageSidSM1").encode()
        signature = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha1).digest()).decode()
        form = "Content-Type: application/x-www-form-urlencoded"
        return self.post(port, url, b"MessageSid=SM1", form, f"X-Twilio-Signature: {signature}")

    def diagnostics(self):
        return "\n".join(f"{name}:\n{self.log(name)}" for name in ("hookyard", "nginx", "caddy") if self.log(name))
