//! `hookyard plan`: what a change of the rules would have done with the arrivals that are kept.

use serde_json::{Value, json};

use crate::scenario::{Daemon, Scenario, eventually, rules_text, said};

const SECRET: &str = "it-is-a-long-secret-1234567890";

const OLD: &str = r"
rules:
  - name: deploy
    endpoint: /github
    verify: {github: env:GITHUB_SECRET}
    match: {$.ref: refs/heads/main}
    actions: [{run: ['true', 'commit={{ payload.after }}']}]
  - name: record
    endpoint: /github
    verify: {github: env:GITHUB_SECRET}
    actions: [append: record.jsonl]
";

/// A daemon that has accepted pushes to `main` and `next`, and refused a forged one.
fn daemon(rules: &str) -> Daemon {
    let scenario = Scenario::new()
        .env("GITHUB_SECRET", SECRET)
        .env("OTHER_SECRET", "another-long-secret-0987654321");
    let daemon = scenario.rules(rules).start();
    for (number, branch) in ["main", "main", "next"].iter().enumerate() {
        assert_eq!(push(&daemon, number, branch, SECRET).0, 200);
    }
    assert_eq!(push(&daemon, 9, "main", "a-wrong-long-secret-1234567890").0, 403);
    let recorded = |daemon: &Daemon| daemon.scenario.arrivals(&[]).len();
    eventually("four records", || recorded(&daemon) == 4);
    daemon
}

fn push(daemon: &Daemon, number: usize, branch: &str, secret: &str) -> (u16, String) {
    let body = json!({"ref": format!("refs/heads/{branch}"), "after": format!("c{number}")});
    let sending = daemon.post("/github").json(body.to_string());
    sending.github(secret).send().outcome()
}

/// Writes other rules, which the daemon may not put in force.
fn rewrite(daemon: &Daemon, text: &str) {
    let text = rules_text(daemon.folder(), text);
    std::fs::write(daemon.folder().join("rules.yaml"), text).unwrap();
}

/// Plans a change of `from` to `to`, everywhere in the rules. Returns exit code, text and JSON.
fn change(daemon: &Daemon, from: &str, to: &str) -> (i32, String, Value) {
    let text = daemon.read("rules.yaml");
    assert!(text.contains(from), "{text}");
    std::fs::write(daemon.folder().join("new.yaml"), text.replace(from, to)).unwrap();
    plan(daemon, &["new.yaml"])
}

fn plan(daemon: &Daemon, arguments: &[&str]) -> (i32, String, Value) {
    let hookyard = |format: &str| {
        let arguments = [&["plan"], arguments, &["--format", format]].concat();
        daemon.scenario.hookyard(&arguments)
    };
    let (text, json) = (hookyard("text"), hookyard("json"));
    assert_eq!(text.status.code(), json.status.code(), "{}", said(&json));
    let parsed = serde_json::from_slice(&json.stdout).unwrap_or(Value::Null);
    (text.status.code().unwrap(), said(&text), parsed)
}

#[test]
fn a_change_is_judged_by_what_came() {
    let daemon = daemon(OLD);

    let (code, text, same) = change(&daemon, "refs/heads/main", "refs/heads/main");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("no difference"), "{text}");
    assert_eq!(same["judged"], 4);
    assert_eq!(same["fidelity"]["same"], 4);

    let (code, text, found) = change(&daemon, "refs/heads/main", "refs/heads/next");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("- deploy loses 2 arrivals"), "{text}");
    assert!(
        text.contains("the new rules: $.ref: expected \"refs/heads/next\""),
        "{text}"
    );
    assert!(text.contains("+ deploy gains 1 arrival\n"), "{text}");
    assert!(
        text.contains("the old rules: $.ref: expected \"refs/heads/main\""),
        "{text}"
    );
    let kinds: Vec<(&str, u64)> = found["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            (
                change["change"].as_str().unwrap(),
                change["arrivals"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(kinds, [("loses", 2), ("gains", 1)]);

    let (code, text, found) = change(&daemon, "commit={{", "sha={{");
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("~ deploy does something else for 2 arrivals"),
        "{text}"
    );
    let difference = &found["changes"][0]["differences"][0];
    assert_eq!(
        *difference,
        json!({"place": "actions[0].run[1]", "old": "commit=c1", "new": "sha=c1"})
    );
}

