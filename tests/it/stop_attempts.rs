//! `hookyard events stop`: attempts that the operator stops.

use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use crate::scenario::{Daemon, Scenario, Target, said};

const RULES: &str = r#"
rules:
  - name: stubborn
    endpoint: /stubborn
    verify: none
    concurrency: {group: all, limit: 1}
    retry: {attempts: 2, backoff: [1h]}
    actions:
      - shell: "trap 'echo asked' TERM; echo $$ > pid; while :; do sleep 0.05; done"
        grace: 300ms
      - append: never.jsonl
    on_failure:
      - append: failures.log
        line: "{{ failure.action }}: {{ failure.reason }}"
  - name: next
    endpoint: /next
    verify: none
    concurrency: {group: all, limit: 1}
    actions: [{append: next.jsonl}]
  - name: again
    endpoint: /again
    verify: none
    retry: {attempts: 2, backoff: [10ms]}
    actions: [{run: [/bin/sh, -c, "echo >> began; exec sleep 60"]}]
  - name: relay
    endpoint: /relay
    verify: none
    actions: [{forward: "TARGET"}]
  - name: one
    endpoint: /two
    verify: none
    actions: [{run: [/bin/sleep, "60"]}]
  - name: other
    endpoint: /two
    verify: none
    actions: [{run: [/bin/sleep, "60"]}, {append: never.jsonl}]
  - name: quick
    endpoint: /two
    verify: none
    actions: [{append: quick.jsonl}]
  - name: quiet
    endpoint: /quiet
    verify: none
    debounce: 1h
    actions: [{append: never.jsonl}]
"#;

fn daemon_with(target: &str) -> Daemon {
    Scenario::new().rules(&RULES.replace("TARGET", target)).start()
}

fn daemon() -> Daemon {
    daemon_with("http://127.0.0.1:1")
}

fn stop(daemon: &Daemon, arguments: &[&str]) -> Output {
    daemon
        .scenario
        .hookyard(&[&["events", "stop"], arguments].concat())
}

