//! Unusable keys: reported at load, and never quoted.

use serde_json::json;

use super::settings::lines;
use super::{encode, pem, quoted, sender};

#[test]
fn a_public_key_that_nobody_could_verify_with_is_found_and_not_repeated() {
    let of = |key: &str| {
        lines(&format!(
            "algorithms: ES256, public_key: {}, body_hash: none, audience: a",
            quoted(key)
        ))
    };
    let (p256, p384) = (sender("ES256").pem(), sender("ES384").pem());
    let inner = p256.lines().nth(1).unwrap();
    for (key, expected) in [
        (p384, "it is no key that `ES256` can use"),
        (sender("EdDSA").pem(), "it is no key that `ES256` can use"),
        (sender("RS256").pem(), "it is no key that `ES256` can use"),
        (
            pem("PUBLIC KEY", b"nonsense"),
            "it is no key that `ES256` can use",
        ),
        (pem("CERTIFICATE", b"x"), "it is a certificate, not a public key"),
        (pem("PRIVATE KEY", b"x"), "it is a private key"),
        (pem("EC PRIVATE KEY", b"x"), "it is a private key"),
        (pem("RSA PUBLIC KEY", b"x"), "it holds no public key in PEM"),
        (p256.replace("-----END", "----END"), "the PEM cannot be read"),
        (p256.replace('M', "*"), "the PEM cannot be read"),
        (
            p256.replace("-----BEGIN PUBLIC KEY-----", ""),
            "it holds no public key in PEM",
        ),
        (inner.to_owned(), "it holds no public key in PEM"),
        ("hunter2".to_owned(), "it holds no public key in PEM"),
    ] {
        let found = of(&key);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
        assert!(
            !found[0].contains(inner) && !found[0].contains("hunter2"),
            "{found:?}"
        );
    }
    assert_eq!(of(&p256), [""; 0]);
}

#[test]
fn a_set_that_nobody_could_verify_with_is_found_and_not_repeated() {
    let of = |text: &str| {
        lines(&format!(
            "algorithms: [ES256, RS256, EdDSA], jwks: {}, body_hash: none, audience: a",
            quoted(text)
        ))
    };
    let key = sender("ES256").jwk("k1");
    let with = |member: &str, value: serde_json::Value| {
        let mut key = key.clone();
        key[member] = value;
        json!({"keys": [sender("ES256").jwk("k0"), key]}).to_string()
    };
    let short = encode(&[7; 31]);
    for (text, expected) in [
        ("hunter2".to_owned(), "it is no JWK set"),
        ("[]".to_owned(), "it is no JWK set"),
        (r#"{"keys": "hunter2"}"#.to_owned(), "it is no JWK set"),
        (
            r#"{"keys": []}"#.to_owned(),
            "it holds no key that `ES256`, `RS256`, `EdDSA` can use",
        ),
        (
            r#"{"keys": ["hunter2"]}"#.to_owned(),
            "key 1 of the set is no JWK",
        ),
        (
            r#"{"keys": [{"x": "hunter2"}]}"#.to_owned(),
            "key 1 of the set is no JWK",
        ),
        (with("x", json!(5)), "key 2 of the set is no JWK"),
        (
            with("x", json!("hunter2")),
            "key 2 of the set (`k1`) is no key that `ES256` can use",
        ),
        (
            with("x", json!(short)),
            "key 2 of the set (`k1`) is no key that `ES256` can use",
        ),
        (
            with("y", json!(encode(&[7; 32]))),
            "key 2 of the set (`k1`) is no key that `ES256` can use",
        ),
        (
            with("y", json!(null)),
            "key 2 of the set (`k1`) is no key that `ES256` can use",
        ),
        (
            with("d", json!("hunter2")),
            "key 2 of the set (`k1`) is a private key",
        ),
        (
            json!({"keys": [{"kty": "RSA", "n": encode(&[0xc1; 128]), "e": "AQAB"}]}).to_string(),
            "key 1 of the set is no key that `RS256` can use",
        ),
        (
            json!({"keys": [{"kty": "RSA", "n": "", "e": ""}]}).to_string(),
            "key 1 of the set is no key that `RS256` can use",
        ),
        (
            json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": short}]}).to_string(),
            "key 1 of the set is no key that `EdDSA` can use",
        ),
    ] {
        let found = of(&text);
        assert_eq!(found.len(), 1, "{text} {found:?}");
        assert!(found[0].contains(expected), "{text} {found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
}
