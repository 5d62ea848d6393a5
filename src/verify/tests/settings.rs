//! Diagnostics for `verify:` at load.

use super::{compiled, working};
use crate::base::diagnostic::Diagnostic;

/// Diagnostics as lines, without the file name.
fn lines(text: &str) -> Vec<String> {
    let (_, diagnostics) = compiled(text, None);
    diagnostics
        .iter()
        .map(|diagnostic| diagnostic.line().replace("r.yaml:", ""))
        .collect()
}

/// Codes of the diagnostics.
fn codes(text: &str) -> Vec<&'static str> {
    compiled(text, None)
        .1
        .iter()
        .map(|diagnostic| diagnostic.code)
        .collect()
}

#[test]
fn an_unknown_scheme_or_field_is_found_with_what_was_meant() {
    let first = |text: &str| lines(text).into_iter().next().unwrap();
    assert!(
        first("{githbu: env:A}")
            .starts_with("1:10: unknown scheme `githbu` (did you mean `github`? known here: github, ")
    );
    assert!(first("Nnoe").contains("did you mean `none`?"));
    assert!(
        first("{github: {secret: env:A, heder: X}}")
            .contains("1:34: unknown key `heder` (did you mean `header`?")
    );
    assert!(first("{gitlab: {secret: env:A, prefix: X}}").contains("unknown key `prefix`"));
    assert!(first("{hmac: {secret: env:A, timestamp: {heder: X}}}").contains("did you mean `header`?"));
    assert!(first("{hmac: {secret: env:A, id: {itm: x}}}").contains("did you mean `item`?"));
    assert!(first("{none: {secret: x}}").contains("unknown key `secret`"));
    assert!(first("{hmac: {secret: env:A, algorithm: md5}}").contains("unknown value `md5`"));
    assert!(
        first("{hmac: {secret: env:A, content: '{bdy}'}}")
            .contains("unknown token `bdy` (did you mean `body`?")
    );
    assert_eq!(
        first("github"),
        "1:9: `github` needs a secret (write `verify: {github: env:NAME}`)"
    );
}

#[test]
fn there_is_one_scheme() {
    for text in [
        "{github: env:A, gitlab: env:A}",
        "{}",
        "[]",
        "~",
        "5",
        "[{github: env:A}]",
    ] {
        assert_eq!(codes(text), ["one-scheme"], "{text}");
    }
}

#[test]
fn a_secret_is_there_and_not_empty_and_in_its_encoding() {
    for text in [
        "{github: ''}",
        "{github: '  '}",
        "{github: env:EMPTY}",
        "{github: env:UNSET}",
        "{github: file:unreadable}",
        "{github: 5}",
        "{github: }",
        "{github: []}",
        "{github: {secret: [env:A, env:UNSET]}}",
        "{standard: whsec_}",
        "{standard: 'whsec_  '}",
        "{standard: not base64!}",
        "{standard: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaL}",
        "{hmac: {secret: xyz, secret_encoding: hex}}",
        "{hmac: {secret: 'whsec_ ', strip_prefix: whsec_}}",
        "{bearer: }",
        "{basic: {user: ci, password: ''}}",
    ] {
        assert_eq!(codes(text), ["secret"], "{text}");
    }
    for text in [
        "{github: {}}",
        "{bearer: {}}",
        "{basic: {user: ci}}",
        "{token: env:A}",
    ] {
        assert_eq!(codes(text), ["missing-key"], "{text}");
    }
    assert_eq!(codes("{github: {secret: }}"), ["null-value", "missing-key"]);
    let (_, diagnostics) = compiled("{standard: hunter2}", None);
    assert!(
        diagnostics
            .iter()
            .map(Diagnostic::line)
            .all(|line| !line.contains("hunter2")),
        "{diagnostics:?}"
    );
}

#[test]
fn fields_that_do_not_fit_each_other_are_found() {
    for (fields, code) in [
        ("content: '{url}{body}'", "missing-public-url"),
        ("content: '{timestamp}.{body}'", "missing-key"),
        ("content: '{id}.{body}'", "missing-key"),
        (
            "content: '{timestamp}.{body}', timestamp: {json: $.at}",
            "unverified-body",
        ),
        ("content: '{id}.{body}', id: {json: $.id}", "unverified-body"),
        ("content: 'v0'", "content"),
        ("content: '{body'", "content"),
        (
            "content: '{body}.{timestamp}', timestamp: {item: 't='}",
            "missing-separator",
        ),
        ("separator: ', '", "wrong-value"),
        ("separator: a", "wrong-value"),
        ("header: 'X Y'", "header-name"),
        ("header: []", "header-name"),
        ("header: 5", "wrong-value"),
        (
            "content: '{timestamp}{body}', timestamp: {header: [A, B]}",
            "families",
        ),
        (
            "content: '{timestamp}{body}', timestamp: {header: A, item: b}, separator: ' '",
            "ambiguous-place",
        ),
        ("id: {header: A, json: $.b}", "ambiguous-place"),
        ("id: {json: '$..id'}", "jsonpath"),
        ("timestamp: {json: '$.a[*]'}", "jsonpath"),
        ("timestamp: X-Timestamp", "wrong-value"),
    ] {
        let text = format!("{{hmac: {{secret: env:A, {fields}}}}}");
        assert_eq!(codes(&text).first(), Some(&code), "{text}");
        let (_, diagnostics) = compiled(&text, None);
        assert!(
            diagnostics[0].severity == crate::base::diagnostic::Severity::Error,
            "{text}"
        );
    }
    for text in [
        "{token: {secret: env:A}}",
        "{token: {secret: env:A, header: A, query: b}}",
        "{token: {secret: env:A, json: a}}",
        "{basic: {user: 'a:b', password: env:A}}",
        "{basic: {password: env:A}}",
        "{basic: env:A}",
    ] {
        assert_eq!(codes(text).len(), 1, "{text}");
    }
}

