"""The schemas as editors read them: `ajv` agrees with `hookyard check`, and `yaml-language-server` completes keys."""

import json
import random
import re
import subprocess

import pytest
from editors.language_server import LanguageServer
from paths import ROOT, WORK

INSTALLED = WORK / "editors"
if not (INSTALLED / "installed").exists():
    pytest.skip("ajv and yaml-language-server are not installed: `just editors` installs them", allow_module_level=True)

# Findings about the shape of a file: types, keys, words.
SHAPE = {"unknown-key", "missing-key", "null-value", "wrong-value", "unknown-value"}
# What a schema cannot express: `src/reference/schema/tests/mod.rs` has the list with the reasons.
BEYOND = re.compile(r"the content has `\{|` is missing|`body` is JSON")
CHANGES = 150


@pytest.fixture(scope="module")
def schemas(binary, tmp_path_factory):
    """The schemas as files, as the package installs them."""
    folder = tmp_path_factory.mktemp("schemas")
    for kind, name in [("rules", "rules.schema.json"), ("test", "rules.test.schema.json")]:
        text = subprocess.run([binary, "schema", kind], capture_output=True, text=True, check=True).stdout
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    program = INSTALLED / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
    server = LanguageServer(program, tmp_path_factory.mktemp("editor"))
    yield server
    server.stop()


def accepted(schema, texts):
    """The answers of ajv."""
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    command = ["node", str(INSTALLED / "validate.mjs"), str(schema)]
    answer = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]


def rules_files():
    """The rules files of the manual and of the example."""
    texts = [(ROOT / "rules.example.yaml").read_text()]
    for page in sorted((ROOT / "docs").rglob("*.md")):
        blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
        texts += [block for block in blocks if re.search(r"^rules:", block, re.MULTILINE)]
    return texts


def changed(text, dice):
    """The text with one line changed: a misspelt key, another value, or no such line."""
    lines = text.splitlines()
    keyed = [at for at, line in enumerate(lines) if re.match(r"\s*(- )?[a-z_]+:", line)]
    at = dice.choice(keyed)
    match dice.randrange(4):
        case 0:
            lines[at] = re.sub(r"([a-z_]+):", r"\1s:", lines[at], count=1)
        case 1:
            lines[at] = re.sub(r": .*", ": 7", lines[at], count=1)
        case 2:
            lines[at] = re.sub(r": .*", ": [x]", lines[at], count=1)
        case _:
            del lines[at]
    return "\n".join(lines) + "\n"


def check(binary, folder, text):
    """The findings of `hookyard check`, by code."""
    path = folder / "rules.yaml"
    path.write_text(text)
    answer = subprocess.run([binary, "check", "--format", "json", path], capture_output=True, text=True, check=False)
    found = json.loads(answer.stdout)
    return [one for one in found["diagnostics"] if one["severity"] == "error"]


def test_ajv_and_check_agree_on_the_shape_of_a_rules_file(binary, schemas, tmp_path, measured):
    dice = random.Random(7)
    texts = rules_files()
    assert len(texts) > 60
    texts += [changed(dice.choice(texts), dice) for _ in range(CHANGES)]
    wrong = []
    for text, accepts in zip(texts, accepted(schemas / "rules.schema.json", texts), strict=True):
        if accepts is None:
            continue
        found = check(binary, tmp_path, text)
        own = re.search(r"^schemes:", text, re.MULTILINE)
        shape = [one for one in found if one["code"] in SHAPE and not BEYOND.search(one["message"])]
        if (accepts and shape and not own) or (not accepts and not found):
            wrong.append(f"ajv says {accepts}, check says {found}:\n{text}")
    measured(f"{len(texts)} rules files")
    assert not wrong, "\n".join(wrong)


