"""Text that attacks a page, in every field that a stranger can set, and a daemon that has received all of it."""

import http.server
import json
import socket
import ssl
import threading
import urllib.parse
from contextlib import contextmanager, suppress

from browser.daemon import Daemon, free_port, github
from certificates import issued, self_signed
from polling import wait_until

MARK = "window.__attacked=1"
"""What every attack that succeeds does."""
ATTACKS = {
    "script": f"<script>{MARK}</script>",
    "attribute": f'"><img src=x onerror="{MARK}">',
    "single": f"'><svg onload='{MARK}'>",
    "unquoted": f" onmouseover={MARK} autofocus onfocus={MARK} x=",
    "template": "{{7*7}}{% raw %}{{ self }}{# #}${7*7}#{7*7}<%= 7*7 %>",
    "link": f"javascript:{MARK}",
    "data": f"data:text/html,<script>{MARK}</script>",
    "textarea": f"</textarea><script>{MARK}</script>",
    "pre": f"</pre></code></title><script>{MARK}</script>",
    "end": f"</script><script>{MARK}</script>",
    "comment": f"<!--<script>--><img src=x onerror={MARK}>]]><!-->",
    "style": f"</style><style>*{{display:none}}</style>;background:url(//evil.example/{MARK})",
    "frame": f'<iframe srcdoc="<script>parent.{MARK[7:]}</script>"></iframe><base href=//evil.example/>',
    "form": '<form action=//evil.example/><input autofocus></form><meta http-equiv=refresh content="0;//evil.example">',
    "bidi": "invoice\u202efdp.exe\u2066\u200b\u200f",
    "control": "a\tb\x07\x08\x1b]0;title\x07\x1b[31mred\x1b[2J\x7f\u0085\u2028c",
    "entity": "&lt;script&gt;&amp;&#60;script&#62;&quot;",
    "encoded": "%3Cscript%3E+ADw-script+AD4-\\u003cscript\\u003e\\x3cscript",
    "long": "W" * 3000,
    "combining": "Z\u0351\u036b\u0343\u036a\u0302" * 40,
    "lines": "one\r\nSet-Cookie: a=b\r\n\r\n<b>two",
}
VISIBLE = "Pwned by a stranger"
"""Beside an attack, in every request, so that a test finds out whether a page shows it."""
HUGE = 9007199254740993
BAD_BYTES = b"\xff\xfe\xc0\x80\xed\xa0\x80\xf8"

# The comments and fixed texts are the operator's own, and the page shows them.
RULES = """\
# </script><script>window.__attacked=1</script> & <!-- "quoted" -->
server:
  listen: [{address: "127.0.0.1:@PORT@", tls: false}, "127.0.0.1:@TLS@"]
  tls: {cert: server.pem, key: server.key, client_ca: authority.pem}
  trusted_proxies: [127.0.0.1]
  stop_grace: 1s
store: {path: hookyard.db}
endpoints:
  /in/{name}: {methods: [POST, PUT, GET], verify: {github: env:SECRET}, max_body: 64KiB}
  /open: {methods: [POST, PUT, GET], verify: none, on_duplicate: run}
  /certified: {verify: {client_cert: {subject: "CN=nobody"}}}
  /waiting: {verify: none, on_duplicate: run, respond: {wait: 5s, failed: {body: "{{ actions[0].stderr }}"}}}
rules:
  - name: fail
    endpoint: /in/{name}
    concurrency: {group: "in {{ payload.value }}", limit: 100}
    retry: {attempts: 1}
    match: {event: {exists: true}, $.kind: fail}
    actions:
      - shell: cat; cat >&2; printf '%s' "$VALUE" >&2; exit 9
        stdin: body
        env: {VALUE: "{{ payload.value }}"}
    on_failure: [{append: failures.log, line: "{{ failure.reason }}"}]
  - name: print
    endpoint: /in/{name}
    match: {$.kind: print}
    actions:
      - {run: [/bin/echo, "{{ payload.value }}", "<b>fixed</b>"], id: said}
      - {append: out.log, line: "{{ actions.said.stdout }}"}
  - name: forward
    endpoint: /in/{name}
    match: {$.kind: forward}
    retry: {attempts: 1}
    actions:
      - forward:
          url: "http://127.0.0.1:@TARGET@/{{ payload.value }}"
          headers: {X-Value: "{{ payload.value | tojson }}"}
          body: "{{ payload.value }}"
  - name: elsewhere
    endpoint: /in/{name}
    match: {$.kind: elsewhere}
    retry: {attempts: 1}
    actions: [{forward: "http://{{ payload.value }}/x"}]
  - name: slow
    endpoint: /in/{name}
    match: {$.kind: slow}
    actions:
      - shell: printf '%s' "$VALUE"; printf '%s' "$VALUE" >&2; sleep 600
        env: {VALUE: "{{ payload.value }}"}
  - name: differs
    endpoint: /in/{name}
    match: {$.kind: {exists: true}, $.value: {equals: "</script><b>expected</b>"}}
    actions: [{append: out.log}]
  - name: everything
    endpoint: /open
    actions: [{run: [/bin/cat], stdin: json}]
  - name: certified
    endpoint: /certified
    actions: [{append: out.log}]
  - name: waits
    endpoint: /waiting
    retry: {attempts: 1}
    actions: [{shell: "cat >&2; exit 1", stdin: body}]
"""


