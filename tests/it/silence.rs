//! `expect_every` and `on_silence`: what is noticed, and what runs once.

use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use crate::scenario::{Daemon, Scenario, said};
use crate::status::metrics;

/// Silence after 1 second, on an endpoint and for a rule.
const RULES: &str = r#"
endpoints:
  /in:
    verify: {github: {secret: k}}
    expect_every: 1s
    on_silence:
      - append: endpoint.txt
        line: "{{ silence.endpoint }}|{{ silence.rule }}|{{ silence.last }}|{{ silence.expected }}|{{ silence.for }}|{{ rule }}"
rules:
  - name: deploy
    endpoint: /in
    expect_every: 1s
    match: {$.n: 1}
    actions: [{append: deploy.txt, line: "{{ payload.n }}"}]
    on_silence:
      - append: rule.txt
        line: "{{ silence.endpoint }}|{{ silence.rule }}|{{ payload.last }}|{{ event.fired_by }}"
"#;

/// The rules with another duration.
fn every(duration: &str) -> String {
    RULES.replace("expect_every: 1s", &format!("expect_every: {duration}"))
}

fn status(daemon: &Daemon) -> Value {
    let output = daemon.scenario.hookyard(&["status", "--format", "json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn check(daemon: &Daemon) -> Output {
    daemon.scenario.hookyard(&["status", "--check"])
}

/// The expectations by the name of their rule, or the path of their endpoint.
fn silent(daemon: &Daemon, name: &str) -> Value {
    let status = status(daemon);
    let mut all = status["expectations"].as_array().unwrap().iter();
    let found = all.find(|one| one["rule"].as_str().or(one["endpoint"].as_str()) == Some(name));
    found.cloned().unwrap_or_default()
}

fn send(daemon: &Daemon, n: u32) -> (u16, String) {
    let body = format!("{{\"n\": {n}}}");
    daemon.post("/in").json(body).github("k").send().outcome()
}

fn wait_for(daemon: &Daemon, file: &str, lines: usize) {
    daemon.eventually("the actions of the silence run", || daemon.lines(file) == lines);
}

#[test]
fn silence_is_told_everywhere_runs_its_actions_once_and_ends_with_a_call() {
    let daemon = Scenario::new().rules(RULES).start();
    wait_for(&daemon, "endpoint.txt", 1);
    wait_for(&daemon, "rule.txt", 1);
    let line = daemon.read("endpoint.txt");
    assert!(line.starts_with("/in||never|1s|"), "{line}");
    assert!(line.ends_with("|/in (silence)\n"), "{line}");
    assert_eq!(daemon.read("rule.txt"), "/in|deploy|never|hookyard (silence)\n");

    let output = check(&daemon);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    for problem in [
        "nothing genuine has come for the endpoint `/in` yet, expected since 20",
        "nothing genuine has come for the rule `deploy` yet, expected since 20",
    ] {
        assert!(text.contains(problem), "{text}");
    }
    assert!(text.contains("; `expect_every` is 1s"), "{text}");
    let text = said(&daemon.scenario.hookyard(&["status"]));
    assert!(
        text.contains("\nrule deploy: SILENT, expected every 1s, none for "),
        "{text}"
    );
    let text = metrics(&daemon);
    for line in [
        "hookyard_silent{endpoint=\"/in\",rule=\"\"} 1",
        "hookyard_silent{endpoint=\"/in\",rule=\"deploy\"} 1",
        "hookyard_expected_arrival_age_seconds{endpoint=\"/in\",rule=\"deploy\"} ",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let log = daemon.log();
    assert!(
        log.contains("silent: nothing genuine came kind=\"rule\" name=\"deploy\" expect_every=1.0 event=01"),
        "{log}"
    );

    // It is an event like every other.
    let fired = daemon.scenario.arrivals(&["--outcome", "fired"]);
    assert_eq!(fired.len(), 2);
    let shown = daemon
        .scenario
        .hookyard(&["events", "show", fired[0]["id"].as_str().unwrap()]);
    let shown = said(&shown);
    assert!(shown.contains("hookyard (silence)"), "{shown}");

    // A longer wait runs nothing again.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!((daemon.lines("endpoint.txt"), daemon.lines("rule.txt")), (1, 1));

    assert_eq!(send(&daemon, 1), (200, "accepted".to_owned()));
    daemon.eventually("the call ends both", || {
        let log = daemon.log();
        log.contains("calls again kind=\"rule\" name=\"deploy\"")
            && log.contains("calls again kind=\"endpoint\" name=\"/in\"")
    });
    // The next silence is another one.
    wait_for(&daemon, "endpoint.txt", 2);
    wait_for(&daemon, "rule.txt", 2);
    let second = daemon.read("rule.txt");
    assert!(
        second.lines().nth(1).unwrap().starts_with("/in|deploy|20"),
        "{second}"
    );
}

#[test]
fn only_what_is_genuine_counts_and_a_rule_expects_what_matches_it() {
    let scenario = Scenario::new().file("one.json", "{\"n\": 1}");
    let daemon = scenario.rules(&every("1h")).start();
    assert_eq!(silent(&daemon, "/in")["last_arrival"], Value::Null);
    let answer = daemon.post("/in").json("{\"n\": 1}").github("wrong").send();
    assert_eq!(answer.outcome().0, 403);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(silent(&daemon, "/in")["last_arrival"], Value::Null);

    assert_eq!(send(&daemon, 2), (200, "ignored".to_owned()));
    daemon.eventually("an ignored request counts on its endpoint", || {
        silent(&daemon, "/in")["last_arrival"].is_string()
    });
    assert_eq!(silent(&daemon, "deploy")["last_arrival"], Value::Null);
    assert_eq!(send(&daemon, 1), (200, "accepted".to_owned()));
    daemon.eventually("an accepted event counts for its rule", || {
        silent(&daemon, "deploy")["last_arrival"].is_string()
    });
    let first = silent(&daemon, "deploy");
    assert_eq!(
        (&first["expect_every"], &first["silent"]),
        (&json!(3600.0), &json!(false))
    );
    assert_eq!(first["endpoint"], "/in");
    assert_eq!(send(&daemon, 1), (200, "duplicate".to_owned()));
    daemon.eventually("a duplicate counts, too", || {
        silent(&daemon, "deploy")["last_arrival"] != first["last_arrival"]
    });
    // What an operator runs by hand is no call of the sender.
    let before = silent(&daemon, "deploy")["last_arrival"].clone();
    let fired = daemon
        .scenario
        .hookyard(&["fire", "deploy", "--json", "one.json"]);
    assert_eq!(fired.status.code(), Some(0), "{}", said(&fired));
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(silent(&daemon, "deploy")["last_arrival"], before);
    assert_eq!(check(&daemon).status.code(), Some(0));
}

#[test]
fn the_last_arrival_and_the_beginning_outlive_a_stop_and_a_kill() {
    let mut daemon = Scenario::new().rules(&every("1h")).start();
    let since = silent(&daemon, "/in")["since"].clone();
    daemon.kill();
    daemon.start();
    assert_eq!(silent(&daemon, "/in")["since"], since);
    assert_eq!(send(&daemon, 1), (200, "accepted".to_owned()));
    // At once: a stop writes what was heard.
    assert_eq!(daemon.stop(), Some(0));
    daemon.start();
    let (endpoint, rule) = (silent(&daemon, "/in"), silent(&daemon, "deploy"));
    assert!(endpoint["last_arrival"].is_string() && rule["last_arrival"].is_string());
    assert_eq!(endpoint["since"], since);

    // Without the key it is forgotten, and counts from its return.
    let plain = "rules: [{name: deploy, endpoint: /in, verify: none, actions: [{append: deploy.txt}]}]";
    daemon.rewrite(plain);
    daemon.eventually("it is forgotten", || status(&daemon)["expectations"] == json!([]));
    daemon.rewrite(&every("1h"));
    daemon.eventually("it is there again", || {
        silent(&daemon, "deploy")["since"].is_string()
    });
    let again = silent(&daemon, "deploy");
    assert!(
        again["last_arrival"].is_null() && again["since"] != since,
        "{again}"
    );
}

#[test]
fn a_silence_that_was_noticed_runs_once_across_kills() {
    let mut daemon = Scenario::new()
        .rules(
            r#"
deliveries: {limit: 1}
endpoints:
  /in: {verify: {github: {secret: k}}}
rules:
  - {name: slow, endpoint: /slow, verify: none, actions: [{shell: "touch begun; sleep 600"}]}
  - name: deploy
    endpoint: /in
    expect_every: 2s
    actions: [{append: deploy.txt}]
    on_silence: [{shell: "echo \"$HOOKYARD_RULE\" >> told.txt"}]
"#,
        )
        .start();
    // The only slot is taken, so that the event of the silence waits.
    assert_eq!(daemon.post("/slow").json("{}").send().outcome().0, 200);
    daemon.eventually("the slot is taken", || daemon.folder().join("begun").exists());
    daemon.eventually("the silence is noticed", || {
        daemon.scenario.arrivals(&["--outcome", "fired"]).len() == 1
    });
    assert_eq!(daemon.lines("told.txt"), 0);
    daemon.kill();
    let rules = daemon.read("rules.yaml").replace("sleep 600", "true");
    std::fs::write(daemon.folder().join("rules.yaml"), rules).unwrap();
    daemon.start();
    wait_for(&daemon, "told.txt", 1);
    // It still is silent, without a new wait.
    assert_eq!(check(&daemon).status.code(), Some(1));
    for _ in 0..2 {
        daemon.kill();
        daemon.start();
        assert_eq!(silent(&daemon, "deploy")["silent"], true);
        std::thread::sleep(Duration::from_millis(2500));
    }
    assert_eq!(daemon.read("told.txt"), "deploy (silence)\n");
    assert_eq!(daemon.scenario.arrivals(&["--outcome", "fired"]).len(), 1);
}

#[test]
fn a_kill_at_any_moment_causes_no_second_event() {
    let mut daemon = Scenario::new().rules(RULES).start();
    // Around the moment at which the silence is noticed, and after it.
    for wait in [900, 1000, 1050, 1100, 1150, 1300] {
        std::thread::sleep(Duration::from_millis(wait));
        daemon.kill();
        daemon.start();
    }
    wait_for(&daemon, "endpoint.txt", 1);
    wait_for(&daemon, "rule.txt", 1);
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(daemon.scenario.arrivals(&["--outcome", "fired"]).len(), 2);
}

#[test]
fn a_reload_changes_the_duration_and_a_disabled_rule_expects_nothing() {
    let daemon = Scenario::new().rules(&every("1h")).start();
    assert_eq!(silent(&daemon, "deploy")["silent"], false);
    daemon.rewrite(RULES);
    wait_for(&daemon, "rule.txt", 1);
    assert_eq!(silent(&daemon, "deploy")["silent"], true);
    daemon.rewrite(&every("1h"));
    daemon.eventually("a longer duration ends it", || {
        silent(&daemon, "deploy")["silent"] == false
    });
    assert!(!daemon.log().contains("calls again"));
    daemon.rewrite(&RULES.replace("    match:", "    enabled: false\n    match:"));
    daemon.eventually(
        "a disabled rule expects nothing, and so does its endpoint",
        || status(&daemon)["expectations"] == json!([]),
    );
    assert_eq!(check(&daemon).status.code(), Some(0));
    // The silence counts from here.
    daemon.rewrite(RULES);
    wait_for(&daemon, "rule.txt", 2);
}

#[test]
fn mistakes_are_reported_with_a_place_and_a_hint() {
    for (keys, expected) in [
        (
            "expect_every: 10ms",
            "`expect_every` is between 1 second and 366 days",
        ),
        (
            "expect_every: 2years",
            "`expect_every` is between 1 second and 366 days",
        ),
        ("expect_every: daily", "invalid duration `daily`"),
        (
            "on_silence: [{append: a.txt}]",
            "`on_silence` without `expect_every` never runs",
        ),
        (
            "expect_every: 1h, on_silence: []",
            "a rule has 1 to 64 on_silence, this one has 0",
        ),
        (
            "expect_every: 1h, on_silence: {append: a.txt}",
            "`on_silence` is a list",
        ),
        (
            "expect_every: 1h, on_silence: [{append: a.txt, line: \"{{ failure.reason }}\"}]",
            "there is no `failure` here",
        ),
        (
            "expect_every: 1h, on_silence: [{append: a.txt, line: \"{{ silence.since }}\"}]",
            "unknown name `silence.since`",
        ),
        (
            "expect_every: 1h, on_silence: [{append: a.txt, id: x}, {append: a.txt, id: x}]",
            "a second action with the id `x` in this list",
        ),
        (
            "on_failure: [{append: a.txt, line: \"{{ silence.rule }}\"}]",
            "there is no `silence` here",
        ),
    ] {
        let rule = format!("name: a, endpoint: /a, verify: none, actions: [{{append: b.txt}}], {keys}");
        let scenario = Scenario::new().rules(&format!("rules:\n  - {{{rule}}}\n"));
        let output = scenario.hookyard(&["check", "rules.yaml"]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{keys}: {text}");
        assert!(text.contains(expected), "{keys}: {text}");
        assert!(text.contains("rules.yaml:"), "{keys}: {text}");
    }
}
