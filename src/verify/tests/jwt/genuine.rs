//! Accepted tokens: every algorithm, every location, and published examples.

use http::HeaderValue;
use serde_json::json;

use super::super::{header, sent, verification};
use super::{BODY, outcome, prove, quoted, received, sender};
use crate::base::clock::Timestamp;
use crate::event::DedupKey;

/// All algorithms.
const ALGORITHMS: [&str; 12] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
    "EdDSA",
];

#[test]
fn a_token_of_every_algorithm_is_let_in_and_no_other_one() {
    let claims = json!({"iss": "someone"});
    for name in ALGORITHMS {
        let sender = sender(name);
        let settings = sender.settings("body_hash: none");
        let token = sender.token(&claims);
        assert_eq!(outcome(&settings, &token), "held", "{name}");
        // The same key, with another algorithm in the header.
        for other in ALGORITHMS.into_iter().filter(|other| *other != name) {
            let header = json!({"alg": other}).to_string();
            let token = sender.written(&header, &claims.to_string());
            assert_eq!(outcome(&settings, &token), "foreign-token", "{name} {other}");
        }
    }
}

#[test]
fn a_key_of_rsa_serves_each_of_the_algorithms_that_are_let_in() {
    let settings = sender("RS256")
        .settings("body_hash: none")
        .replace("algorithms: RS256", "algorithms: [RS256, PS512]");
    for (name, expected) in [
        ("RS256", "held"),
        ("PS512", "held"),
        ("RS512", "foreign-token"),
        ("PS256", "foreign-token"),
    ] {
        assert_eq!(
            outcome(&settings, &sender(name).token(&json!({}))),
            expected,
            "{name}"
        );
    }
}

#[test]
fn what_the_standard_and_others_have_published_is_let_in() {
    // RFC 7515, appendix A.3. The token expired at 1300819380.
    let key = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let joe = verification(&format!(
        "{{jwt: {{algorithms: [ES256], jwks: {}, issuer: joe, body_hash: none, claims: {{'http://example.com/is_root': true}}}}}}",
        quoted(key)
    ));
    let mut request = received(&[("Authorization", &format!("Bearer {token}"))], BODY);
    request.at = Timestamp::from_seconds(1_300_819_379);
    assert_eq!(joe.prove(&request).unwrap().dedup_keys, []);
    // The example on the front page of jwt.io.
    let settings = "{jwt: {algorithms: [HS256], secret: your-256-bit-secret, header: X-Token, body_hash: none, claims: {name: John Doe}}}";
    let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
    assert_eq!(outcome(settings, token), "held");
}

