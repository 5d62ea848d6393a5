//! `hookyard rules`: pauses of rules and targets.

use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use crate::scenario::{Daemon, Scenario, Target, said};
use crate::status::metrics;

const RULES: &str = r#"
rules:
  - name: deploy
    endpoint: /deploy
    verify: none
    concurrency: {limit: 1}
    actions: [{append: deploy.txt, line: "{{ payload.n }}"}]
  - {name: other, endpoint: /other, verify: none, actions: [{append: other.txt, line: "{{ payload.n }}"}]}
  - {name: waits, endpoint: /waits, verify: none, respond: {wait: 300ms, late: {status: 202, body: later}}, actions: [{append: waits.txt, line: "{{ payload.n }}"}]}
  - {name: grouped, endpoint: /grouped, verify: none, concurrency: {limit: 1}, actions: [{append: grouped.txt, line: "{{ payload.n }}"}, {append: grouped.txt, line: "{{ payload.n }}"}]}
  - {name: calm, endpoint: /calm, verify: none, debounce: 10ms, actions: [{append: calm.txt, line: "{{ payload.n }}"}]}
  - {name: off, endpoint: /off, enabled: false, verify: none, actions: [{append: off.txt}]}
"#;

fn rules(daemon: &Daemon, arguments: &[&str]) -> Output {
    daemon.scenario.hookyard(&[&["rules"], arguments].concat())
}

/// Runs a command that must succeed.
fn done(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = rules(daemon, arguments);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    said(&output)
}

fn listed(daemon: &Daemon, name: &str) -> Value {
    let output = rules(daemon, &["list", "--format", "json"]);
    let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let mut rules = list["rules"].as_array().unwrap().iter();
    rules
        .find(|rule| rule["name"] == name)
        .cloned()
        .unwrap_or_default()
}

fn post(daemon: &Daemon, path: &str, n: u32) {
    let answer = daemon.post(path).json(format!("{{\"n\": {n}}}")).send();
    assert_eq!(answer.outcome(), (200, "accepted".to_owned()));
}

