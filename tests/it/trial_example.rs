//! The tests of the example rules: they pass, cover everything, and see edits of the rules.

use std::path::Path;

use hookyard::trial::Suite;

use crate::manual::read;
use crate::scenario::Scenario;
use crate::trial::expect;

const TESTS: &str = "docs/examples/rules.example.test.yaml";

/// Edits of the example rules, each with the text that it replaces: a condition negated or changed, an
/// action dropped, a rule removed, a secret, a limit or an answer changed.
const EDITS: &[(&str, &str)] = &[
    // Conditions.
    ("$.name: {exists: true}", "$.name: {exists: false}"),
    ("$.name: {exists: true}", "$.nam: {exists: true}"),
    ("$.ref: refs/heads/main  ", "$.ref: refs/heads/next  "),
    ("[acme/site, acme/docs]", "[acme/docs]"),
    ("{glob: \"docs/**\"}", "{glob: \"src/**\"}"),
    (
        "{every: {suffix: \"@acme.example\"}}",
        "{suffix: \"@acme.example\"}",
    ),
    ("{none: {contains: \"[skip ci]\"}}", "{contains: \"[skip ci]\"}"),
    (
        "{gt: 0, gte: 1, lt: 1000, lte: 999}",
        "{gt: 0, gte: 1, lt: 1001, lte: 1000}",
    ),
    (
        "{gt: 0, gte: 1, lt: 1000, lte: 999}",
        "{gt: 0, gte: 1, lt: 999, lte: 998}",
    ),
    (
        "{gt: 0, gte: 1, lt: 1000, lte: 999}",
        "{gte: 0, lt: 1000, lte: 999}",
    ),
    ("{equals: v1.0, ignore_case: true}", "{equals: v1.0}"),
    ("{in: [main, next]}", "{in: [main]}"),
    (
        "{prefix: \"release \", length: {lt: 80}}",
        "{suffix: \"release \", length: {lt: 80}}",
    ),
    ("matches: 'v\\d+(\\.\\d+)*'", "matches: '\\d+(\\.\\d+)*'"),
    ("$.deleted_at: {exists: false}", "$.deleted_at: {exists: true}"),
    ("header.X-Kind: deploy", "header.X-Kind: other"),
    ("query.dry: {exists: false}", "query.dry: {exists: true}"),
    ("query.n: {as: number, gte: 1}", "query.n: {as: number, lt: 1}"),
    ("path.app: {in: [site, docs]}", "path.app: {in: [site]}"),
    (
        "client.ip: {in_cidr: [127.0.0.0/8, \"::1\"]}",
        "client.ip: {in_cidr: [192.0.2.0/24]}",
    ),
    ("body: {contains: \"acme\"}", "body: {contains: \"other\"}"),
    ("- $.forced: true", "- $.forced: false"),
    ("{$.approved: true}, ", ""),
    ("{length: {gte: 2}}", "{length: {gte: 1}}"),
    ("not: {$.sender.login: dependabot}", "$.sender.login: dependabot"),
    ("match: {'@.status': firing}", "match: {'@.status': resolved}"),
    (
        "match: {'@.status': firing}",
        "match: {'@.labels': {exists: true}}",
    ),
    // Actions.
    (
        "      - append: hello.jsonl         # one JSON line an event\n",
        "",
    ),
    ("      - run: [/bin/echo, \"hello, {{ payload.name }}\"]\n", ""),
    ("\"hello, {{ payload.name }}\"", "\"hello, {{ payload.nam }}\""),
    ("append: acme.jsonl", "append: other.jsonl"),
    ("append: conditions.jsonl", "append: other.jsonl"),
    ("{{ item.labels.instance }}", "{{ item.labels.alertname }}"),
    ("--ref={{ payload.ref }}", "--ref={{ payload.after }}"),
    ("env: {LABEL: \"{{ rule }}\"}", "env: {LABEL: other}"),
    ("COMMIT: \"{{ payload.after }}\"", "COMMIT: \"{{ payload.ref }}\""),
    (
        "BUILT: \"{{ actions.build.stdout }}\"",
        "BUILT: \"{{ actions.build.stderr }}\"",
    ),
    ("stdin: body    ", "stdin: none    "),
    ("printf '%s\\n' \"$COMMIT\"", "printf '%s\\n' x"),
    ("/deploys/{{ event.id }}", "/other/{{ event.id }}"),
    (
        "method: POST                                      # or",
        "method: PUT                                       # or",
    ),
    (
        "headers: {Content-Type: application/json}",
        "headers: {Content-Type: text/plain}",
    ),
    ("{{ payload.ref | tojson }}", "{{ payload.after | tojson }}"),
    (
        "        sign: {standard: {secret: b25seS1mb3ItdGhpcy1leGFtcGxl}}",
        "        #",
    ),
    (
        "line: \"{{ event.received_at }} {{ payload.ref }}\"",
        "line: \"{{ payload.ref }}\"",
    ),
    (
        "line: \"{{ event.id }} {{ failure.action }}: {{ failure.reason }}\"",
        "line: \"{{ failure.action }}\"",
    ),
    // How deliveries run.
    ("dead: [78]}", "dead: [79]}"),
    (
        "retry: {attempts: 5}                                #",
        "retry: {attempts: 4} #",
    ),
    ("retry: [404, 408,", "retry: [408,"),
    ("attempts: 3\n", "attempts: 4\n"),
    (
        "group: \"deploy {{ payload.repository.name }}\"",
        "group: \"{{ payload.repository.name }}\"",
    ),
    ("quiet: 30s ", "quiet: 10s "),
    ("replay_window: 24h ", "replay_window: 48h "),
    // Secrets.
    (
        "secret: only-for-this-example # a list",
        "secret: another-secret-that-is-long # a list",
    ),
    (
        "verify: {acme: only-for-this-example}",
        "verify: {acme: another-secret-that-is-long}",
    ),
    (
        "secret: only-for-this-example}}   # header",
        "secret: another-secret-that-is-long}}   # header",
    ),
    (
        "secret: only-for-this-example}}\n    on_duplicate: run   ",
        "secret: another-secret-that-is-long}}\n    on_duplicate: run   ",
    ),
    (
        "secret: only-for-this-example}}\n    enabled: false",
        "secret: another-secret-that-is-long}}\n    enabled: false",
    ),
    (
        "b25seS1mb3ItdGhpcy1leGFtcGxl}}",
        "YW5vdGhlci1zZWNyZXQtdGhhdC1pcy1sb25n}}",
    ),
    // Answers, senders and clients.
    ("ignored: {status: 422,", "ignored: {status: 421,"),
    ("no rule wants this", "nothing"),
    (
        "allow: [127.0.0.0/8, \"::1\"]     #",
        "allow: [0.0.0.0/0, \"::1\"] #",
    ),
    ("allow: [127.0.0.1, 192.0.2.7]", "allow: 127.0.0.1"),
    ("methods: [POST]    ", "methods: [POST, GET]"),
    ("replay_window: 2m ", "replay_window: 5m "),
    ("unauthorized: Signature ", "unauthorized: Other     "),
    ("body: '{\"pong\":true}'", "body: '{\"pong\":false}'"),
    ("endpoint: /acme\n", "endpoint: /other\n"),
    (
        "header: X-Token, secret: only-for-this-example}}   # header",
        "header: X-Other, secret: only-for-this-example}}   # header",
    ),
];

