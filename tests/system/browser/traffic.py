"""A daemon as an operator finds it: every outcome of an arrival, and every state of a delivery."""

import json
import time
from pathlib import Path

from browser.daemon import SECRET, Daemon, free_port, github, slack, stripe
from paths import ROOT
from polling import wait_until

RULES = """\
# Webhooks of acme: deploys, payments and alerts.
server:
  listen: 127.0.0.1:@PORT@
  trusted_proxies: [127.0.0.1]
  stop_grace: 1s
store: {path: hookyard.db}
endpoints:
  /github:
    verify: {github: env:SECRET}
    max_body: 64KiB
  /stripe: {verify: {stripe: env:SECRET}}
  /alerts:
    verify: {bearer: env:SECRET}
    on_duplicate: run
    rate_limit: {rate: 1/h, burst: 8, per: client}
  /uploads:
    verify: {token: {header: X-Token, secret: env:SECRET}}
    on_duplicate: run
  /slack: {verify: {slack: env:SECRET}}
rules:
  # One deploy of a repository at a time.
  - name: deploy-site
    endpoint: /github
    match: {event: push, $.ref: refs/heads/main}
    concurrency: {group: "deploy {{ payload.repository.name }}", limit: 1}
    actions:
      - id: build
        shell: |
          echo "building $COMMIT"
          n=0
          while [ ! -e released ]; do
            n=$((n + 1)); echo "step $n"; sleep 0.5
          done
          echo "deployed $COMMIT"
        env: {COMMIT: "{{ payload.after }}"}
        timeout: 10m
  - name: rebuild-docs
    endpoint: /github
    match: {event: push, $.ref: refs/heads/main, "$.commits[*].modified[*]": {glob: "docs/**"}}
    debounce: {quiet: 1h, at_most: 2h}
    actions: [{run: [/bin/echo, "docs of {{ payload.repository.full_name }}"]}]
  - name: tell-chat
    endpoint: /github
    match: {event: issues}
    retry: {attempts: 9, backoff: [0s, 1h]}
    actions:
      - forward: {url: "http://127.0.0.1:@CLOSED@/chat", body: '{"text": {{ payload.action | tojson }}}'}
  - name: label-issues
    endpoint: /github
    match: {event: issue_comment}
    actions: [{run: [/bin/echo, "label {{ payload.issue.number }}"]}]
  - name: book-payment
    endpoint: /stripe
    match: {event: payment_intent.succeeded}
    actions: [{append: payments.jsonl}, {run: [/bin/echo, "booked {{ payload.data.object.amount }}"]}]
  - name: refund
    endpoint: /stripe
    match: {event: charge.refunded}
    retry: {attempts: 1}
    actions: [{shell: 'echo "ledger: account $ID is closed" >&2; exit 3', env: {ID: "{{ payload.data.object.id }}"}}]
  - name: sync-customers
    endpoint: /stripe
    match: {event: customer.updated}
    retry: {attempts: 9, backoff: [1h]}
    actions: [{shell: 'echo "the directory does not answer" >&2; exit 75'}]
  - name: page-on-call
    endpoint: /alerts
    for_each: $.alerts[*]
    match: {"@.status": firing}
    actions: [{run: [/bin/echo, "{{ item.labels.alertname }} on {{ item.labels.instance }}"]}]
  - name: archive-alerts
    endpoint: /alerts
    actions: [{append: alerts.jsonl}]
  - name: scan-upload
    endpoint: /uploads
    match: {query.kind: invoice}
    actions: [{run: [/bin/echo, "scanned {{ payload.number }}"]}]
  - name: answer-slack
    endpoint: /slack
    actions: [{append: slack.jsonl}]
"""
OUTCOMES = set("accepted duplicate ignored refused stale unreadable too-large limited handshake".split())
HUGE = 9007199254740993
"""2^53 + 1, which a number of JavaScript cannot hold."""


