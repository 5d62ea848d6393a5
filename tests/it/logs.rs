//! Logs: one line per arrival with its outcome, one per attempt; never a secret, never a payload above debug.

use crate::scenario::{Scenario, fixture};

const RULES: &str = r#"
rules:
  - name: deploy
    endpoint: /github
    verify: {github: {secret: env:SECRET}}
    match: {event: push, $.ref: refs/heads/main}
    actions:
      - forward: http://127.0.0.1:1/x
        headers: {Authorization: "Bearer {{ secret('TOKEN') }}"}
    retry: {attempts: 1}
  - {name: gitlab, endpoint: /gitlab, verify: {gitlab: {secret: env:TOKEN}}, actions: [append: gitlab.jsonl]}
"#;

fn scenario(log: &str) -> Scenario {
    Scenario::new()
        .env("SECRET", "hunter2")
        .env("TOKEN", "swordfish")
        .rules(&format!("{log}{RULES}"))
}

#[test]
fn each_arrival_and_each_attempt_has_its_line_and_a_near_miss_its_reason() {
    let daemon = scenario("").start();
    let push = String::from_utf8(fixture("github/push.json")).unwrap();
    let post = |event: &str, body: &str, secret: &str| {
        daemon
            .post("/github")
            .header("X-GitHub-Event", event)
            .json(body)
            .github(secret)
            .send()
            .outcome()
            .1
    };
    assert_eq!(post("push", &push, "hunter2"), "accepted");
    assert_eq!(
        post(
            "push",
            &push.replace("refs/heads/main", "refs/heads/next"),
            "hunter2"
        ),
        "ignored"
    );
    assert_eq!(post("push", &push, "other"), "refused");
    daemon
        .post("/gitlab")
        .header("X-Gitlab-Token", "swordfish")
        .json("{}")
        .send();
    daemon.eventually("the attempts are logged", || {
        daemon.log().matches(" attempt ").count() >= 2
    });
    let log = daemon.log();
    let line = |words: &[&str]| {
        let found = log
            .lines()
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count();
        assert_eq!(found, 1, "{words:?} in:\n{log}");
    };
    line(&[
        "arrival",
        "outcome=\"accepted\"",
        "rules=\"deploy\"",
        "endpoint=\"/github\"",
        "client=127.0.0.1",
    ]);
    line(&[
        "arrival",
        "outcome=\"ignored\"",
        "nearest rule deploy",
        "$.ref",
        "refs/heads/main",
        "refs/heads/next",
    ]);
    line(&["arrival", "outcome=\"refused\""]);
    line(&["attempt", "action=\"forward\"", "next=\"dead letter\""]);
    line(&["attempt", "action=\"append\"", "next=\"done\""]);
    let signature = crate::scenario::hmac_hex("hunter2", push.as_bytes());
    for secret in ["hunter2", "swordfish", &signature] {
        assert!(!log.contains(secret), "{secret} in:\n{log}");
    }
    assert!(!log.contains("head_commit"), "no payload above debug level");
}

#[test]
fn json_goes_to_stderr_and_to_a_rolling_file_that_is_flushed_at_the_end() {
    let mut daemon = scenario(
        "log: {level: debug, format: json, file: {path: '{dir}/hookyard.log', rotate: daily, keep: 3}}\n",
    )
    .env("JOURNAL_STREAM", "8:12345")
    .start();
    assert_eq!(daemon.post("/nowhere").send().status, 404);
    assert_eq!(daemon.stop(), Some(0));
    for line in daemon.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            line.get("timestamp").is_none(),
            "the journal stamps its lines itself: {line}"
        );
    }
    let file = std::fs::read_dir(daemon.folder())
        .unwrap()
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("hookyard.log."))
        .expect("a file with the date in its name");
    let text = std::fs::read_to_string(file.path()).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(
        (last["message"].as_str(), last["level"].as_str()),
        (Some("stopped"), Some("INFO"))
    );
    assert!(last.get("timestamp").is_some());
}
