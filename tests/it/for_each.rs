//! `for_each`: one delivery for each element of an event.

use std::fs;

use serde_json::{Value, json};

use crate::scenario::{Answer, Daemon, Scenario, Sending, fixture, rules_text, said};

/// A rule for the firing alerts, and what is added to it.
fn firing(more: &str) -> String {
    format!(
        "
rules:
  - name: firing
    endpoint: /alerts
    verify: none
    for_each: $.alerts[*]
    match: {{'@.status': firing}}{more}
"
    )
}

fn alerts(instances: &[&str]) -> Value {
    let alerts = instances.iter().map(|instance| {
        let instance = instance.trim_start_matches('!');
        let status = if instances.contains(&&*format!("!{instance}")) {
            "resolved"
        } else {
            "firing"
        };
        json!({"status": status, "labels": {"instance": instance}})
    });
    json!({"alerts": alerts.collect::<Vec<_>>()})
}

fn sending(daemon: &Daemon, body: &Value) -> Sending {
    daemon.post("/alerts").json(body.to_string())
}

fn send(daemon: &Daemon, body: &Value) -> Answer {
    sending(daemon, body).send()
}

/// State and element of each delivery, in the order of the deliveries.
fn states(daemon: &Daemon) -> Vec<String> {
    let mut deliveries = daemon.scenario.deliveries(&[]);
    deliveries.reverse();
    let state = |delivery: &Value| {
        let of_failure = if delivery["failure_of"].is_null() {
            ""
        } else {
            " (failure)"
        };
        format!(
            "{}[{}] {}{of_failure}",
            delivery["rule"].as_str().unwrap(),
            delivery["element"],
            delivery["state"].as_str().unwrap()
        )
    };
    deliveries.iter().map(state).collect()
}

