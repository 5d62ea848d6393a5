"""The differences that the guide *migrate from adnanh/webhook* lists, each shown side by side (needs `webhook`).

A line of the guide's table without a test here fails, and so does a test without a line.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import time

import pytest
from hooks import form, hook, match, parameter, post, signed
from paths import ROOT
from polling import wait_until
from programs import needs
from side_by_side import Pair, Request

GUIDE = ROOT / "docs/guides/migrate-from-adnanh-webhook.md"
SHOWN = {}
"""What shows a difference, by the first cell of its line in the guide."""

SIGNATURE = match("payload-hmac-sha256", "k", "header", "X-Hub-Signature-256")
SIGNED = ("k", "X-Hub-Signature-256", "sha256", "sha256=")

SHOW = """\
#!/bin/sh
printf '%s|' "${VAR_A-unset}" "$@" >> shown
"""
HOLD = """\
#!/bin/sh
# Says that it has begun, and waits a minute at most for the file `go`.
echo $$ >> begun
for _ in $(seq 1200); do [ -e go ] && break; sleep 0.05; done
echo ended >> ended
"""


@pytest.fixture
def pair(binary, tmp_path):
    needs("webhook")
    pair = Pair(binary, tmp_path)
    yield pair
    pair.stop()


def guide():
    """The first cells of the guide's table of differences."""
    _, section = GUIDE.read_text().split("\n## What behaves differently, and why\n")
    rows = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("| ")]
    return [row.split(" | ")[0].removeprefix("| ") for row in rows[1:]]


def shows(line):
    """Marks what shows the difference of this line."""

    def mark(function):
        assert line not in SHOWN
        SHOWN[line] = function
        return function

    return mark


def test_each_line_of_the_guide_is_shown():
    assert sorted(SHOWN) == sorted(guide())


@pytest.mark.parametrize("line", guide())
def test_what_differs_is_what_the_guide_says(pair, line):
    SHOWN[line](pair)


def compared(pair, hooks, *requests):
    """For each request the statuses of theirs and ours, and how many commands they ran."""
    outcomes = pair.run(hooks, requests)
    return [(theirs.status, ours.status, len(their), len(our)) for theirs, ours, their, our in outcomes]


def arguments(pair, hooks, request):
    """The arguments of the only command of theirs and of ours."""
    [(_, _, [theirs], [ours])] = pair.run(hooks, [request])
    return theirs.arguments, ours.arguments


@shows("a hook without `trigger-rule` runs for every request")
def no_trigger_rule(pair):
    assert compared(pair, [hook("open")], Request("open", "GET")) == [(200, 200, 1, 1)]
    # What is open says so.
    assert "nothing proves who sends" in pair.ours.told
    rules = (pair.ours.folder / "rules.yaml").read_text()
    assert rules.count("\n    verify: none") == 1
    (pair.ours.folder / "rules.yaml").write_text(re.sub("\n    verify: none.*", "", rules))
    status, text = pair.ours.command("check", "rules.yaml")
    assert status == 1
    assert "verify" in text


@shows("a signature is one condition of `trigger-rule`, and an `or` can hold without it")
def signature_in_or(pair):
    hooks = [hook("either", trigger_rule={"or": [SIGNATURE, match("value", "x", "payload", "a")]})]
    assert compared(pair, hooks, post("either", {"a": "x"})) == [(200, 403, 1, 0)]
    assert "the hook could fire without this signature" in pair.ours.told


@shows("a wrong signature is answered 500, a missing one 200, a wrong token or address 200")
def refusals(pair):
    hooks = [
        hook("signed", trigger_rule=SIGNATURE),
        hook("token", trigger_rule=match("value", "gitlab-token", "header", "X-Gitlab-Token")),
        hook("bearer", trigger_rule=match("value", "Bearer of-the-test", "header", "Authorization")),
        hook("basic", trigger_rule=match("value", "Basic YWRtaW46c2VjcmV0", "header", "Authorization")),
        hook("elsewhere", trigger_rule=match("ip-whitelist", "192.0.2.0/24")),
    ]
    requests = [
        signed("signed", {}, "other", *SIGNED[1:]),
        post("signed", {}),
        post("token", {}, **{"X-Gitlab-Token": "other"}),
        post("bearer", {}, Authorization="Bearer other"),
        post("basic", {}, Authorization="Basic YWRtaW46b3RoZXI="),
        post("elsewhere", {}),
    ]
    assert compared(pair, hooks, *requests) == [
        (500, 403, 0, 0),
        (200, 403, 0, 0),
        (200, 403, 0, 0),
        (200, 401, 0, 0),
        (200, 401, 0, 0),
        (200, 403, 0, 0),
    ]


