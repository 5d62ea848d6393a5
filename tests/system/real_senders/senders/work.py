"""Where people work: HubSpot, Zendesk, Calendly, Trello, Notion, Airtable, Intercom, Typeform, Asana, Dropbox."""

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from pyairtable.models.webhook import WebhookNotification
from real_senders.node import Node
from real_senders.request import JSON, TRAPS, Request, Sent, agree, base64, mac, made
from real_senders.sender import Back, Judge, Keys, Sender, secrets
from real_senders.senders.by_body import by_body, text, with_traps


def hubspot(node: Node) -> Sender:
    """Method, URL, body and time. Of the URL twelve escapes are undone: so its page says, not its library."""
    header, stamp_header = "X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp"
    body = text([{"eventId": 1, "subscriptionType": "contact.creation", "note": TRAPS}])
    target = "/hubspot?next=%2Fa%3Ab%40c&kept=%26%3D%20%C3%A9%25%2B%23&undone=%21%24%27%28%29%2A%2C%3B%3F&twice=%252F"

    def undone(url: str) -> str:
        """One after another; what was twice escaped stays escaped."""
        for escape in ("%3A", "%2F", "%3F", "%40", "%21", "%24", "%27", "%28", "%29", "%2A", "%2C", "%3B"):
            url = url.replace(escape, chr(int(escape[1:], 16)))
        return url

    def sign(key: str, url: str, stamp: str) -> str:
        signature = node("hubspot.sign", secret=key, method="POST", url=url, body=body, timestamp=stamp)
        return agree(signature, base64(mac(key.encode(), f"POST{url}".encode() + body + stamp.encode())))

    def seal(key: str, at: float) -> Sent:
        sent = Sent(body, {"Content-Type": JSON, stamp_header: str(int(at * 1000))}, target)
        return sent.with_header(header, sign(key, undone(sent.url), sent.header(stamp_header)))

    def requests(sender: Sender) -> Iterator[Request]:
        request = made("a contact", seal, sender.keys.sign, sender.keys.other, proof=header, window=300)
        genuine = request.genuine
        escaped = sign(sender.keys.sign, genuine.url, genuine.header(stamp_header))
        seconds = genuine.header(stamp_header)[:-3]
        request.spoilt += [
            ("to another URL", replace(genuine, target=target + "1")),
            ("signed over the URL as it is escaped", genuine.with_header(header, escaped)),
            ("with the time in seconds", genuine.with_header(stamp_header, seconds)),
        ]
        yield request

    def verify(key: str, sent: Sent) -> object:
        given = {"signature": sent.header(header), "timestamp": sent.header(stamp_header)}
        return node("hubspot.verify", secret=key, method="POST", url=undone(sent.url), body=sent.body, **given)

    return Sender(
        "hubspot",
        secrets("hubspot"),
        requests,
        event="contact.creation",
        signer="@hubspot/api-client",
        judges=[Judge("@hubspot/api-client", verify, asks_time=True)],
        back=[Back(body, query="?next=%2Fa%3Ab%40c&kept=%26%3D%20%C3%A9")],
    )


def zendesk() -> Sender:
    header, stamp_header = "X-Zendesk-Webhook-Signature", "X-Zendesk-Webhook-Signature-Timestamp"
    body = with_traps({"type": "zen:event-type:user.created", "id": "1"})

    def seal(key: str, at: float) -> Sent:
        stamp = datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        signature = base64(mac(key.encode(), stamp.encode() + body))
        return Sent(body, {"Content-Type": JSON, stamp_header: stamp, header: signature})

    def requests(sender: Sender) -> Iterator[Request]:
        yield made("a user", seal, sender.keys.sign, sender.keys.other, proof=header, window=300)

    return Sender("zendesk", secrets("zendesk"), requests, event="zen:event-type:user.created")


