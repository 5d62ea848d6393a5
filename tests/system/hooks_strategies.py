"""Random hooks and requests to them, for hypothesis.

The values of a payload have names that say their type, because a condition on a value of another type is one of the
differences that the guide lists.
"""

import hashlib
import hmac
import json
import urllib.parse

from hooks import parameter
from hypothesis import strategies as st
from side_by_side import NUMBER, Request

SECRET = "a-secret-of-the-side-by-side-test"
TOKEN = "a-token-of-the-side-by-side-test"
NAMES = ["text", "other", "sub.text", "list.1", "list.9", "number", "flag", "object", "absent", "sub.absent"]
TEXTS = ["main", "next", "refs/heads/main", "refs/tags/v1.2", "a b", "", "line\nbreak", "3", "ümlaut", '<&"\\>']
EXPRESSIONS = ["main", "^refs/", "main$", "^main$", "v\\d+", "(main|next)", ".", "", "^$", "[^a]b", "\\s", "(?i)MAIN"]
SIGNATURES = {
    "payload-hmac-sha1": ("X-Hub-Signature", "sha1"),
    "payload-hmac-sha256": ("X-Hub-Signature-256", "sha256"),
    "payload-hmac-sha512": ("X-Signature", "sha512"),
    "payload-hash-sha256": ("X-Own-Signature", "sha256"),
}


@st.composite
def arguments(draw):
    source = draw(
        st.sampled_from(
            ["payload", "payload", "payload", "header", "url", "query", "string", "request"]
            + ["entire-payload", "entire-query", "raw-request-body"]
        )
    )
    name = {
        "payload": st.sampled_from(NAMES),
        "header": st.sampled_from(["X-Kind", "x-kind", "X-Absent", "User-Agent"]),
        "url": st.sampled_from(["q", "q-x", "absent"]),
        "query": st.sampled_from(["q", "q-x", "absent"]),
        "string": st.sampled_from(["plain", "two words", "{{ braces }}", "{% if %}", "", "-x", "$HOME", "it's"]),
        "request": st.just("method"),
    }.get(source, st.just(""))
    return parameter(source, draw(name))


@st.composite
def matches(draw):
    kind = draw(st.sampled_from(["value", "value", "regex", "number", "flag", "header", "url"]))
    if kind == "value":
        name = draw(st.sampled_from(["text", "other", "sub.text", "list.1", "absent"]))
        return {"type": "value", "value": draw(st.sampled_from(TEXTS)), "parameter": parameter("payload", name)}
    if kind == "regex":
        place = draw(st.sampled_from([("payload", "text"), ("payload", "absent"), ("header", "X-Kind"), ("url", "q")]))
        return {"type": "regex", "regex": draw(st.sampled_from(EXPRESSIONS)), "parameter": parameter(*place)}
    if kind == "number":
        return {
            "type": "value",
            "value": draw(st.sampled_from(["1", "3"])),
            "parameter": parameter("payload", "number"),
        }
    if kind == "flag":
        value = draw(st.sampled_from(["true", "false"]))
        return {"type": "value", "value": value, "parameter": parameter("payload", "flag")}
    name = "X-Kind" if kind == "header" else "q"
    return {"type": "value", "value": draw(st.sampled_from(["main", "next", "3"])), "parameter": parameter(kind, name)}


RULES = st.recursive(
    matches().map(lambda match: {"match": match}),
    lambda rules: st.one_of(
        st.lists(rules, min_size=1, max_size=3).map(lambda rules: {"and": rules}),
        st.lists(rules, min_size=1, max_size=3).map(lambda rules: {"or": rules}),
        rules.map(lambda rule: {"not": rule}),
    ),
    max_leaves=5,
)


@st.composite
def payloads(draw):
    payload = {
        "text": st.sampled_from(TEXTS),
        "other": st.sampled_from(TEXTS),
        "sub": st.fixed_dictionaries({}, optional={"text": st.sampled_from(TEXTS)}),
        "list": st.lists(st.sampled_from(TEXTS), max_size=3),
        "number": st.sampled_from([1, 3, -7, 1.5]),
        "flag": st.booleans(),
        "object": st.sampled_from([{}, {"b": [1, "x"], "a": {"c": True}}]),
    }
    return draw(st.fixed_dictionaries({}, optional=payload))


@st.composite
def cases(draw, number):
    """A hook and some requests to it."""
    hook = {
        "id": f"hook-{number}",
        "execute-command": "record",
        "http-methods": ["POST", "PUT"],
        "pass-arguments-to-command": [parameter("header", NUMBER), *draw(st.lists(arguments(), max_size=4))],
        "pass-environment-to-command": [
            {**argument, "envname": f"VAR_{at}"} for at, argument in enumerate(draw(st.lists(arguments(), max_size=2)))
        ],
    }
    for key, values in {
        "response-message": st.sampled_from(["deployed", "two words", "{{ braces }}"]),
        "response-headers": st.just([{"name": "X-Served-By", "value": "hooks"}]),
        "success-http-response-code": st.sampled_from([201, 202, 299]),
        "trigger-rule-mismatch-http-response-code": st.sampled_from([400, 404, 422, 299, 503]),
        "include-command-output-in-response": st.booleans(),
        "include-command-output-in-response-on-error": st.booleans(),
    }.items():
        if draw(st.booleans()):
            hook[key] = draw(values)
    if draw(st.integers(0, 3)) == 0:
        hook["pass-environment-to-command"].append({"source": "string", "envname": "EXIT_CODE", "name": "3"})
    proof = draw(st.sampled_from([None, "token", *SIGNATURES]))
    rules = draw(st.lists(RULES, max_size=2))
    if proof == "token":
        rules.insert(0, {"match": {"type": "value", "value": TOKEN, "parameter": parameter("header", "X-Token")}})
    elif proof:
        place = parameter("header", SIGNATURES[proof][0])
        rules.insert(0, {"match": {"type": proof, "secret": SECRET, "parameter": place}})
    if rules:
        hook["trigger-rule"] = rules[0] if len(rules) == 1 else {"and": rules}
    return hook, [draw(requests(hook["id"], proof, at)) for at in range(draw(st.integers(1, 3)))]


@st.composite
def requests(draw, hook, proof, at):
    # A signed event counts once, so every body is another one.
    payload = {**draw(payloads()), "request": at}
    is_form = draw(st.integers(0, 5)) == 0
    if is_form:
        fields = {name: value for name, value in payload.items() if isinstance(value, str)}
        body, content_type = urllib.parse.urlencode({**fields, "request": at}), "application/x-www-form-urlencoded"
    else:
        body, content_type = json.dumps(payload), "application/json"
    headers = {"Content-Type": content_type}
    if draw(st.booleans()):
        headers["X-Kind"] = draw(st.sampled_from(["main", "next", "3", "a, b"]))
    query = draw(st.sampled_from(["", "?q=main", "?q=a+b%26c&q-x=%C3%BC", "?q=&other=3"]))
    right = draw(st.integers(0, 5)) > 0
    if proof == "token":
        headers["X-Token"] = TOKEN if right else "another-token"
    elif proof:
        name, algorithm = SIGNATURES[proof]
        secret = SECRET if right else "another"
        digest = hmac.new(secret.encode(), body.encode(), getattr(hashlib, algorithm)).hexdigest()
        has_prefix = name.startswith("X-Hub") or draw(st.booleans())
        headers[name] = f"{algorithm}={digest}" if has_prefix else digest
    method = draw(st.sampled_from(["POST", "POST", "POST", "PUT", "GET"]))
    return Request(hook, method, query, headers, body.encode() if method != "GET" else b"")
