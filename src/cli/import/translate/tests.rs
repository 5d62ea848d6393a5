//! Whole hooks files and the rules that they become.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config;

fn translated(text: &str) -> Translation {
    let source = Source {
        path: "hooks.json".into(),
        text: text.to_owned(),
    };
    let defaults = Defaults {
        prefix: "hooks".to_owned(),
        methods: Vec::new(),
        headers: Vec::new(),
    };
    translate(vec![source], text.contains("{{"), &defaults)
}

/// The rule of one hook, without the head of the file.
fn rule_of(hook: &Value) -> String {
    let text = translated(&json!([hook]).to_string()).text.unwrap();
    let (_, rules) = text.split_once("\n\n").unwrap();
    rules.to_owned()
}

/// The diagnostics of one hook, each as a line.
fn lines_of(text: &str) -> Vec<String> {
    translated(text)
        .diagnostics
        .iter()
        .map(Diagnostic::line)
        .collect()
}

fn matching(rule: &Value) -> Value {
    json!({"id": "a", "execute-command": "/bin/true", "trigger-rule": rule})
}

fn signature(secret: &str) -> Value {
    let parameter = json!({"source": "header", "name": "X-Hub-Signature-256"});
    json!({"match": {"type": "payload-hmac-sha256", "secret": secret, "parameter": parameter}})
}

fn value(source: &str, name: &str, value: &str) -> Value {
    json!({"match": {"type": "value", "value": value, "parameter": {"source": source, "name": name}}})
}

/// The lines of a rule that begin with one of these keys.
fn parts(rule: &str, keys: &[&str]) -> String {
    let wanted = |line: &&str| keys.iter().any(|key| line.trim_start().starts_with(key));
    rule.lines()
        .filter(wanted)
        .map(str::trim)
        .collect::<Vec<_>>()
        .join("; ")
}

#[test]
fn what_proves_a_sender_is_verified_and_the_rest_is_matched() {
    let (main, next) = (value("payload", "ref", "main"), value("payload", "ref", "next"));
    let address = json!({"match": {"type": "ip-whitelist", "ip-range": "10.0.0.1/8 ::1"}});
    let other = json!({"match": {"type": "payload-hmac-sha512", "secret": "k",
        "parameter": {"source": "header", "name": "X-Signature"}}});
    for (rule, expected) in [
        (signature("k"), "verify: {github: {secret: k}}"),
        (
            json!({"and": [signature("k"), {"or": [main, next]}]}),
            "verify: {github: {secret: k}}; match: {$.ref: [main, next]}",
        ),
        (
            json!({"or": [{"and": [signature("k"), main]}, {"and": [signature("k"), next]}]}),
            "verify: {github: {secret: k}}; match: {$.ref: [main, next]}",
        ),
        (
            json!({"or": [signature("old"), signature("new")]}),
            "verify: {any: [{github: {secret: old}}, {github: {secret: new}}]}",
        ),
        (
            json!({"and": [signature("k"), other]}),
            "verify: {github: {secret: k}}",
        ),
        (
            json!({"or": [signature("k"), main]}),
            "verify: {github: {secret: k}}",
        ),
        (
            json!({"and": [address, main]}),
            "allow: [10.0.0.0/8, \"::1\"]; verify: none; match: {$.ref: main}",
        ),
        (
            json!({"or": [address, main]}),
            "verify: none; match: {any: [{client.ip: {in_cidr: [10.0.0.0/8, \"::1\"]}}, {$.ref: main}]}",
        ),
        (
            value("header", "X-Gitlab-Token", "t"),
            "verify: {gitlab: {secret: t}}",
        ),
        (
            value("url", "token", "t"),
            "verify: {token: {query: token, secret: t}}",
        ),
        (
            value("payload", "auth.key", "t"),
            "verify: {token: {json: $.auth.key, secret: t}}",
        ),
        (
            value("header", "Authorization", "Bearer abc"),
            "verify: {bearer: {secret: abc}}",
        ),
        (
            value("header", "Authorization", "Basic dXNlcjpwYXNz"),
            "verify: {basic: {user: user, password: pass}}",
        ),
        (
            json!({"and": [value("header", "X-Token", "t"), value("url", "key", "k")]}),
            "verify: {token: {header: X-Token, secret: t}}; match: {query.key: k}",
        ),
    ] {
        let rule = rule_of(&matching(&rule));
        assert_eq!(parts(&rule, &["verify:", "match:", "allow:"]), expected, "{rule}");
    }
}

