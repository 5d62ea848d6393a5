//! Proof of a genuine token: its timestamp and its dedup keys.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{BODY, NOW, doubtful, prove, received, sender};
use crate::base::clock::Timestamp;
use crate::event::DedupKey;
use crate::verify::SentAt;

/// Claims of a token over [`BODY`].
fn hashed(more: &Value) -> Value {
    let mut claims = more.clone();
    claims["h"] = json!(data_encoding::HEXLOWER.encode(&Sha256::digest(BODY)));
    claims
}

#[test]
fn a_token_that_covers_the_body_is_fresh_for_five_minutes_and_known_by_what_was_signed() {
    let sender = sender("ES256");
    let settings = sender.settings("body_hash: h");
    let claims = hashed(&json!({"iat": NOW - 100}));
    let proof = prove(&settings, &sender.token(&claims)).unwrap();
    assert_eq!(
        proof.timestamp,
        Some(SentAt {
            at: Timestamp::from_seconds(NOW - 100),
            signed: true
        })
    );
    assert_eq!(doubtful(&settings).default_window().as_secs(), 300);
    // ECDSA signatures of the same content differ, but all have the same dedup key.
    let again = sender.token(&claims);
    assert_ne!(again, sender.token(&claims));
    assert_eq!(prove(&settings, &again).unwrap().dedup_keys, proof.dedup_keys);
    let signed = again.rsplit_once('.').unwrap().0;
    assert_eq!(proof.dedup_keys, [DedupKey::signature(&Sha256::digest(signed))]);
    // Another timestamp makes another event.
    let later = prove(&settings, &sender.token(&hashed(&json!({"iat": NOW})))).unwrap();
    assert_ne!(later.dedup_keys, proof.dedup_keys);
}

#[test]
fn an_event_is_known_by_an_id_that_is_signed() {
    let sender = sender("HS256");
    let claims = hashed(&json!({"iat": NOW, "jti": "x-7", "n": 7}));
    let token = sender.token(&claims);
    let dedup_keys = |fields: &str| prove(&sender.settings(fields), &token).unwrap().dedup_keys;
    assert_eq!(
        dedup_keys("body_hash: h, id: {claim: jti}"),
        [DedupKey::id(b"x-7")]
    );
    assert_eq!(dedup_keys("body_hash: h, id: {claim: n}"), [DedupKey::id(b"7")]);
    assert_eq!(
        dedup_keys("body_hash: none, id: {claim: jti}"),
        [DedupKey::id(b"x-7")]
    );
    assert_eq!(
        dedup_keys("body_hash: h, id: {json: $.id}"),
        [DedupKey::id(b"a-1")]
    );
    // A header is not signed.
    let verification = doubtful(&sender.settings("body_hash: h, id: {header: X-Id}"));
    let request = received(&[("X-Token", &token), ("X-Id", "x")], BODY);
    let signed = Sha256::digest(token.rsplit_once('.').unwrap().0);
    assert_eq!(
        verification.prove(&request).unwrap().dedup_keys,
        [DedupKey::signature(&signed)]
    );
    // Without an id, the token itself is the dedup key. This includes single-use tokens that do not
    // sign the body.
    for fields in [
        "body_hash: h, id: {claim: none}",
        "body_hash: h, id: {json: $.none}",
        "body_hash: none, id: {claim: none}",
    ] {
        assert_eq!(dedup_keys(fields), [DedupKey::signature(&signed)], "{fields}");
    }
    assert_eq!(
        dedup_keys("body_hash: h, id: [{claim: none}, {json: $.id}]"),
        [DedupKey::id(b"a-1")]
    );
    for id in [json!(""), json!(null), json!(1.5), json!([])] {
        let token = sender.token(&hashed(&json!({"iat": NOW, "jti": id})));
        let signed = Sha256::digest(token.rsplit_once('.').unwrap().0);
        let proof = prove(&sender.settings("body_hash: h, id: {claim: jti}"), &token).unwrap();
        assert_eq!(proof.dedup_keys, [DedupKey::signature(&signed)], "{id}");
    }
}

#[test]
fn a_token_that_does_not_cover_the_body_is_no_nonce() {
    let sender = sender("RS256");
    let token = sender.token(&json!({"aud": "a", "iat": NOW - 3000, "exp": NOW + 600}));
    let settings = sender.settings("audience: a, body_hash: none");
    let proof = prove(&settings, &token).unwrap();
    assert_eq!((proof.timestamp, proof.dedup_keys), (None, vec![]));
    assert_eq!(doubtful(&settings).default_window().as_secs(), 24 * 3600);
    let request = received(&[("X-Token", &token), ("X-Id", "x-1")], BODY);
    for (id, expected) in [
        ("{header: X-Id}", DedupKey::id(b"x-1")),
        ("{json: $.id}", DedupKey::id(b"a-1")),
    ] {
        let verification = doubtful(&sender.settings(&format!("audience: a, body_hash: none, id: {id}")));
        let proof = verification.prove(&request).unwrap();
        assert_eq!(proof.dedup_keys, [expected]);
        assert_eq!(proof.memory(verification.default_window()).as_secs(), 24 * 3600);
    }
    let verification = doubtful(&sender.settings("audience: a, body_hash: none, id: {header: X-Other}"));
    assert_eq!(verification.prove(&request).unwrap().dedup_keys, []);
}

#[test]
fn a_body_that_is_no_json_has_no_id() {
    let sender = sender("HS256");
    let body = b"\xff not JSON";
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(body));
    let token = sender.token(&json!({"iat": NOW, "h": hash}));
    let request = received(&[("X-Token", &token)], body);
    assert!(doubtful(&sender.settings("body_hash: h")).prove(&request).is_ok());
    let verification = doubtful(&sender.settings("body_hash: h, id: {json: $.id}"));
    assert_eq!(verification.prove(&request).unwrap().dedup_keys.len(), 1);
}
