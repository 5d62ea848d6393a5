"""Senders that send a token: Netlify, and of the generic `jwt` what Plaid and what Google's Pub/Sub do."""

import hashlib
import json
import time
from collections.abc import Iterator
from types import SimpleNamespace

import google.auth.jwt
import google.oauth2.id_token
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.auth.crypt import RSASigner
from jwt.algorithms import ECAlgorithm
from real_senders.request import JSON, Request, Sent, made
from real_senders.sender import Back, Judge, Keys, Sender
from real_senders.senders.by_body import with_traps


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def netlify() -> Sender:
    """HS256 over a digest of the body."""
    header = "X-Webhook-Signature"
    body = with_traps({"id": "1", "state": "ready"})

    def token(key: str, claims: dict, algorithm: str = "HS256") -> Sent:
        return Sent(body, {"Content-Type": JSON, header: jwt.encode(claims, key, algorithm)})

    def seal(key: str, _: float) -> Sent:
        return token(key, {"iss": "netlify", "sha256": digest(body)})

    def requests(sender: Sender) -> Iterator[Request]:
        key = sender.keys.sign
        request = made("a deploy", seal, key, sender.keys.other, proof=header)
        request.spoilt += [
            ("of another issuer", token(key, {"iss": "netlify2", "sha256": digest(body)})),
            ("of another body", token(key, {"iss": "netlify", "sha256": digest(body + b" ")})),
            ("of no body", token(key, {"iss": "netlify"})),
            ("by another algorithm", token(key, {"iss": "netlify", "sha256": digest(body)}, "HS512")),
            ("by none", token("", {"iss": "netlify", "sha256": digest(body)}, "none")),
        ]
        yield request

    def verify(key: str, sent: Sent) -> object:
        claims = jwt.decode(sent.header(header), key, ["HS256"], issuer="netlify")
        return claims["sha256"] == digest(sent.body)

    # RFC 7518 wants as many bytes as the hash has, and PyJWT warns of fewer.
    keys = Keys("netlify secret: ".ljust(64, "k"), "netlify secret: ".ljust(64, "x"))
    judges = [Judge("PyJWT", verify)]
    return Sender("netlify", keys, requests, signer="PyJWT", judges=judges, back=[Back(body)])


def plaid() -> Sender:
    """ES256 by a key of a set, over a digest of the body and the time."""
    header = "Plaid-Verification"
    body = with_traps({"webhook_type": "TRANSACTIONS", "webhook_code": "SYNC_UPDATES_AVAILABLE"})

    def private(kid: str) -> tuple[str, dict]:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return pem, public | {"kid": kid, "use": "sig", "alg": "ES256", "created_at": 1560466150, "expired_at": None}

    (sign, public), (other, _), (_, another_public) = private("bfbd5111"), private("bfbd5111"), private("6c5516e1")
    jwks = json.dumps({"keys": [another_public, public]})

    def token(key: str, at: float, kid: str = "bfbd5111", **claims) -> Sent:
        claims = {"iat": int(at), "request_body_sha256": digest(body)} | claims
        return Sent(body, {"Content-Type": JSON, header: jwt.encode(claims, key, "ES256", {"kid": kid})})

    def requests(sender: Sender) -> Iterator[Request]:
        request = made("a transaction", token, sign, other, proof=header, window=300)
        now = time.time()
        request.spoilt += [
            ("by a key that is called another", token(sign, now, kid="6c5516e1")),
            ("by an unknown key", token(sign, now, kid="00000000")),
            ("of another body", token(sign, now, request_body_sha256=digest(b"{}"))),
        ]
        yield request

    def verify(key: str, sent: Sent) -> object:
        kid = jwt.get_unverified_header(sent.header(header))["kid"]
        found = next(jwk for jwk in json.loads(key)["keys"] if jwk["kid"] == kid)
        claims = jwt.decode(sent.header(header), jwt.PyJWK(found), ["ES256"], options={"verify_iat": False})
        return claims["request_body_sha256"] == digest(sent.body)

    return Sender(
        "plaid",
        Keys(sign, other, (jwks,), judge=jwks, secret=False),
        requests,
        scheme="jwt",
        key_field="jwks",
        in_file=True,
        fields={"algorithms": ["ES256"], "header": header, "body_hash": "request_body_sha256"},
        signer="PyJWT",
        judges=[Judge("PyJWT", verify)],
    )


