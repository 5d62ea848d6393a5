"""The other way round: the senders' libraries verify what `hookyard send` signs.

Each request goes to a sink on the loopback interface, which keeps the bytes and answers 200. To what is signed with
another key, or long ago where a library asks for the time, the library says no.
"""

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from real_senders.request import Sent
from real_senders.sender import Back, Sender
from real_senders.tally import Tally


class Sink:
    """A server that keeps its last request."""

    def __init__(self):
        self.last: Sent | None = None
        sink = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 20

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                sink.last = Sent(body, dict(self.headers.items()), self.path, sink.address)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


def send(binary: str, sink: Sink, sender: Sender, back: Back, key: str, folder: Path, *more: str) -> Sent | str:
    """The request that arrives, or the output of a program that sends none."""
    (folder / "body").write_bytes(back.body)
    sink.last = None
    scheme = json.dumps({sender.scheme: back.fields}) if back.fields else sender.scheme
    headers = [word for line in back.headers for word in ("--header", line)]
    done = subprocess.run(
        [
            binary,
            "send",
            f"{sink.address}{sender.path}{back.query}",
            "--as",
            scheme,
            "--secret",
            "env:KEY",
            "--body",
            folder / "body",
            *headers,
            *more,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "KEY": key},
        timeout=60,
    )
    return sink.last if done.returncode == 0 and sink.last else (done.stdout + done.stderr).strip()


def try_one(binary: str, sink: Sink, sender: Sender, back: Back, number: int, folder: Path, tally: Tally) -> None:
    where = f"{sender.rule}: hookyard send {number}"
    cases = [("as it is", sender.keys.sign, True, ()), ("with another key", sender.keys.other, False, ())]
    if any(judge.asks_time for judge in sender.judges):
        cases.append(("of an hour ago", sender.keys.sign, False, ("--age", "1h")))
    for what, key, genuine, more in cases:
        found = send(binary, sink, sender, back, key, folder, *more)
        if isinstance(found, str):
            tally.check(f"{where}: {what}", False, found)
            continue
        for judge in sender.judges:
            if judge.asks_time or not more:
                doubt = judge.doubt(sender.keys.library, found)
                tally.check(
                    f"{where}: {judge.package}: {what}", (doubt is None) == genuine, doubt or "taken for genuine"
                )
