//! Once only: freshness both ways, and what was taken is remembered across reload, restart and crash.

use std::time::Duration;

use crate::scenario::{Daemon, Scenario, fixture, hmac_hex, now};

const SLACK: &str = "8f742231b10e8888abcd99yyyzzz85a5";

fn slack(daemon: &Daemon, at: i64, body: &[u8]) -> (u16, String) {
    let mut content = format!("v0:{at}:").into_bytes();
    content.extend_from_slice(body);
    let sending = daemon
        .post("/slack")
        .header("X-Slack-Request-Timestamp", &at.to_string());
    let sending = sending.header("X-Slack-Signature", &format!("v0={}", hmac_hex(SLACK, &content)));
    sending
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .outcome()
}

fn slack_rules(more: &str) -> String {
    format!(
        "rules:\n  - {{name: command, endpoint: /slack, verify: {{slack: {{secret: {SLACK}}}}}, actions: [append: slack.jsonl]{more}}}\n"
    )
}

#[test]
fn a_signed_timestamp_is_fresh_within_the_window_in_both_directions() {
    let daemon = Scenario::new().rules(&slack_rules("")).start();
    let body = fixture("slack/command.form");
    for (offset, expected) in [
        (0, (200, "accepted")),
        (0, (200, "duplicate")),
        (-290, (200, "accepted")),
        (290, (200, "accepted")),
        (-310, (400, "stale")),
        (310, (400, "stale")),
        (-1_000_000_000, (400, "stale")),
        (1_000_000_000, (400, "stale")),
    ] {
        let at = if offset == 0 {
            now() / 100 * 100
        } else {
            now() + offset
        };
        assert_eq!(
            slack(&daemon, at, &body),
            (expected.0, expected.1.to_owned()),
            "{offset}"
        );
    }
}

#[test]
fn one_knob_sets_the_window() {
    let daemon = Scenario::new().rules(&slack_rules(", replay_window: 1h")).start();
    assert_eq!(slack(&daemon, now() - 3000, b"a").0, 200);
    assert_eq!(slack(&daemon, now() - 3700, b"a").0, 400);
}

fn github(daemon: &Daemon, path: &str, delivery: &str) -> (u16, String) {
    let sending = daemon.post(path).header("X-GitHub-Delivery", delivery);
    sending
        .json(fixture("github/push.json"))
        .github("k")
        .send()
        .outcome()
}

fn github_rules(more: &str) -> String {
    format!(
        "rules:\n  - {{name: push, endpoint: /github, verify: {{github: {{secret: k}}}}, actions: [append: push.jsonl]{more}}}\n"
    )
}

#[test]
fn an_event_is_remembered_across_reload_restart_and_crash() {
    let mut daemon = Scenario::new().rules(&github_rules("")).start();
    let taken = (200, "accepted".to_owned());
    let duplicate = (200, "duplicate".to_owned());
    assert_eq!(github(&daemon, "/github", "1"), taken);
    // Another delivery id does not make it another event: the id is not signed.
    assert_eq!(github(&daemon, "/github", "2"), duplicate);
    daemon.rewrite(&github_rules(", retry: {attempts: 2, backoff: [1s]}"));
    assert_eq!(github(&daemon, "/github", "1"), duplicate);
    assert_eq!(daemon.stop(), Some(0));
    daemon.start();
    assert_eq!(github(&daemon, "/github", "1"), duplicate);
    daemon.kill();
    daemon.start();
    assert_eq!(github(&daemon, "/github", "1"), duplicate);
    daemon.eventually("the line is appended", || daemon.lines("push.jsonl") == 1);
}

#[test]
fn without_a_timestamp_the_event_is_forgotten_after_the_window() {
    let daemon = Scenario::new()
        .rules(&github_rules(", replay_window: 1s"))
        .start();
    assert_eq!(github(&daemon, "/github", "1").1, "accepted");
    assert_eq!(github(&daemon, "/github", "1").1, "duplicate");
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(github(&daemon, "/github", "1").1, "accepted");
}

#[test]
fn on_duplicate_ignores_rejects_or_runs() {
    for (setting, expected, lines) in [
        (", on_duplicate: ignore", (200, "duplicate"), 1),
        (", on_duplicate: reject", (409, "duplicate"), 1),
        (", on_duplicate: run", (200, "accepted"), 2),
    ] {
        let daemon = Scenario::new().rules(&github_rules(setting)).start();
        assert_eq!(github(&daemon, "/github", "1").1, "accepted");
        assert_eq!(
            github(&daemon, "/github", "1"),
            (expected.0, expected.1.to_owned()),
            "{setting}"
        );
        daemon.eventually("the lines are appended", || daemon.lines("push.jsonl") == lines);
    }
}