@contextmanager
def attacked(binary, folder):
    """A daemon on which every field of every record attacks the page."""
    self_signed(folder, "server", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    self_signed(folder, "authority", "/CN=authority")
    with hostile_target() as target:
        daemon = Daemon(binary, folder, RULES, TLS=free_port(), TARGET=target)
        daemon.start()
        try:
            attack(daemon)
            wait_until("the attacks are worked on", lambda: settled(daemon))
            yield daemon
        finally:
            daemon.stop()


def attack(daemon):
    for name, text in ATTACKS.items():
        for kind in ["fail", "print", "forward", "elsewhere", "other"]:
            payload = {"kind": kind, "value": text, text: {text: [text, HUGE, -HUGE, 1e300]}, "note": VISIBLE}
            daemon.post(f"/in/{escaped(text)}?{escaped(text)}={escaped(text)}&n={name}", *hostile(payload, text))
    everything = "".join(ATTACKS.values())
    daemon.post("/in/slow", *hostile({"kind": "slow", "value": everything, "note": VISIBLE}, ATTACKS["script"]))
    attack_bodies(daemon)
    attack_heads(daemon)
    attack_by_certificate(daemon)


def hostile(payload, text):
    """Body and headers of a signed event, whose unsigned headers attack."""
    body, headers = github(json.dumps(payload, ensure_ascii=False).encode())
    line = header(text)
    forwarded = f'for="_{line}";by="{line}", for=192.0.2.60'
    return body, headers | {
        "X-GitHub-Event": line,
        "X-GitHub-Delivery": line,
        "User-Agent": line,
        "Forwarded": forwarded,
        "X-Forwarded-For": f"{line}, 192.0.2.61",
        "Referer": line,
        "Origin": line,
        "Accept-Language": line,
        "X-<script>".replace("<", "'").replace(">", "`"): line,
        "X-Note": VISIBLE,
    }


def attack_bodies(daemon):
    """Every kind of body, decodable and not, verified and not."""
    everything = "".join(ATTACKS.values())
    bodies = {
        "text/plain": everything.encode(),
        "text/html": everything.encode(),
        "application/xml": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x 'y'>]><a><![CDATA["
        + everything[:99].encode()
        + b"]]></a>",
        "image/svg+xml": f"<svg xmlns='http://www.w3.org/2000/svg' onload='{MARK}'/>".encode(),
        "application/x-www-form-urlencoded": urllib.parse.urlencode({text: text for text in ATTACKS.values()}).encode(),
        "application/json": BAD_BYTES,
        "application/octet-stream": bytes(range(256)) * 8,
        f'text/plain; charset="{header(ATTACKS["script"])}"': BAD_BYTES,
    }
    for kind, body in bodies.items():
        daemon.post("/open", body, {"Content-Type": kind})
        daemon.post("/waiting", body, {"Content-Type": kind})
    for name, text in ATTACKS.items():
        part = f'form-data; name="{header(text)}"; filename="{header(text)}"'.encode("latin-1", "replace")
        body = (
            b"--x\r\nContent-Disposition: "
            + part
            + b"\r\nContent-Type: text/html\r\n\r\n"
            + text.encode()
            + b"\r\n--x--\r\n"
        )
        daemon.post("/open", body, {"Content-Type": "multipart/form-data; boundary=x", "X-Name": name})
    # Unreadable, too large, and refused: the records of these quote what came.
    for text in ATTACKS.values():
        daemon.post("/in/x", *github(f'{{"{text}": {text}'.encode()))
        daemon.post("/in/x", *github(text.encode(), secret="wrong"))
    daemon.post("/in/x", *github(b"<script>" * 9000))
    nested = b"[" * 60 + b"1" + b"]" * 60
    daemon.post("/open", nested, {"Content-Type": "application/json"})
    wide = json.dumps({f"<b>{number}": number for number in range(3000)}).encode()
    daemon.post("/open", wide, {"Content-Type": "application/json"})
    daemon.post(
        "/open",
        b'{"a":1,"a":2,"__proto__":{"x":1},"constructor":9007199254740993}',
        {"Content-Type": "application/json"},
    )


def attack_heads(daemon):
    """Bytes that a client library would not send. Many of these are not HTTP, and leave no record."""
    for text in [*ATTACKS.values(), "\udcff\udcfe"]:
        raw = text.replace("\r\n", "").encode("utf-8", "surrogateescape")
        lines = [
            b"POST /open?" + raw.replace(b" ", b"+") + b" HTTP/1.1",
            b"POST /open/" + raw.replace(b" ", b"+") + b" HTTP/1.1",
            b"POST /open HTTP/1.1\r\nX-Raw: " + raw,
            b"POST /open HTTP/1.1\r\n" + raw.replace(b" ", b"") + b": name",
            b"GET /open HTTP/1.1\r\nHost: " + raw,
            raw + b" /open HTTP/1.1",
        ]
        for line in lines:
            with suppress(OSError):
                daemon.send_raw(line + b"\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")


def attack_by_certificate(daemon):
    """Client certificates whose subjects attack. The authority has signed them; the rule wants another."""
    port = next(
        int(line.rsplit(":", 1)[1].rstrip('"]\n'))
        for line in daemon.rules.read_text().splitlines()
        if "tls: false" in line
    )
    for name in ["script", "attribute", "bidi"]:
        subject = "/CN=" + ATTACKS[name].replace("\\", "").replace("/", "\\/")[:60]
        issued(daemon.folder, name, subject, "authority")
        context = ssl.create_default_context(cafile=daemon.folder / "server.pem")
        context.load_cert_chain(daemon.folder / f"{name}.pem", daemon.folder / f"{name}.key")
        with (
            socket.create_connection(("127.0.0.1", port), 10) as stream,
            context.wrap_socket(stream, server_hostname="localhost") as secure,
        ):
            secure.sendall(
                b"POST /certified HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
            )
            assert b"HTTP/1.1 40" in secure.recv(65536)


def settled(daemon):
    arrivals = daemon.arrivals()
    deliveries = [delivery for arrival in arrivals for delivery in arrival["deliveries"]]
    states = [delivery["state"] for delivery in deliveries if delivery["rule"] != "slow"]
    refused = [arrival for arrival in arrivals if arrival["outcome"] == "refused"]
    return "waiting" not in states and len(states) > 3 * len(ATTACKS) and len(refused) > len(ATTACKS)


def escaped(text):
    return urllib.parse.quote(text[:800], safe="")


def header(text):
    """The text as a header's value: no line ends, nothing that HTTP forbids there."""
    line = "".join(one for one in text[:500] if one == "\t" or (ord(one) >= 32 and ord(one) != 127))
    return line.encode().decode("latin-1")


@contextmanager
def hostile_target():
    """A server that answers every forward with attacks in its reason, headers and body."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(422, f"<script>{MARK}</script>")
            body = "".join(ATTACKS.values()).encode() + BAD_BYTES
            self.send_header("Content-Type", f"<script>{MARK}</script>")
            self.send_header("Location", f"javascript:{MARK}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