#[test]
fn a_change_beside_the_rules_is_judged_too() {
    let daemon = daemon(OLD);
    let (code, text, found) = change(&daemon, "rules:\n", "defaults: {timeout: 7s}\nrules:\n");
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("~ deploy does something else for 2 arrivals"),
        "{text}"
    );
    assert_eq!(
        found["changes"][0]["differences"],
        json!([{"place": "actions[0].timeout", "old": "10m", "new": "7s"}])
    );
    // A line that begins with `x-` says nothing.
    let (code, text, _) = change(&daemon, "rules:\n", "x-note: 1\nrules:\n");
    assert_eq!(code, 0, "{text}");
}

#[test]
fn what_cannot_be_judged_is_said() {
    let daemon = daemon(OLD);

    // No signature is kept: nobody knows whether the other secret would have accepted it.
    let (code, text, found) = change(&daemon, "env:GITHUB_SECRET", "env:OTHER_SECRET");
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains(
            "? deploy may gain or lose 3 arrivals: its verification has changed, and signatures are not kept"
        ),
        "{text}"
    );
    assert!(text.contains("no difference is known"), "{text}");
    assert_eq!(found["unknown"].as_array().unwrap().len(), 2);

    // Without verification, the forged request is an event.
    let (code, text, _) = change(&daemon, "{github: env:GITHUB_SECRET}", "none");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("+ record gains 1 arrival\n"), "{text}");

    let (code, text, _) = plan(&daemon, &["absent.yaml"]);
    assert_eq!(code, 2, "{text}");
    std::fs::write(daemon.folder().join("broken.yaml"), "rules: [{name: a}]\n").unwrap();
    let (code, text, _) = plan(&daemon, &["broken.yaml"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("broken.yaml:1:"), "{text}");
    assert!(
        text.contains("`broken.yaml` does not load, so nothing is judged"),
        "{text}"
    );
}

#[test]
fn a_rule_that_is_written_alike_needs_no_whole_body() {
    let daemon = daemon(OLD.split("  - name: record").next().unwrap());
    let body = json!({"ref": "refs/heads/next", "padding": "x".repeat(100_000)});
    let sending = daemon.post("/github").json(body.to_string());
    assert_eq!(sending.github(SECRET).send().outcome(), (200, "ignored".into()));
    eventually("five records", || daemon.scenario.arrivals(&[]).len() == 5);
    let (code, text, found) = change(&daemon, "rules:\n", "rules:\n");
    assert_eq!(code, 0, "{text}");
    assert_eq!(found["judged"], 5);
    let (code, text, _) = change(&daemon, "heads/main}", "heads/main, $.after: {exists: true}}");
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("? deploy may gain or lose 1 arrival: the body was not kept whole"),
        "{text}"
    );
}

#[test]
fn a_rule_that_is_removed_or_added_is_named_with_the_reason() {
    let daemon = daemon(OLD);
    let (code, text, _) = change(&daemon, "name: deploy", "name: deploy-main");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("- deploy loses 2 arrivals"), "{text}");
    assert!(text.contains("+ deploy-main gains 2 arrivals"), "{text}");
    assert!(text.contains("the new rules: there is no such rule"), "{text}");
    assert!(text.contains("the old rules: there is no such rule"), "{text}");
    for (to, reason) in [
        ("name: deploy\n    enabled: false", "it is not enabled"),
        (
            "name: deploy\n    allow: 192.0.2.0/24",
            "it refuses the request: address-not-allowed",
        ),
    ] {
        let (code, text, _) = change(&daemon, "name: deploy", to);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("- deploy loses 2 arrivals"), "{text}");
        assert!(text.contains(reason), "{text}");
    }
    let (code, text, _) = change(&daemon, "endpoint: /github", "endpoint: /hooks/github");
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("the new rules: no endpoint for `/github`"),
        "{text}"
    );
}

#[test]
fn decisions_of_other_rules_and_repetitions_are_told_apart() {
    let daemon = daemon(OLD);
    // A repetition is no event, whatever the rules say.
    assert_eq!(push(&daemon, 0, "main", SECRET), (200, "duplicate".into()));
    daemon.rewrite(&OLD.replace("heads/main", "heads/next"));
    daemon.eventually("the reload", || daemon.log().contains("generation=2"));
    eventually("five records", || daemon.scenario.arrivals(&[]).len() == 5);

    let (code, text, found) = change(&daemon, "heads/next", "heads/next");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("left out: 1 duplicate"), "{text}");
    assert!(
        text.contains("note: other rules than rules.yaml decided 3 arrivals: "),
        "{text}"
    );
    assert_eq!(found["fidelity"]["other_rules"]["arrivals"], 3);
    assert_eq!(found["judged"], 4);

    // Only the latest ones.
    let (_, _, found) = plan(&daemon, &["new.yaml", "--last", "2"]);
    let left_out = found["left_out"].as_object().unwrap().values();
    let left_out: u64 = left_out.filter_map(Value::as_u64).sum();
    assert_eq!(found["judged"].as_u64().unwrap() + left_out, 2);
    let (code, text, _) = plan(&daemon, &["new.yaml", "--since", "2999-01-01"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("no arrival is kept that could tell"), "{text}");
}

