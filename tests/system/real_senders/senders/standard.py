"""Standard Webhooks under either name of its headers, with a shared secret or a private key; GitLab has them, too."""

from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime

import standardwebhooks
import svix
from nacl.signing import SigningKey, VerifyKey
from real_senders.request import JSON, Request, Sent, agree, base64, mac, made
from real_senders.sender import Back, Judge, Keys, Sender
from real_senders.senders.by_body import with_traps

BODY = with_traps({"type": "invoice.paid", "timestamp": "2026-11-20T08:31:11Z", "data": {"id": "inv_1"}})
NEW, OLD, OTHER = ("whsec_" + base64(f"hookyard standard secret {name}".encode()) for name in ("new", "old", "other"))


def symmetric(rule: str, library, package: str, family: str, **more) -> Sender:
    header = f"{family}-signature"
    event_id = f"msg_{rule}_2aQmD5Z6cUPzK8bW7xL1"

    def sign(key: str, at: float) -> str:
        signature = library(key).sign(event_id, datetime.fromtimestamp(int(at), UTC), BODY.decode())
        content = f"{event_id}.{int(at)}.".encode() + BODY
        return agree(signature, "v1," + base64(mac(b64decode(key.removeprefix("whsec_")), content)))

    def sent(signature: str, at: float) -> Sent:
        headers = {"Content-Type": JSON, "X-Gitlab-Event": "Push Hook"}
        return Sent(BODY, headers | {f"{family}-id": event_id, f"{family}-timestamp": str(int(at)), header: signature})

    def requests(sender: Sender) -> Iterator[Request]:
        def seal(key: str, at: float) -> Sent:
            return sent(sign(key, at), at)

        request = made("invoice.paid", seal, NEW, OTHER, proof=header, window=300, has_id=True)
        at = int(request.genuine.header(f"{family}-timestamp"))
        new, old = sign(NEW, at), sign(OLD, at)
        # The sender's retry signs a new time, and the id stays; and either secret will do.
        request.same_event += [
            ("signed with both secrets", sent(f"{old} {new}", at)),
            ("signed with the old secret", sent(old, at)),
            ("with a signature of another kind", sent(f"v1a,AAAA {new}", at)),
        ]
        request.spoilt += [
            ("with another id", request.genuine.with_header(f"{family}-id", event_id + "2")),
            ("with another time", request.genuine.with_header(f"{family}-timestamp", str(at - 1))),
            ("without an id", request.genuine.with_header(f"{family}-id", None)),
            ("without a time", request.genuine.with_header(f"{family}-timestamp", None)),
        ]
        yield request

    def verify(key: str, sent: Sent) -> object:
        library(key).verify(sent.body, sent.headers)
        return True

    return Sender(
        rule,
        Keys(NEW, OTHER, (NEW, OLD)),
        requests,
        signer=package,
        judges=[Judge(package, verify, asks_time=True)],
        back=[Back(BODY)],
        **more,
    )


def asymmetric() -> Sender:
    """`v1a`, which no library of the standard's signs or verifies yet: Ed25519 by PyNaCl."""

    def private() -> tuple[str, str]:
        key = SigningKey.generate()
        public = key.verify_key.encode()
        return "whsk_" + base64(key.encode() + public), "whpk_" + base64(public)

    (sign, public), (other, _) = private(), private()
    event_id = "msg_v1a_2aQmD5Z6cUPzK8bW7xL1"

    def content(sent: Sent) -> bytes:
        return f"{sent.header('webhook-id')}.{sent.header('webhook-timestamp')}.".encode() + sent.body

    def seal(key: str, at: float) -> Sent:
        sent = Sent(BODY, {"Content-Type": JSON, "webhook-id": event_id, "webhook-timestamp": str(int(at))})
        seed = b64decode(key.removeprefix("whsk_"))[:32]
        signature = SigningKey(seed).sign(content(sent)).signature
        return sent.with_header("webhook-signature", "v1a," + base64(signature))

    def requests(sender: Sender) -> Iterator[Request]:
        request = made("invoice.paid", seal, sign, other, proof="webhook-signature", window=300, has_id=True)
        genuine = request.genuine
        symmetric = f"v1,{base64(bytes(32))} {genuine.header('webhook-signature')}"
        request.same_event.append(("beside a symmetric signature", genuine.with_header("webhook-signature", symmetric)))
        yield request

    def verify(key: str, sent: Sent) -> object:
        signature = sent.header("webhook-signature").removeprefix("v1a,")
        return VerifyKey(b64decode(key.removeprefix("whpk_"))).verify(content(sent), b64decode(signature))

    return Sender(
        "standard_v1a",
        Keys(sign, other, (public,), judge=public, secret=False),
        requests,
        key_field="public_key",
        event="invoice.paid",
        signer="pynacl",
        judges=[Judge("pynacl", verify)],
        back=[Back(BODY)],
    )


def senders(_) -> list[Sender]:
    return [
        symmetric("standard", standardwebhooks.Webhook, "standardwebhooks", "webhook", event="invoice.paid"),
        symmetric("svix", svix.Webhook, "svix", "svix", event="invoice.paid"),
        symmetric("gitlab_signing", standardwebhooks.Webhook, "standardwebhooks", "webhook", event="Push Hook"),
        asymmetric(),
    ]
