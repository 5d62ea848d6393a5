"""Rules made by `hookyard import`, side by side with adnanh/webhook 2.8 (needs Debian's package `webhook`).

Both get the same hooks and the same requests. Compared are which command ran, with which arguments, variables, input
and file, and the status and body of the answer. The guide *migrate from adnanh/webhook* lists what differs, and so
does `agree`. `test_differences.py` shows each of its lines.
"""

import json
import urllib.parse

import pytest
from hooks import form, hook, match, parameter, post, signed
from hooks_strategies import cases
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from programs import needs
from side_by_side import Pair, Request, encoded

BATCH = 20
"""Hooks that run together."""
BATCHES = 10

REFUSED = (401, 403)


@pytest.fixture(scope="module")
def pair(binary, tmp_path_factory):
    needs("webhook")
    pair = Pair(binary, tmp_path_factory.mktemp("import"))
    yield pair
    pair.stop()


def agree(theirs, ours, their_calls, our_calls, hook, rule):
    """Checks that both did the same, but for the differences that are meant."""
    assert their_calls == our_calls
    if "enabled: false\n" in rule or "# - name:" in rule:
        # A hook that can never fire. `hookyard import` says so.
        assert not their_calls
        return
    if ours.status in REFUSED:
        # A wrong signature is 500 there, and a wrong token or address is a mismatch.
        mismatch = hook.get("trigger-rule-mismatch-http-response-code", 200)
        # Go knows no 299.
        mismatch = 200 if mismatch == 299 else mismatch
        assert theirs.status in (500, mismatch)
        assert not their_calls
        return
    if ours.status == 405:
        # The body of an answer that no hook gives is its own.
        assert theirs.status == 405
        return
    assert (theirs.status, theirs.body) == (ours.status, ours.body)
    for header in hook.get("response-headers", []) if their_calls else []:
        name = header["name"].lower()
        assert theirs.headers.get(name) == ours.headers.get(name) == header["value"]


def run(pair, hooks, requests):
    by_id = {hook["id"]: hook for hook in hooks}
    outcomes = pair.run(hooks, requests)
    differences = []
    for request, outcome in zip(requests, outcomes, strict=True):
        rule = pair.ours.rule(request.hook)
        try:
            agree(*outcome, by_id[request.hook], rule)
        except AssertionError as error:
            differences.append(
                f"{error}\n{outcome[0]}\n{outcome[1]}\n{request}\n{json.dumps(by_id[request.hook])}\n{rule}"
            )
    assert not differences, "\n\n".join([f"{len(differences)} requests differ", *differences[:3]])
    return outcomes


def test_random_hooks_do_the_same(pair, measured):
    calls = 0

    @settings(
        max_examples=BATCHES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.tuples(*(cases(number) for number in range(BATCH))))
    def compare(batch):
        nonlocal calls
        hooks = [hook for hook, _ in batch]
        outcomes = run(pair, hooks, [request for _, requests in batch for request in requests])
        calls += sum(len(theirs) for _, _, theirs, _ in outcomes)

    pair.requests = 0
    compare()
    assert calls > BATCH * BATCHES / 4
    measured(f"{BATCH * BATCHES} hooks, {pair.requests} requests, {calls} commands on each side")


PUSH = {"ref": "refs/heads/main", "head_commit": {"id": "c0ffee"}, "pusher": {"name": "mona", "email": "m@example.org"}}


