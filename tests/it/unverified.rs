//! Cost limits on a body before it is verified, and genuine requests that are still accepted.

use std::io::Write;

use data_encoding::BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::scenario::{Scenario, hmac_bytes, said};

const RULES: &str = r#"
server: {listen: 127.0.0.1:0, public_url: "https://h.example"}
endpoints:
  /allowed: {decompress_unverified: true}
rules:
  - {name: body, endpoint: /body, verify: {token: {json: $.auth.token, secret: a secret of some length}}, actions: [append: body.jsonl]}
  - {name: allowed, endpoint: /allowed, verify: {token: {json: $.auth.token, secret: a secret of some length}}, actions: [append: allowed.jsonl]}
  - {name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}
  - {name: query, endpoint: /query, verify: {token: {query: token, secret: "a+b+c is a secret"}}, actions: [append: query.jsonl]}
  - {name: twilio, endpoint: /twilio, verify: {twilio: {secret: a secret of some length, algorithm: sha256}}, actions: [append: twilio.jsonl]}
"#;

fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_body_that_holds_its_own_proof_is_decompressed_only_where_the_rules_allow_it() {
    let daemon = Scenario::new().rules(RULES).start();
    let genuine = br#"{"more": [{"": 0}], "auth": {"token": "a secret of some length"}}"#;
    let forged = br#"{"auth": {"token": "another"}}"#;
    for (path, body, coding, expected) in [
        ("/body", &genuine[..], None, 200),
        ("/body", genuine, Some("identity"), 200),
        ("/body", genuine, Some("gzip"), 403),
        ("/allowed", genuine, Some("gzip"), 200),
        ("/allowed", forged, Some("gzip"), 403),
        ("/open", genuine, Some("gzip"), 200),
    ] {
        let body = if coding == Some("gzip") {
            gzipped(body)
        } else {
            body.to_vec()
        };
        let sending = daemon.post(path).json(body);
        let sending = match coding {
            Some(coding) => sending.header("Content-Encoding", coding),
            None => sending,
        };
        assert_eq!(sending.send().status, expected, "{path} {coding:?}");
    }
    assert!(
        daemon.log().contains("`decompress_unverified: true`"),
        "{}",
        daemon.log()
    );
}

#[test]
fn a_large_body_that_holds_its_own_proof_is_taken_with_all_that_it_says() {
    let daemon = Scenario::new().rules(RULES).start();
    let items = vec![r#"{"": 0}"#; 80_000].join(",");
    let genuine = format!(r#"{{"more": [{items}], "auth": {{"token": "a secret of some length"}}}}"#);
    assert_eq!(daemon.post("/body").json(&genuine).send().status, 200);
    // A payload that full decoding would reject is refused, even if no rule reads it.
    let broken = genuine.replacen(r#"{"": 0}"#, r#"{"": 1e999}"#, 1);
    assert_eq!(daemon.post("/body").json(&broken).send().status, 403);
    daemon.eventually("it is written", || daemon.lines("body.jsonl") == 1);
    assert_eq!(daemon.read("body.jsonl").matches(r#"{"": 0}"#).count(), 80_000);
}

#[test]
fn what_has_no_effect_before_a_proof_is_found() {
    let pointless = RULES.replace("/allowed: {", "/open: {");
    let checked = Scenario::new()
        .rules(&pointless)
        .hookyard(&["check", "rules.yaml"]);
    assert!(
        said(&checked).contains("`decompress_unverified` has no effect"),
        "{}",
        said(&checked)
    );
    let checked = Scenario::new().rules(RULES).hookyard(&["check", "rules.yaml"]);
    assert!(
        !said(&checked).contains("decompress_unverified"),
        "{}",
        said(&checked)
    );
}

#[test]
fn a_token_whose_plus_became_a_blank_is_refused_with_a_hint() {
    let daemon = Scenario::new().rules(RULES).start();
    let send = |query: &str| {
        daemon
            .post(&format!("/query?token={query}"))
            .json("{}")
            .send()
            .status
    };
    assert_eq!(send("a%2Bb%2Bc%20is%20a%20secret"), 200);
    assert_eq!(send("wrong+token"), 403);
    assert!(!daemon.log().contains("%2B"), "{}", daemon.log());
    assert_eq!(send("a+b+c+is+a+secret"), 403);
    assert!(
        !daemon.log().contains("%2B"),
        "it would not be the token either way"
    );
    let plain = RULES.replace("a+b+c is a secret", "a+b+c/of/some/length");
    let daemon = Scenario::new().rules(&plain).start();
    let refused = daemon.post("/query?token=a+b+c/of/some/length").json("{}").send();
    assert_eq!(refused.status, 403);
    daemon.eventually("the hint is logged", || {
        daemon.log().contains("the sender must write `%2B`")
    });
}

#[test]
fn every_spelling_of_the_query_that_the_senders_own_library_accepts_is_accepted() {
    let daemon = Scenario::new().rules(RULES).start();
    let send = |requested: &str, signed: &str| {
        let url = format!("https://h.example{signed}");
        let form = "CallSid=CA1&To=%2B1";
        let content = format!("{url}CallSidCA1To+1");
        let signature = BASE64.encode(&hmac_bytes(b"a secret of some length", content.as_bytes()));
        let sending = daemon.post(requested).body(form);
        let sending = sending.header("Content-Type", "application/x-www-form-urlencoded");
        sending.header("X-Twilio-Signature", &signature).send().status
    };
    for (requested, signed, expected) in [
        ("/twilio?a=it's+me", "/twilio?a=it's+me", 200),
        ("/twilio?b=it's+me", "/twilio?b=it%27s+me", 200),
        ("/twilio?c=it's+me", "/twilio?c=it's%20me", 200),
        ("/twilio?d=1&e=2&d=3", "/twilio?d=1&d=3&e=2", 200),
        ("/twilio?f=1&g=2", "/twilio?g=2&f=1", 403),
        ("/twilio?h=1", "/twilio?h=2", 403),
    ] {
        assert_eq!(
            send(requested, signed),
            expected,
            "{requested} signed as {signed}"
        );
    }
}
