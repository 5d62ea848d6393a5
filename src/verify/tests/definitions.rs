//! Schemes of a rules file: `schemes:`, and their use in `verify:`.

use std::fmt::Write;

use super::{NOW, compiled_with, header, now, received, sent, sent_as};
use crate::base::diagnostic::Diagnostic;
use crate::verify::{EventName, Verification};

const BODY: &[u8] = br#"{"id":"evt_1","kind":"x"}"#;

/// Diagnostics as lines, without the file name.
fn lines(schemes: &str, text: &str) -> Vec<String> {
    let (_, diagnostics) = compiled_with(schemes, text, None);
    let line = |diagnostic: &Diagnostic| diagnostic.line().replace("r.yaml:", "");
    diagnostics.iter().map(line).collect()
}

/// Verification without diagnostics.
fn defined(schemes: &str, text: &str) -> Verification {
    assert_eq!(lines(schemes, text), [""; 0], "{schemes} {text}");
    compiled_with(schemes, text, None).0.unwrap()
}

#[test]
fn a_defined_scheme_verifies_like_its_settings_written_out() {
    let settings = r#"header: X-Acme, prefix: "v1=", content: "{timestamp}.{body}", timestamp: {header: X-At, unit: ms}, id: {json: $.id}"#;
    let schemes = format!("{{acme: {{hmac: {{{settings}}}}}}}");
    let acme = defined(&schemes, "{acme: env:A}");
    let plain = defined("{}", &format!("{{hmac: {{secret: env:A, {settings}}}}}"));
    let request = sent(&acme, BODY);
    assert!(header(&request, "x-acme").starts_with("v1="));
    assert_eq!(header(&request, "x-at"), format!("{NOW}000"));
    assert_eq!(acme.prove(&request).unwrap(), plain.prove(&request).unwrap());
    assert_eq!((&**acme.scheme(), acme.family()), ("acme", "hmac"));
    let mut altered = sent(&plain, BODY);
    altered.body = b"{}".as_slice().into();
    assert_eq!(acme.prove(&altered).unwrap_err().reason(), "bad-signature");
}

#[test]
fn a_use_gives_the_secret_alone_or_more_or_nothing() {
    let schemes = "{acme: {github: {header: X-Acme}}, whole: {acme: {secret: env:A}}}";
    for text in [
        "{whole: {}}",
        "whole",
        "{acme: env:A}",
        "{acme: {secret: env:A}}",
        "{acme: {secret: env:A, header: X-Acme}, mode: enforce}",
    ] {
        let (verification, _) = compiled_with(schemes, text, None);
        let verification = verification.unwrap();
        let request = sent(&verification, BODY);
        assert!(header(&request, "x-acme").starts_with("sha256="), "{text}");
        let (other, _) = compiled_with(schemes, "{acme: env:A}", None);
        other.unwrap().prove(&request).unwrap();
    }
    let moved = defined(
        "{acme: {github: {header: X-Acme}}}",
        "{acme: {secret: env:A, header: X-Mine}}",
    );
    assert!(sent(&moved, BODY).headers.contains_key("x-mine"));
    let basic = defined("{acme: {basic: {user: ci}}}", "{acme: env:A}");
    let other = defined("{}", "{basic: {user: ci, password: env:A}}");
    other.prove(&sent(&basic, BODY)).unwrap();
    let jwt = defined(
        "{acme: {netlify: {issuer: acme}}}",
        "{acme: 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f}",
    );
    jwt.prove(&sent(&jwt, BODY)).unwrap();
}

