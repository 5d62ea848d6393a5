//! `any:` in `verify:`: its form, and the faults that are reported at load.

use super::*;
use crate::verify::{Alternatives, EventName, Mode};

/// Reads `verify: <text>`. Returns the number of alternatives, their mode and the diagnostics.
fn read(text: &str) -> (Option<(usize, Option<Mode>)>, Vec<Diagnostic>) {
    let mut diagnostics = Diagnostics::new();
    let source = Source {
        path: "r.yaml".into(),
        text: format!("verify: {text}\n"),
    };
    let document = Document::parse(source, &mut diagnostics).unwrap();
    let node = document.root().get("verify").unwrap();
    let read = Alternatives::read(node, &mut diagnostics);
    let read = read.map(|read| (read.nodes.len(), read.mode));
    (read, diagnostics.iter().cloned().collect())
}

#[test]
fn alternatives_are_a_list_of_complete_verifications() {
    let enforce = Some(Mode::Enforce);
    for (text, expected) in [
        ("{github: env:A}", (1, None)),
        ("{github: env:A, mode: observe}", (1, None)),
        ("none", (1, None)),
        ("acme", (1, None)),
        ("{any: [{gitlab: env:A}]}", (1, enforce)),
        ("{any: [{gitlab: env:A}, {gitlab_signing: env:B}]}", (2, enforce)),
        ("{any: [{github: env:A}, {github: env:B}, acme]}", (3, enforce)),
        (
            "{any: [{gitlab: env:A}, {github: env:B}], mode: enforce}",
            (2, enforce),
        ),
    ] {
        let (read, diagnostics) = read(text);
        assert_eq!(read, Some(expected), "{text}");
        assert!(diagnostics.is_empty(), "{text}: {diagnostics:?}");
    }
    let (read, diagnostics) = read("{mode: observe, any: [{gitlab: env:A}, {github: env:B}]}");
    assert_eq!(read, Some((2, Some(Mode::Observe))));
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(diagnostics[0].code, "observe");
}

#[test]
fn a_list_that_is_none_is_an_error_at_its_place() {
    let nine = (0..9).map(|n| format!("{{github: s{n}}}")).collect::<Vec<_>>();
    let nine = format!("{{any: [{}]}}", nine.join(", "));
    for (text, code, part) in [
        ("{any: []}", "alternatives", "1 to 8"),
        ("{any: {github: env:A}}", "alternatives", "1 to 8"),
        ("{any: github}", "alternatives", "1 to 8"),
        ("{any: null}", "alternatives", "1 to 8"),
        (nine.as_str(), "alternatives", "1 to 8"),
        ("{any: [none, {github: env:A}]}", "one-scheme", "`none`"),
        ("{any: [{none: {}}, {github: env:A}]}", "one-scheme", "`none`"),
        (
            "{any: [{github: env:A, mode: observe}]}",
            "mode",
            "all alternatives",
        ),
        (
            "{any: [{any: [{github: env:A}]}]}",
            "one-scheme",
            "`any` inside `any`",
        ),
        (
            "{any: [{github: env:A}, {github: env:A}]}",
            "alternatives",
            "twice",
        ),
        (
            "{any: [{github: env:A}], gitlab: env:B}",
            "one-scheme",
            "beside `any`",
        ),
        (
            "{any: [{github: env:A}], moed: observe}",
            "unknown-key",
            "did you mean",
        ),
        (
            "{any: [{github: env:A}], mode: watch}",
            "unknown-value",
            "observe",
        ),
    ] {
        let (_, diagnostics) = read(text);
        let [diagnostic] = diagnostics.as_slice() else {
            panic!("{text}: {diagnostics:?}");
        };
        let line = diagnostic.line();
        assert_eq!(diagnostic.code, code, "{line}");
        assert!(line.contains(part), "{text}: {line}");
        assert_eq!(diagnostic.severity, Severity::Error, "{line}");
    }
}

#[test]
fn a_signature_of_ours_has_no_alternatives() {
    let (compiled, diagnostics) = compiled("{any: [{github: env:A}]}", None);
    assert!(compiled.is_none());
    assert_eq!(diagnostics[0].code, "one-scheme");
}

#[test]
fn a_refusal_names_each_alternative_and_is_bounded() {
    let place = "x".repeat(10_000);
    let bad = Refusal::BadSignature {
        place: place.as_str().into(),
    };
    let refusal = Refusal::NoAlternative {
        refusals: vec![("github".into(), bad), ("acme".into(), Refusal::BadCredentials)],
    };
    let text = refusal.to_string();
    assert!(
        text.starts_with("no alternative accepts the request: `github`: the signature in xxx"),
        "{text}"
    );
    assert!(
        text.ends_with("; `acme`: the user or the password is wrong"),
        "{text}"
    );
    assert!(text.len() < 400);
    assert_eq!(refusal.reason(), "no-alternative");
    assert!(!refusal.is_stale() && refusal.is_unreadable().is_none());
}

#[test]
fn an_event_name_stands_where_one_of_the_senders_puts_it() {
    let header = EventName::Header(HeaderName::from_static("x-event"));
    let json = EventName::Payload("$.type".to_owned());
    let both = EventName::Either(vec![header.clone(), json.clone()]);
    for (names, expected) in [
        (vec![], None),
        (vec![&header], Some(header.clone())),
        (vec![&header, &header], Some(header.clone())),
        (vec![&header, &json], Some(both.clone())),
        (vec![&both, &json, &header], Some(both.clone())),
    ] {
        assert_eq!(EventName::combined(names.into_iter()), expected);
    }
}
