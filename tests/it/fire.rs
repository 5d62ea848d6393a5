//! `hookyard fire`: rules that the operator runs by hand.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::scenario::{Daemon, Scenario, said};

const RULES: &str = r#"
endpoints:
  /deploy/{app}: {max_body: 1KiB}
rules:
  - name: deploy
    endpoint: /deploy/{app}
    verify: {github: env:GITHUB_SECRET}
    match: {event: push, $.ref: refs/heads/main, query.dry: {exists: false}}
    actions:
      - run: [/bin/echo, "{{ path.app }}", "{{ payload.after | default('-') }}", "{{ verified }}"]
  - name: rebuild
    endpoint: /rebuild
    verify: {hmac: {secret: env:GITHUB_SECRET}}
    retry: {attempts: 2, backoff: [10ms]}
    actions: [{append: rebuilds.jsonl}]
  - name: broken
    endpoint: /broken
    verify: {bearer: {secret: env:GITHUB_SECRET}}
    retry: {attempts: 2, backoff: [10ms]}
    actions: [{run: [/bin/sh, -c, "echo oh; exit 3"]}]
  - name: off
    enabled: false
    endpoint: /off
    verify: none
    actions: [{append: off.jsonl}]
  - name: slow
    endpoint: /slow
    verify: none
    concurrency: {limit: 1}
    actions: [{run: [/bin/sleep, "0.2"]}]
"#;