def test_ajv_accepts_what_init_and_import_write(binary, schemas, tmp_path):
    subprocess.run([binary, "init", "--sender", "github", "--dir", tmp_path], check=True, capture_output=True)
    hooks = [
        {
            "id": "deploy",
            "execute-command": "/bin/true",
            "trigger-rule": {
                "match": {
                    "type": "payload-hmac-sha256",
                    "secret": "a-secret",
                    "parameter": {"source": "header", "name": "X-Sig"},
                }
            },
        }
    ]
    (tmp_path / "hooks.json").write_text(json.dumps(hooks))
    imported = subprocess.run([binary, "import", tmp_path / "hooks.json"], capture_output=True, text=True, check=False)
    assert imported.stdout.startswith("# yaml-language-server: $schema=/usr/share/hookyard/rules.schema.json\n")
    rules = [(tmp_path / "rules.yaml").read_text(), imported.stdout]
    assert accepted(schemas / "rules.schema.json", rules) == [True, True]
    tests = [(tmp_path / "rules.test.yaml").read_text(), "tests: [{name: 7}]\n", "x-a: 1\ntests: []\n", "test: []\n"]
    assert accepted(schemas / "rules.test.schema.json", tests) == [True, False, True, False]


def with_schema(schemas, text, name="rules.schema.json"):
    return f"# yaml-language-server: $schema={(schemas / name).as_uri()}\n{text}"


RULE = "rules:\n  - name: a\n    endpoint: /a\n    verify: {github: env:SECRET}\n"

# The text, whose last line is completed, and some of what may stand there.
COMPLETIONS = [
    ("top", "", ["server", "store", "endpoints", "rules", "schemes"]),
    ("rule", "rules:\n  - ", ["name", "endpoint", "verify", "match", "actions", "retry"]),
    ("rule-more", RULE + "    ", ["match", "actions", "on_failure", "concurrency", "debounce"]),
    ("verify", "rules:\n  - name: a\n    verify:\n      ", ["github", "stripe", "slack", "hmac", "mode"]),
    ("settings", "rules:\n  - name: a\n    verify:\n      github:\n        ", ["secret", "header"]),
    ("match", RULE + "    match:\n      ", ["event", "method", "any", "not"]),
    ("operator", RULE + "    match:\n      $.ref:\n        ", ["equals", "prefix", "glob", "exists"]),
    ("action", RULE + "    actions:\n      - ", ["run", "shell", "forward", "append"]),
    ("word", RULE + "    on_duplicate: ", ["ignore", "reject", "run"]),
]


@pytest.mark.parametrize("name, text, expected", COMPLETIONS, ids=[name for name, _, _ in COMPLETIONS])
def test_keys_and_words_are_completed(server, schemas, name, text, expected):
    text = with_schema(schemas, text)
    uri = server.open(f"{name}.yaml", text)
    lines = text.split("\n")
    labels = server.complete(uri, len(lines) - 1, len(lines[-1]))
    missing = [label for label in expected if label not in labels]
    assert not missing, f"{missing} missing in {labels}"


def test_hover_shows_what_a_key_does(server, schemas):
    text = with_schema(
        schemas, RULE + "    on_duplicate: ignore\n    match: {$.ref: {glob: x}}\n    actions: [{run: [a]}]\n"
    )
    uri = server.open("hover.yaml", text)
    lines = text.split("\n")

    def at(word):
        line = next(number for number, line in enumerate(lines) if word in line)
        return server.hover(uri, line, lines[line].index(word) + 1)

    assert "of an endpoint, for this rule" in at("on_duplicate")
    assert "GitHub" in at("github")
    assert "pattern" in at("glob")
    assert "Program and arguments" in at("run:")


def test_a_wrong_key_value_or_scheme_is_a_diagnostic(server, schemas):
    right = RULE + "    actions: [{append: a.jsonl}]\n"
    for number, (text, part) in enumerate(
        [
            (right, None),
            (right.replace("endpoint", "endpont"), "endpont"),
            (right.replace("append", "apend"), "apend"),
            (right + "    on_duplicate: never\n", "Value is not accepted"),
            (right.replace("github", "githbu"), '"github", "github_sha1"'),
            (right + "    debounce: 10\n", "Incorrect type"),
            (right + "    match: {$.a: {prefx: b}}\n", "prefx"),
        ]
    ):
        found = server.found(server.open(f"wrong{number}.yaml", with_schema(schemas, text)))
        if part is None:
            assert found == []
        else:
            assert any(part in message for message in found), f"{part}: {found}"


def test_a_test_file_is_completed(server, schemas):
    text = with_schema(schemas, "tests:\n  - name: a\n    request:\n      ", "rules.test.schema.json")
    uri = server.open("rules.test.yaml", text)
    assert {"endpoint", "json", "as"} <= set(server.complete(uri, 4, 6))
