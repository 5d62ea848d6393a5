//! Required claims of a genuine token, and its validity in time.

use serde_json::{Value, json};

use super::{BODY, NOW, outcome, prove, sender};

/// Outcome for claims, with settings that require no body hash.
fn claimed(fields: &str, claims: &Value) -> &'static str {
    let sender = sender("HS256");
    outcome(
        &sender.settings(&format!("body_hash: none, {fields}")),
        &sender.token(claims),
    )
}

#[test]
fn a_token_is_good_until_a_minute_after_its_end() {
    for (exp, expected) in [
        (json!(NOW + 3600), "held"),
        (json!(NOW), "held"),
        (json!(NOW - 59), "held"),
        (json!(NOW - 60), "expired-token"),
        (json!(NOW - 61), "expired-token"),
        (json!(0), "expired-token"),
        (json!(1.5), "expired-token"),
        (json!(f64::from(i32::MAX) + 0.5), "held"),
        (json!(u64::MAX), "held"),
        (json!(1e15), "held"),
        (json!(-1), "bad-claim"),
        (json!(-1.5), "bad-claim"),
        (json!(1e300), "bad-claim"),
        (json!((NOW + 3600).to_string()), "bad-claim"),
        (json!(null), "bad-claim"),
        (json!([NOW + 3600]), "bad-claim"),
        (json!(true), "bad-claim"),
    ] {
        assert_eq!(claimed("", &json!({"exp": exp})), expected, "{exp}");
    }
    let sender = sender("HS256");
    let refusal = prove(&sender.settings(""), &sender.token(&json!({"exp": NOW - 600}))).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the token expired at 2021-02-25T14:52:10.000Z, and it is 2021-02-25T15:02:10.000Z"
    );
    assert!(!refusal.is_stale());
}

#[test]
fn a_token_is_good_from_a_minute_before_its_begin() {
    for (nbf, expected) in [
        (json!(NOW - 3600), "held"),
        (json!(NOW), "held"),
        (json!(NOW + 60), "held"),
        (json!(NOW + 61), "premature-token"),
        (json!(u64::MAX), "premature-token"),
        (json!("0"), "bad-claim"),
        (json!(null), "bad-claim"),
    ] {
        assert_eq!(claimed("", &json!({"nbf": nbf})), expected, "{nbf}");
    }
    assert_eq!(claimed("", &json!({"nbf": NOW, "exp": NOW + 1})), "held");
}

#[test]
fn when_it_was_sent_is_asked_of_the_token_only_where_it_counts() {
    // First ignored, then required.
    for iat in [json!(0), json!("x"), json!(NOW + 1_000_000)] {
        assert_eq!(claimed("", &json!({"iat": iat})), "held", "{iat}");
    }
    for (iat, expected) in [
        (json!(NOW), "held"),
        (json!(f64::from(1_614_265_330) + 0.25), "held"),
        (json!(0), "held"),
        (json!(999_999_999_999_u64), "held"),
        (json!(NOW * 1000), "malformed-timestamp"),
        (json!(-1), "malformed-timestamp"),
        (json!("1614265330"), "malformed-timestamp"),
        (json!(null), "malformed-timestamp"),
        (json!({}), "malformed-timestamp"),
    ] {
        assert_eq!(claimed("timestamp: iat", &json!({"iat": iat})), expected, "{iat}");
    }
    assert_eq!(claimed("timestamp: iat", &json!({})), "missing-timestamp");
    assert_eq!(claimed("timestamp: sent", &json!({"sent": NOW})), "held");
    let sender = sender("HS256");
    let settings = sender.settings("timestamp: iat, body_hash: none");
    let fresh = |iat: Value| {
        let proof = prove(&settings, &sender.token(&json!({"iat": iat}))).unwrap();
        proof
            .freshness(super::doubtful(&settings).default_window(), super::super::now())
            .is_ok()
    };
    assert!(fresh(json!(NOW - 300)) && fresh(json!(NOW + 300)));
    assert!(!fresh(json!(NOW - 301)) && !fresh(json!(NOW + 301)));
    // A fraction counts.
    assert!(!fresh(json!(f64::from(1_614_265_330 + 300) + 0.5)));
}