@shows("every method is allowed")
def methods(pair):
    hooks = [hook("reads", parameter("payload", "a")), hook("ignores"), hook("puts", http_methods=["PUT"])]
    requests = [
        Request("reads", "GET"),
        Request("reads", "DELETE"),
        Request("ignores", "GET"),
        Request("ignores", "PUT"),
        Request("puts", "PUT"),
    ]
    assert compared(pair, hooks, *requests) == [
        (200, 405, 1, 0),
        (200, 405, 1, 0),
        (200, 200, 1, 1),
        (200, 405, 1, 0),
        (200, 200, 1, 1),
    ]


@shows("the same request runs again each time")
def the_same_again(pair):
    again = signed("twice", {"n": 1}, *SIGNED)
    hooks = [hook("twice", trigger_rule=SIGNATURE)]
    assert compared(pair, hooks, again, again) == [(200, 200, 1, 1), (200, 200, 1, 0)]


@shows("the answer does not wait, and an event is lost if the daemon stops")
def killed(pair):
    pair.script("hold", HOLD)
    programs = (pair.theirs, pair.ours)
    hooks = [hook("slow", execute_command="hold", trigger_rule=SIGNATURE)]
    # An attempt that began and was cut off counts as one, if the daemon had time to note it. So a second is allowed.
    with pair.running(hooks, edit=without("    retry: {attempts: 1}\n")):
        assert pair.send(signed("slow", {}, *SIGNED)) == (200, 200)
        wait_until("both have begun", lambda: all(program.lines("begun") for program in programs))
        for program in programs:
            program.process.kill()
            program.process.wait()
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(program.lines("begun")[0]), signal.SIGKILL)
            (program.folder / "go").touch()
        pair.theirs.run(hooks)
        pair.ours.serve()
        wait_until("ours has ended", lambda: pair.ours.lines("ended"))
    assert [len(program.lines("begun")) for program in programs] == [1, 2]
    assert not pair.theirs.lines("ended")


def without(line):
    """An edit that takes a line out of the rules."""

    def edit(rules):
        assert line in rules
        return rules.replace(line, "")

    return edit


@shows("a command that fails is not tried again")
def tried_again(pair):
    pair.script("fail", "#!/bin/sh\necho tried >> tried\nexit 3\n")
    hooks = [hook("fails", execute_command="fail")]

    def tried(state, edit=str):
        with pair.running(hooks, edit=edit):
            assert pair.send(post("fails", {})) == (200, 200)
            wait_until(f"ours: {state}", lambda: f"fails {state}" in pair.ours.command("events", "list")[1])
            return [len(program.lines("tried")) for program in (pair.theirs, pair.ours)]

    assert tried("dead") == [1, 1]
    # After 10 seconds, and after a minute.
    assert tried("retry at", without("    retry: {attempts: 1}\n")) == [2, 2]


@shows("a command has no standard input")
def standard_input(pair):
    request = post("reads", {"a": "b"})
    [(_, _, [theirs], [ours])] = pair.run([hook("reads")], [request])
    assert (theirs.input, ours.input) == (b"", b"")
    [(_, _, [theirs], [ours])] = pair.run([hook("reads")], [request], edit=without("stdin: none"))
    assert (theirs.input, ours.input) == (b"", request.body)


@shows("a command runs without a time limit")
def time_limit(pair):
    rules, _ = pair.ours.imported([hook("open")])
    (pair.ours.folder / "rules.yaml").write_text(rules)
    assert "timeout:" not in rules
    _, text = pair.ours.command("explain", "rules.yaml", "--endpoint", "/hooks/open")
    assert '"timeout":"10m"' in text