fn status(daemon: &Daemon) -> Value {
    let output = daemon.scenario.hookyard(&["status", "--format", "json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn events_of_a_paused_rule_are_accepted_wait_across_a_kill_and_go_on_in_order() {
    let mut daemon = Scenario::new().rules(RULES).start();
    done(&daemon, &["pause", "deploy"]);
    for n in 1..=3 {
        post(&daemon, "/deploy", n);
    }
    post(&daemon, "/other", 1);
    daemon.eventually("another rule runs", || daemon.lines("other.txt") == 1);
    let log = daemon.log();
    daemon.kill();
    daemon.start();
    post(&daemon, "/other", 2);
    daemon.eventually("another rule runs", || daemon.lines("other.txt") == 2);
    assert_eq!(daemon.lines("deploy.txt"), 0);

    let rule = listed(&daemon, "deploy");
    assert_eq!(
        (
            &rule["state"],
            &rule["endpoint"],
            &rule["waiting"],
            &rule["running"]
        ),
        (&json!("enabled"), &json!("/deploy"), &json!(3), &json!(0))
    );
    let by = rule["paused"]["by"].as_str().unwrap().to_owned();
    let line = format!("paused: its deliveries wait kind=\"rule\" name=\"deploy\" by=\"{by}\"");
    assert!(log.contains(&line), "{log}");
    assert!(listed(&daemon, "other")["last_match"].is_string());
    assert_eq!(listed(&daemon, "off")["state"], "disabled");

    // It shows wherever an operator looks, and is no problem.
    let status = status(&daemon);
    assert_eq!(status["paused"][0]["name"], "deploy");
    assert_eq!(
        (&status["deliveries"]["overdue"], &status["problems"]),
        (&json!(0.0), &json!([]))
    );
    let text = said(&daemon.scenario.hookyard(&["status"]));
    assert!(text.contains("\nrule deploy: paused since "), "{text}");
    let text = metrics(&daemon);
    assert!(text.contains("hookyard_rule_paused{rule=\"deploy\"} 1"), "{text}");
    assert!(text.contains("hookyard_rule_paused{rule=\"other\"} 0"), "{text}");
    let waiting = &daemon.scenario.deliveries(&["--state", "waiting"])[0];
    let shown = daemon
        .scenario
        .hookyard(&["events", "show", waiting["event"].as_str().unwrap()]);
    assert!(
        said(&shown).contains("\nwaits: the rule is paused since "),
        "{}",
        said(&shown)
    );

    assert!(
        done(&daemon, &["resume", "deploy"]).starts_with("the rule deploy goes on; it was paused since ")
    );
    daemon.eventually("all run", || daemon.lines("deploy.txt") == 3);
    assert_eq!(daemon.read("deploy.txt"), "1\n2\n3\n");
    assert!(
        daemon
            .log()
            .contains(&format!("resumed kind=\"rule\" name=\"deploy\" by=\"{by}\""))
    );
    assert!(metrics(&daemon).contains("hookyard_rule_paused{rule=\"deploy\"} 0"));
}

#[test]
fn a_sender_that_waits_for_a_paused_rule_is_answered_late() {
    let daemon = Scenario::new().rules(RULES).start();
    done(&daemon, &["pause", "waits"]);
    let answer = daemon.post("/waits").json("{\"n\": 1}").send();
    assert_eq!((answer.status, answer.body.as_str()), (202, "later"));
    done(&daemon, &["resume", "waits"]);
    daemon.eventually("it runs", || daemon.lines("waits.txt") == 1);
}

#[test]
fn a_group_keeps_its_order_and_a_debounced_rule_delivers_the_newest() {
    let daemon = Scenario::new().rules(RULES).start();
    for rule in ["grouped", "calm"] {
        done(&daemon, &["pause", rule]);
    }
    for n in 1..=3 {
        post(&daemon, "/grouped", n);
        post(&daemon, "/calm", n);
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!((daemon.lines("grouped.txt"), daemon.lines("calm.txt")), (0, 0));
    for rule in ["grouped", "calm"] {
        done(&daemon, &["resume", rule]);
    }
    daemon.eventually("all run", || {
        daemon.lines("grouped.txt") == 6 && daemon.lines("calm.txt") == 1
    });
    assert_eq!(daemon.read("grouped.txt"), "1\n1\n2\n2\n3\n3\n");
    assert_eq!(daemon.read("calm.txt"), "3\n");
}

#[test]
fn a_pause_outlives_its_rule_and_can_be_ended() {
    let daemon = Scenario::new().rules(RULES).start();
    done(&daemon, &["pause", "deploy"]);
    post(&daemon, "/deploy", 1);
    daemon.rewrite(&RULES.replace("name: deploy", "name: renamed"));
    daemon.eventually("the rule is gone", || {
        listed(&daemon, "deploy")["state"] == "gone"
    });
    let rule = listed(&daemon, "deploy");
    assert_eq!((&rule["endpoint"], &rule["waiting"]), (&Value::Null, &json!(1)));
    assert_eq!(daemon.scenario.deliveries(&["--state", "dead"]).len(), 0);
    let again = rules(&daemon, &["pause", "deploy"]);
    assert_eq!(again.status.code(), Some(2), "{}", said(&again));
    // The rule comes back, and with it the delivery.
    daemon.rewrite(RULES);
    daemon.eventually("the rule is back", || {
        listed(&daemon, "deploy")["state"] == "enabled"
    });
    done(&daemon, &["resume", "deploy"]);
    daemon.eventually("it runs", || daemon.lines("deploy.txt") == 1);
}

#[test]
fn unknown_names_are_errors_with_a_suggestion() {
    let target = Target::ok();
    let forward = format!(
        "{RULES}  - {{name: pass, endpoint: /pass, verify: none, actions: [{{forward: '{}/in'}}]}}\n",
        target.url()
    );
    let daemon = Scenario::new().rules(&forward).start();
    let port = target.address.port();
    let near = format!("http://127.0.0.2:{port}");
    for (arguments, says) in [
        (
            &["pause", "deplyo"][..],
            "the rules in force have no rule `deplyo` (did you mean `deploy`?)",
        ),
        (
            &["resume", "deplyo"],
            "the rules in force have no rule `deplyo` (did you mean `deploy`?)",
        ),
        (&["pause", ""], "the rules in force have no rule ``"),
        (
            &["pause", "--target", "ci.example.com"],
            "the target `ci.example.com` has no scheme",
        ),
        (
            &["pause", "--target", "ftp://ci.example.com"],
            "is neither `http` nor `https`",
        ),
        (&["pause", "--target", &near], "no rule in force forwards to"),
        (&["pause"], "required"),
        (&["pause", "deploy", "--target", &near], "cannot be used with"),
    ] {
        let output = rules(&daemon, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {}", said(&output));
        assert!(said(&output).contains(says), "{arguments:?} {}", said(&output));
    }
    for (arguments, code, says) in [
        (
            ["pause", "deploy"],
            0,
            "the rule deploy is paused: its deliveries wait",
        ),
        (
            ["pause", "deploy"],
            1,
            "the rule deploy was paused already: paused since ",
        ),
        (["resume", "deploy"], 0, "the rule deploy goes on"),
        (["resume", "deploy"], 1, "the rule deploy was not paused"),
    ] {
        let output = rules(&daemon, &arguments);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).starts_with(says), "{}", said(&output));
    }
}

#[test]
fn forwards_to_a_paused_target_wait_across_a_restart_without_an_attempt() {
    let (paused, other) = (Target::ok(), Target::ok());
    let forward = |name: &str, target: &Target| {
        format!(
            "  - {{name: {name}, endpoint: /{name}, verify: none, actions: [{{forward: '{}/in'}}]}}\n",
            target.url()
        )
    };
    let text = format!("rules:\n{}{}", forward("a", &paused), forward("b", &other));
    let mut daemon = Scenario::new().rules(&text).start();
    // The path of the URL does not matter.
    done(
        &daemon,
        &["pause", "--target", &format!("{}/elsewhere", paused.url())],
    );
    assert!(metrics(&daemon).contains("hookyard_targets_paused 1"));
    daemon.stop();
    daemon.start();
    let list = done(&daemon, &["list"]);
    assert!(
        list.contains(&format!("target {}: paused since ", paused.url())),
        "{list}"
    );
    post(&daemon, "/a", 1);
    post(&daemon, "/b", 1);
    daemon.eventually("the other target is called", || other.requests().len() == 1);
    daemon.eventually("the paused one is put off", || {
        let waiting = daemon.scenario.deliveries(&["--state", "waiting"]);
        waiting.len() == 1 && waiting[0]["due"].is_string()
    });
    assert!(paused.requests().is_empty());
    assert_eq!(
        daemon.scenario.deliveries(&["--state", "waiting"])[0]["attempt"],
        1
    );
    done(&daemon, &["resume", "--target", &paused.url()]);
    daemon.within(Duration::from_secs(20), "it goes on", || {
        paused.requests().len() == 1
    });
}
