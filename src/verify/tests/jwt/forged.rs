//! Refused tokens: altered, malformed, or signed by another sender.

use http::HeaderValue;
use proptest::prelude::*;
use serde_json::json;

use super::super::{header, sent, verification};
use super::{BODY, compiled, encode, outcome, pem, prove, quoted, received, sender};

#[test]
fn no_letter_of_a_token_and_no_byte_of_the_body_may_change() {
    let netlify = verification("{netlify: env:A}");
    let request = sent(&netlify, BODY);
    let token = header(&request, "x-webhook-signature").to_owned();
    for at in 0..token.len() {
        for letter in [b'A', b'B', b'_', b'.', b'=', 0xe9] {
            let mut changed = token.clone().into_bytes();
            if changed[at] == letter {
                continue;
            }
            changed[at] = letter;
            let mut request = request.clone();
            request
                .headers
                .insert("x-webhook-signature", HeaderValue::from_bytes(&changed).unwrap());
            assert!(netlify.prove(&request).is_err(), "{at} {letter}");
        }
    }
    for body in [b"".as_slice(), b"{}", &BODY[1..], &[BODY, b"\n"].concat()] {
        let mut request = request.clone();
        request.body = bytes::Bytes::copy_from_slice(body);
        let refusal = netlify.prove(&request).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "the claim `sha256` is not the SHA-256 of the body: other bytes than were signed"
        );
    }
    for (verify, expected) in [
        ("{netlify: env:A}", "held"),
        ("{netlify: [env:B, env:A]}", "held"),
        ("{netlify: env:B}", "forged-token"),
    ] {
        let outcome = super::doubtful(verify).prove(&request);
        assert_eq!(
            outcome.map_or_else(|refusal| refusal.reason(), |_| "held"),
            expected
        );
    }
}

#[test]
fn a_token_that_is_not_signed_is_refused() {
    let sender = sender("ES256");
    let settings = sender.settings("body_hash: none");
    for alg in ["none", "None", "NONE", "nOnE"] {
        let header = encode(json!({"alg": alg}).to_string().as_bytes());
        for signature in ["", "AA", "c2ln"] {
            let token = format!("{header}.e30.{signature}");
            assert_ne!(outcome(&settings, &token), "held", "{alg} {signature}");
        }
        let refusal = prove(&settings, &format!("{header}.e30.AA")).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "the token in the header `x-token` is not signed, where `ES256` is demanded"
        );
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let rsa = sender("RS256");
    let settings = rsa.settings("body_hash: none");
    // A forged HMAC that is keyed with the public key in each of its formats.
    let text = rsa.pem();
    for secret in [text.as_bytes(), text.trim_end().as_bytes()] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        for alg in ["HS256", "RS256"] {
            let header = json!({"alg": alg}).to_string();
            let signed = format!("{}.e30", encode(header.as_bytes()));
            let signature = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
            let token = format!("{signed}.{}", encode(signature.as_ref()));
            let expected = if alg == "HS256" {
                "foreign-token"
            } else {
                "forged-token"
            };
            assert_eq!(outcome(&settings, &token), expected);
        }
    }
    // A public key as the secret is reported at load.
    for key in [text.clone(), pem("CERTIFICATE", b"x"), format!("\n{text}")] {
        let (_, diagnostics) = compiled(
            &format!(
                "{{jwt: {{algorithms: [HS256], secret: {}, body_hash: none}}}}",
                quoted(&key)
            ),
            None,
        );
        assert_eq!(diagnostics.len(), 1);
        assert!(
            diagnostics[0].line().contains("the secret is a key in PEM"),
            "{diagnostics:?}"
        );
    }
}

#[test]
fn a_token_by_another_algorithm_or_another_key_is_refused() {
    let sender = sender("ES256");
    let settings = sender.settings("body_hash: none");
    for (other, expected) in [
        ("RS256", "foreign-token"),
        ("ES384", "foreign-token"),
        ("EdDSA", "foreign-token"),
        ("HS256", "foreign-token"),
        ("ES256", "forged-token"),
    ] {
        let token = super::sender(other).token(&json!({}));
        assert_eq!(outcome(&settings, &token), expected, "{other}");
    }
    let refusal = prove(&settings, &super::sender("RS256").token(&json!({}))).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the token in the header `x-token` is signed by `RS256`, where `ES256` is demanded"
    );
    let strange = sender.written(r#"{"alg":"hunter2"}"#, "{}");
    let refusal = prove(&settings, &strange).unwrap_err();
    assert!(!refusal.to_string().contains("hunter2"), "{refusal}");
    // ECDSA signatures: in DER, truncated, extended, all zeros.
    let token = sender.token(&json!({}));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let bytes = data_encoding::BASE64URL_NOPAD
        .decode(signature.as_bytes())
        .unwrap();
    let der = [&[0x30, 68, 2, 32], &bytes[..32], &[2, 32], &bytes[32..]].concat();
    for forged in [
        der,
        bytes[..63].to_vec(),
        [bytes.as_slice(), &[0]].concat(),
        vec![0; 64],
        vec![0],
    ] {
        let token = format!("{signed}.{}", encode(&forged));
        assert_eq!(outcome(&settings, &token), "forged-token", "{forged:?}");
    }
}

