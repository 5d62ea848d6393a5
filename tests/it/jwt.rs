//! Signed tokens, from senders like Plaid, Google Pub/Sub and Netlify.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::scenario::{Daemon, Scenario, now};

/// A shared key, since generating one is slow.
static RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

/// The public key of an RSA pair, as a JWK.
fn rsa_key(kid: &str) -> Value {
    // An `RSAPublicKey` of 2048 bits has its modulus at a fixed offset, after a zero byte.
    let modulus = &RSA.public_key().as_ref()[9..265];
    json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": encode(modulus), "e": "AQAB"})
}

/// The public key of an ECDSA pair, as a JWK.
fn ecdsa_key(pair: &EcdsaKeyPair, kid: &str) -> Value {
    let point = pair.public_key().as_ref();
    json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": encode(&point[1..33]), "y": encode(&point[33..])})
}

fn ecdsa() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

/// A JWK set with a key for RS256 and one for ES256.
pub fn key_set() -> String {
    json!({"keys": [rsa_key("one"), ecdsa_key(&ecdsa(), "two")]}).to_string()
}

fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

/// A token with these claims.
fn token(algorithm: &str, kid: &str, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let header = json!({"alg": algorithm, "kid": kid, "typ": "JWT"}).to_string();
    let signed = format!(
        "{}.{}",
        encode(header.as_bytes()),
        encode(claims.to_string().as_bytes())
    );
    format!("{signed}.{}", encode(&sign(signed.as_bytes())))
}

/// A token as Plaid signs a body.
fn plaid(pair: &EcdsaKeyPair, kid: &str, body: &str, iat: i64) -> String {
    let hash = HEXLOWER.encode(&Sha256::digest(body));
    let claims = json!({"iat": iat, "request_body_sha256": hash});
    let random = SystemRandom::new();
    token("ES256", kid, &claims, |signed| {
        pair.sign(&random, signed).unwrap().as_ref().to_vec()
    })
}

/// A token as Google signs a push.
fn google(claims: &Value) -> String {
    token("RS256", "g1", claims, |signed| {
        let mut signature = vec![0; RSA.public_modulus_len()];
        let random = SystemRandom::new();
        RSA.sign(&RSA_PKCS1_SHA256, &random, signed, &mut signature)
            .unwrap();
        signature
    })
}

#[test]
fn a_sender_like_plaid_is_verified_and_its_new_keys_are_taken_when_the_file_is_replaced() {
    let (old, new) = (ecdsa(), ecdsa());
    let daemon = Scenario::new()
        .file("jwks.json", json!({"keys": [ecdsa_key(&old, "old")]}).to_string())
        .rules(
            "rules:\n  - name: plaid\n    endpoint: /plaid\n    verify:\n      jwt: {algorithms: [ES256], jwks: file:jwks.json, header: Plaid-Verification, body_hash: request_body_sha256}\n    actions: [append: plaid.jsonl]\n",
        )
        .start();
    let body = r#"{"webhook_type": "ITEM"}"#;
    let post = |token: &str, body: &str| {
        let sending = daemon.post("/plaid").header("Plaid-Verification", token);
        sending.json(body).send().outcome()
    };
    let first = plaid(&old, "old", body, now());
    assert_eq!(post(&first, body), (200, "accepted".into()));
    assert_eq!(post(&first, body), (200, "duplicate".into()));
    // The same claims signed again: another signature, but the same event.
    let (signed, _) = first.rsplit_once('.').unwrap();
    let signature = old.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let again = format!("{signed}.{}", encode(signature.as_ref()));
    assert_ne!(again, first);
    assert_eq!(post(&again, body), (200, "duplicate".into()));

    assert_eq!(
        post(&first, r#"{"webhook_type": "EVIL"}"#),
        (403, "refused".into())
    );
    assert_eq!(
        post(&plaid(&old, "old", body, now() - 600), body),
        (400, "stale".into())
    );
    assert_eq!(
        post(&plaid(&new, "old", body, now()), body),
        (403, "refused".into())
    );
    assert_eq!(
        post(&plaid(&new, "new", body, now()), body),
        (403, "refused".into())
    );
    daemon.eventually("the log says why", || {
        daemon
            .log()
            .contains("is signed with a key that is none of `old`")
    });

    let beside = daemon.folder().join("beside.json");
    std::fs::write(&beside, json!({"keys": [ecdsa_key(&new, "new")]}).to_string()).unwrap();
    std::fs::rename(&beside, daemon.folder().join("jwks.json")).unwrap();
    daemon.eventually("the new key is taken", || {
        post(&plaid(&new, "new", body, now() - 1), body).0 == 200
    });
    // Such lines are throttled, and the wait above may have used up the burst.
    daemon.eventually("the log says why", || {
        assert_eq!(
            post(&plaid(&old, "old", body, now() - 2), body),
            (403, "refused".into())
        );
        daemon
            .log()
            .contains("is signed with a key that is none of `new`")
    });
    let log = daemon.log();
    assert!(!log.contains(&first) && !log.contains(signed), "{log}");

    // If the key set becomes unreadable, nothing changes.
    std::fs::write(daemon.folder().join("jwks.json"), "{").unwrap();
    daemon.eventually("the fault is found", || {
        daemon.log().contains("it is no JWK set: JSON with a list `keys`")
    });
    assert_eq!(
        post(&plaid(&new, "new", "{}", now()), "{}"),
        (200, "accepted".into())
    );
}

#[test]
fn a_sender_like_pubsub_is_verified_and_its_retries_are_known_by_the_message() {
    let daemon = Scenario::new()
        .file("google.json", json!({"keys": [rsa_key("g1")]}).to_string())
        .rules(
            "rules:\n  - name: orders\n    endpoint: /pubsub\n    verify:\n      jwt:\n        algorithms: [RS256]\n        jwks: file:google.json\n        issuer: [https://accounts.google.com, accounts.google.com]\n        audience: https://hooks.test/pubsub\n        claims: {email: push@acme.iam.gserviceaccount.com, email_verified: true}\n        body_hash: none\n        id: {json: $.message.messageId}\n    actions: [append: orders.jsonl]\n",
        )
        .start();
    let good = json!({
        "iss": "https://accounts.google.com",
        "aud": "https://hooks.test/pubsub",
        "azp": "1142",
        "sub": "1142",
        "email": "push@acme.iam.gserviceaccount.com",
        "email_verified": true,
        // Google sends one token with many requests, until it expires.
        "iat": now() - 3000,
        "exp": now() + 600,
    });
    let message = |id: u32| json!({"message": {"messageId": id.to_string(), "data": "e30="}}).to_string();
    let post = |daemon: &Daemon, token: &str, body: &str| {
        let sending = daemon
            .post("/pubsub")
            .header("Authorization", &format!("Bearer {token}"));
        sending.json(body).send()
    };
    let token = google(&good);
    let sent = |id: u32| post(&daemon, &token, &message(id)).outcome();
    assert_eq!(sent(1), (200, "accepted".into()));
    assert_eq!(sent(2), (200, "accepted".into()));
    assert_eq!(sent(1), (200, "duplicate".into()));
    let mut later = good.clone();
    later["iat"] = json!(now());
    let retry = post(&daemon, &google(&later), &message(2));
    assert_eq!(retry.outcome(), (200, "duplicate".into()));

    for (claim, value) in [
        ("iss", json!("https://evil.test")),
        ("aud", json!("https://other.test/")),
        ("email", json!("evil@evil.iam.gserviceaccount.com")),
        ("email_verified", json!(false)),
        ("email_verified", json!("true")),
        ("exp", json!(now() - 61)),
        ("nbf", json!(now() + 120)),
    ] {
        let mut claims = good.clone();
        claims[claim] = value;
        let answer = post(&daemon, &google(&claims), &message(3));
        assert_eq!(answer.outcome(), (401, "refused".into()), "{claim}");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"hookyard\"")
        );
    }
    let without = daemon.post("/pubsub").json(message(3)).send();
    assert_eq!(without.outcome(), (401, "refused".into()));
    daemon.eventually("both messages are appended", || daemon.lines("orders.jsonl") == 2);
    let kept = daemon.read("orders.jsonl") + &daemon.log();
    assert!(!kept.contains(&token), "the token is kept nowhere");
}