#[test]
fn what_netlify_signs_is_let_in_and_remembered_for_a_day() {
    let netlify = verification("{netlify: env:A}");
    // Made with Python's `hmac`.
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJuZXRsaWZ5Iiwic2hhMjU2IjoiMWUyMDY1ZjhhZWI3ZDQ0ZTVkNGY5MjYwZTM2NWMyOWJjZDljZmVhZjljZWQzZWI3YjY5NzE3ZjFkN2JkM2I5OSJ9.pj8J94VBfHK6hAWKSholuIDSvJe0A0RPH-TgAbd0gLk";
    let body = br#"{"id":"5f1","state":"ready"}"#;
    let proof = netlify.prove(&received(&[("X-Webhook-Signature", token)], body));
    let proof = proof.unwrap();
    let signed = <sha2::Sha256 as sha2::Digest>::digest(token.rsplit_once('.').unwrap().0);
    assert_eq!(proof.dedup_keys, [DedupKey::signature(&signed)]);
    assert_eq!(proof.timestamp, None);
    assert_eq!(proof.memory(netlify.default_window()).as_secs(), 24 * 3600);
    assert!(netlify.challenge().is_none());
    assert_eq!(netlify.credential_headers(), ["x-webhook-signature"]);

    let request = sent(&netlify, BODY);
    assert!(netlify.prove(&request).is_ok());
    let mut segments = header(&request, "x-webhook-signature").split('.');
    let decoded =
        |text: &str| String::from_utf8(data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap());
    assert_eq!(
        decoded(segments.next().unwrap()).unwrap(),
        r#"{"alg":"HS256","typ":"JWT"}"#
    );
    let hash = <sha2::Sha256 as sha2::Digest>::digest(BODY);
    let hash = data_encoding::HEXLOWER.encode(&hash);
    assert_eq!(
        decoded(segments.next().unwrap()).unwrap(),
        format!(r#"{{"iss":"netlify","sha256":"{hash}"}}"#)
    );
}

#[test]
fn a_token_stands_in_authorization_in_another_header_or_in_the_query() {
    let sender = sender("HS256");
    let token = sender.token(&json!({}));
    let bearer = verification("{jwt: {algorithms: [HS256], secret: env:A, body_hash: none}}");
    for (value, expected) in [
        (format!("Bearer {token}"), "held"),
        (format!("bearer {token}"), "held"),
        (format!("Bearer  {token}"), "malformed-token"),
        (format!("Bearer\t{token}"), "malformed-token"),
        (format!("Basic {token}"), "malformed-token"),
        ("Bearer ".to_owned(), "malformed-token"),
        ("Bear".to_owned(), "malformed-token"),
        (token.clone(), "malformed-token"),
        (String::new(), "malformed-token"),
        ("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}".to_owned(), "malformed-token"),
    ] {
        let proof = bearer.prove(&received(&[("Authorization", &value)], BODY));
        let outcome = proof.map_or_else(|refusal| refusal.reason(), |_| "held");
        assert_eq!(outcome, expected, "{value}");
    }
    assert_eq!(bearer.challenge(), Some("Bearer realm=\"hookyard\""));
    assert_eq!(bearer.credential_headers(), ["authorization"]);
    let mut twice = received(&[("Authorization", &format!("Bearer {token}"))], BODY);
    twice
        .headers
        .append("authorization", HeaderValue::from_static("Bearer x"));
    assert_eq!(bearer.prove(&twice).unwrap_err().reason(), "repeated-header");
    assert_eq!(
        bearer.prove(&received(&[], BODY)).unwrap_err().reason(),
        "missing-header"
    );

    let prefixed = sender.settings("prefix: 'JWT=', body_hash: none");
    assert_eq!(outcome(&prefixed, &format!("JWT={token}")), "held");
    assert_eq!(outcome(&prefixed, &format!("jwt={token}")), "malformed-token");
    assert_eq!(outcome(&prefixed, &token), "malformed-token");

    let query = verification("{jwt: {algorithms: [HS256], secret: env:A, query: token, body_hash: none}}");
    assert_eq!(query.credential_query(), Some("token"));
    assert!(query.challenge().is_none() && query.credential_headers().is_empty());
    for (text, expected) in [
        (format!("x=1&token={token}"), "held"),
        (format!("token={token}&token={token}"), "repeated-token"),
        (format!("Token={token}"), "missing-token"),
        ("token=".to_owned(), "malformed-token"),
        ("token=%ff".to_owned(), "malformed-token"),
        (String::new(), "missing-token"),
    ] {
        let mut request = received(&[], BODY);
        request.query.clone_from(&text);
        let outcome = query
            .prove(&request)
            .map_or_else(|refusal| refusal.reason(), |_| "held");
        assert_eq!(outcome, expected, "{text}");
    }
}

#[test]
fn what_a_shared_secret_signs_is_what_is_demanded() {
    let verification = verification(
        "{jwt: {algorithms: [HS512], secret: env:A, issuer: [me, you], audience: [us], claims: {n: 1, b: false}, body_hash: hash, id: {claim: jti}}}",
    );
    let request = sent(&verification, BODY);
    let proof = verification.prove(&request).unwrap();
    assert_eq!(proof.dedup_keys, [DedupKey::id(b"msg_1")]);
    assert_eq!(proof.timestamp.unwrap().at, super::super::now());
    assert!(header(&request, "authorization").starts_with("Bearer eyJ"));
}

#[test]
fn nobody_signs_with_a_public_key() {
    let sender = sender("EdDSA");
    let draft = |verification: &crate::verify::Verification| {
        verification
            .sign(&crate::verify::OutgoingRequest {
                method: &http::Method::POST,
                url: "https://h/x",
                headers: &http::HeaderMap::new(),
                body: b"",
                at: super::super::now(),
                id: "",
                restamp: true,
            })
            .unwrap_err()
    };
    let verification = super::doubtful(&sender.settings(""));
    assert!(draft(&verification).contains("a private key is needed to sign by `EdDSA`"));
    assert!(!verification.can_sign());
}

#[test]
fn a_token_of_a_sender_with_many_claims_is_let_in() {
    let sender = sender("ES384");
    let claims = json!({"iss": "i", "aud": ["a", "b"], "deep": {"x": [1, {"y": null}]}, "f": 1.5});
    let settings = sender.settings("body_hash: none, issuer: i, audience: b");
    assert!(prove(&settings, &sender.token(&claims)).is_ok());
    // `typ` and other header members are ignored. A key in the header is ignored too.
    let thief = super::sender("ES384");
    let header =
        json!({"alg": "ES384", "typ": "x", "jwk": thief.jwk("k"), "jku": "https://x", "x5c": ["AA"]});
    let written = |by: &super::Sender| by.written(&header.to_string(), &claims.to_string());
    assert_eq!(outcome(&settings, &written(&sender)), "held");
    assert_eq!(outcome(&settings, &written(&thief)), "forged-token");
}