#[test]
fn values_are_compared_as_they_were() {
    for (rule, expected) in [
        (value("payload", "a.0.b", "x"), "match: {\"$.a[0].b\": x}"),
        (value("payload", "n", "3"), "match: {$.n: [\"3\", 3]}"),
        (value("payload", "on", "true"), "match: {$.on: [\"true\", true]}"),
        (value("header", "X-N", "3"), "match: {header.X-N: \"3\"}"),
        (value("request", "method", "POST"), "match: {method: POST}"),
        (value("raw-request-body", "", "x"), "match: {body: x}"),
        (
            json!({"match": {"type": "regex", "regex": "^refs/tags/v\\d",
                "parameter": {"source": "payload", "name": "ref"}}}),
            "match: {$.ref: {matches: \"(?s)refs/tags/v[0-9].*\"}}",
        ),
        (
            json!({"not": {"match": {"type": "value", "value": "x",
                "parameter": {"source": "payload", "name": "a"}}}}),
            "match: {any: [{not: {$.a: x}}, {$.a: {exists: false}}]}",
        ),
    ] {
        let rule = rule_of(&matching(&rule));
        assert_eq!(parts(&rule, &["match:"]), expected, "{rule}");
    }
}

#[test]
fn a_rule_that_cannot_be_the_same_does_not_run() {
    for (rule, message) in [
        (json!({}), "an empty rule never holds"),
        (
            value("entire-payload", "", "x"),
            "a condition cannot look at `entire-payload`",
        ),
        (signature(""), "an empty secret proves nothing"),
        (
            json!({"match": {"type": "regex", "regex": "\\Bx",
                "parameter": {"source": "payload", "name": "a"}}}),
            "this regular expression is not translated",
        ),
        (
            json!({"match": {"type": "ip-whitelist", "ip-range": "10.0.0.0/40"}}),
            "`10.0.0.0/40` is not a network",
        ),
        (json!({"match": {"type": "valeu"}}), "unknown type `valeu`"),
        (json!({"adn": []}), "unknown rule `adn`"),
        (json!({"not": {"adn": []}}), "unknown rule `adn`"),
        (
            json!({"not": {"match": {"type": "valeu"}}}),
            "unknown type `valeu`",
        ),
        (json!({"not": [1]}), "a rule is a mapping"),
        (json!({"or": {}}), "a list of rules is wanted here"),
        (
            json!({"not": value("paylaod", "a", "x")}),
            "unknown source `paylaod`",
        ),
        (value("header", "X-Token", ""), "an empty secret proves nothing"),
    ] {
        let hooks = json!([matching(&rule)]).to_string();
        let text = translated(&hooks).text.unwrap();
        assert!(text.contains("enabled: false"), "{text}");
        let lines = lines_of(&hooks);
        assert!(lines.iter().any(|line| line.contains(message)), "{lines:?}");
    }
}

#[test]
fn methods_are_never_more_than_were_asked_for() {
    for (methods, expected) in [
        (json!(["post", " put "]), "methods: [POST, PUT]"),
        (json!(["OPTIONS"]), ""),
        (json!("POST"), ""),
        (json!([]), "methods: [GET, POST]"),
    ] {
        let rule = rule_of(&json!({"id": "a", "execute-command": "/bin/true", "http-methods": methods}));
        assert!(rule.contains(expected), "{rule}");
        assert_eq!(rule.contains("methods"), !expected.is_empty(), "{rule}");
    }
}

#[test]
fn diagnostics_stand_at_their_places() {
    let hooks = r#"[{
  "id": "a", "execute-command": "./a.sh", "trigger_rule": {},
  "pass-environment-to-command": [{"source": "payload", "name": "a.b"}]
}, {"id": "b"}, {"id": "a", "execute-command": "/bin/true"}]"#;
    let lines = lines_of(hooks);
    for (place, message) in [
        (
            "hooks.json:2:43",
            "unknown property `trigger_rule` (did you mean `trigger-rule`?",
        ),
        ("hooks.json:2:33", "`./a.sh` was looked up in the folder"),
        ("hooks.json:3:35", "`HOOK_a.b` is no name that a shell could read"),
        ("hooks.json:2:9", "nothing proves who sends"),
        ("hooks.json:4:4", "`b` has no `execute-command`"),
        ("hooks.json:4:24", "another hook has the path `/hooks/a`"),
    ] {
        let found = |line: &&String| line.contains(message);
        let line = lines
            .iter()
            .find(found)
            .unwrap_or_else(|| panic!("{message}: {lines:#?}"));
        assert!(line.starts_with(place), "{place}: {line}");
    }
}

