"""HTTP Message Signatures (RFC 9421), signed and judged by the library `http-message-signatures`."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms
from real_senders.request import JSON, Request, Sent, made
from real_senders.sender import Back, Judge, Keys, Sender
from real_senders.senders.by_body import with_traps

BODY = with_traps({"id": "tutorial-1", "action": "deploy"})
COVERED = ("@method", "@authority", "@path", "@query", "content-digest")
PATH = "/http_message_signatures"
QUERY = "?a=1&b=%2F"


class OneKey(HTTPSignatureKeyResolver):
    """The same key for every `keyid`."""

    def __init__(self, key: str):
        self.key = key.encode()

    def resolve_private_key(self, key_id: str) -> bytes:
        return self.key

    def resolve_public_key(self, key_id: str) -> bytes:
        return self.key


def prepared(sent: Sent) -> requests.PreparedRequest:
    return requests.Request("POST", sent.url, headers=sent.headers, data=sent.body).prepare()


def signed(sent: Sent, message: requests.PreparedRequest) -> Sent:
    """The request with the headers that the library has added."""
    for name in ("Content-Digest", "Signature-Input", "Signature"):
        if name in message.headers:
            sent = sent.with_header(name, message.headers[name])
    return sent


def asymmetric() -> Sender:
    def seal_with(nonce: str | None, covered: tuple[str, ...] = COVERED, path: str = PATH + QUERY):
        def seal(key: str, at: float) -> Sent:
            sent = Sent(BODY, {"Content-Type": JSON}, path)
            message = prepared(sent)
            signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=OneKey(key))
            signer.sign(
                message,
                key_id="k1",
                created=datetime.fromtimestamp(at, UTC),
                expires=datetime.fromtimestamp(at, UTC) + timedelta(hours=1),
                nonce=nonce,
                covered_component_ids=covered,
                body=BODY if "content-digest" in covered else None,
            )
            return signed(sent, message)

        return seal

    def requests_of(sender: Sender) -> Iterator[Request]:
        sign, other = sender.keys.sign, sender.keys.other
        request = made(
            "with a nonce", seal_with("n-1"), sign, other, proof="Signature", covers_body=True, window=300, has_id=True
        )
        bare = seal_with("n-2", ("@method", "@authority", "@path", "@query"))(sign, datetime.now(UTC).timestamp())
        request.spoilt.append(("without its digest covered", bare))
        moved = Sent(BODY, request.genuine.headers, PATH + "?a=2")
        request.spoilt.append(("with another query", moved))
        yield request
        yield made("without a nonce", seal_with(None), sign, other, proof="Signature", window=300)

    def verify(key: str, sent: Sent) -> object:
        verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=OneKey(key))
        verifier.max_clock_skew = timedelta(minutes=5)
        return verifier.verify(prepared(sent), body=sent.body)

    def pair() -> tuple[str, str]:
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return private, public

    (sign, public), (other, _) = pair(), pair()
    return Sender(
        "http_message_signatures",
        Keys(sign, other, (public,), judge=public, secret=False),
        requests_of,
        key_field="public_key",
        fields={"algorithm": "ed25519", "keyid": "k1"},
        in_file=True,
        signer="http-message-signatures",
        judges=[Judge("http-message-signatures", verify)],
    )


def symmetric() -> Sender:
    """A shared secret, with which `hookyard send` signs, too."""
    fields = {"algorithm": "hmac-sha256", "keyid": "k1", "components": ["@method", "@target-uri", "content-digest"]}
    path = "/message_secret"

    def seal(key: str, at: float) -> Sent:
        sent = Sent(BODY, {"Content-Type": JSON}, path)
        message = prepared(sent)
        signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=OneKey(key))
        covered = ("@method", "@target-uri", "content-digest")
        created = datetime.fromtimestamp(at, UTC)
        signer.sign(message, key_id="k1", created=created, covered_component_ids=covered, body=BODY)
        return signed(sent, message)

    def requests_of(sender: Sender) -> Iterator[Request]:
        yield made("a secret", seal, sender.keys.sign, sender.keys.other, proof="Signature", window=300)

    def verify(key: str, sent: Sent) -> object:
        verifier = HTTPMessageVerifier(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=OneKey(key))
        verifier.max_clock_skew = timedelta(minutes=5)
        return verifier.verify(prepared(sent), body=sent.body)

    return Sender(
        "message_secret",
        Keys("message secret: that of both sides, 0123", "message secret: that of another, 0123"),
        requests_of,
        scheme="http_message_signatures",
        fields=fields,
        judges=[Judge("http-message-signatures", verify)],
        back=[Back(BODY, fields=fields)],
    )


def senders(_) -> list[Sender]:
    return [asymmetric(), symmetric()]