#[test]
fn the_issuer_is_one_that_is_named() {
    for (fields, iss, expected) in [
        ("issuer: a", json!("a"), "held"),
        ("issuer: [a, b]", json!("b"), "held"),
        ("issuer: a", json!("A"), "bad-claim"),
        ("issuer: a", json!("a/"), "bad-claim"),
        ("issuer: a", json!(""), "bad-claim"),
        ("issuer: a", json!(["a"]), "bad-claim"),
        ("issuer: a", json!(null), "bad-claim"),
        ("issuer: '1'", json!(1), "bad-claim"),
    ] {
        assert_eq!(claimed(fields, &json!({"iss": iss})), expected, "{fields} {iss}");
    }
    assert_eq!(claimed("issuer: a", &json!({})), "bad-claim");
    let sender = sender("HS256");
    let refused = |claims: Value| {
        let settings = sender.settings("issuer: [https://a, https://b]");
        prove(&settings, &sender.token(&claims)).unwrap_err().to_string()
    };
    assert_eq!(
        refused(json!({"iss": "hunter2"})),
        "the claim `iss` is not `https://a` or `https://b`"
    );
    assert_eq!(refused(json!({})), "the claim `iss` is missing");
}

#[test]
fn the_audience_is_a_text_or_a_list_in_which_one_is_named() {
    for (fields, aud, expected) in [
        ("audience: a", json!("a"), "held"),
        ("audience: a", json!(["a"]), "held"),
        ("audience: a", json!(["x", "a", 1]), "held"),
        ("audience: [a, b]", json!(["x", "b"]), "held"),
        ("audience: a", json!("x"), "bad-claim"),
        ("audience: a", json!("a b"), "bad-claim"),
        ("audience: a", json!([]), "bad-claim"),
        ("audience: a", json!([["a"]]), "bad-claim"),
        ("audience: a", json!({"a": "a"}), "bad-claim"),
        ("audience: a", json!(null), "bad-claim"),
    ] {
        assert_eq!(claimed(fields, &json!({"aud": aud})), expected, "{fields} {aud}");
    }
    assert_eq!(claimed("audience: a", &json!({})), "bad-claim");
}

#[test]
fn a_claim_has_exactly_the_value_that_is_demanded() {
    for (fields, claims, expected) in [
        ("claims: {b: true}", json!({"b": true}), "held"),
        ("claims: {b: true}", json!({"b": "true"}), "bad-claim"),
        ("claims: {b: true}", json!({"b": 1}), "bad-claim"),
        ("claims: {b: true}", json!({"b": false}), "bad-claim"),
        ("claims: {b: 'true'}", json!({"b": true}), "bad-claim"),
        ("claims: {n: 1}", json!({"n": 1}), "held"),
        ("claims: {n: -1}", json!({"n": -1}), "held"),
        ("claims: {n: 1}", json!({"n": "1"}), "bad-claim"),
        ("claims: {n: 1}", json!({"n": 1.5}), "bad-claim"),
        (
            "claims: {n: 9007199254740993}",
            json!({"n": 9_007_199_254_740_992_u64}),
            "bad-claim",
        ),
        ("claims: {s: x}", json!({"s": "x"}), "held"),
        ("claims: {s: x}", json!({"s": "x "}), "bad-claim"),
        ("claims: {s: x}", json!({"s": ["x"]}), "bad-claim"),
        ("claims: {s: x}", json!({"s": null}), "bad-claim"),
        ("claims: {s: x}", json!({}), "bad-claim"),
        ("claims: {s: x, b: true}", json!({"s": "x", "b": true}), "held"),
        ("claims: {s: x, b: true}", json!({"s": "x"}), "bad-claim"),
        ("claims: {'a.b': x}", json!({"a.b": "x"}), "held"),
        ("claims: {'a.b': x}", json!({"a": {"b": "x"}}), "bad-claim"),
    ] {
        assert_eq!(claimed(fields, &claims), expected, "{fields} {claims}");
    }
    let sender = sender("HS256");
    let settings = sender.settings("claims: {s: hunter2}");
    let refusal = prove(&settings, &sender.token(&json!({"s": "hunter3"}))).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the claim `s` has not the value that `claims` demands"
    );
}

#[test]
fn the_hash_of_the_body_is_64_hex_digits_in_either_case() {
    let sender = sender("HS256");
    let settings = sender.settings("body_hash: h, timestamp: none");
    let hash = <sha2::Sha256 as sha2::Digest>::digest(BODY);
    let hex = data_encoding::HEXLOWER.encode(&hash);
    for (claim, expected) in [
        (json!(hex), "held"),
        (json!(hex.to_uppercase()), "held"),
        (json!("0".repeat(64)), "bad-claim"),
        (json!(hex.split_at(32).0), "bad-claim"),
        (json!(format!("{hex}00")), "bad-claim"),
        (json!(format!("sha256={hex}")), "bad-claim"),
        (json!(super::encode(&hash)), "bad-claim"),
        (json!(""), "bad-claim"),
        (json!(null), "bad-claim"),
        (json!([hex]), "bad-claim"),
    ] {
        assert_eq!(
            outcome(&settings, &sender.token(&json!({"h": claim}))),
            expected,
            "{claim}"
        );
    }
    assert_eq!(outcome(&settings, &sender.token(&json!({}))), "bad-claim");
}