def calendly() -> Sender:
    header = "Calendly-Webhook-Signature"
    body = with_traps({"event": "invitee.created", "payload": {"name": "é"}})

    def seal(key: str, at: float) -> Sent:
        signature = mac(key.encode(), b"%d." % at + body).hex()
        return Sent(body, {"Content-Type": JSON, header: f"t={int(at)},v1={signature}"})

    def requests(sender: Sender) -> Iterator[Request]:
        yield made("an invitation", seal, sender.keys.sign, sender.keys.other, proof=header, window=180)

    return Sender("calendly", secrets("calendly"), requests, event="invitee.created")


def trello() -> Sender:
    """It signs the body, and the URL behind it, by SHA-1."""
    header = "X-Trello-Webhook"
    body = with_traps({"action": {"id": "1", "type": "updateCard"}, "model": {"id": "2"}})
    target = "/trello?board=%C3%A9"

    def seal(key: str, _: float) -> Sent:
        sent = Sent(body, {"Content-Type": JSON}, target)
        return sent.with_header(header, base64(mac(key.encode(), body + sent.url.encode(), "sha1")))

    def requests(sender: Sender) -> Iterator[Request]:
        request = made("a card", seal, sender.keys.sign, sender.keys.other, proof=header)
        request.spoilt.append(("to another URL", replace(request.genuine, target=target + "1")))
        yield request

    return Sender("trello", secrets("trello"), requests, event="updateCard")


def airtable() -> Sender:
    """The secret is base64; its library takes ASCII alone."""
    header = "X-Airtable-Content-MAC"
    body = b'{"base":{"id":"app1"},"webhook":{"id":"ach1"},"timestamp":"2026-11-20T08:31:11.000Z","note":"$& {body}"}'

    def verify(key: str, sent: Sent) -> object:
        return WebhookNotification.from_request(sent.body.decode(), sent.header(header), key)

    return by_body(
        "airtable",
        header,
        {"a notification": body},
        prefix="hmac-sha256=",
        key=b64decode,
        keys=Keys(base64(b"hookyard \xff airtable secret"), base64(b"somebody else's secret")),
        judges=[Judge("pyairtable", verify)],
        back=[Back(body)],
    )


def notion(node: Node) -> Sender:
    header = "X-Notion-Signature"
    body = with_traps({"id": "367cba44-b6f3-4c92-81e7-6a2e9659efd4", "type": "page.created"})

    def seal(key: str, _: float) -> Sent:
        signature = node("notion.sign", secret=key, body=body)
        agree(signature, "sha256=" + mac(key.encode(), body).hex())
        return Sent(body, {"Content-Type": JSON, header: signature})

    def requests(sender: Sender) -> Iterator[Request]:
        yield made("a page", seal, sender.keys.sign, sender.keys.other, proof=header)

    def verify(key: str, sent: Sent) -> object:
        return node("notion.verify", secret=key, body=sent.body, signature=sent.header(header))

    return Sender(
        "notion",
        secrets("notion"),
        requests,
        event="page.created",
        signer="@notionhq/client",
        judges=[Judge("@notionhq/client", verify)],
        back=[Back(body)],
    )


def senders(node: Node) -> list[Sender]:
    return [
        hubspot(node),
        zendesk(),
        calendly(),
        trello(),
        airtable(),
        notion(node),
        by_body(
            "intercom",
            "X-Hub-Signature",
            {
                "a conversation": with_traps(
                    {"type": "notification_event", "id": "notif_1", "topic": "conversation.user.created"}
                )
            },
            prefix="sha1=",
            algorithm="sha1",
            event="conversation.user.created",
        ),
        by_body(
            "typeform",
            "Typeform-Signature",
            {"a response": with_traps({"event_id": "01", "event_type": "form_response"})},
            prefix="sha256=",
            encode=base64,
            event="form_response",
        ),
        by_body(
            "asana", "X-Hook-Signature", {"a task": with_traps({"events": [{"action": "changed"}]})}, event="changed"
        ),
        by_body("dropbox", "X-Dropbox-Signature", {"a file": with_traps({"list_folder": {"accounts": ["dbid:1"]}})}),
    ]
