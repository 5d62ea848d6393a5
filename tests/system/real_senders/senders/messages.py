"""Senders that carry messages: Slack, SendGrid, Mailgun, Discord, LINE, Teams."""

import json
from base64 import b64decode
from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from mailgun.security import SecurityGuard
from nacl.signing import SigningKey, VerifyKey
from real_senders.node import Node
from real_senders.request import FORM, JSON, TRAPS, Request, Sent, agree, base64, garbled, mac, made
from real_senders.sender import Back, Judge, Keys, Sender, fixture, secrets
from real_senders.senders.by_body import by_body, text, with_traps
from sendgrid.helpers.eventwebhook import EventWebhook
from slack_sdk.signature import SignatureVerifier


def slack() -> Sender:
    events = {
        "a slash command": (fixture("slack/command.form"), FORM),
        "an event": (
            with_traps({"command": "/webhook-collect", "type": "event_callback", "event": {"type": "message"}}),
            JSON,
        ),
    }

    def requests(sender: Sender) -> Iterator[Request]:
        for name, (body, content_type) in events.items():

            def seal(key: str, at: float, body=body, content_type=content_type) -> Sent:
                stamp = str(int(at))
                signature = SignatureVerifier(key).generate_signature(timestamp=stamp, body=body)
                agree(signature, "v0=" + mac(key.encode(), f"v0:{stamp}:".encode() + body).hex())
                headers = {"Content-Type": content_type, "X-Slack-Request-Timestamp": stamp}
                return Sent(body, headers | {"X-Slack-Signature": signature})

            yield made(name, seal, sender.keys.sign, sender.keys.other, proof="X-Slack-Signature", window=300)

    def verify(key: str, sent: Sent) -> object:
        return SignatureVerifier(key).is_valid_request(sent.body, sent.headers)

    return Sender(
        "slack",
        secrets("slack"),
        requests,
        match={"$.command": "/webhook-collect"},
        signer="slack_sdk",
        judges=[Judge("slack_sdk", verify, asks_time=True)],
        back=[Back(fixture("slack/command.form"), (f"Content-Type: {FORM}",))],
    )


