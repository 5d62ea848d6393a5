"""Code hosts and CI services: Gitea and its forks, Bitbucket, Jira, Linear, Sentry, CircleCI, Vercel, SonarQube."""

import json
import time
from collections.abc import Iterator
from urllib.parse import urlencode

from real_senders.node import Node
from real_senders.request import FORM, JSON, TRAPS, Request, Sent, mac, made
from real_senders.sender import Back, Judge, Sender, fixture, secrets
from real_senders.senders.by_body import by_body, text, with_traps


def gitea(rule: str, title: str) -> Sender:
    """Gitea and its forks: of a form they sign the payload field."""
    header = f"X-{title}-Signature"
    payload = fixture("gitea/push.json")
    form = urlencode({"payload": with_traps({"repository": {"full_name": "acme/site"}}).decode()}).encode()

    def seal_with(body: bytes, signed: bytes, content_type: str):
        def seal(key: str, _: float) -> Sent:
            headers = {"Content-Type": content_type, f"X-{title}-Event": "push"}
            return Sent(body, headers | {header: mac(key.encode(), signed).hex()})

        return seal

    def requests(sender: Sender) -> Iterator[Request]:
        keys = sender.keys
        yield made("push", seal_with(payload, payload, JSON), keys.sign, keys.other, proof=header)
        inner = with_traps({"repository": {"full_name": "acme/site"}})
        yield made("push as a form", seal_with(form, inner, FORM), keys.sign, keys.other, proof=header)

    match = {"$.repository.full_name": "acme/site"}
    return Sender(rule, secrets(rule), requests, event="push", match=match)


def linear(node: Node) -> Sender:
    """The time stands in the body, which is signed."""
    header = "Linear-Signature"

    def seal(key: str, at: float) -> Sent:
        body = text({"action": "create", "type": "Issue", "webhookTimestamp": int(at * 1000), "note": TRAPS})
        return Sent(body, {"Content-Type": JSON, "Linear-Event": "Issue", header: mac(key.encode(), body).hex()})

    def requests(sender: Sender) -> Iterator[Request]:
        request = made("an issue", seal, sender.keys.sign, sender.keys.other, proof=header, window=60)
        timeless = text({"action": "create", "type": "Issue"})
        stamped = str(int(time.time() * 1000))
        headers = {
            "Content-Type": JSON,
            "Linear-Timestamp": stamped,
            header: mac(sender.keys.sign.encode(), timeless).hex(),
        }
        request.spoilt.append(("with the time in a header alone", Sent(timeless, headers)))
        yield request

    def verify(key: str, sent: Sent) -> object:
        return node("linear.verify", secret=key, body=sent.body, signature=sent.header(header))

    return Sender(
        "linear",
        secrets("linear"),
        requests,
        event="Issue",
        judges=[Judge("@linear/sdk", verify, asks_time=True)],
        back=[Back(json.dumps({"action": "create", "type": "Issue", "data": {"title": "é"}}).encode())],
    )


def senders(node: Node) -> list[Sender]:
    push = with_traps({"push": {"changes": []}, "repository": {"full_name": "acme/site"}})
    return [
        gitea("gitea", "Gitea"),
        gitea("forgejo", "Forgejo"),
        gitea("gogs", "Gogs"),
        by_body(
            "bitbucket",
            "X-Hub-Signature",
            {"push": push},
            prefix="sha256=",
            headers={"X-Event-Key": "repo:push"},
            event="repo:push",
        ),
        by_body(
            "bitbucket_server",
            "X-Hub-Signature",
            {"push": with_traps({"eventKey": "repo:refs_changed", "date": "2026-11-20T08:31:11+1100"})},
            prefix="sha256=",
            headers={"X-Event-Key": "repo:refs_changed", "X-Request-Id": "1"},
            event="repo:refs_changed",
        ),
        by_body(
            "jira",
            "X-Hub-Signature",
            {"an issue": with_traps({"timestamp": 1795537433123, "webhookEvent": "jira:issue_updated"})},
            prefix="sha256=",
            headers={"X-Atlassian-Webhook-Identifier": "1"},
            event="jira:issue_updated",
        ),
        linear(node),
        by_body(
            "sentry",
            "Sentry-Hook-Signature",
            {"an issue": with_traps({"action": "created", "installation": {"uuid": "1"}})},
            headers={"Sentry-Hook-Resource": "issue", "Sentry-Hook-Timestamp": "1", "Request-ID": "1"},
            event="issue",
        ),
        circleci(),
        by_body(
            "vercel",
            "x-vercel-signature",
            {"a deployment": with_traps({"id": "uev_1", "type": "deployment.created", "createdAt": 1795537433123})},
            algorithm="sha1",
            event="deployment.created",
        ),
        by_body(
            "sonarqube",
            "X-Sonar-Webhook-HMAC-SHA256",
            {"an analysis": with_traps({"taskId": "AVh21JS2JepAEhwQ-b3u", "status": "SUCCESS"})},
            headers={"X-SonarQube-Project": "acme"},
            event="SUCCESS",
        ),
    ]


def circleci() -> Sender:
    """A list of versions, of which one is known."""
    header = "circleci-signature"
    body = with_traps({"id": "3888f21b-eaa7-38e3-8f3d-75a63bba8895", "type": "workflow-completed"})

    def seal(key: str, _: float) -> Sent:
        signature = mac(key.encode(), body).hex()
        return Sent(body, {"Content-Type": JSON, header: f"v1={signature},v2={'0' * 64},v3=abc"})

    def requests(sender: Sender) -> Iterator[Request]:
        request = made("a workflow", seal, sender.keys.sign, sender.keys.other, proof=header)
        signature = request.genuine.header(header).split(",")[0]
        request.same_event.append(("with its first signature alone", request.genuine.with_header(header, signature)))
        yield request

    return Sender("circleci", secrets("circleci"), requests, event="workflow-completed")