#[test]
fn everything_that_a_preset_says_can_be_defined() {
    let schemes = r#"{acme: {sender: Acme, note: new, hmac: {
        header: X-Acme, event: [{header: X-Event}, {json: $.kind}], withhold: [X-Old, X-Older],
        timestamp: {header: X-At}, content_with_timestamp: "{timestamp}{body}", replay_window: 2m,
        repeats: true, max_body: 2MiB}}}"#;
    let acme = defined(schemes, "{acme: env:A}");
    let expected = EventName::Either(vec![
        EventName::Header("x-event".parse().unwrap()),
        EventName::Payload("$.kind".to_owned()),
    ]);
    assert_eq!(acme.event_name(), Some(&expected));
    let names: Vec<String> = acme
        .credential_headers()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["x-acme", "x-old", "x-older"]);
    assert_eq!(acme.default_window().as_secs(), 120);
    let request = sent(&acme, BODY);
    assert!(acme.prove(&request).unwrap().timestamp.unwrap().signed);
    // The settings of one `verify` are the same.
    let one = defined(
        "{}",
        "{hmac: {secret: env:A, event: {json: $.kind}, withhold: X-Old}}",
    );
    assert_eq!(one.event_name(), Some(&EventName::Payload("$.kind".to_owned())));
    assert_eq!(one.credential_headers().len(), 2);
    let none = defined("{}", "{github: {secret: env:A, event: none}}");
    assert_eq!(none.event_name(), None);
}

#[test]
fn whether_a_sender_repeats_itself_is_known_of_presets_and_else_what_the_definition_says() {
    for (schemes, text, repeats) in [
        ("{}", "{hmac: env:A}", true),
        ("{}", "{github: env:A}", false),
        ("{}", "{grafana: env:A}", true),
        ("{acme: {hmac: {}}}", "{acme: env:A}", true),
        ("{acme: {hmac: {repeats: false}}}", "{acme: env:A}", false),
        ("{acme: {github: {}}}", "{acme: env:A}", false),
        ("{acme: {github: {repeats: true}}}", "{acme: env:A}", true),
    ] {
        assert_eq!(defined(schemes, text).may_repeat(), repeats, "{schemes} {text}");
    }
}

