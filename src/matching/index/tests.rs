//! Tests of the index, against rules that are evaluated one by one.

use std::sync::Arc;

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::matching::testing::{condition, event};

fn matcher(rules: &[&str]) -> Matcher {
    Matcher::new(rules.iter().map(|text| condition(text)).collect())
}

#[test]
fn rules_are_found_in_the_order_of_the_file() {
    let mut conditions: Vec<Condition> = ["$.n: [2, 1, 1.0]", "$.n: '1'", "$.n: 1", "$.n: {gt: 0}", "$.m: 7"]
        .iter()
        .map(|text| condition(text))
        .collect();
    conditions.insert(2, Condition::always());
    let matcher = Matcher::new(conditions);
    assert_eq!(
        matcher.matching(&event(json!({"n": 1.0})), &|_| true),
        [0, 2, 3, 4]
    );
    assert_eq!(
        matcher.matching(&event(json!({"n": "1", "m": 7})), &|_| true),
        [1, 2, 5]
    );
    assert_eq!(
        matcher.matching(&event(json!({"n": 1})), &|rule| rule > 2),
        [3, 4]
    );
    assert_eq!(matcher.matching(&event(json!(null)), &|_| true), [2]);
    assert_eq!(
        Matcher::new(Vec::new()).matching(&event(json!(1)), &|_| true),
        [0_usize; 0]
    );
}

#[test]
fn the_selector_that_tells_the_rules_apart_is_the_key() {
    let rules: Vec<String> = (0..1000)
        .map(|rule| format!("{{header.X-GitHub-Event: push, $.repository: r{rule}, $.ref: main}}"))
        .collect();
    let texts: Vec<&str> = rules.iter().map(String::as_str).collect();
    let matcher = matcher(&texts);
    assert_eq!(matcher.selectors.len(), 3);
    assert!(matcher.rest.is_empty());
    let event = event(json!({"repository": "r7", "ref": "main"}));
    assert_eq!(
        matcher.candidates(&SelectedValues::new(&event, &matcher.selectors, None)),
        [7]
    );
    assert_eq!(matcher.matching(&event, &|_| true), [7]);
}

fn shown(text: &str, payload: Value) -> String {
    matcher(&[text]).explain(&event(payload), 0).to_string()
}

#[test]
fn an_explanation_names_the_first_condition_that_was_not_true() {
    let cases = [
        (
            "{method: POST, $.ref: main, $.x: 1}",
            "$.ref: expected \"main\", found \"dev\"",
        ),
        ("{$.x: 1, $.ref: main}", "$.x: expected 1, found nothing"),
        (
            "$.ref: {prefix: v, length: 9}",
            "$.ref: expected {\"length\":9,\"prefix\":\"v\"}, found \"dev\"",
        ),
        (
            "$.ref: [a, b]",
            "$.ref: expected one of [\"a\",\"b\"], found \"dev\"",
        ),
        (
            "header.X-Many: three",
            "header.X-Many: expected \"three\", found \"one\", \"two\"",
        ),
        (
            "header.X-Bytes: a",
            "header.X-Bytes: expected \"a\", found bytes that are not UTF-8",
        ),
        (
            "header.X-Hub-Signature-256: sha256=11",
            "header.X-Hub-Signature-256: expected [redacted], found [redacted]",
        ),
        (
            "query.token: t1p",
            "query.token: expected [redacted], found [redacted]",
        ),
        (
            "header.X-My-Secret: a",
            "header.X-My-Secret: expected [redacted], found nothing",
        ),
        (
            "all: [{method: POST}, {$.ref: main}]",
            "$.ref: expected \"main\", found \"dev\"",
        ),
        (
            "any: [{$.ref: main}, {$.forced: true}]",
            "any: expected [{\"$.ref\":\"main\"},{\"$.forced\":true}], found $.ref: \"dev\"; $.forced: nothing",
        ),
        (
            "not: {$.ref: dev}",
            "not: expected {\"$.ref\":\"dev\"}, found $.ref: \"dev\"",
        ),
        (
            "not: {query.token: t0p}",
            "not: expected [redacted], found query.token: [redacted]",
        ),
        (
            "$.ref: {as: number, gt: 4}",
            "$.ref: expected {\"as\":\"number\",\"gt\":4}, found \"dev\" (not a number)",
        ),
        (
            "header.X-Many: {every: {as: time, gt: 2026-01-31T12:00:00Z}}",
            "header.X-Many: expected {\"every\":{\"as\":\"time\",\"gt\":\"2026-01-31T12:00:00Z\"}}, found \"one\" (not a time), \"two\" (not a time)",
        ),
        ("$.ref: dev", "every condition holds"),
    ];
    for (text, expected) in cases {
        assert_eq!(shown(text, json!({"ref": "dev"})), expected, "{text}");
    }
    let long = shown("$.ref: main", json!({"ref": "x".repeat(100_000)}));
    assert!(long.chars().count() < 300, "{long}");
    let explanation =
        matcher(&["{method: POST, $.x: 1, $.ref: dev}"]).explain(&event(json!({"ref": "dev"})), 0);
    assert_eq!(
        serde_json::to_value(explanation).unwrap(),
        json!({
            "matched": false,
            "failed": {"selector": "$.x", "expected": "1", "found": "nothing", "unknown": true},
            "held": 2
        })
    );
}

