//! Every diagnostic of a `match:`, and conditions that load.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::matching::answer::Ternary;
use crate::matching::facts::SelectedValues;
use crate::matching::testing::{condition, diagnostics, document, event};

#[test]
fn errors_in_conditions_have_positions() {
    let cases = [
        // Selectors.
        (
            "evnt: push",
            "1:1: unknown selector `evnt` (did you mean `event`?",
        ),
        (
            "headers.X-Foo: a",
            "1:1: unknown selector `headers.X-Foo` (did you mean `header.X-Foo`?",
        ),
        (
            "ref: main",
            "1:1: unknown selector `ref` (the payload's field is `$.ref`;",
        ),
        (
            "payload.ref: main",
            "1:1: unknown selector `payload.ref` (the payload is `$`: did you mean `$.ref`?)",
        ),
        ("header.: a", "1:1: `` is no name of a header"),
        ("\"header.X Y\": a", "1:1: `X Y` is no name of a header"),
        ("query.: a", "1:1: unknown selector `query.`"),
        (
            "$.content-type: a",
            "1:1: invalid JSONPath `$.content-type`: not understood at its character 10",
        ),
        ("$..a..b: {prefix: a}", "1:1: more than one `..` in a JSONPath"),
        // Operators and operands.
        (
            "$.a: {prefxi: b}",
            "1:7: unknown operator `prefxi` (did you mean `prefix`?",
        ),
        (
            "$.a: {not: b}",
            "1:7: unknown operator `not` (`not` stands beside selectors, not below one",
        ),
        ("$.a: {prefix: 5}", "1:15: `prefix` wants text; put it in quotes"),
        ("$.a: {in: b}", "1:11: `in` wants a list"),
        ("$.a: {in: [b, .nan]}", "1:15: JSON has no such value"),
        (
            "$.a: {matches: 'a('}",
            "1:16: invalid regular expression: unclosed group",
        ),
        (
            "$.a: {matches: 'a)|(b'}",
            "1:16: invalid regular expression: unopened group",
        ),
        (
            "$.a: {matches: '(?x)a # b'}",
            "1:16: invalid regular expression: unclosed group",
        ),
        (
            "$.a: {matches: '\\w{1000}'}",
            "1:16: invalid regular expression: it compiles to something too large",
        ),
        (
            "$.a: {glob: 'a['}",
            "1:13: invalid glob: unclosed character class",
        ),
        (
            "$.a: {in_cidr: 10.0.0.0/33}",
            "1:16: invalid network `10.0.0.0/33`",
        ),
        ("$.a: {in_cidr: [10.0.0.1, x]}", "1:27: invalid network `x`"),
        (
            "$.a: {gt: soon}",
            "1:11: `gt` wants a number or an RFC 3339 instant, not the text `soon`",
        ),
        ("$.a: {type: text}", "1:13: unknown type `text`"),
        ("$.a: {length: -1}", "1:15: a length is a whole number, 0 or more"),
        (
            "$.a: {length: {gtt: 1}}",
            "1:16: unknown operator of a length `gtt` (did you mean `gt`?",
        ),
        ("$.a: {exists: maybe}", "1:15: `exists` is `true` or `false`"),
        (
            "$.a: {prefix: b, ignore_case: 1}",
            "1:31: `ignore_case` is `true` or `false`",
        ),
        // Shapes.
        ("main", "1:1: conditions are a mapping of selectors"),
        ("{}", "1:1: this asks nothing"),
        ("$.a: {}", "1:1: this asks nothing of the value"),
        ("$.a: {every: {}}", "1:7: this asks nothing of the values"),
        ("$.a: {every: {exists: true}}", "1:15: unknown operator `exists`"),
        ("$.a: {length: {}}", "1:7: `length` asks nothing"),
        (
            "$.a: {ignore_case: true}",
            "1:1: `ignore_case` alone asks nothing",
        ),
        ("any: {$.a: 1}", "1:1: `any` wants a list of conditions"),
        ("not: [{$.a: 1}]", "1:1: `not` wants a mapping, not a list"),
        ("not: {}", "1:1: this asks nothing"),
        ("all: []", "1:1: an empty `all` asks nothing"),
        ("any: [{}]", "1:7: this asks nothing"),
    ];
    for (text, expected) in cases {
        let found = diagnostics(text);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(found[0].starts_with(expected), "{text}: {}", found[0]);
    }
}

