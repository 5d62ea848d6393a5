//! Diagnostics for `jwt:` at load.

use serde_json::json;

use super::{compiled, quoted, sender, set};
use crate::base::diagnostic::{Diagnostic, Severity};

/// Diagnostics as lines, without the file name.
pub(super) fn lines(fields: &str) -> Vec<String> {
    let (_, diagnostics) = compiled(&format!("{{jwt: {{{fields}}}}}"), None);
    diagnostics
        .iter()
        .map(|diagnostic| diagnostic.line().replace("r.yaml:", ""))
        .collect()
}

/// Codes of the diagnostics.
fn codes(fields: &str) -> Vec<&'static str> {
    compiled(&format!("{{jwt: {{{fields}}}}}"), None)
        .1
        .iter()
        .map(|diagnostic| diagnostic.code)
        .collect()
}

#[test]
fn the_algorithms_are_known_and_of_one_kind() {
    let rest = "secret: env:A, body_hash: none";
    assert_eq!(codes(&format!("algorithms: HS256, {rest}")), [""; 0]);
    assert_eq!(codes(&format!("algorithms: [HS256, HS512], {rest}")), [""; 0]);
    let first = |fields: &str| lines(fields).into_iter().next().unwrap();
    assert_eq!(
        first(&format!("algorithms: [HS526], {rest}")),
        "1:29: unknown algorithm `HS526` (did you mean `HS256`? known here: HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA)"
    );
    assert!(first(&format!("algorithms: [hs256], {rest}")).contains("did you mean `HS256`?"));
    assert!(
        first(&format!("algorithms: [none], {rest}"))
            .contains("1:29: `none` is no signature: any client could write such a token")
    );
    assert_eq!(
        lines(&format!("algorithms: [HS256, ES256], {rest}")),
        [
            "1:16: `HS256` takes a shared secret and `ES256` a public key: a verification takes one or the other"
        ]
    );
    for (fields, expected) in [
        ("algorithms: []", "algorithm"),
        ("algorithms: [HS256, HS256]", "algorithm"),
        ("algorithms: [256]", "wrong-value"),
        ("algorithms: {HS256: true}", "wrong-value"),
        ("algorithms: ", "null-value"),
        ("algorithm: HS256", "unknown-key"),
    ] {
        assert_eq!(
            codes(&format!("{fields}, {rest}")).first(),
            Some(&expected),
            "{fields}"
        );
    }
    assert_eq!(
        lines(rest),
        ["1:10: `algorithms` is missing (`algorithms: [ES256]`)"]
    );
}

#[test]
fn the_keys_stand_in_the_one_field_that_fits_the_algorithms() {
    let ec = sender("ES256");
    let (pem, jwks) = (quoted(&ec.pem()), set(&[ec.jwk("k")]));
    let rest = "body_hash: none, audience: a";
    for (keys, expected) in [
        ("algorithms: HS256".to_owned(), vec!["missing-key"]),
        ("algorithms: ES256".to_owned(), vec!["missing-key"]),
        (format!("algorithms: HS256, public_key: {pem}"), vec!["key-kind"]),
        (format!("algorithms: HS256, jwks: {jwks}"), vec!["key-kind"]),
        ("algorithms: ES256, secret: env:A".to_owned(), vec!["key-kind"]),
        (
            format!("algorithms: ES256, public_key: {pem}, jwks: {jwks}"),
            vec!["ambiguous-place"],
        ),
        (
            format!("algorithms: HS256, secret: env:A, jwks: {jwks}"),
            vec!["ambiguous-place"],
        ),
        ("algorithms: HS256, secret: env:UNSET".to_owned(), vec!["secret"]),
        ("algorithms: HS256, secret: []".to_owned(), vec!["secret"]),
        ("algorithms: ES256, jwks: []".to_owned(), vec!["key"]),
        ("algorithms: ES256, public_key: 5".to_owned(), vec!["wrong-value"]),
        ("algorithms: ES256, jwks: file:unreadable".to_owned(), vec!["key"]),
        ("algorithms: ES256, public_key: env:UNSET".to_owned(), vec!["key"]),
        (format!("algorithms: ES256, public_key: {pem}"), vec![]),
        (format!("algorithms: ES256, jwks: {jwks}"), vec![]),
    ] {
        assert_eq!(codes(&format!("{keys}, {rest}")), expected, "{keys}");
    }
    let many: Vec<_> = (0..17).map(|number| ec.jwk(&number.to_string())).collect();
    assert_eq!(
        lines(&format!("algorithms: ES256, jwks: {}, {rest}", set(&many))),
        ["1:41: 17 keys: from 1 to 16 are taken"]
    );
}