#[test]
fn the_nearest_miss_is_the_rule_of_which_most_held() {
    let rules: Vec<String> = (0..5000)
        .map(|rule| format!("{{method: POST, $.repository: r{rule}, $.ref: main}}"))
        .collect();
    let texts: Vec<&str> = rules.iter().map(String::as_str).collect();
    let matcher = matcher(&texts);
    let nearest = |payload: Value, considered: &dyn Fn(usize) -> bool| {
        let nearest = matcher.nearest_miss(&event(payload), considered);
        nearest.map(|(rule, explanation)| (rule, explanation.to_string()))
    };
    assert_eq!(
        nearest(json!({"repository": "r4321", "ref": "dev"}), &|_| true),
        Some((4321, "$.ref: expected \"main\", found \"dev\"".to_owned()))
    );
    assert_eq!(
        nearest(json!({"repository": "x", "ref": "main"}), &|rule| rule > 10),
        Some((11, "$.repository: expected \"r11\", found \"x\"".to_owned()))
    );
    assert_eq!(nearest(json!({}), &|_| false), None);
    assert_eq!(
        Matcher::new(vec![Condition::always()]).nearest_miss(&event(json!({})), &|_| true),
        None
    );
}

/// A condition of a few selectors and values, so that many of them hold.
fn any_match() -> impl Strategy<Value = String> {
    let selector = prop::sample::select(vec![
        "$.a",
        "$.b",
        "$.l[*]",
        "header.X-Many",
        "query.tag",
        "method",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "1.0",
        "'1'",
        "x",
        "null",
        "[x, 1]",
        "['1', y, two]",
        "{prefix: o}",
        "{as: number, equals: 1}",
        "{as: number, in: [1, 2]}",
        "{as: number, gt: 0}",
        "{exists: false}",
        "{exists: true}",
        "{every: x}",
        "{none: [1, y]}",
        "{contains: x}",
        "{equals: X, ignore_case: true}",
        "{equals: x, length: 1}",
        "{in: [b c, x, POST]}",
        "{type: [string, 'null']}",
    ]);
    let leaf = (selector, value).prop_map(|(selector, value)| format!("{{'{selector}': {value}}}"));
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|terms| format!("{{all: [{}]}}", terms.join(", "))),
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|terms| format!("{{any: [{}]}}", terms.join(", "))),
            inner.prop_map(|term| format!("{{not: {term}}}")),
        ]
    })
}

fn compiled(text: &str) -> Option<Condition> {
    let document = crate::matching::testing::document(text);
    Condition::compile(
        document.root(),
        None,
        &mut crate::base::diagnostic::Diagnostics::new(),
    )
}

/// The answer of the condition alone, without an index.
fn naive(text: &str, event: &Event) -> bool {
    let condition = compiled(text).unwrap();
    let facts = SelectedValues::new(event, &condition.selectors, None);
    Ternary::all(condition.terms.iter().map(|term| term.answer(&facts))).holds()
}

fn any_payload() -> impl Strategy<Value = Value> {
    let value = prop::sample::select(vec![
        json!(1),
        json!(1.0),
        json!("1"),
        json!("x"),
        json!(null),
        json!([1, "x"]),
    ]);
    (
        prop::option::of(value.clone()),
        prop::option::of(value.clone()),
        prop::collection::vec(value, 0..3),
    )
        .prop_map(|(a, b, l)| {
            let mut payload = json!({"l": l});
            for (name, value) in [("a", a), ("b", b)] {
                if let Some(value) = value {
                    payload[name] = value;
                }
            }
            payload
        })
}

proptest! {
    #[test]
    fn the_index_finds_what_looking_at_every_rule_finds(
        texts in prop::collection::vec(any_match(), 0..20),
        payload in any_payload(),
        skipped in 0..20_usize,
    ) {
        // Conditions that can never hold do not load.
        let texts: Vec<String> = texts.into_iter().filter(|text| compiled(text).is_some()).collect();
        let event = event(payload);
        let considered = |rule: usize| rule != skipped;
        let expected: Vec<usize> = (0..texts.len())
            .filter(|rule| considered(*rule) && naive(&texts[*rule], &event))
            .collect();
        let matcher = Matcher::new(texts.iter().map(|text| compiled(text).unwrap()).collect());
        prop_assert_eq!(matcher.matching(&event, &considered), &expected[..]);
        for (rule, text) in texts.iter().enumerate() {
            let explanation = matcher.explain(&event, rule);
            let matched = naive(text, &event);
            prop_assert_eq!((explanation.matched, explanation.failed.is_none()), (matched, matched));
        }
        if let Some((rule, explanation)) = matcher.nearest_miss(&event, &considered) {
            prop_assert!(considered(rule) && !explanation.matched);
        }
    }

    #[test]
    fn no_payload_panics(payload in "[\\[\\]{}\",:0-9a-e. -]{0,60}", body in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut event = event(serde_json::from_str(&payload).unwrap_or(json!(payload)));
        Arc::make_mut(&mut event.received).body = body.into();
        let mut rules = String::new();
        for selector in ["$", "$.a", "$[*]", "$..a", "$[?@.a > 1]", "$[-1:0:-1]", "body", "client.ip"] {
            for operator in ["equals: a", "in: [1, a]", "prefix: a", "gt: 1", "type: array", "in_cidr: '::1'"] {
                writeln!(rules, "{selector}|{{{operator}}}").unwrap();
            }
        }
        let compile = |line: &str| {
            let (selector, operators) = line.split_once('|').unwrap();
            compiled(&format!("{{'{selector}': {operators}}}"))
        };
        let matcher = Matcher::new(rules.lines().filter_map(compile).collect());
        drop(matcher.matching(&event, &|_| true));
        for rule in 0..50 {
            prop_assert!(matcher.explain(&event, rule).to_string().len() < 3000);
        }
    }
}
