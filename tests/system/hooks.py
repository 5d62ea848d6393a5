"""Hooks of adnanh/webhook and requests to them."""

import hashlib
import hmac
import json

from side_by_side import NUMBER, Request

JSON = {"Content-Type": "application/json"}


def parameter(source, name):
    return {"source": source, "name": name}


def hook(name, *arguments, **properties):
    """A hook that records its call."""
    properties = {key.replace("_", "-"): value for key, value in properties.items()}
    first = parameter("header", NUMBER)
    return {"id": name, "execute-command": "record", "pass-arguments-to-command": [first, *arguments], **properties}


def match(kind, operand, *place):
    key = {"value": "value", "regex": "regex", "ip-whitelist": "ip-range"}.get(kind, "secret")
    return {"match": {"type": kind, key: operand, **({"parameter": parameter(*place)} if place else {})}}


def signed(hook, payload, secret, header, algorithm, prefix="", **headers):
    body = json.dumps(payload).encode()
    digest = hmac.new(secret.encode(), body, getattr(hashlib, algorithm)).hexdigest()
    return Request(hook, headers={**JSON, header: prefix + digest, **headers}, body=body)


def post(hook, payload, query="", **headers):
    return Request(hook, query=query, headers={**JSON, **headers}, body=json.dumps(payload).encode())


def form(hook, body, content_type="application/x-www-form-urlencoded"):
    return Request(hook, headers={"Content-Type": content_type}, body=body.encode())