#[test]
fn secrets_of_templates_are_named() {
    let hooks = r#"[{"id": "a", "execute-command": "/bin/true",
  "pass-arguments-to-command": [{"source": "string", "name": "{{ getenv "ARG" | js }}"}],
  "trigger-rule": {"match": {"type": "payload-hmac-sha256", "secret": "{{ getenv "SECRET" | js }}",
    "parameter": {"source": "header", "name": "X-Hub-Signature-256"}}}}]"#;
    let translation = translated(hooks);
    let text = translation.text.unwrap();
    assert_eq!(
        translation
            .diagnostics
            .iter()
            .map(Diagnostic::line)
            .collect::<Vec<_>>(),
        [""; 0]
    );
    assert!(text.contains("verify: {github: {secret: env:SECRET}}"), "{text}");
    assert!(
        text.contains(r#"run: [/bin/true, '{{ secret("ARG") }}']"#),
        "{text}"
    );
}

#[test]
fn a_command_that_would_run_a_value_is_a_comment() {
    let hook = json!({"id": "a", "execute-command": "/bin/sh", "pass-arguments-to-command": [
        {"source": "string", "name": "-c"}, {"source": "payload", "name": "script"}]});
    let rule = rule_of(&hook);
    assert!(rule.starts_with("rules: []\n"), "{rule}");
    assert!(rule.contains("# - name: a"), "{rule}");
    assert!(rule.contains("runs this text as code"), "{rule}");
}

/// Texts as they stand in hooks files, and others.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-z]{1,8}",
        4 => proptest::sample::select(vec![
            "refs/heads/main", "^v\\d+$", "a.0.b", "-c", "{{ x }}", "{% x %}", "3", "true", "null", "", "env:X",
            "10.0.0.0/8", "X-Token", "Content-Length", "it's \"so\"", "a\nb", "root.0.a", "[a&&b]", "a{,3}", "$1",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn argument() -> impl Strategy<Value = Value> {
    let sources: Vec<&str> = crate::reference::hooks_file::Source::ALL
        .iter()
        .map(|source| source.name())
        .collect();
    let source = proptest::sample::select(sources);
    let envname = proptest::option::of(text());
    (source, text(), envname, any::<bool>()).prop_map(|(source, name, envname, base64)| {
        json!({"source": source, "name": name, "envname": envname, "base64decode": base64})
    })
}

fn trigger() -> impl Strategy<Value = Value> {
    let types: Vec<&str> = crate::reference::hooks_file::MatchType::ALL
        .iter()
        .map(|kind| kind.name())
        .collect();
    let leaf =
        (proptest::sample::select(types), text(), argument()).prop_map(|(kind, operand, parameter)| {
            json!({"match": {"type": kind, "value": operand, "regex": operand, "secret": operand,
            "ip-range": operand, "parameter": parameter}})
        });
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            list.clone().prop_map(|list| json!({"and": list})),
            list.prop_map(|list| json!({"or": list})),
            inner.prop_map(|rule| json!({"not": rule})),
        ]
    })
}

fn hook() -> impl Strategy<Value = Value> {
    let arguments = || proptest::collection::vec(argument(), 0..3);
    let parts = (arguments(), arguments(), arguments(), arguments());
    let codes = (
        proptest::option::of(0..1000_u16),
        proptest::option::of(0..1000_u16),
    );
    let flags = any::<[bool; 2]>();
    let texts = (text(), text(), text(), text(), proptest::option::of(text()));
    let rule = proptest::option::of(trigger());
    (parts, codes, flags, texts, rule).prop_map(
        |((args, env, files, json_args), (success, mismatch), [output, on_error], texts, rule)| {
            let (id, command, message, header, content_type) = texts;
            json!({
                "id": id, "execute-command": command, "response-message": message,
                "response-headers": [{"name": header, "value": message}],
                "success-http-response-code": success,
                "trigger-rule-mismatch-http-response-code": mismatch,
                "include-command-output-in-response": output,
                "include-command-output-in-response-on-error": on_error,
                "incoming-payload-content-type": content_type,
                "pass-arguments-to-command": args, "pass-environment-to-command": env,
                "pass-file-to-command": files, "parse-parameters-as-json": json_args,
                "trigger-rule": rule,
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_rules_always_load(hooks in proptest::collection::vec(hook(), 0..4)) {
        let text = Value::from(hooks).to_string();
        let source = Source { path: "hooks.json".into(), text };
        let defaults = Defaults { prefix: "hooks".to_owned(), methods: Vec::new(), headers: Vec::new() };
        let translation = translate(vec![source], false, &defaults);
        let rules = translation.text.unwrap();
        let checked = config::check_offline(Path::new("rules.yaml"), rules.clone());
        let errors: Vec<String> = checked.diagnostics.iter().map(Diagnostic::line).collect();
        prop_assert!(checked.summary.is_some(), "{rules}\n{errors:?}");
    }
}