#[test]
fn a_handshake_of_a_definition_is_answered() {
    let schemes = r#"{acme: {hmac: {handshake: {signed: true, unauthorized: Signature, requests: [
        {json: $.type, equals: ping, without: $.event, status: 202, body: '{"pong":true}'},
        {json: $.kind, equals: "é", echo: {json: $.challenge}},
        {method: GET, query: check, mac: {query: check, name: response}}]}}}}"#;
    let acme = defined(schemes, "{acme: env:A}");
    let told = |request| super::handshakes::told(&acme, &request);
    assert_eq!(
        told(sent(&acme, br#"{"type":"ping"}"#)),
        r#"202|content-type: application/json|{"pong":true}"#
    );
    let escaped = br#"{"kind":"\u00e9","challenge":"c"}"#;
    assert_eq!(
        told(sent(&acme, escaped)),
        "200|content-type: text/plain; charset=utf-8|c"
    );
    assert_eq!(told(sent(&acme, br#"{"type":"ping","event":1}"#)), "event");
    assert_eq!(told(received(&[], br#"{"type":"ping"}"#)), "event");
    assert_eq!(acme.challenge(), Some("Signature"));
    let mut check = sent_as(&acme, &[], b"", "", now());
    check.method = http::Method::GET;
    "check=abc".clone_into(&mut check.query);
    assert!(told(check).starts_with("200|content-type: application/json|{\"response\":\""));
    // Another scheme takes the same handshake by its name.
    let both = schemes.replacen('{', "{other: {stripe: {handshake: acme}}, ", 1);
    let (other, diagnostics) = compiled_with(&both, "{other: env:A}", None);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let methods = other.unwrap().handshake_methods().count();
    assert_eq!(methods, 3);
}

#[test]
fn a_handshake_that_cannot_be_answered_safely_is_an_error() {
    for (handshake, message) in [
        ("{requests: []}", "0 requests: a handshake has 1 to 8"),
        ("{}", "0 requests: a handshake has 1 to 8"),
        (
            "{requests: [{status: 200}]}",
            "every POST would be a handshake, and none an event",
        ),
        (
            "{requests: [{json: $.type, equals: x, echo: {json: $.c}}]}",
            "the body is not read before the sender is known: this handshake is not signed",
        ),
        (
            "{signed: true, requests: [{json: '$..x', status: 200}]}",
            "`$..x` is not a singular JSONPath: write a path to one value, such as `$.data[0]['id']`",
        ),
        (
            "{requests: [{header: X, status: 404}]}",
            "`status` is from 200 to 299",
        ),
        (
            "{requests: [{header: X, status: 200, body: '{'}]}",
            "`body` is JSON",
        ),
        (
            "{requests: [{header: X, query: y, status: 200}]}",
            "one thing marks a handshake: `header`, `query` or `json`",
        ),
        (
            "{requests: [{header: X}]}",
            "a request has one answer: `echo`, `status`, `mac`, `allow`, `learn`",
        ),
        (
            "{requests: [{header: X, status: 200, echo: {header: X}}]}",
            "a request has one answer: `echo`, `status`, `mac`, `allow`, `learn`",
        ),
        (
            "{requests: [{header: X, echo: {header: X, query: y}}]}",
            "the text stands in one place: `header`, `query` or `json`",
        ),
        (
            "{requests: [{method: HEAD, equals: x, status: 200}]}",
            "`equals` belongs to `header`, `query` or `json`",
        ),
        (
            "{requests: [{method: DELETE, status: 200}]}",
            "unknown value `DELETE`",
        ),
        ("{request: []}", "unknown key `request`"),
        (
            r#"{requests: [{method: GET, query: c, mac: {query: c, name: r}}]}, content: "{method}{body}""#,
            "the handshake `acme` tells strangers HMACs under the secret",
        ),
    ] {
        let found = lines(
            &format!("{{acme: {{hmac: {{handshake: {handshake}}}}}}}"),
            "{acme: env:A}",
        );
        assert!(
            found.iter().any(|line| line.contains(message)),
            "{handshake}: {found:?}"
        );
        // In `verify` alike.
        let found = lines(
            "{}",
            &format!("{{hmac: {{secret: env:A, handshake: {handshake}}}}}"),
        );
        let message = message.replace("acme", "hmac");
        assert!(
            found.iter().any(|line| line.contains(&message)),
            "{handshake}: {found:?}"
        );
    }
}

#[test]
fn a_faulty_definition_is_found_at_its_place() {
    for (schemes, expected) in [
        (
            "[acme]",
            "2:1: `schemes` maps names to schemes: `acme: {hmac: {header: X-Acme-Signature}}`",
        ),
        (
            "{github: {hmac: {}}}",
            "2:11: `github` is built in, and is not defined again (choose another name: `my_github: {github: {…}}`)",
        ),
        (
            "{none: {hmac: {}}}",
            "2:11: `none` is built in, and is not defined again (choose another name: `my_none: {none: {…}}`)",
        ),
        (
            "{mode: {hmac: {}}}",
            "2:11: `mode` is built in, and is not defined again (choose another name: `my_mode: {mode: {…}}`)",
        ),
        (
            "{'a b': {hmac: {}}}",
            "2:11: the name of a scheme is 1 to 64 of `A-Z a-z 0-9 _ - .` (write `acme: {hmac: {header: X-Acme-Signature}}`)",
        ),
        (
            "{acme: {hmac: {}, token: {}}}",
            "2:11: `acme` is based on one scheme, written as in `verify` (write `acme: {hmac: {header: X-Acme-Signature}}`)",
        ),
        (
            "{acme: hmac}",
            "2:11: `acme` is based on one scheme, written as in `verify` (write `acme: {hmac: {header: X-Acme-Signature}}`)",
        ),
        (
            "{acme: {none: {}}}",
            "2:18: `none` verifies nothing: each rule says `verify: none` itself",
        ),
        (
            "{acme: {hmac: env:A}}",
            "2:18: the settings of `hmac` are a mapping here, perhaps an empty one (`hmac: {secret: env:NAME}`, or `hmac: {}`)",
        ),
        (
            "{acme: {acme: {}}}",
            "2:11: `acme` is based on itself: acme → acme",
        ),
        ("{acme: {hmac: {}, sender: 5}}", "2:36: `sender` is text"),
        (
            "{acme: {hmac: {header: 'X Y', secret: env:UNSET}}}",
            "2:48: the environment variable `UNSET` is not set",
        ),
        ("{acme: {hmac: {replay_window: soon}}}", "2:40: "),
        (
            "{acme: {hmac: {event: {header: X, json: $.x}}}}",
            "2:25: the event's name stands in one place: `header` or `json`",
        ),
        (
            "{acme: {hmac: {withhold: 'X Y'}}}",
            "2:35: `X Y` is not the name of a header",
        ),
        ("{acme: {hmac: {max_body: huge}}}", "2:35: "),
    ] {
        let found = lines(schemes, "{hmac: env:A}");
        assert!(
            found.iter().any(|line| line.starts_with(expected)),
            "{schemes}: {found:#?}"
        );
    }
    let found = lines("{acme: {hmca: {}}, other: {acme: {heder: X}}}", "{acme: env:A}");
    assert!(
        found[0].starts_with("2:18: unknown scheme `hmca` (did you mean `hmac`?"),
        "{found:?}"
    );
    let found = lines("{acme: {hmac: {heder: X}}}", "{acme: env:A}");
    assert!(
        found[0].starts_with("2:25: unknown key `heder` (did you mean `header`?"),
        "{found:?}"
    );
    assert_eq!(found.len(), 1, "the use does not repeat it: {found:?}");
    let found = lines("{acme: {hmac: {}}}", "{acmee: env:A}");
    assert!(
        found[0].starts_with("1:10: unknown scheme `acmee` (did you mean `acme`?"),
        "{found:?}"
    );
    let (verification, _) = compiled_with("{a: {b: {}}, b: {a: {}}}", "{a: env:A}", None);
    assert!(verification.is_none());
}

#[test]
fn a_chain_of_definitions_is_bounded_and_a_long_one_ends() {
    let chain = |length: usize| {
        let mut schemes = String::from("{s0: {hmac: {header: X-Chain}}");
        for index in 1..length {
            write!(schemes, ", s{index}: {{s{}: {{}}}}", index - 1).unwrap();
        }
        schemes + "}"
    };
    let eight = defined(&chain(8), "{s7: env:A}");
    assert!(sent(&eight, BODY).headers.contains_key("x-chain"));
    let found = lines(&chain(12), "{s11: env:A}");
    assert!(
        found[0].contains("is based on more than 8 others: s8 → s7 → "),
        "{found:?}"
    );
}

#[test]
fn a_definition_that_nothing_names_is_a_warning_and_what_is_missing_in_it_is_none() {
    assert_eq!(
        lines(
            "{acme: {token: {}}, used: {standard: {}}}",
            "{used: {secret: MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}}"
        ),
        [
            "2:11: no `verify` and no `sign` names the scheme `acme` (write `verify: {acme: env:NAME}`, or remove it)"
        ]
    );
    // A use has to give what is missing.
    let found = lines("{acme: {token: {}}}", "{acme: env:A}");
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("`token` does not say where the token stands"),
        "{found:?}"
    );
    assert_eq!(
        lines("{acme: {hmac: {}}}", "acme"),
        ["1:9: `secret` is missing (`secret: env:NAME`, `file:/path` or `credential:NAME`)"]
    );
    // A warning about the definition is not repeated by its uses.
    let found = lines("{acme: {hmac: {timestamp: {}}}}", "{acme: env:A}");
    assert_eq!(found.len(), 1, "{found:?}");
    // What only the combination does wrong is found at the use.
    let found = lines(
        "{acme: {hmac: {timestamp: {json: $.at}}}}",
        r#"{acme: {secret: env:A, content: "{timestamp}{body}"}}"#,
    );
    assert!(
        found[0].starts_with("1:41: `{timestamp}` cannot be read from a body"),
        "{found:?}"
    );
}