def pubsub() -> Sender:
    """RS256 by Google, for an audience and by an account; of the body nothing is signed."""
    audience, account, issuer = (
        "https://hooks.example.com/pubsub",
        "push@acme.iam.gserviceaccount.com",
        "https://accounts.google.com",
    )
    body = with_traps(
        {"message": {"data": "e30=", "messageId": "2070443601311540"}, "subscription": "projects/a/subscriptions/b"}
    )

    def private() -> tuple[str, str]:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), public

    (sign, public), (other, _) = private(), private()

    def bearer(token: str) -> Sent:
        return Sent(body, {"Content-Type": JSON, "Authorization": f"Bearer {token}"})

    def claims(at: float, **more) -> dict:
        return {
            "iss": issuer,
            "aud": audience,
            "email": account,
            "email_verified": True,
            "iat": int(at),
            "exp": int(at) + 3600,
        } | more

    def token(key: str, at: float, **more) -> Sent:
        signer = RSASigner.from_string(key, key_id="k1")
        return bearer(google.auth.jwt.encode(signer, claims(at, **more)).decode())

    def requests(sender: Sender) -> Iterator[Request]:
        now = time.time()
        request = made("a message", token, sign, other, proof="Authorization", covers_body=False)
        # PyJWT refuses to take a public key for a secret; another library would not.
        confused = jwt.api_jws.PyJWS()
        confused.unregister_algorithm("HS256")
        confused.register_algorithm("HS256", Careless(hashlib.sha256))
        content = json.dumps(claims(now)).encode()
        request.spoilt += [
            ("for another audience", token(sign, now, aud=audience + "2")),
            ("by another account", token(sign, now, email="other@acme.iam.gserviceaccount.com")),
            ("by an account that is not verified", token(sign, now, email_verified=False)),
            ("of another issuer", token(sign, now, iss="https://accounts.example.com")),
            ("by the public key as a secret", bearer(confused.encode(content, public.encode(), "HS256"))),
            ("by none", bearer(confused.encode(content, None, "none"))),
        ]
        request.stale = [token(sign, now - 7200)]
        again = bearer(google.auth.jwt.encode(RSASigner.from_string(sign, key_id="k1"), claims(now - 60)).decode())
        request.same_event.append(("with a token of its own", again))
        yield request

    def verify(key: str, sent: Sent) -> object:
        certificates = SimpleNamespace(status=200, data=json.dumps({"k1": key}).encode())
        token = sent.header("Authorization").removeprefix("Bearer ")
        found = google.oauth2.id_token.verify_oauth2_token(token, lambda *_, **__: certificates, audience)
        return found["email"] == account and found["email_verified"]

    fields = {
        "algorithms": ["RS256"],
        "audience": audience,
        "claims": {"iss": issuer, "email": account, "email_verified": True},
        "id": {"json": "$.message.messageId"},
    }
    return Sender(
        "pubsub",
        Keys(sign, other, (public,), judge=public, secret=False),
        requests,
        scheme="jwt",
        key_field="public_key",
        in_file=True,
        fields=fields,
        refused=(401, "refused"),
        stale=(401, "refused"),
        signer="google-auth",
        judges=[Judge("google-auth", verify, asks_time=True)],
    )


class Careless(jwt.algorithms.HMACAlgorithm):
    """HMAC that takes anything for a secret."""

    def prepare_key(self, key):
        return key


def senders(_) -> list[Sender]:
    return [netlify(), plaid(), pubsub()]
