//! Ignored arrivals: shown with the condition that failed, and replayed after the rules were
//! corrected.

use serde_json::Value;

use crate::scenario::{Daemon, Scenario, eventually, fixture, said};

const SECRET: &str = "it-is-a-long-secret-1234567890";

const RULES: &str = r"
rules:
  - name: deploy
    endpoint: /github
    verify: {github: env:GITHUB_SECRET}
    match: {$.ref: refs/heads/release}
    actions: [{append: deploys.jsonl}]
  - name: other
    endpoint: /github
    verify: {gitlab: env:GITLAB_SECRET}
    actions: [{append: other.jsonl}]
";

fn daemon() -> Daemon {
    let scenario = Scenario::new()
        .env("GITHUB_SECRET", SECRET)
        .env("GITLAB_SECRET", "another-long-secret-0987654321");
    scenario.rules(RULES).start()
}

/// Runs `hookyard events …` for its JSON.
fn events(daemon: &Daemon, arguments: &[&str]) -> Value {
    let arguments = [&["events"], arguments, &["--format", "json"]].concat();
    let output = daemon.scenario.hookyard(&arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
}

/// The id of the only arrival with this outcome, once it is recorded.
fn arrival(daemon: &Daemon, outcome: &str) -> String {
    let listed = || events(daemon, &["list", "--outcome", outcome])["arrivals"].clone();
    eventually("a record", || {
        listed().as_array().is_some_and(|listed| listed.len() == 1)
    });
    listed()[0]["id"].as_str().unwrap().to_owned()
}

fn push(daemon: &Daemon) -> (u16, String) {
    let sending = daemon.post("/github").json(fixture("github/push.json"));
    sending.github(SECRET).send().outcome()
}

#[test]
fn an_ignored_arrival_is_explained_and_runs_once_after_the_rules_were_corrected() {
    let daemon = daemon();
    assert_eq!(push(&daemon), (200, "ignored".to_owned()));
    let id = arrival(&daemon, "ignored");
    let shown = said(&daemon.scenario.hookyard(&["events", "show", &id]));
    assert!(shown.contains("outcome ignored, answered 200"), "{shown}");
    assert!(
        shown.contains("verified by `github` with `env:GITHUB_SECRET`"),
        "{shown}"
    );
    let why = r#"no  deploy: $.ref: expected "refs/heads/release", found "refs/heads/main""#;
    assert!(shown.contains(why), "{shown}");
    // By the rules in force it still matches nothing.
    let nothing = events(&daemon, &["replay", &id]);
    assert_eq!(
        (&nothing["replayed"], &nothing["arrivals"][0]["accepted"]),
        (&0.into(), &Value::Array(vec![]))
    );
    daemon.rewrite(&RULES.replace("refs/heads/release", "refs/heads/main"));
    daemon.eventually("a reload", || daemon.log().contains("reloaded"));
    let dry = events(&daemon, &["replay", &id, "--dry-run"]);
    assert_eq!(
        (&dry["replayed"], dry["arrivals"][0]["accepted"][0].as_str()),
        (&1.into(), Some("deploy"))
    );
    assert_eq!(daemon.lines("deploys.jsonl"), 0);
    let replayed = events(&daemon, &["replay", "--ignored", "--endpoint", "/github"]);
    assert_eq!(replayed["arrivals"][0]["accepted"], serde_json::json!(["deploy"]));
    daemon.eventually("the delivery", || daemon.lines("deploys.jsonl") == 1);
    // It is an event now, and keeps the decision of then.
    let shown = events(&daemon, &["show", &id]);
    assert_eq!(
        (&shown["outcome"], &shown["replayed"]),
        (&"ignored".into(), &true.into())
    );
    assert_eq!(shown["decision"]["rules"][0]["matched"], false);
    // The sender's own redelivery runs nothing.
    assert_eq!(push(&daemon), (200, "duplicate".to_owned()));
    assert_eq!(events(&daemon, &["replay", "--ignored"])["replayed"], 0);
    assert_eq!(daemon.lines("deploys.jsonl"), 1);
    // A rule with another verification never matches a replay.
    assert_eq!(daemon.lines("other.jsonl"), 0);
}

#[test]
fn an_arrival_that_came_again_and_was_accepted_is_a_duplicate_for_its_replay() {
    let daemon = daemon();
    push(&daemon);
    let id = arrival(&daemon, "ignored");
    daemon.rewrite(&RULES.replace("refs/heads/release", "refs/heads/main"));
    daemon.eventually("a reload", || daemon.log().contains("reloaded"));
    assert_eq!(push(&daemon), (200, "accepted".to_owned()));
    let replayed = events(&daemon, &["replay", &id]);
    assert_eq!(replayed["replayed"], 0);
    assert_eq!(replayed["arrivals"][0]["duplicates"][0]["rule"], "deploy");
    assert_eq!(daemon.lines("deploys.jsonl"), 1);
}

#[test]
fn a_refused_arrival_is_shown_without_secrets_and_never_replayed() {
    let daemon = daemon();
    let body = fixture("github/push.json");
    let sending = daemon.post("/github?token=geheim").json(&body);
    let sending = sending.header("Authorization", "Bearer geheim");
    assert_eq!(sending.github("wrong").send().status, 403);
    let id = arrival(&daemon, "refused");
    let shown = said(&daemon.scenario.hookyard(&["events", "show", &id]));
    for expected in [
        "outcome refused, answered 403",
        "no  deploy: the signature in the header `x-hub-signature-256` does not match",
        "x-hub-signature-256: [redacted]",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let right = crate::scenario::hmac_hex(SECRET, &body);
    assert!(!shown.contains("geheim") && !shown.contains(&right), "{shown}");
    let explained = said(
        &daemon
            .scenario
            .hookyard(&["explain", "rules.yaml", "--event", &id]),
    );
    assert!(explained.contains("no  deploy: $.ref: expected"), "{explained}");
    let replayed = events(&daemon, &["replay", &id]);
    let refused = replayed["arrivals"][0]["refused"].as_str().unwrap();
    assert!(refused.contains("its outcome is `refused`"), "{refused}");
}

#[test]
fn without_a_daemon_an_ignored_arrival_waits() {
    let mut daemon = daemon();
    push(&daemon);
    let id = arrival(&daemon, "ignored");
    assert_eq!(daemon.stop(), Some(0));
    let output = daemon.scenario.hookyard(&["events", "replay", &id]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("ignored arrivals are replayed by the running daemon"),
        "{}",
        said(&output)
    );
    daemon.start();
    assert_eq!(arrival(&daemon, "ignored"), id);
}
