"""Senders that sign, try again, and write down what they were answered."""

import base64
import hashlib
import hmac
import http.client
import itertools
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from cluster.kinds import GITHUB, KINDS, STANDARD

TRIES = 4
PAUSE = 0.5
"""Seconds before a sender tries again."""


def request(number, kind, lane):
    """Path, body and headers of a signed request."""
    body = json.dumps({"kind": kind, "lane": lane, "number": number, "type": kind})
    headers = {"Content-Type": "application/json", "X-Number": str(number)}
    if KINDS[kind].scheme == "github":
        digest = hmac.new(GITHUB.encode(), body.encode(), hashlib.sha256).hexdigest()
        return (
            "/github",
            body,
            headers
            | {
                "X-GitHub-Event": kind,
                "X-GitHub-Delivery": f"delivery-{number}",
                "X-Hub-Signature-256": "sha256=" + digest,
            },
        )
    identifier, now = f"msg_{number}", int(time.time())
    digest = hmac.new(base64.b64decode(STANDARD), f"{identifier}.{now}.{body}".encode(), hashlib.sha256).digest()
    return (
        "/standard",
        body,
        headers
        | {
            "webhook-id": identifier,
            "webhook-timestamp": str(now),
            "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        },
    )


class Senders:
    """Threads that send events of some kinds, one at a time each, until they are told to stop."""

    def __init__(self, ledger, port, kinds, threads=12, rate=60, seed=0, first=1):
        self.ledger, self.port, self.kinds = ledger, port, kinds
        self.pause, self.seed = threads / rate, seed
        self.numbers, self.over = itertools.count(first), threading.Event()
        self.threads = [threading.Thread(target=self.send, args=(one, threads)) for one in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def send(self, one, threads):
        """Sends events. A lane in which the newest counts belongs to one thread, so that it is known which that is."""
        dice = random.Random(f"{self.seed} {one}")
        lanes = [(kind, lane) for kind in self.kinds for lane in (range(KINDS[kind].lanes) or [""])]
        own = [pair for index, pair in enumerate(lanes) if not KINDS[pair[0]].newest or index % threads == one]
        while own and not self.over.wait(self.pause * dice.uniform(0.5, 1.5)):
            self.send_one(*dice.choice(own))

    def send_one(self, kind, lane):
        """Sends an event until it is answered with success, as the services do, but sooner."""
        number, lane = next(self.numbers), str(lane)
        signed = request(number, kind, lane)
        for attempt in range(TRIES):
            if attempt:
                time.sleep(PAUSE)
            if self.post(self.port, number, kind, lane, signed).get("status") == 200:
                return

    def send_everywhere(self, ports, kind):
        """Sends one event to all daemons in one moment, past the balancer."""
        number = next(self.numbers)
        signed, together = request(number, kind, ""), threading.Barrier(len(ports))

        def post(port):
            together.wait()
            return self.post(port, number, kind, "", signed)

        with ThreadPoolExecutor(len(ports)) as pool:
            return list(pool.map(post, ports))

    def post(self, port, number, kind, lane, signed):
        """Posts the request, and writes the answer down."""
        begin, answer = time.monotonic(), {}
        try:
            answer = exchange(port, *signed)
        except (OSError, http.client.HTTPException) as error:
            answer = {"status": 0, "word": type(error).__name__}
        answer["at"] = time.monotonic()
        self.ledger.write(number=number, kind=kind, lane=lane, begin=begin, port=port, answer=answer)
        return answer


def exchange(port, path, body, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    said = json.loads(text) if text.startswith(b"{") else {}
    return {"status": answer.status, "word": said.get("status", ""), "event": said.get("id", "")}
