"""Senders that tell of money: Stripe, Paddle, Square."""

from collections.abc import Iterator
from types import SimpleNamespace

import stripe
from paddle_billing.Notifications import Secret, Verifier
from real_senders.node import Node
from real_senders.request import JSON, Request, Sent, agree, base64, mac, made
from real_senders.sender import Back, Judge, Keys, Sender, fixture, secrets
from real_senders.senders.by_body import with_traps
from square.utils.webhooks_helper import verify_signature


def stripe_sender() -> Sender:
    body = fixture("stripe/event.json")
    keys = Keys("whsec_new_c2VjcmV0", "whsec_wrong_c2VjcmV0", ("whsec_new_c2VjcmV0", "whsec_old_c2VjcmV0"))

    def sign(key: str, at: float) -> str:
        header = stripe.WebhookSignature.generate_signature_header(body.decode(), key, int(at))
        return agree(header, f"t={int(at)},v1={mac(key.encode(), b'%d.' % at + body).hex()}")

    def sent(signature: str) -> Sent:
        return Sent(body, {"Content-Type": f"{JSON}; charset=utf-8", "Stripe-Signature": signature})

    def rolled(at: float) -> tuple[str, str]:
        return sign(keys.daemon[0], at), sign(keys.daemon[1], at)

    def seal(key: str, at: float) -> Sent:
        """With both signatures, while the secret is rolled."""
        if key != keys.sign:
            return sent(sign(key, at))
        new, old = rolled(at)
        return sent(f"{old},{new.split(',')[1]}")

    def requests(sender: Sender) -> Iterator[Request]:
        request = made(
            "payment_intent.succeeded",
            seal,
            keys.sign,
            keys.other,
            proof="Stripe-Signature",
            window=300,
            has_id=True,
        )
        at = int(request.genuine.header("Stripe-Signature").split(",")[0].removeprefix("t="))
        new, old = rolled(at)
        # Whichever of the two signatures is looked at, the event is the same.
        request.same_event += [
            ("signed with the new secret alone", sent(new)),
            ("signed with the old secret alone", sent(old)),
            ("with a signature by another key", sent(new + ",v1=" + "0" * 64)),
            ("with a signature of another kind", sent(f"{new},v0={'0' * 64}")),
        ]
        yield request

    def verify(key: str, sent: Sent) -> object:
        return stripe.Webhook.construct_event(sent.body, sent.header("Stripe-Signature"), key) is not None

    return Sender(
        "stripe",
        keys,
        requests,
        event="payment_intent.succeeded",
        signer="stripe",
        judges=[Judge("stripe", verify, asks_time=True)],
        back=[Back(body)],
    )


def paddle_sender(node: Node) -> Sender:
    """Signatures are fresh for five seconds."""
    header = "Paddle-Signature"
    body = with_traps({"event_id": "evt_1", "event_type": "transaction.completed", "notification_id": "ntf_1"})
    keys = Keys(
        "pdl_ntfset_1_GrOWLNef+vm/",
        "pdl_ntfset_2_GrOWLNef+vm/",
        ("pdl_ntfset_1_GrOWLNef+vm/", "pdl_ntfset_0_GrOWLNef+vm/"),
    )

    def seal(key: str, at: float) -> Sent:
        def sign(key: str) -> str:
            return "h1=" + mac(key.encode(), b"%d:" % at + body).hex()

        # While the secret is rolled there are two; its Node library looks at the last, its Python library at both.
        hashes = f"{sign(keys.daemon[1])};{sign(key)}" if key == keys.sign else sign(key)
        return Sent(body, {"Content-Type": JSON, header: f"ts={int(at)};{hashes}"})

    def requests(sender: Sender) -> Iterator[Request]:
        yield made("transaction.completed", seal, keys.sign, keys.other, proof=header, window=5, has_id=True)

    def verify(key: str, sent: Sent) -> object:
        return node("paddle.verify", secret=key, body=sent.body, signature=sent.header(header))

    def verify_in_python(key: str, sent: Sent) -> object:
        request = SimpleNamespace(headers={header: sent.header(header)}, body=sent.body)
        return Verifier().verify(request, Secret(key))

    return Sender(
        "paddle",
        keys,
        requests,
        event="transaction.completed",
        judges=[
            Judge("@paddle/paddle-node-sdk", verify, asks_time=True),
            Judge("paddle-python-sdk", verify_in_python, asks_time=True),
        ],
        back=[Back(body)],
    )


def square_sender() -> Sender:
    """It signs the URL, and the body behind it."""
    header = "x-square-hmacsha256-signature"
    body = with_traps({"merchant_id": "M1", "type": "payment.updated", "event_id": "sq-1"})
    target = "/square?shop=%C3%A9%2F1&note=a+b"

    def seal(key: str, _: float) -> Sent:
        sent = Sent(body, {"Content-Type": JSON}, target)
        return sent.with_header(header, base64(mac(key.encode(), sent.url.encode() + body)))

    def requests(sender: Sender) -> Iterator[Request]:
        request = made("payment.updated", seal, sender.keys.sign, sender.keys.other, proof=header)
        genuine = request.genuine
        request.spoilt = [
            ("to another URL", Sent(body, genuine.headers, target + "1")),
            ("to the URL in other letters", Sent(body, genuine.headers, target.replace("%C3", "%c3"))),
        ]
        yield request

    def verify(key: str, sent: Sent) -> object:
        return verify_signature(
            request_body=sent.body.decode(),
            signature_header=sent.header(header),
            signature_key=key,
            notification_url=sent.url,
        )

    return Sender(
        "square",
        secrets("square"),
        requests,
        event="payment.updated",
        judges=[Judge("squareup", verify)],
        back=[Back(body, query="?shop=1")],
    )


def senders(node: Node) -> list[Sender]:
    return [stripe_sender(), paddle_sender(node), square_sender()]