@shows("the number of commands at once has no limit")
def commands_at_once(pair):
    pair.script("hold", HOLD)
    hooks = [hook("slow", execute_command="hold")]
    with pair.running(hooks):
        for number in range(66):
            assert pair.send(Request("slow", body=str(number).encode())) == (200, 200)

        def begun():
            return [len(program.lines("begun")) for program in (pair.theirs, pair.ours)]

        wait_until("all of theirs and 56 of ours have begun", lambda: begun() == [66, 56])
        time.sleep(0.5)
        assert begun() == [66, 56]
        for program in (pair.theirs, pair.ours):
            (program.folder / "go").touch()
        wait_until("the others have their turn", lambda: begun() == [66, 66])
        wait_until("all have ended", lambda: len(pair.ours.lines("ended")) == 66)


@shows("a command inherits the environment of the daemon")
def environment(pair):
    os.environ["VAR_OF_THE_DAEMON"] = "secret"
    try:
        [(_, _, [theirs], [ours])] = pair.run([hook("open")], [post("open", {})])
    finally:
        del os.environ["VAR_OF_THE_DAEMON"]
    assert (theirs.variables, ours.variables) == ({"VAR_OF_THE_DAEMON": "secret"}, {})


def shown(pair, request, *arguments, **properties):
    """What the command `show` of a hook wrote, by theirs and by ours: a variable and the arguments."""
    pair.script("show", SHOW)
    with pair.running([hook("show", *arguments, execute_command="show", **properties)]):
        assert pair.send(request, 7) == (200, 200)
        wait_until("both have run", lambda: pair.theirs.lines("shown") and pair.ours.lines("shown"))
    return pair.theirs.lines("shown")[0], pair.ours.lines("shown")[0]


@shows("a variable of a missing value is not set")
def missing_variable(pair):
    missing = [{"envname": "VAR_A", **parameter("payload", "a")}]
    lines = shown(pair, post("show", {}), pass_environment_to_command=missing)
    assert lines == ("unset|7|", "|7|")


@shows("a value may stand in any argument")
def shell_value(pair):
    script = {"id": "open", "execute-command": "/bin/sh"}
    script["pass-arguments-to-command"] = [parameter("string", "-c"), parameter("payload", "script")]
    request = post("open", {"script": "echo owned > owned"})
    with pair.running([script, hook("other")]):
        assert pair.send(request) == (200, 404)
        wait_until("the sender's script runs", lambda: pair.theirs.lines("owned"))
    assert not pair.ours.lines("owned")
    assert "error: " in pair.ours.told
    assert "# - name: open" in (pair.ours.folder / "rules.yaml").read_text()


@shows("`regex` and `not` see a number or a boolean as text")
def other_types(pair):
    hooks = [
        hook("regex", trigger_rule=match("regex", "^3", "payload", "n")),
        hook("negated", trigger_rule={"not": match("value", "x", "payload", "n")}),
    ]
    requests = [post("regex", {"n": 37}), post("negated", {"n": 3}), post("negated", {"n": False})]
    assert compared(pair, hooks, *requests) == [(200, 200, 1, 0)] * 3


@shows("of a repeated parameter of the query, the first value counts")
def repeated_parameter(pair):
    hooks = [
        hook("query", trigger_rule=match("value", "a", "url", "kind")),
        hook("negated", trigger_rule={"not": match("value", "evil", "url", "kind")}),
    ]
    requests = [Request("query", query="?kind=b&kind=a"), Request("negated", query="?kind=a&kind=evil")]
    assert compared(pair, hooks, *requests) == [(200, 200, 0, 1), (200, 200, 1, 0)]


@shows("of a repeated field of a form, the first value counts")
def repeated_field(pair):
    hooks = [
        hook("form", trigger_rule=match("value", "a", "payload", "kind")),
        hook("negated", trigger_rule={"not": match("value", "evil", "payload", "kind")}),
    ]
    requests = [form("form", "kind=a&kind=b"), form("negated", "kind=a&kind=evil")]
    assert compared(pair, hooks, *requests) == [(200, 200, 1, 0), (200, 200, 1, 0)]
    # A value of its own for each is one JSONPath away.
    path = pair.ours.folder / "rules.yaml"
    path.write_text(path.read_text().replace("match: {$.kind: a}", "match: {'$.kind[*]': a}"))
    arguments = ("--endpoint", "/hooks/form", "--header", "Content-Type: application/x-www-form-urlencoded")
    (pair.ours.folder / "form").write_text("kind=b&kind=a")
    _, text = pair.ours.command("explain", "rules.yaml", *arguments, "--body", "form")
    assert text.startswith("yes form: "), text