def test_the_jobs_of_its_documentation_do_the_same(pair, measured):
    commit = [parameter("payload", "head_commit.id"), parameter("payload", "pusher.name")]
    main = match("value", "refs/heads/main", "payload", "ref")
    hooks = [
        hook(
            "github",
            *commit,
            trigger_rule={"and": [match("payload-hmac-sha1", "k1", "header", "X-Hub-Signature"), main]},
        ),
        hook(
            "gitea",
            *commit,
            trigger_rule={"and": [match("payload-hmac-sha256", "k2", "header", "X-Gitea-Signature"), main]},
        ),
        hook(
            "gogs",
            *commit,
            trigger_rule={"and": [match("payload-hmac-sha256", "k3", "header", "X-Gogs-Signature"), main]},
        ),
        hook(
            "bitbucket",
            parameter("payload", "actor.username"),
            trigger_rule={"or": [match("ip-whitelist", "13.52.5.96/28"), match("ip-whitelist", "127.0.0.1")]},
        ),
        hook("elsewhere", trigger_rule=match("ip-whitelist", "13.52.5.96/28")),
        hook(
            "gitlab",
            parameter("payload", "user_name"),
            response_message="running",
            trigger_rule=match("value", "gitlab-token", "header", "X-Gitlab-Token"),
        ),
        hook("slack", response_message="running", trigger_rule=match("value", "slack-token", "payload", "token")),
        hook("simple", response_message="running", trigger_rule=match("value", "42", "url", "token")),
        hook("list", trigger_rule=match("value", "deferred", "payload", "root.1.event")),
        hook(
            "xml",
            parameter("payload", "app.users.user.1.-name"),
            trigger_rule={
                "and": [
                    match("value", "Jeff", "payload", "app.users.user.0.-name"),
                    match("value", "Hello!!", "payload", "app.messages.message.#text"),
                ]
            },
        ),
        hook("strings", parameter("string", "-e"), parameter("string", "123123"), parameter("payload", "pusher.email")),
        hook(
            "static",
            trigger_rule={
                "and": [
                    match("value", "static-token", "header", "X-Static-Token"),
                    match("value", "push", "payload", "action"),
                ]
            },
            pass_environment_to_command=[
                {"envname": "VAR_REPO", **parameter("payload", "target.repository")},
                parameter("payload", "action"),
            ],
        ),
        hook("several", trigger_rule=match("payload-hmac-sha512", "k4", "header", "X-Signature")),
    ]
    unpacked = {"parse_parameters_as_json": [parameter("payload", "payload")]}
    hooks += [
        hook("travis", **unpacked, trigger_rule=match("value", "passed", "payload", "payload.state")),
        hook("plex", **unpacked, trigger_rule=match("value", "media.play", "payload", "payload.event")),
        hook(
            "picture",
            parameter("string", "it's $HOME"),
            parameter("payload", "name"),
            pass_file_to_command=[{**parameter("payload", "picture"), "envname": "FILE", "base64decode": True}],
            include_command_output_in_response=True,
        ),
        hook("content", pass_file_to_command=[parameter("payload", "content")]),
    ]
    state = urllib.parse.quote(json.dumps({"state": "passed"}))
    part = 'Content-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
    parts = [part.format("payload", "", json.dumps({"event": "media.play"}))]
    parts += [part.format("thumb", '; filename="thumb.jpg"\r\nContent-Type: image/jpeg', "picture")]
    multipart = "".join(f"--edge\r\n{part}" for part in parts) + "--edge--\r\n"
    xml = """<app><users><user id="1" name="Jeff" /><user id="2" name="Sally" /></users><messages>
        <message id="1" from_user="1" to_user="2">Hello!!</message></messages></app>"""
    many = signed("several", {"n": 2}, "k4", "X-Signature", "sha512", "sha512=")
    many.headers["X-Signature"] = "sha512=00," + many.headers["X-Signature"]
    requests = [
        signed("github", PUSH, "k1", "X-Hub-Signature", "sha1", "sha1="),
        signed("github", {**PUSH, "ref": "refs/heads/other"}, "k1", "X-Hub-Signature", "sha1", "sha1="),
        signed("github", PUSH, "wrong", "X-Hub-Signature", "sha1", "sha1="),
        post("github", PUSH),
        signed("gitea", PUSH, "k2", "X-Gitea-Signature", "sha256"),
        signed("gogs", PUSH, "k3", "X-Gogs-Signature", "sha256"),
        post("bitbucket", {"actor": {"username": "mona"}}),
        post("elsewhere", {}),
        post("gitlab", {"user_name": "mona"}, **{"X-Gitlab-Token": "gitlab-token"}),
        post("gitlab", {"user_name": "mona"}, **{"X-Gitlab-Token": "wrong"}),
        form("slack", "token=slack-token&text=a+b"),
        form("slack", "token=wrong&text=a+b"),
        Request("simple", "GET", "?token=42"),
        Request("simple", "GET", "?token=43"),
        Request("simple", "GET"),
        post("list", [{"event": "processed"}, {"event": "deferred"}]),
        post("list", [{"event": "processed"}]),
        form("xml", xml, "application/xml"),
        post("strings", PUSH),
        post("static", {"action": "push", "target": {"repository": "r"}}, **{"X-Static-Token": "static-token"}),
        post("static", {"action": "pull", "target": {"repository": "r"}}, **{"X-Static-Token": "static-token"}),
        form("travis", f"payload={state}"),
        form("travis", f"payload={state.replace('passed', 'failed')}"),
        form("plex", multipart, "multipart/form-data; boundary=edge"),
        post("picture", {"name": "a b", "picture": encoded(bytes(range(256)))}),
        post("content", {"content": 'two\nlines and "quotes" $HOME'}),
        signed("several", {"n": 1}, "k4", "X-Signature", "sha512"),
        many,
    ]
    outcomes = run(pair, hooks, requests)
    ran = sum(len(theirs) for _, _, theirs, _ in outcomes)
    assert ran == 17
    assert outcomes[-4][2][0].file == bytes(range(256))
    measured(f"{len(hooks)} hooks, {len(requests)} requests, {ran} commands on each side")