/// Rules that an edit removes, by name.
const RULES: [&str; 5] = ["hello", "own-scheme", "conditions", "alerts", "actions"];

/// The example without one of its rules.
fn without(example: &str, name: &str) -> String {
    let begin = example
        .find(&format!("  - name: {name} "))
        .or(example.find(&format!("  - name: {name}\n")));
    let begin = begin.unwrap();
    let end = example[begin + 1..]
        .find("  - name: ")
        .map_or(example.len(), |at| begin + 1 + at);
    format!("{}{}", &example[..begin], &example[end..])
}

/// True if the tests fail with these rules, or do not load.
fn is_seen(folder: &Path, rules: &str) -> bool {
    std::fs::write(folder.join("rules.yaml"), rules).unwrap();
    let Ok(suite) = Suite::load(&folder.join("rules.test.yaml")) else {
        return true;
    };
    let result = suite.run(|_| true).unwrap();
    result.tests.iter().any(|test| !test.failures.is_empty())
}

#[test]
fn the_tests_of_the_example_pass_and_cover_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(TESTS);
    let output = Scenario::new().hookyard(&["test", path.to_str().unwrap(), "--coverage"]);
    expect(
        &output,
        0,
        &[
            "49 tests passed",
            "coverage: 100 %: 5 of 5 rules, 24 of 24 conditions",
        ],
    );
}

#[test]
fn an_edit_of_the_example_makes_its_tests_fail() {
    let folder = tempfile::tempdir().unwrap();
    let example = read("rules.example.yaml");
    let tests = read(TESTS).replace("rules: ../../rules.example.yaml", "rules: rules.yaml");
    std::fs::write(folder.path().join("rules.test.yaml"), tests).unwrap();
    assert!(!is_seen(folder.path(), &example), "the example itself fails");
    let mut unseen = Vec::new();
    for (old, new) in EDITS {
        assert!(example.contains(old), "not in the example: {old}");
        if !is_seen(folder.path(), &example.replacen(old, new, 1)) {
            unseen.push(format!("{old} → {new}"));
        }
    }
    for name in RULES {
        if !is_seen(folder.path(), &without(&example, name)) {
            unseen.push(format!("without {name}"));
        }
    }
    assert!(unseen.is_empty(), "not seen:\n{}", unseen.join("\n"));
    assert!(EDITS.len() + RULES.len() >= 50);
}
