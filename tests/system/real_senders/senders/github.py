"""GitHub, by its own library, over every payload of its package of examples; and its older signature."""

from collections.abc import Iterator
from urllib.parse import urlencode

from real_senders.node import Node
from real_senders.request import FORM, JSON, Request, Sent, agree, mac, made
from real_senders.sender import Back, Judge, Sender, fixture, secrets
from real_senders.senders.by_body import by_body

PACKAGE = "@octokit/webhooks-methods"
HEADER = "X-Hub-Signature-256"


def senders(node: Node) -> list[Sender]:
    def seal_with(event: str, body: bytes, content_type: str):
        def seal(key: str, _: float) -> Sent:
            signature = node("octokit.sign", secret=key, body=body)
            agree(signature, "sha256=" + mac(key.encode(), body).hex())
            headers = {"User-Agent": "GitHub-Hookshot/044aadd", "X-GitHub-Event": event, "Content-Type": content_type}
            return Sent(body, headers | {HEADER: signature})

        return seal

    def events() -> Iterator[tuple[str, str, bytes, str]]:
        # Some payloads are in the package twice; the second time they would rightly be duplicates.
        seen = set()
        for example in node("octokit.examples"):
            if example["text"] not in seen:
                seen.add(example["text"])
                yield f"{example['event']} {example['number']}", example["event"], example["text"].encode(), JSON
        yield "fixture push", "push", fixture("github/push.json"), JSON
        # The content type "form": GitHub signs the form, not the JSON in it.
        form = urlencode({"payload": fixture("github/ping.json").decode()}).encode()
        yield "ping as a form", "ping", form, FORM

    def requests(sender: Sender) -> Iterator[Request]:
        for name, event, body, content_type in events():
            seal = seal_with(event, body, content_type)
            yield made(name, seal, sender.keys.sign, sender.keys.other, proof=HEADER)

    def verify(key: str, sent: Sent) -> object:
        return node("octokit.verify", secret=key, body=sent.body, signature=sent.header(HEADER))

    return [
        Sender(
            "github",
            secrets("github"),
            requests,
            event="*",
            signer=PACKAGE,
            judges=[Judge(PACKAGE, verify)],
            back=[Back(fixture("github/push.json"))],
        ),
        by_body(
            "github_sha1",
            "X-Hub-Signature",
            {"push": fixture("github/push.json")},
            prefix="sha1=",
            algorithm="sha1",
            headers={"X-GitHub-Event": "push"},
            event="push",
        ),
    ]