@shows("`null` is passed as `<nil>`")
def null(pair):
    lines = shown(pair, post("show", {"a": None}), parameter("payload", "a"))
    assert lines == ("unset|7|<nil>|", "unset|7|null|")


@shows("`ip-whitelist` looks at the peer, which behind a proxy is the proxy")
def behind_a_proxy(pair):
    hooks = [
        hook("proxy", trigger_rule=match("ip-whitelist", "127.0.0.1")),
        hook("client", trigger_rule=match("ip-whitelist", "192.0.2.0/24")),
    ]
    through = {"X-Forwarded-For": "192.0.2.7"}
    requests = [post("proxy", {}, **through), post("client", {}, **through)]
    outcomes = pair.run(hooks, requests, server=", trusted_proxies: [127.0.0.1]")
    assert [(len(theirs), len(ours)) for _, _, theirs, ours in outcomes] == [(1, 0), (0, 1)]


@shows("a bare IPv6 address in `ip-whitelist` lets in its `/32`")
def bare_ipv6(pair):
    hooks = [
        hook("near", trigger_rule=match("ip-whitelist", "::2")),
        hook("exact", trigger_rule=match("ip-whitelist", "::1")),
    ]
    outcomes = pair.run(hooks, [post("near", {}), post("exact", {})], ip="::1")
    assert [(len(theirs), len(ours)) for _, _, theirs, ours in outcomes] == [(1, 0), (1, 1)]


@shows("a body that is not what its content type says fires rules that ask for missing values")
def unreadable(pair):
    hooks = [hook("missing", trigger_rule={"not": match("value", "x", "payload", "a")})]
    assert compared(pair, hooks, form("missing", "{", "application/json")) == [(200, 400, 1, 0)]


@shows("a body without a content type is not read")
def untyped(pair):
    hooks = [hook("open", parameter("payload", "a"))]
    assert arguments(pair, hooks, Request("open", body=b'{"a": "b"}')) == ([""], ["b"])


@shows("the only field `payload` of a form stays text")
def field_payload(pair):
    hooks = [hook("open", parameter("payload", "a"))]
    assert arguments(pair, hooks, form("open", 'payload={"a": "b"}')) == ([""], ["b"])


@shows("a list in JSON is `root`")
def root(pair):
    hooks = [hook("list", parameter("payload", "root.0.id"))]
    assert arguments(pair, hooks, post("list", [{"id": "x"}])) == (["x"], ["x"])
    rules = (pair.ours.folder / "rules.yaml").read_text()
    assert "root[" not in rules and "root." not in rules
    assert "[0].id" in rules


@shows("a broken hooks file stops the start, or is skipped at a reload")
def broken_file(pair):
    hooks = [hook("open")]
    with pair.running(hooks):
        for program, name in ((pair.theirs, "hooks.json"), (pair.ours, "rules.yaml")):
            path = program.folder / name
            path.write_text(path.read_text().replace("open", "other").rstrip() + "\n  {")
        pair.theirs.process.send_signal(signal.SIGUSR1)
        pair.ours.process.send_signal(signal.SIGHUP)
        for program, words in ((pair.theirs, "couldn't load hooks"), (pair.ours, "ERROR")):
            wait_until(f"{words} is logged", lambda program=program, words=words: words in program.log.read_text())
        assert pair.send(post("open", {})) == (200, 200)
        place = re.search(r"ERROR.*(rules\.yaml:\d+:\d+)", pair.ours.log.read_text())
        assert place, pair.ours.log.read_text()
    theirs = subprocess.run(
        ["webhook", "-hooks", "hooks.json", "-ip", "127.0.0.1", "-port", "1"],
        cwd=pair.theirs.folder,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert theirs.returncode != 0
    status, text = pair.ours.command("serve", "rules.yaml")
    assert (status, place[1] in text, "hint: " in text) == (1, True, True), json.dumps(text)
