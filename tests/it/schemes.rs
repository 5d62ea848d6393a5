//! Schemes of the rules file through the real binary.

use crate::scenario::{Scenario, hmac_hex, said};

const RULES: &str = r#"
server: {listen: 127.0.0.1:0}
schemes:
  acme:
    hmac:
      header: X-Acme
      prefix: "sha256="
      event: {header: X-Acme-Event}
      withhold: X-Acme-Old
      max_body: 2MiB
      handshake:
        requests: [{method: GET, query: challenge, echo: {query: challenge}}]
  whole:
    acme: {secret: env:ACME}
rules:
  - {name: build, endpoint: /one, verify: {acme: env:ACME}, match: {event: build}, actions: [append: one.jsonl]}
  - {name: all, endpoint: /two, verify: whole, actions: [append: two.jsonl]}
"#;

fn scenario(rules: &str) -> Scenario {
    Scenario::new().env("ACME", "a-secret-of-acme-77").rules(rules)
}

#[test]
fn a_scheme_of_the_rules_file_verifies_events_and_answers_its_handshake() {
    let daemon = scenario(RULES).start();
    let signature = |body: &str| format!("sha256={}", hmac_hex("a-secret-of-acme-77", body.as_bytes()));
    let post = |path: &str, event: &str, body: &str, signature: &str| {
        let sending = daemon.post(path).header("X-Acme", signature);
        sending.header("X-Acme-Event", event).json(body).send().outcome()
    };
    let body = r#"{"n": 1}"#;
    assert_eq!(
        post("/one", "build", body, &signature(body)),
        (200, "accepted".into())
    );
    assert_eq!(
        post("/one", "other", r#"{"n": 2}"#, &signature(r#"{"n": 2}"#)),
        (200, "ignored".into())
    );
    assert_eq!(post("/one", "build", body, &signature("{}")).0, 403);
    let large = format!("\"{}\"", "x".repeat(1_500_000));
    assert_eq!(
        post("/two", "", &large, &signature(&large)),
        (200, "accepted".into())
    );
    let answer = daemon.request("GET", "/two?challenge=abc").send();
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "abc"),
        "{}",
        daemon.log()
    );
}

#[test]
fn a_broken_definition_does_not_load_and_says_where() {
    for (old, new, message) in [
        ("header: X-Acme", "heder: X-Acme", "rules.yaml:6:7"),
        ("  whole:", "  github:", "`github` is built in"),
        (
            "    acme: {secret",
            "    whole: {secret",
            "`whole` is based on itself: whole → whole",
        ),
        (
            "    acme: {secret",
            "    acmee: {secret",
            "unknown scheme `acmee`",
        ),
    ] {
        let output = scenario(&RULES.replace(old, new)).hookyard(&["check"]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(message), "{}", said(&output));
    }
    let output = scenario(&RULES.replace("verify: whole", "verify: {acme: env:ACME}")).hookyard(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        said(&output).contains("names the scheme `whole`"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_definition_signs_what_is_forwarded() {
    let rules = RULES.replace(
        "actions: [append: two.jsonl]",
        "actions: [{forward: 'http://127.0.0.1:9/', sign: {acme: env:ACME}}]",
    );
    let output = scenario(&rules).hookyard(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}