#[test]
fn every_other_field_is_checked_at_its_place() {
    let rest = "algorithms: HS256, secret: env:A";
    for (fields, expected) in [
        ("header: 'X Y'", "header-name"),
        ("header: [A, B]", "wrong-value"),
        ("header: A, query: b", "ambiguous-place"),
        ("prefix: x, query: b", "ambiguous-place"),
        ("issuer: []", "wrong-value"),
        ("issuer: 5", "wrong-value"),
        ("issuer: ['']", "wrong-value"),
        ("audience: {a: b}", "wrong-value"),
        ("claims: {}", "wrong-value"),
        ("claims: [a]", "wrong-value"),
        ("claims: {a: ~}", "wrong-value"),
        ("claims: {a: [b]}", "wrong-value"),
        ("claims: {a: 1.5}", "wrong-value"),
        ("body_hash: ''", "wrong-value"),
        ("timestamp: ''", "wrong-value"),
        ("timestamp: {json: $.at}", "wrong-value"),
        ("id: jti", "wrong-value"),
        ("id: {}", "ambiguous-place"),
        ("id: {claim: jti, json: $.id}", "ambiguous-place"),
        ("id: {json: '$..id'}", "jsonpath"),
        ("id: {header: 'X Y'}", "header-name"),
        ("id: {item: x}", "unknown-key"),
        ("isuer: a", "unknown-key"),
    ] {
        let hash = if fields.starts_with("body_hash") {
            ""
        } else {
            ", body_hash: none"
        };
        let (_, diagnostics) = compiled(&format!("{{jwt: {{{rest}, {fields}{hash}}}}}"), None);
        let errors: Vec<&Diagnostic> = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .collect();
        assert!(
            !errors.is_empty() && errors[0].code == expected,
            "{fields} {diagnostics:?}"
        );
    }
    let (_, diagnostics) = compiled("{jwt: env:A}", None);
    assert_eq!(diagnostics[0].message, "`jwt` needs algorithms and keys");
    let (_, diagnostics) = compiled("{netlify: {secret: env:A, public_key: x}}", None);
    assert_eq!(diagnostics[0].code, "ambiguous-place");
}

#[test]
fn all_faults_are_found_at_once() {
    let fields = "algorithms: [HS526, none], secret: env:UNSET, header: 'X Y', issuer: 5, claims: {a: ~}, id: jti, colour: red";
    let mut found = codes(fields);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "header-name",
            "secret",
            "unknown-algorithm",
            "unknown-algorithm",
            "unknown-key",
            "unsigned-body",
            "wrong-value",
            "wrong-value",
            "wrong-value"
        ]
    );
}

#[test]
fn what_a_token_leaves_unprotected_is_a_warning() {
    let ec = format!(
        "algorithms: ES256, public_key: {}",
        quoted(&sender("ES256").pem())
    );
    let hs = "algorithms: HS256, secret: env:A".to_owned();
    for (fields, expected) in [
        (hs.clone(), vec!["unsigned-body"]),
        (format!("{hs}, body_hash: none"), vec![]),
        (format!("{hs}, body_hash: h"), vec![]),
        (
            format!("{hs}, body_hash: h, id: {{header: X-Id}}"),
            vec!["unsigned-id"],
        ),
        (format!("{hs}, body_hash: h, id: {{json: $.id}}"), vec![]),
        (format!("{hs}, body_hash: none, id: {{header: X-Id}}"), vec![]),
        (ec.clone(), vec!["unsigned-body", "any-audience"]),
        (format!("{ec}, body_hash: none"), vec!["any-audience"]),
        (format!("{ec}, body_hash: none, audience: a"), vec![]),
        (format!("{ec}, body_hash: none, claims: {{email: a}}"), vec![]),
        (format!("{ec}, body_hash: h"), vec![]),
    ] {
        let (verification, diagnostics) = compiled(&format!("{{jwt: {{{fields}}}}}"), None);
        let codes: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
        assert_eq!(codes, expected, "{fields}");
        let warnings = diagnostics
            .iter()
            .all(|diagnostic| diagnostic.severity == Severity::Warning);
        assert!(warnings && verification.is_some(), "{fields}");
    }
}

#[test]
fn a_preset_is_altered_field_by_field() {
    let verification = super::super::verification(
        "{netlify: {secret: [env:B, env:A], header: X-Other, body_hash: hash, timestamp: iat, issuer: [a, netlify]}}",
    );
    let sender = sender("HS256");
    let hash = data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(super::BODY));
    let token = sender.token(&json!({"iss": "netlify", "hash": hash, "iat": super::NOW}));
    let request = super::received(&[("X-Other", &token)], super::BODY);
    assert!(verification.prove(&request).unwrap().timestamp.is_some());
}