/// The only delivery to a rule.
fn delivery(daemon: &Daemon, rule: &str) -> Value {
    daemon.scenario.deliveries(&["--rule", rule]).pop().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Posts to the endpoint of a rule, and returns the id of its delivery when an attempt runs.
fn running(daemon: &Daemon, endpoint: &str, rule: &str) -> String {
    assert_eq!(daemon.post(endpoint).json("{}").send().status, 200);
    runs(daemon, rule)
}

fn runs(daemon: &Daemon, rule: &str) -> String {
    daemon.eventually("it runs", || delivery(daemon, rule)["phase"] == "running");
    text(&delivery(daemon, rule)["delivery"])
}

fn shown(daemon: &Daemon, id: &str) -> Value {
    let output = daemon
        .scenario
        .hookyard(&["events", "show", id, "--format", "json"]);
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["deliveries"][0].clone()
}

/// The name of the user who runs the tests.
fn user() -> String {
    let output = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_stubborn_command_gets_term_and_kill_and_its_delivery_is_dead_with_the_users_name() {
    let daemon = daemon();
    let id = running(&daemon, "/stubborn", "stubborn");
    daemon.eventually("its process is known", || daemon.lines("pid") == 1);
    assert_eq!(daemon.post("/next").json("{}").send().status, 200);
    let output = stop(&daemon, &[&id, "--drop"]);
    let by = format!("stopped by {}", user());
    assert_eq!(
        said(&output),
        format!("{id} to stubborn: stopped at action 1, attempt 1; dead: {by}\n")
    );
    assert_eq!(output.status.code(), Some(0));
    let process = format!("/proc/{}", daemon.read("pid").trim());
    assert!(!std::path::Path::new(&process).exists());

    let shown = shown(&daemon, &id);
    assert_eq!((&shown["state"], &shown["reason"]), (&json!("dead"), &json!(by)));
    let attempt = &shown["attempts"][0];
    assert_eq!(
        (&attempt["outcome"], &attempt["detail"], &attempt["stdout"]),
        (&json!("cancelled"), &json!(by), &json!("asked\n"))
    );
    // Its group is free again, the waiting one was not touched, and the alarm went off.
    daemon.eventually("the next one has its turn", || daemon.lines("next.jsonl") == 1);
    daemon.eventually("the alarm", || daemon.lines("failures.log") == 1);
    assert_eq!(daemon.read("failures.log"), format!("shell: {by}\n"));
    assert_eq!(daemon.lines("never.jsonl"), 0);
    let log = daemon.log();
    assert!(log.contains("stopping an attempt"), "{log}");
    assert!(log.contains(&format!("by=\"{}\" then=\"drop\"", user())), "{log}");
    assert!(
        log.contains(&format!("outcome=\"cancelled\" detail=\"{by}\"")),
        "{log}"
    );
    let metrics = crate::status::metrics(&daemon);
    assert!(metrics.contains("outcome=\"cancelled\"} 1\n"), "{metrics}");
}

#[test]
fn a_stopped_attempt_is_retried_by_the_rule_and_dead_when_its_attempts_are_used_up() {
    let daemon = daemon();
    let id = running(&daemon, "/again", "again");
    let output = stop(&daemon, &[&id, "--retry", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&answer["stopped"], &answer["deliveries"][0]["outcome"]),
        (&json!(1), &json!("cancelled"))
    );
    daemon.eventually("it runs again", || daemon.lines("began") == 2);
    assert_eq!(runs(&daemon, "again"), id);
    // A beginning of the id is enough, if it is unique.
    let output = stop(&daemon, &[&id[..35], "--retry"]);
    assert!(
        said(&output).ends_with(&format!(
            "at action 1, attempt 2; dead: stopped by {}, after 2 attempts\n",
            user()
        )),
        "{}",
        said(&output)
    );
    assert_eq!(shown(&daemon, &id)["attempts"].as_array().unwrap().len(), 2);
}

#[test]
fn a_forward_in_progress_is_aborted() {
    let target = Target::new(|_| {
        std::thread::sleep(Duration::from_secs(30));
        String::new()
    });
    let daemon = daemon_with(&target.url());
    assert_eq!(daemon.post("/relay").json("{}").send().status, 200);
    daemon.eventually("it was sent", || target.requests().len() == 1);
    let id = runs(&daemon, "relay");
    let output = stop(&daemon, &[&id, "--drop"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let shown = shown(&daemon, &id);
    assert_eq!(
        (&shown["state"], &shown["attempts"][0]["outcome"]),
        (&json!("dead"), &json!("cancelled"))
    );
}

#[test]
fn an_event_means_all_its_deliveries_that_run() {
    let daemon = daemon();
    running(&daemon, "/two", "one");
    runs(&daemon, "other");
    let event = text(&delivery(&daemon, "one")["event"]);
    let output = stop(&daemon, &[&event, "--drop"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(
        said(&output)
            .matches(": stopped at action 1, attempt 1; dead")
            .count(),
        2
    );
    assert_eq!(delivery(&daemon, "quick")["state"], "done");
    assert_eq!(daemon.lines("never.jsonl"), 0);
}

#[test]
fn what_does_not_run_is_not_stopped_and_its_state_is_told() {
    let daemon = daemon();
    let held = running(&daemon, "/stubborn", "stubborn");
    assert_eq!(daemon.post("/next").json("{}").send().status, 200);
    assert_eq!(daemon.post("/quiet").json("{}").send().status, 200);
    for (rule, words) in [
        ("next", "queued in its group"),
        ("quiet", "waiting for quiet until "),
    ] {
        let id = text(&delivery(&daemon, rule)["delivery"]);
        let output = stop(&daemon, &[&id, "--drop"]);
        let said = said(&output);
        assert!(
            said.starts_with(&format!("{id} to {rule} does not run: {words}")),
            "{said}"
        );
        assert!(
            said.ends_with(&format!("`hookyard events drop {id}` gives up what waits\n")),
            "{said}"
        );
        assert_eq!(output.status.code(), Some(1));
    }
    assert_eq!(stop(&daemon, &[&held, "--drop"]).status.code(), Some(0));
    let output = stop(&daemon, &[&held, "--retry"]);
    assert_eq!(
        said(&output),
        format!("{held} to stubborn does not run: dead, stopped by {}\n", user())
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_attempt_whose_delivery_was_dropped_can_be_stopped() {
    let daemon = daemon();
    let id = running(&daemon, "/stubborn", "stubborn");
    daemon.eventually("its process is known", || daemon.lines("pid") == 1);
    assert_eq!(
        daemon.scenario.hookyard(&["events", "drop", &id]).status.code(),
        Some(0)
    );
    let process = format!("/proc/{}", daemon.read("pid").trim());
    assert!(std::path::Path::new(&process).exists());
    let output = stop(&daemon, &[&id, "--retry"]);
    assert!(
        said(&output).contains("its outcome is not kept; dead: "),
        "{}",
        said(&output)
    );
    assert_eq!(output.status.code(), Some(0));
    daemon.eventually("it has ended", || !std::path::Path::new(&process).exists());
    // The operator's drop stands.
    assert_eq!(delivery(&daemon, "stubborn")["state"], "dead");
    assert_eq!(daemon.lines("failures.log"), 0);
}

#[test]
fn a_wrong_command_stops_nothing_and_says_why() {
    let mut daemon = daemon();
    let id = running(&daemon, "/again", "again");
    for (arguments, code, words) in [
        (
            vec![&*id],
            2,
            "what becomes of the delivery? `--retry` tries it again by its rule, `--drop` makes it a dead letter",
        ),
        (vec![&*id, "--retry", "--drop"], 2, "cannot be used with"),
        (vec!["ffff", "--drop"], 1, "no arrival or delivery `ffff`"),
        (vec![&*id, "--drop", "--timeout", "soon"], 2, "soon"),
        (vec![&*id, "--drop", "--store", "absent.db"], 2, "absent.db"),
    ] {
        let output = stop(&daemon, &arguments);
        assert!(said(&output).contains(words), "{}", said(&output));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
    assert_eq!(runs(&daemon, "again"), id);
    daemon.kill();
    let output = stop(&daemon, &[&id, "--drop"]);
    assert!(
        said(&output).contains("attempts are stopped by the running daemon"),
        "{}",
        said(&output)
    );
    assert_eq!(output.status.code(), Some(2));
}