#[test]
fn pubsub_pushes_with_a_token_are_matched_by_the_data_of_their_messages() {
    // The rules of the guide.
    let page = include_str!("../../docs/guides/pubsub-jwt.md");
    let blocks = page.split("```yaml\n").skip(1);
    let rules = blocks.map(|block| block.split("```").next().unwrap());
    let rules = rules.into_iter().find(|rules| rules.contains("unpack")).unwrap();
    let daemon = Scenario::new()
        .file("google.json", json!({"keys": [rsa_key("g1")]}).to_string())
        .rules(rules)
        .start();
    let claims = json!({
        "iss": "https://accounts.google.com",
        "aud": "https://hooks.example.com/pubsub",
        "email": "push@acme.iam.gserviceaccount.com",
        "email_verified": true,
        "iat": now(),
        "exp": now() + 600,
    });
    let token = google(&claims);
    let push = |message_id: u32, data: &str, token: &str| {
        let data = data_encoding::BASE64.encode(data.as_bytes());
        let body = json!({"message": {"messageId": message_id.to_string(), "data": data}});
        let sending = daemon
            .post("/pubsub")
            .header("Authorization", &format!("Bearer {token}"));
        sending.json(body.to_string()).send().outcome()
    };
    assert_eq!(
        push(1, r#"{"id": "large", "total": 1001}"#, &token),
        (200, "accepted".into())
    );
    assert_eq!(
        push(1, r#"{"id": "large", "total": 1001}"#, &token),
        (200, "duplicate".into())
    );
    assert_eq!(
        push(2, r#"{"id": "small", "total": 7}"#, &token),
        (200, "ignored".into())
    );
    assert_eq!(push(3, "not JSON", &token), (400, "invalid payload".into()));
    // The token is verified before its message is read.
    assert_eq!(push(4, "not JSON", "e30.e30.e30"), (401, "refused".into()));
    daemon.eventually("the large order is written", || {
        daemon.read("large-orders.log") == "large\n"
    });
}

#[test]
fn what_send_signs_as_netlify_is_taken_once() {
    let daemon = Scenario::new()
        .env("SECRET", "s3cret")
        .rules("rules:\n  - {name: site, endpoint: /netlify, verify: {netlify: env:SECRET}, match: {event: deploy_created}, actions: [append: site.jsonl]}\n")
        .file("deploy.json", r#"{"id": "5f1", "state": "ready"}"#)
        .start();
    let url = format!("http://{}/netlify", daemon.address);
    let send = |secret: &str| {
        let output = daemon.scenario.hookyard(&[
            "send",
            &url,
            "--as",
            "netlify",
            "--secret",
            secret,
            "--event",
            "deploy_created",
            "--body",
            "deploy.json",
        ]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(send("s3cret").starts_with("200 {\"status\":\"accepted\""));
    assert!(send("s3cret").starts_with("200 {\"status\":\"duplicate\""));
    assert_eq!(send("other"), "403 {\"status\":\"refused\"}\n");
    daemon.eventually("the line is appended", || daemon.lines("site.jsonl") == 1);
}