#[test]
fn junk_of_any_length_is_refused_without_being_repeated() {
    let settings = sender("HS256").settings("body_hash: none");
    for junk in [
        "x".repeat(64 << 10),
        ".".repeat(64 << 10),
        "A.".repeat(20_000),
        ".".repeat(1_000),
        "hunter2".to_owned(),
        "hunter2.hunter2.hunter2".to_owned(),
        format!("{}.hunter2.hunter2", encode(b"{\"alg\":\"HS256\"}")),
        "\u{661}.\u{662}.\u{663}".to_owned(),
    ] {
        let refusal = prove(&settings, &junk).unwrap_err();
        assert_eq!(refusal.reason(), "malformed-token");
        let words = refusal.to_string();
        assert!(
            words.len() < 200 && !words.contains("hunter2") && !words.contains("xxx"),
            "{words}"
        );
    }
}

#[test]
fn a_genuine_token_with_something_twice_is_refused() {
    let sender = sender("HS256");
    let settings = sender.settings("body_hash: none, issuer: a");
    assert_eq!(
        outcome(&settings, &sender.written(r#"{"alg":"HS256"}"#, r#"{"iss":"a"}"#)),
        "held"
    );
    for (header, payload) in [
        (r#"{"alg":"HS256","alg":"HS256"}"#, r#"{"iss":"a"}"#),
        (r#"{"alg":"HS256"}"#, r#"{"iss":"b","iss":"a"}"#),
        (r#"{"alg":"HS256"}"#, r#"{"iss":"a","is\u0073":"a"}"#),
        (r#"{"alg":"HS256","crit":["b64"],"b64":true}"#, r#"{"iss":"a"}"#),
        (
            r#"{"alg":"HS256","crit":["http://example.com/x"]}"#,
            r#"{"iss":"a"}"#,
        ),
        (r#"{"alg":"HS256"}"#, "[]"),
        (r#"{"alg":"HS256"}"#, "not JSON"),
    ] {
        let token = sender.written(header, payload);
        assert_eq!(
            outcome(&settings, &token),
            "malformed-token",
            "{header} {payload}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_token_makes_it_panic(
        alg in "\"(HS256|HS256|HS256|ES256|none|[A-Za-z0-9]{0,8})\"|null",
        payload in prop_oneof![
            "[ -~]{0,60}",
            "\\{\"(iss|aud|exp|nbf|iat|jti|h)\":(-?[0-9]{1,20}(\\.[0-9]{1,3})?(e[0-9]{1,3})?|\"[a-z]{0,70}\"|null|\\[\\]|\\{\\})\\}",
        ],
        junk in proptest::collection::vec(prop_oneof![Just(b'.'), Just(b'e'), 33..=126_u8, 128..=255_u8], 0..80),
    ) {
        let sender = sender("HS256");
        let settings = "{jwt: {algorithms: [HS256], secret: env:A, header: X-Token, issuer: a, audience: a, body_hash: h, timestamp: iat, id: {claim: jti}}}";
        let genuine = sender.written(&format!("{{\"alg\":{alg}}}"), &payload);
        let loose = super::doubtful(&sender.settings("body_hash: none, timestamp: iat, id: {claim: jti}"));
        let strict = super::doubtful(settings);
        for token in [genuine.as_bytes(), junk.as_slice(), &[b"eyJhbGciOiJIUzI1NiJ9.", junk.as_slice()].concat()] {
            let mut request = received(&[], BODY);
            request.headers.insert("x-token", HeaderValue::from_bytes(token).unwrap());
            for verification in [&loose, &strict] {
                if let Err(refusal) = verification.prove(&request) {
                    prop_assert!(!refusal.to_string().is_empty());
                }
            }
        }
    }
}
