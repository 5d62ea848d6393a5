"""Who watches over machines: PagerDuty, Grafana, Alertmanager, Harbor, Azure DevOps, Microsoft Graph, CloudEvents."""

from collections.abc import Iterator

from real_senders.request import JSON, TRAPS, Request, Sent, base64, mac, made
from real_senders.sender import Keys, Sender, secrets
from real_senders.senders.by_body import by_body, text, with_traps


def pagerduty() -> Sender:
    """A signature for each secret, while one replaces the other."""
    header = "X-PagerDuty-Signature"
    body = with_traps({"event": {"id": "01", "event_type": "incident.triggered"}})
    keys = secrets("pagerduty", rotated=True)

    def sent(*secrets: str) -> Sent:
        signatures = ",".join("v1=" + mac(key.encode(), body).hex() for key in secrets)
        return Sent(body, {"Content-Type": JSON, header: signatures})

    def requests(sender: Sender) -> Iterator[Request]:
        new, old = keys.daemon
        request = made("an incident", lambda key, _: sent(key), new, keys.other, proof=header)
        request.same_event += [
            ("signed with both secrets", sent(old, new)),
            ("signed with the old secret", sent(old)),
            ("signed with another key, too", sent(keys.other, new)),
        ]
        yield request

    return Sender("pagerduty", keys, requests, event="incident.triggered")


def grafana_timed() -> Sender:
    """With the timestamp header that can be set there, the time is signed, too."""
    header, stamp_header = "X-Grafana-Alerting-Signature", "X-Grafana-Alerting-Timestamp"
    body = with_traps({"status": "firing", "groupKey": '{alertname="A"}'})

    def seal(key: str, at: float) -> Sent:
        signature = mac(key.encode(), b"%d:" % at + body).hex()
        return Sent(body, {"Content-Type": JSON, stamp_header: str(int(at)), header: signature})

    def requests(sender: Sender) -> Iterator[Request]:
        request = made("an alert", seal, sender.keys.sign, sender.keys.other, proof=header, window=300)
        timeless = request.genuine.with_header(header, mac(sender.keys.sign.encode(), body).hex())
        request.spoilt += [
            ("signed without the time", timeless),
            ("signed without the time, which is missing", timeless.with_header(stamp_header, None)),
        ]
        yield request

    fields = {"timestamp": {"header": stamp_header}}
    return Sender("grafana_timed", secrets("grafana_timed"), requests, scheme="grafana", fields=fields, event="firing")


def with_credentials(
    rule: str, body: bytes, write, sign: str, other: str, *, headers=None, name="an event", **more
) -> Sender:
    """A sender that signs nothing: the secret itself stands in `Authorization`."""

    def seal(key: str, _: float) -> Sent:
        return Sent(body, {"Content-Type": JSON, **(headers or {}), "Authorization": write(key)})

    def requests(sender: Sender) -> Iterator[Request]:
        request = made(name, seal, sign, other, proof="Authorization", covers_body=False, remembered=False)
        genuine = request.genuine
        request.spoilt += [
            ("with the secret and a letter more", genuine.with_header("Authorization", write(sign + "x"))),
            ("with the secret less its last letter", genuine.with_header("Authorization", write(sign[:-1]))),
            ("with no secret", genuine.with_header("Authorization", write(""))),
        ]
        yield request

    return Sender(rule, Keys(sign, other), requests, **more)


def microsoft_graph() -> Sender:
    """The secret stands in the body."""

    def body(**state: object) -> Sent:
        change = {"subscriptionId": "1", "changeType": "updated", "note": TRAPS} | state
        return Sent(text({"value": [change]}), {"Content-Type": JSON})

    def requests(sender: Sender) -> Iterator[Request]:
        sign = sender.keys.sign
        spoilt = [
            ("without its secret", body()),
            ("with the secret and a letter more", body(clientState=sign + "x")),
            ("with an empty secret", body(clientState="")),
            ("with nothing for a secret", body(clientState=None)),
            ("with a list for a secret", body(clientState=[sign])),
        ]
        yield made(
            "a change",
            lambda key, _: body(clientState=key),
            sign,
            sender.keys.other,
            proof=None,
            covers_body=False,
            remembered=False,
            spoilt=spoilt,
        )

    keys = Keys("graph-client-state-0001", "graph-client-state-0002")
    return Sender("microsoft_graph", keys, requests, event="updated")


def senders(_) -> list[Sender]:
    def bearer(token: str) -> str:
        return f"Bearer {token}"

    alert = with_traps({"status": "firing", "groupKey": "{}:{}"})
    cloud_event = {"ce-specversion": "1.0", "ce-type": "com.example.made", "ce-id": "1", "ce-source": "/x"}
    unauthorised = (401, "refused")
    return [
        pagerduty(),
        by_body("grafana", "X-Grafana-Alerting-Signature", {"an alert": alert}, event="firing"),
        grafana_timed(),
        with_credentials(
            "alertmanager",
            alert,
            bearer,
            "alertmanager-token-0001",
            "alertmanager-token-0002",
            name="an alert",
            event="firing",
            refused=unauthorised,
        ),
        with_credentials(
            "cloudevents",
            with_traps({}),
            bearer,
            "cloudevents-token-0001",
            "cloudevents-token-0002",
            headers=cloud_event,
            event="com.example.made",
            refused=unauthorised,
        ),
        with_credentials(
            "harbor",
            with_traps({"type": "PUSH_ARTIFACT"}),
            str,
            "Harbor policy-header-0001",
            "Harbor policy-header-0002",
            name="a push",
            event="PUSH_ARTIFACT",
        ),
        with_credentials(
            "azure_devops",
            with_traps({"eventType": "git.push"}),
            lambda key: "Basic " + base64(f"devops:{key}".encode()),
            "azure-password-0001: é",
            "azure-password-0002: é",
            name="a push",
            event="git.push",
            fields={"user": "devops"},
            key_field="password",
            refused=unauthorised,
        ),
        microsoft_graph(),
    ]