#[test]
fn contradictions_are_found() {
    let cases = [
        ("any: []", "1:1: an empty `any` can never hold"),
        ("$.a: []", "1:1: an empty `in` can never hold"),
        ("$.a: {in: []}", "1:7: an empty `in` can never hold"),
        ("$.a: {in_cidr: []}", "1:7: an empty `in_cidr` can never hold"),
        ("$.a: {type: []}", "1:7: an empty `type` can never hold"),
        (
            "$.a: {every: {gt: 5, lt: 3}}",
            "1:26: this can never hold: the bounds",
        ),
        ("header.X: {every: 5}", "1:19: `header.X` is always text"),
        ("$.a: {gt: 5, lt: 3}", "1:18: this can never hold: the bounds"),
        ("$.a: {gt: 5, lte: 5}", "1:19: this can never hold: the bounds"),
        ("$.a: {lt: 3, gte: 3.0}", "1:19: this can never hold: the bounds"),
        (
            "$.a: {gt: 2026-01-02T00:00:00Z, lt: 2026-01-02T01:00:00+01:00}",
            "1:37: this can never hold: the bounds",
        ),
        (
            "$.a: {gt: 5, lt: 2026-01-02T00:00:00Z}",
            "1:18: this can never hold: the operators beside it want",
        ),
        (
            "$.a: {equals: 5, prefix: a}",
            "1:26: this can never hold: the operators beside it want",
        ),
        (
            "$.a: {equals: 5, gt: 5}",
            "1:15: this can never hold: the operators beside it refuse that value",
        ),
        (
            "$.a: {equals: a, in: [b, c]}",
            "1:15: this can never hold: the operators beside it refuse that value",
        ),
        ("$.a: {equals: dev, prefix: main}", "1:15: this can never hold"),
        (
            "$.a: {in: [x, y], matches: '[ab]'}",
            "1:7: this can never hold: the operators beside it refuse every",
        ),
        (
            "$.a: {in: [x, y], type: number}",
            "1:25: this can never hold: the operators beside it want",
        ),
        (
            "$.a: {length: {gt: 3, lt: 4}}",
            "1:7: this can never hold: no length lies between",
        ),
        (
            "$.a: {length: {lt: 0}}",
            "1:7: this can never hold: nothing has such a length",
        ),
        (
            "$.a: {exists: false, prefix: b}",
            "1:15: what does not exist has no value",
        ),
        (
            "header.X-Count: 5",
            "1:17: `header.X-Count` is always text, so this can never hold (put the value in quotes, or read",
        ),
        ("header.X-Count: {gt: 5}", "1:22: `header.X-Count` is always text"),
        ("method: {in: [1, null]}", "1:10: `method` is always text"),
        ("body: {contains: 5}", "1:18: `body` is always text"),
        (
            "{$.a: 1, all: [{$.a: 2}]}",
            "1:7: this can never hold: the operators beside it refuse",
        ),
        (
            "{$.a: {prefix: x}, all: [{$.a: b}]}",
            "1:32: this can never hold: the operators beside it refuse",
        ),
        (
            "not: {$.a: {gt: 5, lt: 3}}",
            "1:24: this can never hold: the bounds",
        ),
    ];
    for (text, expected) in cases {
        let found = diagnostics(text);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(found[0].starts_with(expected), "{text}: {}", found[0]);
    }
}

#[test]
fn satisfiable_conditions_are_accepted() {
    for text in [
        "$.a: {gte: 5, lte: 5}",
        "$.a: {gt: 5, lt: 6}",
        "$.a: {equals: Main, prefix: ma, ignore_case: true}",
        "$.a: {in: [x, 5], gt: 3}",
        "$.a: {length: {gte: 3, lte: 3}}",
        "$.a: {type: [string, 'null', integer]}",
        "$.a: {type: null}",
        "$.a: {exists: true, prefix: b}",
        "$.a: {contains: x, length: 2}",
        // Two of several values may differ.
        "{header.X: a, all: [{header.X: b}]}",
        "{'$.a[*]': a, all: [{'$.a[*]': b}]}",
        "{$.a: {prefix: x}, any: [{$.a: b}, {$.a: xa}]}",
        "$.a: {equals: [1, 2], contains: 2}",
        "client.ip: {in_cidr: [10.0.0.0/8, '::1']}",
    ] {
        assert_eq!(diagnostics(text), Vec::<String>::new(), "{text}");
    }
    // The file loads, with a warning.
    let found = diagnostics("$.a: {gt: 5, ignore_case: true}");
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("1:27: no operator here has regard to case"),
        "{found:?}"
    );
}

#[test]
fn all_errors_are_found_at_once_and_nesting_is_bounded() {
    let found = diagnostics(
        "{evnt: a, $.a: {prefix: 1, glob: '['}, any: [{$.b: []}, {bdoy: x}], not: {$.c: {gt: x}}}",
    );
    assert_eq!(found.len(), 6, "{found:#?}");
    let deep = format!("{}$.a: 1{}", "not: {".repeat(20), "}".repeat(20));
    assert!(diagnostics(&deep)[0].contains("conditions nest more than 16 deep"));
    assert!(diagnostics(&format!("{}$.a: 1{}", "not: {".repeat(16), "}".repeat(16))).is_empty());
}

