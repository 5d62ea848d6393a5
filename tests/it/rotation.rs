//! Rotation of a secret: several secrets at once, each with an expiry, and a view of those still in
//! use.

use serde_json::Value;

use crate::scenario::{Daemon, Scenario, hmac_hex, said};

const RULES: &str = r"
rules:
  - name: r
    endpoint: /in
    verify:
      hmac:
        secret: [env:NEW, {secret: env:OLD, not_after: 2999-12-31}, {secret: env:GONE, not_after: 2020-01-01}]
    actions: [append: out.jsonl]
  - {name: t, endpoint: /token, verify: {token: {header: X-Token, secret: [env:NEW, env:OLD]}}, actions: [append: t.jsonl]}
";

fn scenario() -> Scenario {
    Scenario::new()
        .env("NEW", "new-secret")
        .env("OLD", "old-secret")
        .env("GONE", "gone-secret")
        .rules(RULES)
}

fn post(daemon: &Daemon, secret: &str, body: &str) -> (u16, String) {
    let signature = hmac_hex(secret, body.as_bytes());
    daemon
        .post("/in")
        .json(body)
        .header("X-Signature", &signature)
        .send()
        .outcome()
}

/// Output of `check --secrets`: endpoint, secret, expired, seen.
fn secrets(scenario: &Scenario) -> Vec<(String, String, bool, bool)> {
    let output = scenario.hookyard(&["check", "--secrets", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = found["secrets"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.map(|row| {
        (
            text(&row["endpoint"]),
            text(&row["secret"]),
            row["expired"].as_bool().unwrap(),
            row["last_matched"].is_string(),
        )
    })
    .collect()
}

fn row(endpoint: &str, secret: &str, expired: bool, seen: bool) -> (String, String, bool, bool) {
    (endpoint.into(), secret.into(), expired, seen)
}

#[test]
fn each_secret_that_counts_is_taken_and_one_past_its_end_is_refused_and_named() {
    let daemon = scenario().start();
    assert_eq!(post(&daemon, "new-secret", "{}"), (200, "accepted".into()));
    assert_eq!(post(&daemon, "old-secret", "[]"), (200, "accepted".into()));
    assert_eq!(post(&daemon, "gone-secret", "{\"a\":1}"), (403, "refused".into()));
    // Signed with another of the secrets, the event is still the same.
    assert_eq!(post(&daemon, "old-secret", "{}"), (200, "duplicate".into()));
    let token = |token: &str| {
        daemon
            .post("/token")
            .json("{}")
            .header("X-Token", token)
            .send()
            .outcome()
            .0
    };
    assert_eq!((token("old-secret"), token("gone-secret")), (200, 403));
    let log = daemon.log();
    assert!(
        log.contains("the secret `env:GONE` counted until 2020-01-01T23:59:59.999Z and no longer"),
        "{log}"
    );
    assert!(!log.contains("gone-secret") && !log.contains("old-secret"));
}

#[test]
fn the_operator_sees_which_secrets_are_in_use_while_the_daemon_runs_and_after() {
    let scenario = scenario();
    let before = scenario.hookyard(&["check", "--secrets"]);
    let text = said(&before);
    assert_eq!(before.status.code(), Some(2), "{text}");
    assert!(
        text.contains("unknown") && text.contains("no store at") && !text.contains("never seen"),
        "{text}"
    );
    assert!(text.contains("expired: it can be removed"), "{text}");

    let mut daemon = scenario.start();
    assert_eq!(post(&daemon, "new-secret", "{}").0, 200);
    assert_eq!(post(&daemon, "nobody's", "{}").0, 403);
    let expected = |token_seen: bool| {
        [
            row("/in", "env:NEW", false, true),
            row("/in", "env:OLD", false, false),
            row("/in", "env:GONE", true, false),
            row("/token", "env:NEW", false, false),
            row("/token", "env:OLD", false, token_seen),
        ]
    };
    daemon.eventually("it is written down", || {
        secrets(&daemon.scenario) == expected(false)
    });
    // A reload keeps the usage, and stopping writes what is pending.
    daemon.rewrite(&format!("{RULES}\n# changed\n"));
    let token = daemon.post("/token").json("{}").header("X-Token", "old-secret");
    assert_eq!(token.send().outcome().0, 200);
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(secrets(&daemon.scenario), expected(true));
    daemon.start();
    daemon.kill();
    assert_eq!(secrets(&daemon.scenario), expected(true));
    let text = daemon.scenario.hookyard(&["check", "--secrets"]).stdout;
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains(" s ago)") && !text.contains("new-secret"), "{text}");
}

#[test]
fn a_store_that_cannot_be_read_is_said_to_be_so() {
    let scenario = scenario().file("hookyard.db", "something else");
    let output = scenario.hookyard(&["check", "--secrets"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot read the store"));
    assert_eq!(
        std::fs::read(scenario.folder().join("hookyard.db")).unwrap(),
        b"something else"
    );
}

#[test]
fn what_is_wrong_with_a_dated_secret_is_found() {
    let scenario = Scenario::new().env("A", "a");
    for (secret, message) in [
        (
            "[{secret: env:A, not_after: soon}]",
            "`not_after` is a date or an RFC 3339 instant",
        ),
        ("[{not_after: 2026-01-01}]", "`secret` is missing"),
        (
            "[{secret: env:A, not_befor: 2026-01-01}]",
            "unknown key `not_befor`",
        ),
        (
            "[{secret: env:UNSET, not_after: 2026-01-01}]",
            "`UNSET` is not set",
        ),
    ] {
        let rules = format!(
            "rules:\n  - {{name: r, endpoint: /r, verify: {{github: {{secret: {secret}}}}}, actions: [append: r]}}\n"
        );
        std::fs::write(scenario.folder().join("rules.yaml"), rules).unwrap();
        let output = scenario.hookyard(&["check"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains(message) && output.status.code() == Some(1),
            "{secret}: {text}"
        );
    }
}
