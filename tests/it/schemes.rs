//! Schemes of the rules file through the real binary, and `hookyard schemes`.

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

#[test]
fn every_preset_is_shown_as_a_definition_that_loads_and_an_unknown_one_is_bad_usage() {
    let run = |arguments: &[&str]| {
        let output = Scenario::new().hookyard(arguments);
        (output.status.code(), said(&output))
    };
    let (code, list) = run(&["schemes", "--format", "json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(code, Some(0));
    let mut rules = String::from("server: {public_url: 'https://h'}\nrules: []\nschemes:\n");
    let mut count = 0;
    for entry in list
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["sender"] != "")
    {
        let name = entry["name"].as_str().unwrap();
        let (code, text) = run(&["schemes", "--show", name]);
        assert_eq!(code, Some(0), "{text}");
        assert!(
            text.contains(&format!("\n  my_{name}:\n")) && text.starts_with("  # "),
            "{text}"
        );
        rules += &text;
        count += 1;
    }
    assert!(count >= 55, "{count}");
    let output = Scenario::new()
        .rules(&rules)
        .hookyard(&["check", "--format", "json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["loads"], true, "{found:#}");
    let codes = found["diagnostics"].as_array().unwrap().iter();
    let odd: Vec<_> = codes
        .filter(|diagnostic| diagnostic["code"] != "unused-scheme")
        .collect();
    // Mailgun does not sign the body.
    assert_eq!(odd.len(), 1, "{odd:#?}");
    for (name, message) in [
        (
            "githbu",
            "error: unknown scheme `githbu` (did you mean `github`? `hookyard schemes` lists all)\n",
        ),
        ("", "error: unknown scheme `` (`hookyard schemes` lists all)\n"),
        ("hmac", "error: `hmac` is not defined by another scheme"),
    ] {
        let (code, text) = run(&["schemes", "--show", name]);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.starts_with(message), "{text}");
    }
    let (code, text) = run(&["schemes", "--show", "slack", "--format", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, shown["definition"]["hmac"]["prefix"].as_str()),
        (Some(0), Some("v0="))
    );
}

#[test]
fn of_a_list_of_signatures_by_several_algorithms_the_ones_of_the_rule_count() {
    // As senders of adnanh/webhook's `payload-hmac-sha256` write the header.
    let rules = "rules:\n  - name: a\n    endpoint: /in\n    \
                 verify: {hmac: {secret: env:ACME, prefix: 'sha256=', separator: ','}}\n    \
                 on_duplicate: run\n    actions: [append: a.jsonl]\n";
    let daemon = scenario(rules).start();
    let good = hmac_hex("a-secret-of-acme-77", b"{}");
    let wrong = "0".repeat(64);
    for (list, status) in [
        (format!("sha1={},sha256={good}", "0".repeat(40)), 200),
        (format!("sha256={wrong},sha256={good},sha512=00"), 200),
        (format!("sha256={good}"), 200),
        // The good value under another algorithm proves nothing.
        (format!("sha1={good},sha256={wrong}"), 403),
        (format!("sha512={good}"), 403),
        (format!("sha1={},sha512=00", "0".repeat(40)), 403),
        (format!("sha256={wrong}"), 403),
        (good.clone(), 403),
    ] {
        let answer = daemon.post("/in").json("{}").header("X-Signature", &list).send();
        assert_eq!(answer.status, status, "{list}");
    }
}