def shop(binary, folder):
    """A daemon that has received all of this traffic, and has begun to work on it."""
    daemon = Daemon(binary, folder, RULES, CLOSED=free_port()).start()
    try:
        fill(daemon)
    except BaseException:
        daemon.stop()
        raise
    return daemon


def fill(daemon):
    daemon.output("rules", "pause", "archive-alerts")
    for number in range(3):
        daemon.post("/github", *push(number))
    for number in range(6):
        daemon.post("/github", *github({"action": "opened", "issue": {"number": number}}, "issues"))
    duplicate = github({"action": "created", "issue": {"number": 7, "id": HUGE}}, "issue_comment")
    assert "accepted" in daemon.post("/github", *duplicate)[1]
    assert "duplicate" in daemon.post("/github", *duplicate)[1]
    assert "ignored" in daemon.post("/github", *push(9, ref="refs/heads/feature"))[1]
    daemon.post("/github", *github({"zen": "Keep it logically awesome."}, "ping"))
    for number in range(3):
        assert daemon.post("/github", *github({"n": number}, secret="wrong"))[0] == 403
    assert daemon.post("/github", *github(b'{"ref": "refs/heads/main", '))[0] == 400
    assert daemon.post("/github", *github({"x": "y" * 70_000}))[0] == 413

    for number in range(4):
        daemon.post("/stripe", *stripe(payment("payment_intent.succeeded", number)))
    for number in range(3):
        daemon.post("/stripe", *stripe(payment("charge.refunded", number)))
    daemon.post("/stripe", *stripe(payment("customer.updated", 1)))
    daemon.post("/stripe", *stripe(payment("payment_intent.succeeded", 99), time.time() - 3600))
    daemon.post("/slack", *slack({"type": "url_verification", "challenge": "3eZbrw1aB"}))

    alerts = (ROOT / "tests/fixtures/alertmanager/alerts.json").read_bytes()
    for client in ["192.0.2.7"] * 9 + ["2001:db8::17"]:
        headers = bearer() | {"Content-Type": "application/json", "X-Forwarded-For": client}
        daemon.post("/alerts", alerts, headers)
    daemon.post("/uploads?kind=invoice", *upload())
    wait_until("the traffic is worked on", lambda: settled(daemon))


def settled(daemon):
    """Whether all that can be done is done. The records of what became no event are written a little later."""
    arrivals = daemon.arrivals()
    states = [delivery["state"] for arrival in arrivals for delivery in arrival["deliveries"]]
    return states.count("dead") == 3 and states.count("done") >= 8 and {one["outcome"] for one in arrivals} >= OUTCOMES


def push(number, ref="refs/heads/main"):
    """A push as GitHub sends one, with another commit each."""
    payload = json.loads((ROOT / "tests/fixtures/github/push.json").read_text())
    payload |= {"ref": ref, "after": f"{number:040x}"}
    if payload.get("commits"):
        payload["commits"][0]["modified"] = ["docs/index.md"]
    return github(payload, "push", delivery=f"72d3162e-cc78-11e3-81ab-{number:012x}")


def payment(kind, number):
    subject = {"id": f"ch_{number}", "amount": 1999 + number, "currency": "eur", "metadata": {"order": HUGE + number}}
    return {"id": f"evt_{kind}_{number}", "type": kind, "data": {"object": subject}}


def bearer():
    return {"Authorization": f"Bearer {SECRET}"}


def upload():
    parts = [
        b'--frontier\r\nContent-Disposition: form-data; name="number"\r\n\r\n4711',
        b'--frontier\r\nContent-Disposition: form-data; name="scan"; filename="invoice.pdf"\r\n'
        b"Content-Type: application/pdf\r\n\r\n%PDF-1.7\x00\xff\xfe",
        b"--frontier--\r\n",
    ]
    return b"\r\n".join(parts), {"Content-Type": "multipart/form-data; boundary=frontier", "X-Token": SECRET}


def release(daemon):
    """Lets the running deploys end."""
    Path(daemon.folder / "released").touch()
