"""Senders of one's own making: `hmac`, `ed25519` and `ecdsa_p256` with their fields written out."""

from base64 import b64decode
from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from nacl.signing import SigningKey, VerifyKey
from real_senders.request import JSON, Request, Sent, base64, mac, made
from real_senders.sender import Back, Judge, Keys, Sender, secrets
from real_senders.senders.by_body import with_traps

BODY = with_traps({"id": "tutorial-1", "action": "deploy"})


def hmac() -> Sender:
    """The scheme of the tutorials, and the time beside it, which it signs."""

    def seal(key: str, at: float) -> Sent:
        signature = mac(key.encode(), b"%d." % at + BODY).hex()
        return Sent(BODY, {"Content-Type": JSON, "X-Signature": signature, "X-Timestamp": str(int(at))})

    def requests(sender: Sender) -> Iterator[Request]:
        yield made("tutorial", seal, sender.keys.sign, sender.keys.other, proof="X-Signature", window=300)

    fields = {"content": "{timestamp}.{body}", "timestamp": {"header": "X-Timestamp", "unit": "s"}}
    return Sender("hmac", secrets("hmac"), requests, fields=fields)


def ed25519() -> Sender:
    """In milliseconds and base64, where Discord has seconds and hex."""
    sign, other = SigningKey.generate(), SigningKey.generate()

    def content(sent: Sent) -> bytes:
        return sent.header("X-Time").encode() + b"." + sent.body

    def seal(key: str, at: float) -> Sent:
        sent = Sent(BODY, {"Content-Type": JSON, "X-Time": str(int(at * 1000))})
        signature = SigningKey(b64decode(key)).sign(content(sent)).signature
        return sent.with_header("X-Sig", "ed25519=" + base64(signature))

    def requests(sender: Sender) -> Iterator[Request]:
        request = made("tutorial", seal, sender.keys.sign, sender.keys.other, proof="X-Sig", window=300)
        bare = request.genuine.header("X-Sig").removeprefix("ed25519=")
        request.spoilt.append(("without its prefix", request.genuine.with_header("X-Sig", bare)))
        yield request

    def verify(key: str, sent: Sent) -> object:
        signature = b64decode(sent.header("X-Sig").removeprefix("ed25519="))
        return VerifyKey(b64decode(key)).verify(content(sent), signature)

    fields = {
        "key_encoding": "base64",
        "header": "X-Sig",
        "encoding": "base64",
        "prefix": "ed25519=",
        "content": "{timestamp}.{body}",
        "timestamp": {"header": "X-Time", "unit": "ms"},
    }
    public = base64(sign.verify_key.encode())
    return Sender(
        "ed25519",
        Keys(base64(sign.encode()), base64(other.encode()), (public,), judge=public, secret=False),
        requests,
        key_field="public_key",
        fields=fields,
        signer="pynacl",
        judges=[Judge("pynacl", verify)],
        back=[Back(BODY, fields=fields)],
    )


def ecdsa_p256() -> Sender:
    """A key in PEM, in a file; a signature in DER, or in its fixed form of 64 bytes."""

    def private() -> tuple[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), public.decode()

    (sign, public), (other, _) = private(), private()

    def raw(key: str) -> bytes:
        return load_pem_private_key(key.encode(), None).sign(BODY, ec.ECDSA(hashes.SHA256()))

    def sent(signature: bytes) -> Sent:
        return Sent(BODY, {"Content-Type": JSON, "X-Sig": base64(signature)})

    def fixed(der: bytes) -> bytes:
        return b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(der))

    def requests(sender: Sender) -> Iterator[Request]:
        request = made("tutorial", lambda key, _: sent(raw(key)), sign, other, proof="X-Sig")
        request.same_event += [
            ("signed again, which gives another signature", sent(raw(sign))),
            ("signed in the fixed form", sent(fixed(raw(sign)))),
        ]
        request.spoilt.append(("signed by another key in the fixed form", sent(fixed(raw(other)))))
        yield request

    fields = {"header": "X-Sig", "encoding": "base64", "content": "{body}"}
    return Sender(
        "ecdsa_p256",
        Keys(sign, other, (public,), secret=False),
        requests,
        key_field="public_key",
        fields=fields,
        in_file=True,
    )


def senders(_) -> list[Sender]:
    return [hmac(), ed25519(), ecdsa_p256()]
