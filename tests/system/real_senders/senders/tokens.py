"""Who signs nothing, and sends the secret itself: GitLab, Telegram, and the generic `token`, `bearer` and `basic`."""

from collections.abc import Iterator
from dataclasses import replace

from real_senders.request import JSON, Request, Sent, base64, made
from real_senders.sender import Keys, Sender, fixture
from real_senders.senders.by_body import with_traps
from real_senders.senders.operations import with_credentials


def in_header(rule: str, header: str, sent: Sent, keys: Keys, *, twin: Sent | None = None, **more) -> Sender:
    """The token in a header of its own; `twin` is another sending of the same event, where it has an id."""

    def requests(sender: Sender) -> Iterator[Request]:
        request = made(
            "an event",
            lambda key, _: sent.with_header(header, key),
            keys.sign,
            keys.other,
            proof=header,
            covers_body=False,
            remembered=twin is not None,
        )
        request.spoilt += [
            ("with the token and a letter more", sent.with_header(header, keys.sign + "x")),
            ("with the token less its last letter", sent.with_header(header, keys.sign[:-1])),
            ("with an empty token", sent.with_header(header, "")),
        ]
        if twin:
            request.same_event.append(("the same id over another body", twin.with_header(header, keys.sign)))
        yield request

    return Sender(rule, keys, requests, **more)


def in_query() -> Sender:
    keys = Keys("query-token-é &=%-0001", "query-token-é &=%-0002")
    body = with_traps({"id": 1})
    written = "query-token-%C3%A9+%26%3D%25-"

    def seal(key: str, _: float) -> Sent:
        return Sent(body, {"Content-Type": JSON}, f"/token_query?a=1&access_token={written}{key[-4:]}&b=2")

    def requests(sender: Sender) -> Iterator[Request]:
        request = made("an event", seal, keys.sign, keys.other, proof=None, covers_body=False, remembered=False)
        target = request.genuine.target
        request.spoilt += [
            ("without its token", replace(request.genuine, target="/token_query?a=1")),
            ("with the token twice", replace(request.genuine, target=target + target[target.index("&access") :])),
            (
                "with the token in a header",
                replace(request.genuine, target="/token_query").with_header("access_token", keys.sign[-4:]),
            ),
        ]
        yield request

    return Sender("token_query", keys, requests, scheme="token", fields={"query": "access_token"})


def senders(_) -> list[Sender]:
    push = Sent(
        fixture("gitlab/push.json"), {"Content-Type": JSON, "X-Gitlab-Event": "Push Hook", "Idempotency-Key": "1"}
    )
    update = Sent(with_traps({"update_id": 10000, "message": {"text": "é"}}), {"Content-Type": JSON})
    event = Sent(with_traps({"id": 1}), {"Content-Type": JSON})
    unauthorised = (401, "refused")
    return [
        in_header(
            "gitlab",
            "X-Gitlab-Token",
            push,
            Keys("glpat-Z9x_7kQ2", "glpat-Z9x_7kQ3"),
            twin=replace(push, body=push.body + b" "),
            event="Push Hook",
        ),
        in_header(
            "telegram",
            "X-Telegram-Bot-Api-Secret-Token",
            update,
            Keys("telegram_Secret-0001", "telegram_Secret-0002"),
            twin=Sent(with_traps({"update_id": 10000}), {"Content-Type": JSON}),
        ),
        in_header(
            "token", "X-Token", event, Keys("generic-token-0001", "generic-token-0002"), fields={"header": "X-Token"}
        ),
        in_query(),
        with_credentials(
            "bearer",
            event.body,
            lambda key: f"Bearer {key}",
            "generic-bearer-0001",
            "generic-bearer-0002",
            refused=unauthorised,
        ),
        with_credentials(
            "basic",
            event.body,
            lambda key: "Basic " + base64(f"ci:{key}".encode()),
            "generic-password-0001",
            "generic-password-0002",
            fields={"user": "ci"},
            key_field="password",
            refused=unauthorised,
        ),
    ]