def sendgrid(node: Node) -> Sender:
    """ECDSA over the time and the body, whose line end counts."""
    header, stamp_header = "X-Twilio-Email-Event-Webhook-Signature", "X-Twilio-Email-Event-Webhook-Timestamp"
    body = text([{"email": "a@example.com", "event": "delivered", "sg_event_id": "1", "note": TRAPS}])

    def private() -> tuple[str, str]:
        """A private key, and its public half as SendGrid shows it."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())), base64(public)

    (sign, public), (other, _) = private(), private()

    def seal(key: str, at: float) -> Sent:
        stamp = str(int(at))
        signature = load_der_private_key(b64decode(key), None).sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return Sent(body, {"Content-Type": JSON, stamp_header: stamp, header: base64(signature)})

    def requests(sender: Sender) -> Iterator[Request]:
        request = made("delivered", seal, sign, other, proof=header, window=300)
        again = seal(sign, int(request.genuine.header(stamp_header)))
        request.same_event.append(("signed again, which gives another signature", again))
        request.spoilt.append(("without its line end", Sent(body.removesuffix(b"\r\n"), request.genuine.headers)))
        yield request

    def verify(key: str, sent: Sent) -> object:
        given = {"signature": sent.header(header), "timestamp": sent.header(stamp_header)}
        return node("sendgrid.verify", secret=key, body=sent.body, **given)

    def verify_in_python(key: str, sent: Sent) -> object:
        return EventWebhook(key).verify_signature(sent.body.decode(), sent.header(header), sent.header(stamp_header))

    return Sender(
        "sendgrid",
        Keys(sign, other, (public,), judge=public, secret=False),
        requests,
        key_field="public_key",
        event="delivered",
        judges=[Judge("@sendgrid/eventwebhook", verify), Judge("sendgrid", verify_in_python)],
        back=[Back(body)],
    )


def mailgun() -> Sender:
    """The time and a token are signed, and the rest of the body is not."""
    token = "ae0f2c0e5d9d4b7f9b0c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f"

    def body(signature: dict, event: str = "delivered") -> Sent:
        payload = {
            "signature": signature,
            "event-data": {"event": event, "id": "CPgfbmQMTCKtHW6uIWtuVe", "note": TRAPS},
        }
        return Sent(text(payload), {"Content-Type": JSON})

    def signed(key: str, at: float) -> dict:
        stamp = str(int(at))
        return {"timestamp": stamp, "token": token, "signature": mac(key.encode(), (stamp + token).encode()).hex()}

    def requests(sender: Sender) -> Iterator[Request]:
        request = made(
            "delivered",
            lambda key, at: body(signed(key, at)),
            sender.keys.sign,
            sender.keys.other,
            proof=None,
            covers_body=False,
            window=900,
            has_id=True,
        )
        genuine = json.loads(request.genuine.body)["signature"]
        request.same_event.append(("the token with another event", body(genuine, "opened")))
        request.spoilt += [
            ("with another token", body(genuine | {"token": "b" + token[1:]})),
            ("with another time", body(genuine | {"timestamp": str(int(genuine["timestamp"]) + 1)})),
            ("with one digit of the signature changed", body(genuine | {"signature": garbled(genuine["signature"])})),
            ("without its signature", body({"timestamp": genuine["timestamp"], "token": token})),
            ("with nothing signed", body({})),
        ]
        yield request

    def verify(key: str, sent: Sent) -> object:
        signature = json.loads(sent.body)["signature"]
        return SecurityGuard.verify_webhook(key, signature["token"], signature["timestamp"], signature["signature"])

    return Sender(
        "mailgun",
        secrets("mailgun"),
        requests,
        event="*",
        judges=[Judge("mailgun", verify, asks_time=True)],
        back=[Back(b'{"event-data": {"event": "delivered", "id": "1"}}')],
    )


def discord(node: Node) -> Sender:
    header, stamp_header = "X-Signature-Ed25519", "X-Signature-Timestamp"
    body = with_traps({"version": 1, "application_id": "1", "type": 1, "event": {"type": "APPLICATION_AUTHORIZED"}})
    sign, other = SigningKey.generate(), SigningKey.generate()

    def seal(key: str, at: float) -> Sent:
        stamp = str(int(at))
        signature = SigningKey(bytes.fromhex(key)).sign(stamp.encode() + body).signature.hex()
        return Sent(body, {"Content-Type": JSON, stamp_header: stamp, header: signature})

    def requests(sender: Sender) -> Iterator[Request]:
        yield made("an application is authorised", seal, sender.keys.sign, sender.keys.other, proof=header, window=300)

    def verify(key: str, sent: Sent) -> object:
        given = {"signature": sent.header(header), "timestamp": sent.header(stamp_header)}
        return node("discord.verify", secret=key, body=sent.body, **given)

    def verify_by_nacl(key: str, sent: Sent) -> object:
        content = sent.header(stamp_header).encode() + sent.body
        return VerifyKey(bytes.fromhex(key)).verify(content, bytes.fromhex(sent.header(header)))

    public = sign.verify_key.encode().hex()
    return Sender(
        "discord",
        Keys(sign.encode().hex(), other.encode().hex(), (public,), judge=public, secret=False),
        requests,
        key_field="public_key",
        event="APPLICATION_AUTHORIZED",
        # Discord probes with bad signatures, and takes nothing but 401 for a no.
        refused=(401, "refused"),
        signer="pynacl",
        judges=[Judge("discord-interactions", verify), Judge("pynacl", verify_by_nacl)],
        back=[Back(body)],
    )


def line(node: Node) -> Sender:
    header = "X-Line-Signature"
    body = with_traps({"destination": "U1", "events": [{"type": "message", "webhookEventId": "01"}]})

    def verify(key: str, sent: Sent) -> object:
        return node("line.verify", secret=key, body=sent.body, signature=sent.header(header))

    judges = [Judge("@line/bot-sdk", verify)]
    return by_body(
        "line", header, {"a message": body}, encode=base64, event="message", judges=judges, back=[Back(body)]
    )


def teams() -> Sender:
    """An outgoing webhook: its security token is base64."""
    return by_body(
        "teams",
        "Authorization",
        {"a mention": with_traps({"type": "message", "id": "1485983408511", "text": "<at>hook</at> é"})},
        prefix="HMAC ",
        encode=base64,
        key=b64decode,
        keys=Keys(base64(b"hookyard teams token, 32 bytes.."), base64(b"somebody else's token, 32 bytes.")),
        event="message",
    )


def senders(node: Node) -> list[Sender]:
    return [slack(), sendgrid(node), mailgun(), discord(node), line(node), teams()]
