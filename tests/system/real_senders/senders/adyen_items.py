"""Adyen: of payments it signs each item, of its platforms the body."""

import json
from collections.abc import Iterator

from Adyen.util import is_valid_hmac_notification, is_valid_hmac_payload
from real_senders.node import Node
from real_senders.request import JSON, Request, Sent, agree, base64, garbled, mac, made
from real_senders.sender import Back, Judge, Keys, Sender
from real_senders.senders.by_body import text, with_traps

ADYEN_KEYS = Keys(
    "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
    "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA057",
)


def adyen_payments_sender(node: Node) -> Sender:
    """Eight fields of each item are signed, and the signature stands in the item."""

    def body(item: dict, *more: dict) -> bytes:
        items = [{"NotificationRequestItem": item} for item in (item, *more)]
        return text({"live": "false", "notificationItems": items})

    def sent(item: dict, *more: dict) -> Sent:
        return Sent(body(item, *more), {"Content-Type": JSON})

    authorisation = {
        "additionalData": {"cardSummary": "7777"},
        "amount": {"currency": "EUR", "value": 1000},
        "eventCode": "AUTHORISATION",
        "eventDate": "2026-11-20T08:31:11+01:00",
        "merchantAccountCode": "AcmeCOM",
        "merchantReference": "order:1\\2 é $& {body}",
        "pspReference": "7914073381342284",
        "reason": "1000:7777:12/2030",
        "success": "true",
    }
    events = {
        "an authorisation": authorisation,
        "a capture that failed": authorisation
        | {"eventCode": "CAPTURE", "originalReference": "9913140798220028", "pspReference": "8814", "success": "false"},
        "an original reference that is empty": authorisation | {"originalReference": "", "pspReference": "8815"},
        "an amount of nothing": authorisation | {"amount": {"currency": "JPY", "value": 0}, "pspReference": "8816"},
    }

    def signed(key: str, item: dict) -> dict:
        signature = node("adyen.sign", secret=key, body=body(item))
        fields = [
            item["pspReference"],
            item.get("originalReference", ""),
            item["merchantAccountCode"],
            item["merchantReference"],
        ]
        fields += [str(item["amount"]["value"]), item["amount"]["currency"], item["eventCode"], item["success"]]
        agree(signature, base64(mac(bytes.fromhex(key), ":".join(fields).encode())))
        return item | {"additionalData": item["additionalData"] | {"hmacSignature": signature}}

    def requests(sender: Sender) -> Iterator[Request]:
        for name, event in events.items():
            genuine = signed(sender.keys.sign, event)
            signature = genuine["additionalData"]["hmacSignature"]
            request = made(
                name,
                lambda key, _, event=event: sent(signed(key, event)),
                sender.keys.sign,
                sender.keys.other,
                proof=None,
                covers_body=False,
                same_event=[("with another reason, which is not signed", sent(genuine | {"reason": "none"}))],
                spoilt=[
                    ("without its signature", sent(event)),
                    ("with an empty signature", sent(event | {"additionalData": {"hmacSignature": ""}})),
                    (
                        "with one digit of the signature changed",
                        sent(event | {"additionalData": {"hmacSignature": garbled(signature)}}),
                    ),
                    ("with another item behind it, unsigned", sent(genuine, event)),
                    (
                        "with another item behind it, under its signature",
                        sent(genuine, genuine | {"pspReference": "1"}),
                    ),
                    ("with another amount", sent(genuine | {"amount": {"currency": "EUR", "value": 9}})),
                    ("with another currency", sent(genuine | {"amount": event["amount"] | {"currency": "USD"}})),
                ],
            )
            for field in (
                "pspReference",
                "originalReference",
                "merchantAccountCode",
                "merchantReference",
                "eventCode",
                "success",
            ):
                other = genuine | {field: genuine.get(field, "") + "1"}
                request.spoilt.append((f"with another {field}", sent(other)))
            yield request

    def verify(key: str, sent: Sent) -> object:
        return node("adyen.verify", secret=key, body=sent.body)

    def verify_in_python(key: str, sent: Sent) -> object:
        return is_valid_hmac_notification(json.loads(sent.body), key)

    return Sender(
        "adyen_payments",
        ADYEN_KEYS,
        requests,
        event="*",
        signer="@adyen/api-library",
        judges=[Judge("@adyen/api-library", verify), Judge("Adyen", verify_in_python)],
        back=[Back(body(authorisation))],
    )


def adyen_platform_sender(node: Node) -> Sender:
    header = "HmacSignature"
    body = with_traps({"type": "balancePlatform.transfer.updated", "environment": "test", "data": {"id": "1"}})

    def seal(key: str, _: float) -> Sent:
        signature = node("adyen.signPlatform", secret=key, body=body)
        agree(signature, base64(mac(bytes.fromhex(key), body)))
        return Sent(body, {"Content-Type": JSON, header: signature})

    def requests(sender: Sender) -> Iterator[Request]:
        yield made("a transfer", seal, sender.keys.sign, sender.keys.other, proof=header)

    def verify(key: str, sent: Sent) -> object:
        return node("adyen.verifyPlatform", secret=key, body=sent.body, signature=sent.header(header))

    def verify_in_python(key: str, sent: Sent) -> object:
        return is_valid_hmac_payload(sent.header(header), key, sent.body)

    return Sender(
        "adyen_platform",
        ADYEN_KEYS,
        requests,
        event="balancePlatform.transfer.updated",
        signer="@adyen/api-library",
        judges=[Judge("@adyen/api-library", verify), Judge("Adyen", verify_in_python)],
        back=[Back(body)],
    )


def senders(node: Node) -> list[Sender]:
    return [adyen_payments_sender(node), adyen_platform_sender(node)]