fn daemon() -> Daemon {
    let scenario = Scenario::new().env("GITHUB_SECRET", "it-is-a-long-secret-1234567890");
    scenario
        .file("push.json", r#"{"ref": "refs/heads/main", "after": "6113728f"}"#)
        .file("next.json", r#"{"ref": "refs/heads/next"}"#)
        .file("not.json", "{")
        .file("large.json", format!("\"{}\"", "x".repeat(2000)))
        .rules(RULES)
        .start()
}

fn fire(daemon: &Daemon, arguments: &[&str]) -> Output {
    daemon.scenario.hookyard(&[&["fire"], arguments].concat())
}

fn fired(daemon: &Daemon, arguments: &[&str]) -> Value {
    let output = fire(daemon, &[arguments, &["--format", "json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
}

/// The name of the user who runs the tests.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_rule_runs_by_hand_without_the_senders_secret_and_is_marked() {
    let daemon = daemon();
    let arguments = [
        "deploy",
        "--path",
        "app=site",
        "--event",
        "push",
        "--json",
        "push.json",
    ];
    let output = fire(&daemon, &[&arguments[..], &["--wait"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains(" runs: deploy\n"), "{text}");
    assert!(text.contains("\ndone, at action 1, attempt 1\n"), "{text}");
    assert!(text.contains("stdout | site 6113728f true"), "{text}");

    let id = text.split(' ').next().unwrap();
    let listed = &daemon.scenario.arrivals(&["--outcome", "fired"])[0];
    assert_eq!(
        (
            &listed["id"],
            &listed["outcome"],
            &listed["fired_by"],
            &listed["status"]
        ),
        (&json!(id), &json!("fired"), &json!(user()), &Value::Null)
    );
    assert_eq!(daemon.scenario.arrivals(&["--outcome", "accepted"]).len(), 0);
    let list = said(&daemon.scenario.hookyard(&["events", "list"]));
    assert!(list.contains("fired    deploy done  by "), "{list}");
    let shown = said(&daemon.scenario.hookyard(&["events", "show", id]));
    assert!(
        shown.contains(&format!("outcome fired, by {}\n", user())),
        "{shown}"
    );
    assert!(shown.contains("\n  yes deploy\n"), "{shown}");
    assert!(shown.contains("POST /deploy/site\n"), "{shown}");
    assert!(shown.contains("x-github-event: push"), "{shown}");
    let line = format!("outcome=\"fired\" rules=\"deploy\" by=\"{}\"", user());
    assert!(daemon.log().contains(&line), "{}", daemon.log());
}

#[test]
fn what_is_fired_twice_runs_twice_also_after_a_kill() {
    let mut daemon = daemon();
    for _ in 0..2 {
        let output = fire(&daemon, &["rebuild"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    daemon.eventually("both ran", || daemon.lines("rebuilds.jsonl") == 2);
    let record: Value = serde_json::from_str(daemon.read("rebuilds.jsonl").lines().next().unwrap()).unwrap();
    assert_eq!(
        (&record["verified"], &record["payload"]),
        (&json!(true), &json!({}))
    );
    // Deliveries of a group wait for their turn, and survive the daemon.
    for _ in 0..3 {
        assert_eq!(fire(&daemon, &["slow"]).status.code(), Some(0));
    }
    daemon.kill();
    daemon.start();
    daemon.eventually("all are done", || {
        daemon
            .scenario
            .deliveries(&["--rule", "slow", "--state", "done"])
            .len()
            == 3
    });
}

#[test]
fn conditions_that_do_not_hold_refuse_the_rule_unless_it_is_forced() {
    let daemon = daemon();
    let deploy = ["deploy", "--path", "app=site", "--event", "push"];
    for (more, why) in [
        (
            &["--json", "next.json"][..],
            r#"deploy does not run: $.ref: expected "refs/heads/main", found "refs/heads/next""#,
        ),
        (
            &[],
            r#"deploy does not run: $.ref: expected "refs/heads/main", found nothing"#,
        ),
        (
            &["--json", "push.json", "--query", "dry=1"],
            r#"deploy does not run: query.dry: expected {"exists":false}, found "1""#,
        ),
    ] {
        let output = fire(&daemon, &[&deploy[..], more].concat());
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert_eq!(said(&output), format!("{why}\n`--force` runs it all the same\n"));
    }
    let output = fire(&daemon, &["off", "--force"]);
    assert_eq!(
        (output.status.code(), said(&output).as_str()),
        (Some(1), "off does not run: it is not enabled\n")
    );
    assert_eq!(daemon.scenario.arrivals(&[]).len(), 0);

    let forced = fired(
        &daemon,
        &[&deploy[..], &["--json", "next.json", "--force", "--wait"]].concat(),
    );
    assert_eq!(forced["ended"]["state"], "done");
    let id = forced["event"].as_str().unwrap();
    let shown = said(&daemon.scenario.hookyard(&["events", "show", id]));
    let why = r#"no  deploy: $.ref: expected "refs/heads/main", found "refs/heads/next""#;
    assert!(shown.contains(why), "{shown}");
}

#[test]
fn a_dry_run_shows_the_actions_and_runs_nothing() {
    let daemon = daemon();
    let deploy = [
        "deploy",
        "--path",
        "app=a b",
        "--event",
        "push",
        "--json",
        "push.json",
        "--dry-run",
    ];
    let output = fire(&daemon, &deploy);
    assert_eq!(output.status.code(), Some(0));
    let text = said(&output);
    assert!(text.starts_with("deploy would run\n  would do {"), "{text}");
    assert!(
        text.contains(r#""run":["/bin/echo","a b","6113728f","true"]"#),
        "{text}"
    );
    let answer = fired(&daemon, &deploy);
    assert_eq!(answer["actions"][0]["run"][1], "a b");
    assert_eq!(
        (&answer["event"], &answer["delivery"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(fire(&daemon, &["off", "--dry-run"]).status.code(), Some(1));
    assert_eq!(daemon.scenario.arrivals(&[]).len(), 0);
}

#[test]
fn a_body_is_read_from_standard_input() {
    let daemon = daemon();
    let fire = |body: &str, option: &str| {
        let arguments = [
            "fire", "deploy", "--path", "app=site", "--event", "push", option, "-", "--wait",
        ];
        let mut command = daemon.scenario.command(&arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    for option in ["--json", "--body"] {
        let output = fire(r#"{"ref": "refs/heads/main", "after": "6113728f"}"#, option);
        assert_eq!(output.status.code(), Some(0), "{option}: {}", said(&output));
        assert!(
            said(&output).contains("stdout | site 6113728f true\n"),
            "{option}: {}",
            said(&output)
        );
    }
    let output = fire("{", "--json");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).starts_with("error: the body cannot be decoded: "),
        "{}",
        said(&output)
    );
}

#[test]
fn what_fails_is_retried_and_told() {
    let daemon = daemon();
    let output = fire(&daemon, &["broken", "--wait"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = said(&output);
    assert!(
        text.contains("\ndead, at action 1, attempt 2: exit 3, after 2 attempts\n"),
        "{text}"
    );
    assert!(text.contains("stdout | oh"), "{text}");
    let output = fire(&daemon, &["slow", "--wait", "--timeout", "1ms"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        said(&output).contains("has not ended within 1ms, and goes on"),
        "{}",
        said(&output)
    );
}

#[test]
fn bad_requests_have_a_clear_error_and_run_nothing() {
    let mut daemon = daemon();
    for (arguments, expected) in [
        (
            &["deplyo"][..],
            "error: the rules in force have no rule `deplyo` (did you mean `deploy`?)",
        ),
        (
            &["deploy"],
            "error: the path `/deploy/{app}` needs one value for `app`: `--path app=VALUE`",
        ),
        (
            &["rebuild", "--path", "app=x"],
            "error: the path `/rebuild` has no parameter `app`",
        ),
        (
            &["deploy", "--path", "app="],
            "error: `/deploy/` is no path of `/deploy/{app}`",
        ),
        (
            &["rebuild", "--json", "not.json"],
            "error: the body cannot be decoded: ",
        ),
        (
            &["deploy", "--path", "app=x", "--json", "large.json"],
            "error: the body has 2002 bytes, and `max_body` is 1024",
        ),
        (
            &["rebuild", "--event", "push"],
            "error: the scheme `hmac` has no place for an event name",
        ),
        (
            &["rebuild", "--json", "absent.json"],
            "error: cannot read `absent.json`",
        ),
        (&["rebuild", "--header", "X"], "error: `X` is not `Name: value`"),
        (&["rebuild", "--query", "n"], "error: invalid value 'n'"),
        (
            &["rebuild", "--dry-run", "--wait"],
            "error: the argument '--dry-run' cannot be used",
        ),
        (&["rebuild", "--store", "other.db"], "error: no daemon answers at"),
    ] {
        let output = fire(&daemon, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(
            said(&output).starts_with(expected),
            "{arguments:?}: {}",
            said(&output)
        );
    }
    assert_eq!(daemon.scenario.arrivals(&[]).len(), 0);
    // The largest body of an endpoint passes.
    let body = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    std::fs::write(daemon.folder().join("full.json"), body).unwrap();
    let output = fire(&daemon, &["rebuild", "--json", "full.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(daemon.stop(), Some(0));
    let output = fire(&daemon, &["rebuild"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("rules are run by the running daemon"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_bodys_kind_is_told_by_its_header() {
    let daemon = daemon();
    std::fs::write(daemon.folder().join("form"), "text=a+b").unwrap();
    let form = [
        "--header",
        "Content-Type: application/x-www-form-urlencoded",
        "--body",
        "form",
    ];
    let output = fire(&daemon, &[&["rebuild", "--wait"], &form[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        daemon
            .read("rebuilds.jsonl")
            .contains(r#""payload":{"text":"a b"}"#)
    );
}

#[test]
fn an_action_knows_who_fired_it_and_the_method_is_chosen() {
    let rules = r#"
endpoints: {/hand: {verify: none, methods: [POST, PUT]}}
rules:
  - name: hand
    endpoint: /hand
    concurrency: {group: "{{ event.fired_by | default('nobody') }}"}
    actions:
      - {run: [/bin/sh, -c, 'echo "$HOOKYARD_METHOD ${HOOKYARD_FIRED_BY-nobody}" >> noted']}
      - {append: lines.log, line: "{{ method }} {{ event.fired_by | default('nobody') }}"}
      - {append: records.jsonl}
"#;
    let daemon = Scenario::new().rules(rules).start();
    let user = Command::new("id").arg("-un").output().unwrap();
    let user = String::from_utf8(user.stdout).unwrap().trim().to_owned();
    let first = fire(&daemon, &["hand", "--wait"]);
    assert!(first.status.success(), "{}", said(&first));
    let put = fire(&daemon, &["hand", "--wait", "--method", "put"]);
    assert!(put.status.success(), "{}", said(&put));
    assert_eq!(daemon.post("/hand").json("{}").send().status, 200);
    daemon.eventually("three records", || daemon.lines("records.jsonl") == 3);
    let expected = format!("POST {user}\nPUT {user}\nPOST nobody\n");
    assert_eq!(daemon.read("noted"), expected);
    assert_eq!(daemon.read("lines.log"), expected);
    let records = daemon.read("records.jsonl");
    let by: Vec<Value> = records
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["fired_by"].clone())
        .collect();
    assert_eq!(by, [json!(user), json!(user), Value::Null]);
    let other = fire(&daemon, &["hand", "--method", "GET"]);
    assert_eq!(other.status.code(), Some(2), "{}", said(&other));
    assert!(
        said(&other).contains("takes POST, PUT, not GET"),
        "{}",
        said(&other)
    );
}
