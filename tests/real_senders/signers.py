"""Requests signed in Python by the senders' own libraries, and what is common to all requests.

Every signature is made by the library and compared with `hmac` here, so that a library that changes its mind is
noticed as such and not as a fault of the daemon.
"""

import base64
import hashlib
import hmac
import json
import subprocess
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import standardwebhooks
import stripe
import svix
from slack_sdk.signature import SignatureVerifier

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"

# One rule, endpoint and preset a sender. `rotated` is the secret that is being phased out, where there is one.
WHSEC = {
    "secret": "whsec_" + base64.b64encode(b"hookyard standard secret 1").decode(),
    "rotated": "whsec_" + base64.b64encode(b"hookyard standard secret 0").decode(),
    "other": "whsec_" + base64.b64encode(b"somebody else's secret, no?").decode(),
}
SECRETS = {
    rule: {"secret": f"{rule} secret: It's for Everybody", "other": f"{rule} secret: not this one"}
    for rule in ("github", "github_sha1", "gitea", "forgejo", "gogs", "bitbucket", "shopify", "slack", "plain")
} | {
    "gitlab": {"secret": "glpat-Z9x_7kQ2", "other": "glpat-Z9x_7kQ3"},
    "stripe": {"secret": "whsec_new_c2VjcmV0", "rotated": "whsec_old_c2VjcmV0", "other": "whsec_wrong_c2VjcmV0"},
    "standard": WHSEC,
    "svix": WHSEC,
}


@dataclass
class Request:
    """The very bytes that were signed, and the headers that say so."""

    rule: str
    name: str
    body: bytes
    headers: dict
    forged: dict
    """The same request signed with a secret that the daemon does not have."""
    stale: list = field(default_factory=list)
    """Headers with a genuine signature over a time too long ago, or too far ahead."""
    same_event: list = field(default_factory=list)
    """Other headers under which this is the event that was taken already."""
    covers_body: bool = True
    """Whether what is sent proves anything about the body."""


def mac(secret: bytes, content: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.digest(secret, content, algorithm)


def agree(library: str, plain: str) -> str:
    assert library == plain, f"the library signs otherwise than its documents say: {library} / {plain}"
    return library


def node(script: str) -> list[Request]:
    """What sign.mjs signed."""
    done = subprocess.run(
        ["node", script, str(FIXTURES)], input=json.dumps(SECRETS).encode(), stdout=subprocess.PIPE, check=True, timeout=120
    )
    requests = []
    for line in done.stdout.splitlines():
        made = json.loads(line)
        made["body"] = base64.b64decode(made["body"])
        requests.append(Request(**made, covers_body=made["rule"] != "gitlab"))
    for request in requests:
        if request.rule == "github":
            plain = "sha256=" + mac(SECRETS["github"]["secret"].encode(), request.body).hex()
            agree(request.headers["X-Hub-Signature-256"], plain)
    return requests


def stripe_event(now: int) -> Request:
    body = (FIXTURES / "stripe/event.json").read_bytes()
    secret = SECRETS["stripe"]

    def sign(key: str, at: int) -> str:
        header = stripe.WebhookSignature.generate_signature_header(body.decode(), key, at)
        return agree(header, f"t={at},v1={mac(key.encode(), b'%d.' % at + body).hex()}")

    def headers(signature: str) -> dict:
        return {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature}

    new, old = sign(secret["secret"], now), sign(secret["rotated"], now)
    both = new + "," + old.split(",")[1]
    return Request(
        "stripe",
        "payment_intent.succeeded, while the secret is rolled",
        body,
        headers(both),
        headers(sign(secret["other"], now)),
        stale=[headers(sign(secret["secret"], at)) for at in (now - 3600, now + 3600)],
        # Whichever of the two signatures is looked at, the event is the same.
        same_event=[headers(new), headers(old), headers(new + ",v1=" + "0" * 64)],
    )


def slack_command(now: int) -> Request:
    body = (FIXTURES / "slack/command.form").read_bytes()

    def headers(key: str, at: int) -> dict:
        signature = SignatureVerifier(key).generate_signature(timestamp=str(at), body=body)
        agree(signature, "v0=" + mac(key.encode(), b"v0:%d:" % at + body).hex())
        return {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": str(at),
            "X-Slack-Signature": signature,
        }

    secret = SECRETS["slack"]
    return Request(
        "slack",
        "slash command",
        body,
        headers(secret["secret"], now),
        headers(secret["other"], now),
        stale=[headers(secret["secret"], at) for at in (now - 3600, now + 3600)],
    )


def standard_event(rule: str, library, family: str, now: int) -> Request:
    """Standard Webhooks under either name of its headers."""
    body = '{"type":"invoice.paid","timestamp":"2026-11-20T08:31:11Z","data":{"id":"inv_1","café":"§"}}'
    event_id = f"msg_{rule}_2aQmD5Z6cUPzK8bW7xL1"
    secret = SECRETS[rule]

    def sign(key: str, at: int) -> str:
        signature = library(key).sign(event_id, datetime.fromtimestamp(at, tz=timezone.utc), body)
        content = f"{event_id}.{at}.{body}".encode()
        plain = mac(base64.b64decode(key.removeprefix("whsec_")), content)
        return agree(signature, "v1," + base64.b64encode(plain).decode())

    def headers(signature: str, at: int) -> dict:
        return {
            "Content-Type": "application/json",
            f"{family}-id": event_id,
            f"{family}-timestamp": str(at),
            f"{family}-signature": signature,
        }

    new, old = sign(secret["secret"], now), sign(secret["rotated"], now)
    return Request(
        rule,
        "invoice.paid, while the secret is rolled",
        body.encode(),
        headers(f"{new} {old}", now),
        headers(sign(secret["other"], now), now),
        stale=[headers(sign(secret["secret"], at), at) for at in (now - 3600, now + 3600)],
        # The sender's retry signs a new time, and the id stays; and either secret will do.
        same_event=[headers(old, now), headers(sign(secret["secret"], now - 20), now - 20), headers(f"v1a,AAAA {new}", now)],
    )


def plain_event(now: int) -> Request:
    """The scheme of the tutorials: hex HMAC-SHA256 of the body in X-Signature, Unix seconds in X-Timestamp."""
    body = b'{"id":"tutorial-1","action":"deploy","note":"{timestamp} {body} $& \\\\1 %s"}\r\n'

    def headers(key: str, at: int) -> dict:
        signature = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
        return {"Content-Type": "application/json", "X-Signature": signature, "X-Timestamp": str(at)}

    secret = SECRETS["plain"]
    return Request(
        "plain",
        "tutorial",
        body,
        headers(secret["secret"], now),
        headers(secret["other"], now),
        stale=[headers(secret["secret"], at) for at in (now - 3600, now + 3600)],
    )


def python() -> list[Request]:
    """What is signed here."""
    now = int(time.time())
    return [
        stripe_event(now),
        slack_command(now),
        standard_event("standard", standardwebhooks.Webhook, "webhook", now),
        standard_event("svix", svix.Webhook, "svix", now),
        plain_event(now),
    ]
