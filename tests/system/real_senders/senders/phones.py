"""Twilio: the URL is signed, and behind it the fields of a form, or in its query the digest of the body."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

from real_senders.node import Node
from real_senders.request import FORM, JSON, PUBLIC, TRAPS, Request, Sent, agree, base64, changed, mac, made
from real_senders.sender import Back, Judge, Sender, secrets
from real_senders.senders.by_body import with_traps
from twilio.request_validator import RequestValidator

HEADER = "X-Twilio-Signature"
DIGEST = "bodySHA256"


class Fields(dict):
    """Of a form, each field with all its values, as web frameworks have it."""

    def __init__(self, form: bytes):
        for name, value in parse_qsl(form.decode(), keep_blank_values=True):
            self.setdefault(name, []).append(value)

    def getlist(self, name: str) -> list[str]:
        return self[name]


def senders(node: Node) -> list[Sender]:
    return [
        twilio(node, "twilio", "sha1", {}),
        twilio(
            node,
            "twilio_sha256",
            "sha256",
            {"X-Twilio-Webhooks-Signature-Settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"},
        ),
    ]


def twilio(node: Node, rule: str, algorithm: str, headers: dict[str, str]) -> Sender:
    form = urlencode(
        [
            ("To", "+18005551212"),
            ("Digits", "2"),
            ("Digits", "1"),
            ("Digits", "2"),
            ("Body", TRAPS),
            ("Empty", ""),
            ("MessageSid", "SM1"),
        ]
    ).encode()
    body = with_traps({"property": "value", "boolean": True})
    named = f"HMAC_{algorithm.upper()}"

    def sign(key: str, sent: Sent, url: str) -> Sent:
        """With the signature over this URL."""
        is_form = sent.header("Content-Type") == FORM
        fields = Fields(sent.body) if is_form else Fields(b"")
        signature = RequestValidator(key).compute_signature(url, fields, named)
        text = url + "".join(name + value for name in sorted(fields) for value in sorted(set(fields[name])))
        agree(signature, base64(mac(key.encode(), text.encode(), algorithm)))
        # Its Node library knows nothing but SHA-1.
        if algorithm == "sha1":
            agree(signature, node("twilio.sign", secret=key, url=url, fields=fields))
        return sent.with_header(HEADER, signature)

    def seal_form(key: str, _: float) -> Sent:
        sent = Sent(form, {"Content-Type": FORM, **headers}, f"/{rule}?foo=1&bar='%20%C3%A9'")
        return sign(key, sent, sent.url)

    def seal_body(key: str, _: float) -> Sent:
        digest = hashlib.sha256(body).hexdigest()
        agree(RequestValidator(key).compute_hash(body.decode()), digest)
        sent = Sent(body, {"Content-Type": JSON, **headers}, f"/{rule}?foo=1&{DIGEST}={digest}")
        return sign(key, sent, sent.url)

    def requests(sender: Sender) -> Iterator[Request]:
        key, other = sender.keys.sign, sender.keys.other
        request = made("a message, as a form", seal_form, key, other, proof=HEADER)
        genuine = request.genuine
        with_port = genuine.url.replace(PUBLIC, PUBLIC + ":443")
        reordered = b"&".join(reversed(form.split(b"&")))
        request.same_event += [
            ("signed with the port in the URL", sign(key, genuine, with_port)),
            ("with its fields in another order", replace(genuine, body=reordered)),
        ]
        request.spoilt += [
            ("to another URL", replace(genuine, target=genuine.target + "1")),
            ("with a field more", replace(genuine, body=form + b"&More=1")),
            ("with another port", sign(key, genuine, genuine.url.replace(PUBLIC, PUBLIC + ":8443"))),
        ]
        yield request
        request = made("a JSON body", seal_body, key, other, proof=HEADER)
        genuine = request.genuine
        altered = changed(body)
        digest = hashlib.sha256(altered).hexdigest()
        bare = replace(genuine, target=f"/{rule}?foo=1")
        request.spoilt += [
            (
                "with another body and its digest",
                replace(genuine, body=altered, target=f"/{rule}?foo=1&{DIGEST}={digest}"),
            ),
            ("signed without a digest of the body", sign(key, bare, bare.url)),
        ]
        yield request

    def verify(key: str, sent: Sent) -> object:
        if sent.header("Content-Type") == FORM:
            given = {"fields": Fields(sent.body)}
            return node("twilio.verify", secret=key, url=sent.url, signature=sent.header(HEADER), **given)
        return node("twilio.verifyBody", secret=key, url=sent.url, signature=sent.header(HEADER), body=sent.body)

    def verify_in_python(key: str, sent: Sent) -> object:
        body = Fields(sent.body) if sent.header("Content-Type") == FORM else sent.body.decode()
        return RequestValidator(key).validate(sent.url, body, sent.header(HEADER), named)

    judges = [Judge("twilio (Python)", verify_in_python)]
    if algorithm == "sha1":
        judges.append(Judge("twilio (Node)", verify))
    return Sender(
        rule,
        secrets(rule),
        requests,
        signer="twilio (Python)",
        judges=judges,
        back=[Back(form, (f"Content-Type: {FORM}",), "?foo=1&bar=2"), Back(body, query="?foo=1")],
    )