#[test]
fn what_the_signature_does_not_cover_is_a_warning() {
    for (fields, code) in [
        ("timestamp: {}", "unsigned-timestamp"),
        ("timestamp: {header: X-Sent}", "unsigned-timestamp"),
        ("timestamp: {item: 't='}, separator: ','", "unsigned-timestamp"),
        ("id: {}", "unsigned-id"),
        ("timestamp: {}, content: '{timestamp}'", "unsigned-body"),
        ("id: {}, content: '{id}{body}'", "unmarked-id"),
    ] {
        let text = format!("{{hmac: {{secret: env:A, {fields}}}}}");
        let (verification, diagnostics) = compiled(&text, None);
        assert_eq!(
            diagnostics
                .iter()
                .map(|diagnostic| diagnostic.code)
                .collect::<Vec<_>>(),
            [code],
            "{text}"
        );
        assert!(
            diagnostics[0].severity == crate::base::diagnostic::Severity::Warning && verification.is_some()
        );
    }
    // If the body is not signed, the values in it are not signed either.
    let text = "{hmac: {secret: env:A, content: '{method}', id: {json: $.id}}}";
    assert_eq!(codes(text), ["unsigned-body", "unsigned-id"]);
}

#[test]
fn all_faults_are_found_at_once() {
    let text =
        "{hmac: {secret: env:UNSET, algorithm: md5, header: 'X Y', timestamp: {unit: h}, colour: red}}";
    let mut found = codes(text);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "header-name",
            "secret",
            "unknown-key",
            "unknown-value",
            "unknown-value"
        ]
    );
}

#[test]
fn every_preset_compiles_without_a_doubt() {
    for name in crate::verify::presets::names() {
        let (verification, diagnostics) = compiled(&working(name), Some("https://h"));
        // Mailgun does not sign the body, which is no error of the preset.
        let unsigned = |diagnostic: &Diagnostic| name == "mailgun" && diagnostic.code == "unsigned-body";
        assert!(
            verification.is_some() && diagnostics.iter().all(unsigned),
            "{name} {diagnostics:?}"
        );
        let entry = crate::verify::catalogue()
            .into_iter()
            .find(|entry| entry.name == name);
        assert!(!entry.unwrap().sender.is_empty(), "{name}");
    }
}

#[test]
fn a_verification_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<crate::verify::Verification>();
}

#[test]
fn a_mode_stands_beside_the_scheme_and_enforces_unless_it_observes() {
    for (text, observes) in [
        ("{github: env:A}", false),
        ("{github: env:A, mode: enforce}", false),
        ("{mode: observe, github: {secret: env:A}}", true),
        ("{token: {header: X-Token, secret: env:A}, mode: observe}", true),
    ] {
        let (verification, diagnostics) = compiled(text, None);
        let codes: Vec<_> = diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
        assert_eq!(codes == ["observe"], observes, "{text}: {diagnostics:?}");
        assert_eq!(verification.unwrap().observes(), observes, "{text}");
    }
}

#[test]
fn a_mode_that_is_none_is_found_once_and_hides_nothing() {
    for (text, expected) in [
        (
            "{github: env:A, mode: obsreve}",
            "1:31: unknown mode `obsreve` (did you mean `observe`? known here: enforce, observe)",
        ),
        (
            "{github: env:A, mode: [observe]}",
            "1:25: `mode` is one of enforce, observe",
        ),
        (
            "{github: env:A, mode: }",
            "1:29: `mode` is one of enforce, observe",
        ),
        (
            "{github: env:A, mdoe: observe}",
            "1:25: unknown key `mdoe` (did you mean `mode`? known here: mode)",
        ),
        (
            "{none: , mode: observe}",
            "1:18: with `none` nothing is verified, and `mode` has no meaning",
        ),
        (
            "{github: env:A, gitlab: env:B, mode: observe}",
            "1:1: `verify` names one scheme, not 2: `github`, `gitlab` (write `verify: {github: env:GITHUB_SECRET}`, or \
             `verify: none` to accept every request)",
        ),
    ] {
        assert_eq!(lines(text), [expected], "{text}");
    }
    assert_eq!(codes("{mode: observe}"), ["one-scheme"]);
    assert_eq!(
        codes("{github: env:UNSET, mode: obsreve}"),
        ["unknown-value", "secret"]
    );
}

#[test]
fn every_secret_is_named_by_its_source_with_its_end() {
    let verification = compiled(
        "{hmac: {secret: [env:B, {secret: env:A, not_after: 2026-12-31}, written out]}}",
        None,
    )
    .0
    .unwrap();
    let named: Vec<String> = verification
        .secrets()
        .iter()
        .map(|(source, end)| format!("{source} {}", end.map(|end| end.to_string()).unwrap_or_default()))
        .collect();
    assert_eq!(
        named,
        [
            "env:B ",
            "env:A 2026-12-31T23:59:59.999Z",
            "no. 3 in the rules file "
        ]
    );
    assert_eq!(compiled("none", None).0.unwrap().secrets(), []);
}
