//! The data of the operator's views, as the command line prints it.

use serde_json::{Value, json};

use crate::scenario::{Daemon, Scenario, said};

const RULES: &str = r#"
store: {path: hookyard.db}
rules:
  - name: fails
    endpoint: /fails
    verify: {github: {secret: env:SECRET}}
    retry: {attempts: 1}
    actions: [{shell: "exit 3"}]
  - name: slow
    endpoint: /slow
    verify: none
    concurrency: {limit: 1}
    actions: [{shell: "sleep 60", timeout: 2m}]
  - {name: calm, endpoint: /calm, verify: none, debounce: 1h, actions: [{append: calm.txt, line: x}]}
  - {name: works, endpoint: /works, verify: none, actions: [{append: works.txt, line: x}]}
"#;

fn started() -> Daemon {
    Scenario::new().rules(RULES).env("SECRET", "k").start()
}

fn json_of(daemon: &Daemon, arguments: &[&str]) -> Value {
    let output = daemon.scenario.hookyard(arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
}

fn queue(daemon: &Daemon) -> Value {
    json_of(daemon, &["status", "--queue", "--format", "json"])
}

fn rule(daemon: &Daemon, name: &str) -> Value {
    json_of(daemon, &["rules", "show", name, "--format", "json"])
}

fn post(daemon: &Daemon, path: &str) {
    assert_eq!(daemon.post(path).json("{}").send().status, 200);
}

fn fail(daemon: &Daemon, n: u32) {
    let body = format!("{{\"n\": {n}}}");
    assert_eq!(daemon.post("/fails").json(body).github("k").send().status, 200);
}

#[test]
fn the_queue_says_what_runs_and_what_each_delivery_waits_for() {
    let daemon = started();
    for _ in 0..3 {
        post(&daemon, "/slow");
    }
    post(&daemon, "/calm");
    daemon.scenario.hookyard(&["rules", "pause", "works"]);
    post(&daemon, "/works");
    daemon.eventually("one runs", || queue(&daemon)["running"] == 1);
    let queue = queue(&daemon);
    let running = &queue["running_attempts"][0];
    assert_eq!(
        (
            &running["rule"],
            &running["action"],
            &running["kind"],
            &running["attempt"]
        ),
        (&json!("slow"), &json!(1), &json!("shell"), &json!(1))
    );
    assert_eq!(
        (&running["limit"], &running["stoppable"]),
        (&json!(120.0), &json!(true))
    );
    assert_eq!(queue["waiting"], 4);
    assert_eq!(
        queue["waits_for"],
        json!({"paused": 1, "debounce": 1, "group": 2, "later": 0, "room": 0})
    );
    let waits: Vec<(&str, &str)> = queue["first"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["rule"].as_str().unwrap(), one["waits_for"].as_str().unwrap()))
        .collect();
    assert_eq!(
        waits,
        [
            ("works", "paused"),
            ("calm", "debounce"),
            ("slow", "group"),
            ("slow", "group")
        ]
    );
    assert_eq!(
        (&queue["first"][2]["ahead"], &queue["first"][3]["ahead"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(
        queue["groups"],
        json!([{"name": "slow", "rule": "slow", "begun": 1, "queued": 2, "limit": 1}])
    );
    let text = said(&daemon.scenario.hookyard(&["status", "--queue"]));
    assert!(text.contains("4 waiting, 1 running of "), "{text}");
    let slow = rule(&daemon, "slow");
    assert_eq!(
        (&slow["waiting"], &slow["running"], &slow["queued"]),
        (&json!(2), &json!(1), &json!(2))
    );
    assert_eq!(rule(&daemon, "calm")["debounced"], 1);
}

#[test]
fn dead_letters_and_refused_arrivals_are_grouped_and_a_group_is_replayed() {
    let daemon = started();
    (0..3).for_each(|n| fail(&daemon, n));
    for secret in ["wrong", "false"] {
        let answer = daemon.post("/fails").json("{}").github(secret).send();
        assert_eq!(answer.status, 403);
    }
    let problems = || json_of(&daemon, &["events", "problems", "--format", "json"]);
    daemon.eventually("all are dead, and the refusals are recorded", || {
        let problems = problems();
        problems["dead"][0]["count"] == 3 && problems["refused"][0]["count"] == 2
    });
    let groups = problems();
    let dead = &groups["dead"][0];
    assert_eq!(
        (&dead["rule"], &dead["reason"]),
        (&json!("fails"), &json!("exit 3"))
    );
    assert_eq!(
        (&groups["dead_groups"], &groups["dead_cut"]),
        (&json!(1), &json!(false))
    );
    let refused = &groups["refused"][0];
    assert_eq!(
        (&refused["endpoint"], &refused["outcome"]),
        (&json!("/fails"), &json!("refused"))
    );

    let fails = rule(&daemon, "fails");
    assert_eq!(
        (&fails["dead"], &fails["day"]["failed"], &fails["day"]["success"]),
        (&json!(3), &json!(3), &json!(0.0))
    );
    assert_eq!(fails["last_failure"]["reason"], "exit 3");
    assert_eq!(fails["secrets"][0]["source"], "env:SECRET");

    let replay = |reason: &str| {
        let arguments = [
            "events",
            "replay",
            "--dead",
            "--reason",
            reason,
            "--dry-run",
            "--format",
            "json",
        ];
        json_of(&daemon, &arguments)["replayed"].clone()
    };
    assert_eq!((replay("exit 3"), replay("exit 4")), (json!(3), json!(0)));
    let dropped = daemon
        .scenario
        .hookyard(&["events", "drop", "--dead", "--reason", "exit 3"]);
    assert!(
        said(&dropped).ends_with("3 deliveries dropped\n"),
        "{}",
        said(&dropped)
    );
    assert_eq!(problems()["dead"], json!([]));

    let day = json_of(&daemon, &["status", "--day", "--format", "json"]);
    let sum = |of: fn(&Value) -> u64| day["slots"].as_array().unwrap().iter().map(of).sum::<u64>();
    assert_eq!(sum(|slot| slot["attempts_failed"].as_u64().unwrap()), 3);
    assert_eq!(sum(|slot| slot["dead_letters"].as_u64().unwrap()), 3);
    assert_eq!(sum(|slot| slot["arrivals"]["refused"].as_u64().unwrap_or(0)), 2);
}

#[test]
fn a_rule_that_is_not_known_is_an_error_with_a_hint() {
    let daemon = started();
    let output = daemon.scenario.hookyard(&["rules", "show", "failz"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("did you mean `fails`?"),
        "{}",
        said(&output)
    );
}
