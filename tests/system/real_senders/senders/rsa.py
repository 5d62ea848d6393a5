"""Senders that sign with RSA: Wise, Travis CI, and the schemes with their fields written out."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from real_senders.request import FORM, JSON, Request, Sent, base64, made
from real_senders.sender import Keys, Sender
from real_senders.senders.by_body import with_traps

BODY = with_traps({"id": "tutorial-1", "action": "deploy"})


def keys(public: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> Keys:
    def private() -> tuple[str, str]:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem.decode(), key.public_key().public_bytes(Encoding.PEM, public).decode()

    (sign, verify), (other, _) = private(), private()
    return Keys(sign, other, (verify,), secret=False)


def pkcs1(key: str, content: bytes, digest: hashes.HashAlgorithm) -> bytes:
    return load_pem_private_key(key.encode(), None).sign(content, padding.PKCS1v15(), digest)


def pss(key: str, content: bytes, digest: hashes.HashAlgorithm) -> bytes:
    how = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
    return load_pem_private_key(key.encode(), None).sign(content, how, digest)


def wise() -> Sender:
    body = with_traps({"event_type": "transfers#state-change", "data": {"resource": {"id": 111}}})

    def seal(key: str, _: float) -> Sent:
        signature = base64(pkcs1(key, body, hashes.SHA256()))
        return Sent(body, {"Content-Type": JSON, "X-Signature-SHA256": signature, "X-Delivery-Id": "d-1"})

    def requests(sender: Sender) -> Iterator[Request]:
        keys = sender.keys
        yield made("a transfer", seal, keys.sign, keys.other, proof="X-Signature-SHA256")

    return Sender("wise", keys(), requests, key_field="public_key", in_file=True, event="transfers#state-change")


def travis() -> Sender:
    """Travis CI signs the decoded payload of a form, with SHA-1."""
    payload = with_traps({"id": 1, "state": "passed", "repository": {"name": "site"}})
    form = urlencode({"payload": payload.decode()}).encode()

    def seal(key: str, _: float) -> Sent:
        return Sent(form, {"Content-Type": FORM, "Signature": base64(pkcs1(key, payload, hashes.SHA1()))})

    def requests(sender: Sender) -> Iterator[Request]:
        # The form may be written in other ways, so that not each of its bytes is covered.
        keys = sender.keys
        request = made("a build", seal, keys.sign, keys.other, proof="Signature", covers_body=False)
        other = urlencode({"payload": payload.decode().replace("passed", "failed")}).encode()
        request.spoilt.append(("with another state", Sent(other, request.genuine.headers)))
        yield request

    return Sender("travis", keys(PublicFormat.PKCS1), requests, key_field="public_key", in_file=True)


def generic(scheme: str, sign: Callable, digest: hashes.HashAlgorithm, fields: dict) -> Sender:
    def encode(raw: bytes) -> str:
        url_safe = fields.get("encoding") == "base64url"
        return b64encode(raw, altchars=b"-_").decode().rstrip("=") if url_safe else base64(raw)

    def seal(key: str, _: float) -> Sent:
        return Sent(BODY, {"Content-Type": JSON, "X-Sig": encode(sign(key, BODY, digest))})

    def requests(sender: Sender) -> Iterator[Request]:
        keys = sender.keys
        request = made("tutorial", seal, keys.sign, keys.other, proof="X-Sig")
        if sign is pss:
            again = seal(keys.sign, 0)
            request.same_event.append(("signed again, which gives another signature", again))
        other = pkcs1 if sign is pss else pss
        if digest.name != "sha1":
            wrong = Sent(BODY, {"Content-Type": JSON, "X-Sig": encode(other(keys.sign, BODY, digest))})
            request.spoilt.append(("signed with another padding", wrong))
        yield request

    return Sender(scheme, keys(), requests, key_field="public_key", fields={"header": "X-Sig"} | fields, in_file=True)


def senders(_) -> list[Sender]:
    return [
        wise(),
        travis(),
        generic("rsa_sha256", pss, hashes.SHA256(), {"padding": "pss"}),
        generic("rsa_sha512", pkcs1, hashes.SHA512(), {"encoding": "base64url"}),
        generic("rsa_sha1", pkcs1, hashes.SHA1(), {}),
    ]
