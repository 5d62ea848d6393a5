"""Shopify, under either family of its headers."""

from real_senders.node import Node
from real_senders.request import TRAPS, Sent, base64
from real_senders.sender import Back, Judge, Sender, fixture
from real_senders.senders.by_body import by_body, with_traps


def senders(node: Node) -> list[Sender]:
    def verify(key: str, sent: Sent) -> object:
        return node("shopify.verify", secret=key, body=sent.body, headers=sent.headers)

    judges = [Judge("@shopify/shopify-api", verify)]
    webhooks = {
        "X-Shopify-Topic": "orders/create",
        "X-Shopify-Shop-Domain": "acme.myshopify.com",
        "X-Shopify-API-Version": "2026-10",
        "X-Shopify-Webhook-Id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
    }
    # Of its newer subscriptions: other names, and the same signature.
    events = {name.lower().removeprefix("x-"): value for name, value in webhooks.items()}
    order = fixture("shopify/order.json")
    return [
        by_body(
            "shopify",
            "X-Shopify-Hmac-Sha256",
            {"an order": order, "an order with traps": with_traps({"id": 1})},
            encode=base64,
            headers=webhooks,
            event="orders/create",
            judges=judges,
            back=[Back(order, tuple(f"{name}: {value}" for name, value in webhooks.items()))],
        ),
        by_body(
            "shopify_events",
            "shopify-hmac-sha256",
            {"an order": with_traps({"id": 2, "topic": TRAPS})},
            encode=base64,
            headers=events,
            scheme="shopify",
            judges=judges,
        ),
    ]