fn ended(daemon: &Daemon) {
    daemon.eventually("everything has ended", || {
        let states = states(daemon);
        !states.is_empty() && !states.iter().any(|state| state.contains("waiting"))
    });
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn alertmanager_alerts_run_one_by_one_as_firing_or_resolved() {
    // The rules of the guide.
    let page = include_str!("../../docs/guides/grafana-alertmanager.md");
    let blocks = page.split("```yaml\n").skip(1);
    let rules = blocks.map(|block| block.split("```").next().unwrap());
    let rules = rules
        .into_iter()
        .find(|rules| rules.contains("for_each"))
        .unwrap();
    let daemon = Scenario::new()
        .env("ALERTMANAGER_TOKEN", "d41f8a6b09c3e257d41f8a6b09c3e257")
        .script("deploy.sh", "echo \"page $INSTANCE $SUMMARY\" >> pages")
        .rules(rules)
        .start();
    let answer = daemon
        .post("/alertmanager")
        .header("Authorization", "Bearer d41f8a6b09c3e257d41f8a6b09c3e257")
        .json(fixture("alertmanager/alerts.json"))
        .send();
    assert_eq!(answer.outcome(), (200, "accepted".to_owned()));
    ended(&daemon);
    assert_eq!(
        sorted(&daemon.read("pages")),
        [
            "page db-1:9100 DiskFull on db-1:9100",
            "page db-3:9100 DiskFull on db-3:9100",
        ]
    );
    assert_eq!(daemon.read("resolved.log"), "DiskFull on db-2:9100 is over\n");
    let mut states = states(&daemon);
    states.sort();
    assert_eq!(
        states,
        [
            "alert-firing[0] done",
            "alert-firing[2] done",
            "alert-resolved[1] done"
        ]
    );
}

#[test]
fn a_kill_after_the_first_of_three_elements_repeats_none_that_was_done() {
    let rules = firing(
        "
    concurrency: {limit: 1}
    actions:
      - run: [./work, '{{ item.labels.instance }}']",
    );
    let script = "echo $1 >> began; [ $1 = b ] && [ ! -e go ] && sleep 30; echo $1 >> done";
    let mut daemon = Scenario::new().script("work", script).rules(&rules).start();
    assert_eq!(send(&daemon, &alerts(&["a", "b", "c"])).status, 200);
    daemon.eventually("the second begins", || daemon.lines("began") == 2);
    daemon.kill();
    fs::write(daemon.folder().join("go"), "").unwrap();
    daemon.start();
    ended(&daemon);
    assert_eq!(daemon.read("done"), "a\nb\nc\n");
    assert_eq!(daemon.read("began"), "a\nb\nb\nc\n");
}

#[test]
fn an_element_that_fails_is_a_dead_letter_of_its_own_and_is_replayed_alone() {
    let rules = firing(
        "
    retry: {attempts: 2, backoff: 10ms}
    actions:
      - run: [./work, '{{ item.labels.instance }}']
      - {append: done.log, line: '{{ item.labels.instance }} {{ item | tojson }}'}
    on_failure:
      - {append: failed.log, line: '{{ item.labels.instance }} {{ failure.reason }}'}",
    );
    let script = "echo $1 >> began; [ $1 != b ] || [ -e go ]";
    let daemon = Scenario::new().script("work", script).rules(&rules).start();
    send(&daemon, &alerts(&["a", "b", "c"]));
    ended(&daemon);
    assert_eq!(
        states(&daemon),
        [
            "firing[0] done",
            "firing[1] dead",
            "firing[2] done",
            "firing[1] done (failure)"
        ]
    );
    assert_eq!(daemon.read("failed.log"), "b exit 1, after 2 attempts\n");
    assert_eq!(sorted(&daemon.read("began")), ["a", "b", "b", "c"]);
    let text = daemon.scenario.hookyard(&["events", "list"]);
    let listed = "firing[0] done, firing[1] dead, firing[2] done, firing[1] (on_failure) done";
    assert!(said(&text).contains(listed), "{}", said(&text));
    fs::write(daemon.folder().join("go"), "").unwrap();
    let replayed = daemon.scenario.hookyard(&["events", "replay", "--dead"]);
    assert!(replayed.status.success(), "{}", said(&replayed));
    daemon.eventually("the replay is done", || daemon.lines("done.log") == 3);
    assert_eq!(
        sorted(&daemon.read("done.log"))[1],
        r#"b {"labels":{"instance":"b"},"status":"firing"}"#
    );
    assert_eq!(sorted(&daemon.read("began")), ["a", "b", "b", "b", "c"]);
}

#[test]
fn too_many_elements_are_one_dead_letter_and_a_replay_runs_them_after_the_limit_was_raised() {
    let actions = "
    actions: [{append: done.log, line: '{{ item.labels.instance }}'}]
    on_failure:
      - {append: failed.log, line: '{{ failure.action }}: {{ failure.reason }} ({{ item.labels.instance if item else \"all\" }})'}";
    let rules = firing(actions).replace("$.alerts[*]", "{path: '$.alerts[*]', limit: 2}");
    let daemon = Scenario::new().rules(&rules).start();
    assert_eq!(send(&daemon, &alerts(&["a", "b", "!c"])).status, 200);
    ended(&daemon);
    assert_eq!(
        states(&daemon),
        ["firing[null] dead", "firing[null] done (failure)"]
    );
    let dead = daemon.scenario.deliveries(&["--state", "dead"]);
    assert_eq!(dead[0]["reason"], "3 elements; for_each takes 2");
    assert_eq!(
        daemon.read("failed.log"),
        "for_each: 3 elements; for_each takes 2 (all)\n"
    );
    assert!(!daemon.folder().join("done.log").exists());

    daemon.rewrite(&rules.replace("limit: 2", "limit: 3"));
    let replayed = daemon.scenario.hookyard(&["events", "replay", "--dead"]);
    assert!(replayed.status.success(), "{}", said(&replayed));
    daemon.eventually("the elements are done", || {
        daemon.folder().join("done.log").exists() && daemon.lines("done.log") == 2
    });
    ended(&daemon);
    assert_eq!(sorted(&daemon.read("done.log")), ["a", "b"]);
    let states = states(&daemon);
    assert_eq!(states[0], "firing[null] superseded");
    assert_eq!(states[2..], ["firing[0] done", "firing[1] done"]);
    // The ids of the elements are those of the event, so a second replay adds none.
    let whole = daemon.scenario.deliveries(&["--state", "superseded"])[0]["delivery"].clone();
    let again = daemon
        .scenario
        .hookyard(&["events", "replay", whole.as_str().unwrap()]);
    assert!(again.status.success(), "{}", said(&again));
    ended(&daemon);
    assert_eq!(daemon.lines("done.log"), 2);
    let checked = daemon.scenario.hookyard(&["store", "check"]);
    assert!(checked.status.success(), "{}", said(&checked));
}

#[test]
fn an_event_that_comes_again_is_a_duplicate_as_a_whole() {
    let rules = firing("\n    actions: [{append: done.log, line: '{{ item.labels.instance }}'}]")
        .replace("verify: none", "verify: {github: {secret: k}}");
    let mut daemon = Scenario::new().rules(&rules).start();
    let body = alerts(&["a", "!b", "c"]);
    let signed = |daemon: &Daemon| sending(daemon, &body).github("k").send();
    let first = signed(&daemon);
    assert_eq!(first.outcome(), (200, "accepted".to_owned()));
    assert_eq!(signed(&daemon).outcome(), (200, "duplicate".to_owned()));
    // What has not ended when the daemon is killed would be appended again.
    ended(&daemon);
    daemon.kill();
    daemon.start();
    assert_eq!(signed(&daemon).outcome(), (200, "duplicate".to_owned()));
    ended(&daemon);
    assert_eq!(sorted(&daemon.read("done.log")), ["a", "c"]);
}

#[test]
fn no_matching_element_is_an_ignored_event_and_the_decision_says_why() {
    let rules = firing("\n    actions: [{append: done.log}]");
    let daemon = Scenario::new().rules(&rules).start();
    for (body, why) in [
        (
            alerts(&["!a", "!b"]),
            r#"for_each $.alerts[*]: expected an element that matches, found 2, of which the nearest is 0: @.status: expected "firing", found "resolved""#,
        ),
        (
            json!({"alerts": []}),
            "for_each $.alerts[*]: expected an element that matches, found nothing",
        ),
    ] {
        assert_eq!(send(&daemon, &body).outcome(), (200, "ignored".to_owned()));
        let mut recorded = Value::Null;
        daemon.eventually("the arrival is recorded", || {
            recorded = daemon.scenario.arrivals(&["--outcome", "ignored"])[0]["reason"].clone();
            recorded.as_str().is_some_and(|reason| reason.contains(why))
        });
    }
}

#[test]
fn a_sender_that_waits_is_answered_when_all_elements_have_ended() {
    let rules = firing(
        "
    respond:
      wait: 10s
      body: '{{ actions | length }}{% for action in actions %} {{ action.stdout | trim }}{% endfor %}'
      late: {status: 202, body: 'late'}
    actions: [{run: [./work, '{{ item.labels.instance }}']}]",
    );
    let script = "case $1 in slow) sleep 1;; hang) sleep 20;; esac; echo $1; [ $1 != bad ]";
    let daemon = Scenario::new().script("work", script).rules(&rules).start();
    let answer = send(&daemon, &alerts(&["slow", "b"]));
    assert_eq!((answer.status, &*answer.body), (200, "2 slow b"));
    // One that fails fails the answer, after all have ended.
    let answer = send(&daemon, &alerts(&["bad", "slow"]));
    assert_eq!(answer.status, 500);
    let answers = states(&daemon);
    assert_eq!(answers[2..], ["firing[0] dead", "firing[1] done"]);

    let short = rules.replace("wait: 10s", "wait: 1s");
    daemon.rewrite(&short);
    let answer = send(&daemon, &alerts(&["b", "hang"]));
    assert_eq!((answer.status, &*answer.body), (202, "late"));
}

#[test]
fn each_element_joins_the_group_that_its_template_names() {
    let rules = firing(
        "
    concurrency: {group: '{{ item.labels.instance }}'}
    actions: [{run: [./work, '{{ item.labels.instance }}']}]",
    );
    // Elements of one group never overlap; the two groups meet.
    let script = "mkdir lock-$1 || echo overlap >> wrong; \
                  i=0; while [ $i -lt 100 ] && ! { [ -e lock-a ] && [ -e lock-b ] || [ -e met ]; }; do sleep 0.1; i=$((i+1)); done; \
                  [ -e lock-a ] && [ -e lock-b ] && touch met; rmdir lock-$1";
    let daemon = Scenario::new().script("work", script).rules(&rules).start();
    send(&daemon, &alerts(&["a", "a", "b"]));
    ended(&daemon);
    assert!(daemon.folder().join("met").exists());
    assert!(!daemon.folder().join("wrong").exists());
    assert_eq!(states(&daemon).len(), 3);
}

/// Writes other rules while no daemon runs.
fn rewrite(daemon: &Daemon, rules: &str) {
    let text = rules_text(daemon.folder(), rules);
    fs::write(daemon.folder().join("rules.yaml"), text).unwrap();
}

#[test]
fn a_rule_that_loses_or_changes_its_for_each_says_so() {
    let rules = firing("\n    actions: [{run: [./work]}]");
    let mut daemon = Scenario::new()
        .script("work", "[ -e go ]")
        .rules(&rules.replace("actions:", "retry: {attempts: 5, backoff: 1s}\n    actions:"))
        .start();
    send(&daemon, &alerts(&["a", "b"]));
    daemon.eventually("both wait for a retry", || states(&daemon).len() == 2);
    daemon.kill();
    let without = rules
        .replace("    for_each: $.alerts[*]\n", "")
        .replace("    match: {'@.status': firing}\n", "");
    rewrite(&daemon, &without);
    daemon.start();
    ended(&daemon);
    let dead = daemon.scenario.deliveries(&["--state", "dead"]);
    assert_eq!(dead.len(), 2);
    assert_eq!(dead[0]["reason"], "the rule `firing` has no `for_each` any more");
    // The other way round, a delivery of the whole event becomes those of its elements.
    daemon.kill();
    let slow = without.replace("actions:", "retry: {attempts: 5, backoff: 3s}\n    actions:");
    rewrite(&daemon, &slow);
    daemon.start();
    send(&daemon, &alerts(&["c", "!d"]));
    daemon.eventually("it waits for a retry", || states(&daemon).len() == 3);
    daemon.kill();
    rewrite(&daemon, &rules);
    fs::write(daemon.folder().join("go"), "").unwrap();
    daemon.start();
    ended(&daemon);
    assert_eq!(
        states(&daemon)[2..],
        ["firing[null] superseded", "firing[0] done"]
    );
}

/// Codes and messages of the errors of `check`.
fn errors(rule: &str) -> Vec<String> {
    let text = format!("rules:\n  - {{name: a, endpoint: /a, verify: none, {rule}}}\n");
    let scenario = Scenario::new().script("work", "true").rules(&text);
    let checked = scenario.hookyard(&["check", "--format", "json"]);
    let found: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let found = found["diagnostics"].as_array().unwrap().iter();
    found
        .filter(|one| one["severity"] == "error")
        .map(|one| {
            format!(
                "{}: {} ({})",
                one["code"].as_str().unwrap(),
                one["message"].as_str().unwrap(),
                one["hint"].as_str().unwrap_or_default()
            )
        })
        .collect()
}

#[test]
fn what_makes_no_sense_is_an_error_with_a_hint() {
    let each = "for_each: '$.alerts[*]'";
    let append = "actions: [{append: a.log}]";
    let item = "actions: [{append: a.log, line: '{{ item.x }}'}]";
    for (rule, expected) in [
        (format!("{each}, {append}"), vec![]),
        (
            format!(
                "{each}, {item}, match: {{'@': x, '@.a[*]': {{every: 1}}, any: [{{'@.b': 1}}, {{$.c: 2}}]}}"
            ),
            vec![],
        ),
        (
            item.to_owned(),
            vec![
                "template: there is no `item` here (a rule with `for_each: $.alerts[*]` knows it in `actions`, `on_failure` and `concurrency.group`)",
            ],
        ),
        (
            format!("{append}, match: {{'@.status': firing}}"),
            vec![
                "unknown-selector: `@.status` looks at an element, and this rule has no `for_each` (add `for_each: $.alerts[*]` to the rule, or look at the payload: `$.status`)",
            ],
        ),
        (
            format!("{append}, match: {{not: {{any: [{{'@': 1}}]}}}}"),
            vec![
                "unknown-selector: `@` looks at an element, and this rule has no `for_each` (add `for_each: $.alerts[*]` to the rule, or look at the payload: `$`)",
            ],
        ),
        (
            format!("{each}, {append}, match: {{'@.a b': 1}}"),
            vec![
                "invalid-jsonpath: invalid JSONPath `$.a b`: a space at its character 4, where none may stand (a name with a space stands in brackets: `$['a b']`)",
            ],
        ),
        (
            format!("for_each: $.alerts, {append}"),
            vec![
                "for-each: `$.alerts` selects one value at most, and not the elements of a list (write `$.alerts[*]`)",
            ],
        ),
        (
            format!("for_each: alerts, {append}"),
            vec![
                "invalid-jsonpath: `alerts` does not begin with `$`, the payload (write `for_each: $.alerts[*]`)",
            ],
        ),
        (
            format!("for_each: [$.alerts], {append}"),
            vec![
                "wrong-value: `for_each` is a JSONPath, or has one in `path` (write `for_each: $.alerts[*]`)",
            ],
        ),
        (
            format!("for_each: {{path: '$.a[*]', limit: 10001}}, {append}"),
            vec!["wrong-value: `limit` is 10001; it may be 1 to 10000 ()"],
        ),
        (
            format!("for_each: {{path: '$.a[*]', limit: 1001}}, respond: {{wait: true}}, {append}"),
            vec!["wrong-value: `limit` is 1001; with `respond.wait` it may be 1 to 1000 ()"],
        ),
        (
            format!("{each}, debounce: 3s, {append}"),
            vec![
                "debounce: `debounce` keeps only the newest delivery, and `for_each` makes one per element (no `debounce`, or a rule of its own without `for_each`)",
            ],
        ),
        (
            format!("{each}, {append}, respond: {{body: '{{{{ item.x }}}}'}}"),
            vec![
                "template: there is no `item` here (a rule with `for_each: $.alerts[*]` knows it in `actions`, `on_failure` and `concurrency.group`)",
            ],
        ),
        (
            format!("{each}, {append}, match: {{'@.n': {{gt: 5, lt: 3}}}}"),
            vec!["never-holds"],
        ),
    ] {
        let found = errors(&rule);
        if expected == ["never-holds"] {
            assert!(
                found.len() == 1 && found[0].starts_with("never-holds"),
                "{rule}: {found:?}"
            );
            continue;
        }
        assert_eq!(found, expected, "{rule}");
    }
}

#[test]
fn a_value_of_an_element_is_guarded_by_a_condition_on_the_element() {
    let check = |condition: &str| {
        let rules = firing("\n    actions: [{run: [./work, '{{ item.name }}']}]")
            .replace("'@.status': firing", condition);
        let scenario = Scenario::new().script("work", "true").rules(&rules);
        said(&scenario.hookyard(&["check"]))
    };
    let warning = "this argument comes from the event and may begin with `-`";
    for condition in ["'@.status': firing", "$.name: a"] {
        let found = check(condition);
        assert!(found.contains(warning), "{found}");
    }
    for condition in [
        "'@.name': [a, b]",
        "'@.name': {matches: '[a-z-]?[a-z]+', prefix: a}",
    ] {
        let found = check(condition);
        assert!(!found.contains(warning), "{found}");
    }
}

#[test]
fn explain_shows_the_decision_of_each_element() {
    let rules = firing("\n    actions: [{append: done.log, line: '{{ item.labels.instance }}'}]");
    let daemon = Scenario::new().rules(&rules).start();
    let answer = send(&daemon, &alerts(&["!a", "b"]));
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let id = body["id"].as_str().unwrap();
    let explained = said(&daemon.scenario.hookyard(&["explain", "--event", id]));
    for line in [
        "yes firing: every condition holds",
        r#"      element 0: no, @.status: expected "firing", found "resolved""#,
        "      element 1: yes, every condition holds",
        "      for element 1:",
        r#"      would do {"append":"#,
    ] {
        assert!(explained.contains(line), "{line}: {explained}");
    }
    let many: Vec<String> = (0..40).map(|number| format!("i{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    fs::write(daemon.folder().join("many.json"), alerts(&many).to_string()).unwrap();
    let explained = daemon.scenario.hookyard(&[
        "explain",
        "--header",
        "Content-Type: application/json",
        "--body",
        "many.json",
        "--format",
        "json",
    ]);
    let explained: Value = serde_json::from_slice(&explained.stdout).unwrap();
    let elements = &explained["rules"][0]["elements"];
    assert_eq!(elements["number"], 40);
    assert_eq!(elements["explained"].as_array().unwrap().len(), 32);
}

#[test]
fn a_rule_that_is_fired_waits_for_all_its_elements() {
    let rules = firing("\n    actions: [{append: done.log, line: '{{ item.labels.instance }}'}]");
    let daemon = Scenario::new().rules(&rules).start();
    let body = daemon.folder().join("alerts.json");
    fs::write(&body, alerts(&["a", "!b", "c"]).to_string()).unwrap();
    let fire = |more: &[&str]| {
        let arguments = ["fire", "firing", "--json", "alerts.json"];
        daemon.scenario.hookyard(&[&arguments, more].concat())
    };
    let dry = fire(&["--dry-run"]);
    assert!(said(&dry).contains("would do"), "{}", said(&dry));
    let fired = fire(&["--wait"]);
    assert!(fired.status.success(), "{}", said(&fired));
    assert_eq!(sorted(&daemon.read("done.log")), ["a", "c"]);
    fs::write(&body, alerts(&["!b"]).to_string()).unwrap();
    for more in [&[][..], &["--force"]] {
        let refused = fire(more);
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    }
}