#[test]
fn each_rule_remembers_for_itself() {
    let first = "  - {name: first, endpoint: /github, verify: {github: {secret: k}}, actions: [append: first.jsonl]}\n";
    let second = first.replace("first", "second");
    let daemon = Scenario::new().rules(&format!("rules:\n{first}")).start();
    assert_eq!(github(&daemon, "/github", "1").1, "accepted");
    // A rule that is new has not taken it yet; the one that has does not take it again.
    daemon.rewrite(&format!("rules:\n{first}{second}"));
    assert_eq!(github(&daemon, "/github", "1").1, "accepted");
    assert_eq!(github(&daemon, "/github", "1").1, "duplicate");
    daemon.eventually("both lines are appended", || daemon.lines("second.jsonl") == 1);
    assert_eq!(daemon.lines("first.jsonl"), 1);
}

#[test]
fn rotating_the_secret_lets_no_replay_in() {
    let rules = |secrets: &str| github_rules("").replace("secret: k", &format!("secret: {secrets}"));
    let daemon = Scenario::new().rules(&rules("k")).start();
    assert_eq!(github(&daemon, "/github", "1").1, "accepted");
    daemon.rewrite(&rules("[new, k]"));
    assert_eq!(github(&daemon, "/github", "1").1, "duplicate");
    daemon.rewrite(&rules("[new]"));
    assert_eq!(github(&daemon, "/github", "1"), (403, "refused".into()));
}

#[test]
fn what_is_refused_burns_nothing() {
    let rules = "
rules:
  - {name: push, endpoint: /github, verify: {hmac: {secret: k, content: '{id}.{body}', id: {header: X-Id}}}, actions: [append: push.jsonl]}
";
    let daemon = Scenario::new().rules(rules).start();
    let post = |signature: &str| {
        daemon
            .post("/github")
            .header("X-Id", "7")
            .json("{}")
            .header("X-Signature", signature)
            .send()
            .outcome()
    };
    assert_eq!(post(&hmac_hex("wrong", b"7.{}")), (403, "refused".into()));
    assert_eq!(post(&hmac_hex("k", b"7.{}")), (200, "accepted".into()));
    assert_eq!(post(&hmac_hex("k", b"7.{}")), (200, "duplicate".into()));
}

#[test]
fn a_waiting_senders_retry_is_taken_again_after_a_failure() {
    let daemon = Scenario::new()
        .script("work", "if test -e ready; then echo done-it; else echo not-yet >&2; exit 3; fi")
        .rules(
            r#"
rules:
  - name: work
    endpoint: /github
    verify: {github: {secret: k}}
    actions: [{run: [./work]}]
    respond: {wait: 10s, body: "{{ actions[0].outcome }} {{ actions[0].detail }} {{ actions[0].stdout }}{{ actions[0].stderr }}"}
"#,
        )
        .start();
    let send = || {
        daemon
            .post("/github")
            .json(fixture("github/push.json"))
            .github("k")
            .send()
    };
    let answer = send();
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(
        answer.body.contains("exit 3") && answer.body.contains("not-yet"),
        "{answer:?}"
    );
    std::fs::write(daemon.folder().join("ready"), "").unwrap();
    let answer = send();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains("done-it"), "{answer:?}");
    // Once it has succeeded, it is a duplicate like any other.
    let answer = send();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        daemon.log().matches("outcome=\"accepted\"").count(),
        2,
        "{}",
        daemon.log()
    );
}

#[test]
fn a_sender_that_waits_too_long_is_told_so_and_its_retry_waits_with_it() {
    let daemon = Scenario::new()
        .script("work", "while ! test -e ready; do sleep 0.05; done")
        .rules(
            "
rules:
  - {name: work, endpoint: /github, verify: {github: {secret: k}}, actions: [{run: [./work]}], respond: {wait: 300ms}}
",
        )
        .start();
    let send = || {
        daemon
            .post("/github")
            .json(fixture("github/push.json"))
            .github("k")
            .send()
            .outcome()
    };
    assert_eq!(send(), (504, "pending".into()));
    assert_eq!(send(), (504, "pending".into()));
    std::fs::write(daemon.folder().join("ready"), "").unwrap();
    daemon.eventually("the first ends", || send() == (200, "duplicate".into()));
}