#[test]
fn the_file_on_disk_is_compared_with_the_rules_in_force() {
    // The daemon keeps its rules, because the new file makes a rule lose arrivals.
    let rules = format!("reload: {{refuse_if: [loses]}}\n{OLD}");
    let mut daemon = daemon(&rules);
    let (code, text, _) = plan(&daemon, &[]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("judged by the rules in force (generation 1) and by "),
        "{text}"
    );

    let changed = rules.replace("heads/main", "heads/release");
    rewrite(&daemon, &changed);
    daemon.eventually("a refusal", || daemon.log().contains("refuse-if"));
    let log = daemon.log();
    assert!(
        log.contains("the rule `deploy` loses 2 arrivals, such as 01"),
        "{log}"
    );
    assert!(log.contains("($.ref: expected \"refs/heads/release\")"), "{log}");
    assert!(log.contains("hookyard plan"), "{log}");
    assert_eq!(push(&daemon, 20, "main", SECRET), (200, "accepted".into()));
    let (code, text, found) = plan(&daemon, &[]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("- deploy loses 3 arrivals"), "{text}");
    assert_eq!(found["changes"][0]["change"], "loses");
    let status = daemon.scenario.hookyard(&["status", "--check"]);
    assert_eq!(status.status.code(), Some(1), "{}", said(&status));

    // A change that only gains is put in force, and so is one that says so.
    daemon.rewrite(&rules.replace("{$.ref: refs/heads/main}", "{$.ref: {prefix: refs/heads/}}"));
    daemon.eventually("generation 2", || daemon.log().contains("generation=2"));
    daemon.rewrite(&changed.replace("[loses]", "[]"));
    daemon.eventually("generation 3", || daemon.log().contains("generation=3"));

    // A restart puts any file in force that loads.
    assert_eq!(daemon.stop(), Some(0));
    let (code, text, _) = plan(&daemon, &[]);
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("without a daemon, name the new rules: `hookyard plan NEW.yaml`"),
        "{text}"
    );
}

#[test]
fn a_gate_that_the_new_file_leaves_out_still_holds() {
    let daemon = daemon(&format!("reload: {{refuse_if: [loses, differs]}}\n{OLD}"));
    rewrite(&daemon, "rules: []\n");
    daemon.eventually("a refusal", || {
        daemon.log().contains("the rule `record` loses 3 arrivals")
    });
    rewrite(&daemon, &OLD.replace("commit=", "sha="));
    daemon.eventually("another refusal", || {
        daemon
            .log()
            .contains("the rule `deploy` does something else for 2 arrivals")
    });
    assert_eq!(push(&daemon, 30, "main", SECRET), (200, "accepted".into()));
}

#[test]
fn a_difference_of_any_element_is_found() {
    let rules = r"
rules:
  - name: each
    endpoint: /list
    verify: none
    for_each: {path: '$.items[*]', limit: 10}
    actions: [{run: ['true', 'name={{ item.name }}']}]
";
    let daemon = Scenario::new().rules(rules).start();
    let body = json!({"items": [{"name": "a"}, {"name": "b"}, {"name": "c"}]});
    let sent = daemon.post("/list").json(body.to_string()).send().outcome();
    assert_eq!(sent, (200, "accepted".into()));
    let (code, text, _) = change(&daemon, "name={{", "name={{");
    assert_eq!(code, 0, "{text}");
    let (code, text, found) = change(&daemon, "item.name }}", "item.name | replace(\"b\", \"x\") }}");
    assert_eq!(code, 1, "{text}");
    assert_eq!(
        found["changes"][0]["differences"],
        json!([{"place": "actions[0].run[1]", "old": "name=b", "new": "name=x"}])
    );
    let (code, text, found) = change(&daemon, "limit: 10}", "limit: 10}\n    match: {'@.name': b}");
    assert_eq!(code, 1, "{text}");
    assert_eq!(
        found["changes"][0]["differences"],
        json!([{"place": "elements", "old": [0, 1, 2], "new": [1]}])
    );
}