#[test]
fn event_stands_where_the_verification_says() {
    let text = "event: push";
    let compile = |name: Option<&EventName>| {
        let mut found = Diagnostics::new();
        let document = document(text);
        let condition = Condition::compile(document.root(), name, &mut found);
        let diagnostics: Vec<String> = found.iter().map(Diagnostic::line).collect();
        (condition, diagnostics)
    };
    let (none, found) = compile(None);
    assert!(none.is_none());
    assert!(
        found[0].contains("does not say where the event's name stands (name the place:"),
        "{found:?}"
    );
    let event = event(json!({"type": "push"}));
    for (name, structure) in [
        (EventName::Header("x-github-event".parse().unwrap()), false),
        (EventName::Payload("$.type".to_owned()), true),
    ] {
        let condition = compile(Some(&name)).0.unwrap();
        assert_eq!(condition.needs_structure(), structure);
        let matcher = crate::matching::Matcher::new(vec![condition]);
        assert_eq!(matcher.matching(&event, &|_| true), [0]);
    }
}

#[test]
fn rules_of_one_endpoint_may_name_their_events_in_different_places() {
    let places = [
        EventName::Header("x-github-event".parse().unwrap()),
        EventName::Header("x-gitlab-event".parse().unwrap()),
        EventName::Payload("$.type".to_owned()),
    ];
    let document = document("event: push");
    let conditions = places
        .iter()
        .map(|place| Condition::compile(document.root(), Some(place), &mut Diagnostics::new()).unwrap());
    let matcher = crate::matching::Matcher::new(conditions.collect());
    assert_eq!(
        matcher.matching(&event(json!({"type": "push"})), &|_| true),
        [0, 2]
    );
    assert_eq!(matcher.matching(&event(json!({"type": "ping"})), &|_| true), [0]);
}

#[test]
fn structure_is_needed_below_the_root_alone() {
    for (text, needed) in [
        ("$: {type: string}", false),
        ("body: {contains: x}", false),
        ("$.a: 1", true),
        ("$[*]: 1", true),
        ("any: [{method: POST}, {not: {$.a: 1}}]", true),
    ] {
        assert_eq!(condition(text).needs_structure(), needed, "{text}");
    }
    assert!(!Condition::always().needs_structure());
}

proptest! {
    #[test]
    fn no_text_panics(
        selector in "\\$[ -~]{0,30}|\\$(\\.[ab]|\\[[?@0-9:*',().=<!&| a$-]{0,12}\\]){0,4}|[a-z.]{0,12}",
        operator in "equals|in|prefix|matches|glob|gt|in_cidr|type|length|exists|every|any|[a-z]{0,4}",
        operand in "[ -~]{0,20}|\\[[0-9a,]{0,6}\\]|\\{(gt|prefix): [0-9a]{1,3}\\}",
    ) {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let selector = quoted(&selector);
        for text in [
            format!("{selector}: {{{operator}: {operand}}}"),
            format!("{selector}: {{{operator}: {}}}", quoted(&operand)),
            format!("{operator}: [{{{selector}: {operand}}}]"),
            operand.clone(),
        ] {
            let mut found = Diagnostics::new();
            let source = crate::base::diagnostic::Source { path: "m".into(), text };
            if let Some(document) = crate::base::yaml::Document::parse(source, &mut found) {
                let condition = Condition::compile(document.root(), None, &mut found);
                prop_assert_eq!(condition.is_none(), found.has_errors());
            }
        }
    }
}

#[test]
fn conditions_on_an_unreadable_payload_are_unknown() {
    let mut event = event(json!({"a": 1}));
    event.payload = crate::payload::Payload::unreadable(&crate::payload::Undecodable::Empty("JSON"));
    for (text, answer) in [
        ("$.a: 1", Ternary::Unknown),
        ("$.a: {exists: false}", Ternary::Unknown),
        ("$.a: {none: {equals: 1}}", Ternary::Unknown),
        ("$: null", Ternary::Unknown),
        ("not: {$.a: 1}", Ternary::Unknown),
        ("{$.a: 1, method: POST}", Ternary::Unknown),
        ("{$.a: 1, method: PUT}", Ternary::False),
        ("any: [{$.a: 1}, {method: POST}]", Ternary::True),
        ("method: POST", Ternary::True),
        ("body: {contains: a}", Ternary::True),
    ] {
        let condition = condition(text);
        let facts = SelectedValues::new(&event, &condition.selectors, None);
        let found = Ternary::all(condition.terms.iter().map(|term| term.answer(&facts)));
        assert_eq!(found, answer, "{text}");
    }
}
