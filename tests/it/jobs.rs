//! Jobs that people ask a webhook daemon to do, each as one test from the sender's request to what
//! was done. `docs/explain/how-it-is-tested.md` names the test of each job.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::manual::read;
use crate::scenario::{Daemon, Scenario, Target, fixture, hmac_hex, now};

#[test]
fn two_branches_of_one_repository_run_two_scripts() {
    let rules = r#"
endpoints: {/github: {verify: {github: env:GITHUB_SECRET}}}
rules:
  - name: production
    endpoint: /github
    match: {event: push, $.repository.full_name: acme/site, $.ref: refs/heads/main, $.after: {matches: "[0-9a-f]{40}"}}
    actions: [{run: [./production.sh, "{{ payload.after }}"]}]
  - name: staging
    endpoint: /github
    match: {event: push, $.repository.full_name: acme/site, $.ref: refs/heads/develop, $.after: {matches: "[0-9a-f]{40}"}}
    actions: [{run: [./staging.sh, "{{ payload.after }}"]}]
"#;
    let daemon = Scenario::new()
        .env("GITHUB_SECRET", "a-secret-of-the-test")
        .script("production.sh", "echo \"production $1\" >> deployed")
        .script("staging.sh", "echo \"staging $1\" >> deployed")
        .rules(rules)
        .start();
    let push = String::from_utf8(fixture("github/push.json")).unwrap();
    let after = "9b1c6f3b8f5f3d2f6f0f59a5e2f7d1c0a3b4e5d6";
    assert!(push.contains(after));
    let send = |branch: &str, repository: &str| {
        let body = push.replace("refs/heads/main", &format!("refs/heads/{branch}"));
        let body = body.replace("acme/site", repository);
        let sending = daemon.post("/github").header("X-GitHub-Event", "push").json(body);
        sending.github("a-secret-of-the-test").send().outcome()
    };
    assert_eq!(send("main", "acme/site"), (200, "accepted".into()));
    daemon.eventually("production is deployed", || daemon.lines("deployed") == 1);
    assert_eq!(send("develop", "acme/site"), (200, "accepted".into()));
    daemon.eventually("staging is deployed", || daemon.lines("deployed") == 2);
    assert_eq!(send("feature", "acme/site"), (200, "ignored".into()));
    assert_eq!(send("main", "acme/other"), (200, "ignored".into()));
    assert_eq!(
        daemon.read("deployed"),
        format!("production {after}\nstaging {after}\n")
    );
    assert_eq!(daemon.scenario.deliveries(&[]).len(), 2);
}

/// Status, body and `X-Hookyard-Status` of the answer to a slash command.
fn slash_command(daemon: &Daemon, text: &str) -> (u16, String, String) {
    let body = format!("command=%2Fdeploy&user_id=U2147483697&text={text}");
    let at = now();
    let signature = hmac_hex(
        "8f742231b10e8888abcd99yyyzzz85a5",
        format!("v0:{at}:{body}").as_bytes(),
    );
    let answer = daemon
        .post("/slack")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("X-Slack-Request-Timestamp", &at.to_string())
        .header("X-Slack-Signature", &format!("v0={signature}"))
        .body(body)
        .send();
    let outcome = answer.header("x-hookyard-status").unwrap_or_default().to_owned();
    (answer.status, answer.body, outcome)
}

#[test]
fn a_slack_command_is_answered_200_with_its_output_its_failure_or_that_it_is_late() {
    let rules = r#"
rules:
  - name: deploy
    endpoint: /slack
    verify: {slack: {secret: env:SLACK_SIGNING_SECRET}}
    match: {$.command: /deploy}
    actions: [{run: [./work, "{{ payload.text }}"]}]
    respond:
      wait: 1s
      headers: {Content-Type: application/json}
      body: '{"text": {{ (actions[0].stdout | trim) | tojson }}}'
      failed: {status: 200, body: '{"text": {{ ("failed, " ~ actions[0].detail ~ ": " ~ (actions[0].stderr | trim)) | tojson }}}'}
      late: {status: 200, body: '{"text": "still working on {{ payload.text }}"}'}
"#;
    let script = "case $1 in slow) until [ -e go ]; do sleep 0.05; done;; bad) echo no such host >&2; exit 3;; esac\n\
                  echo \"done $1\" | tee -a worked";
    let daemon = Scenario::new()
        .env("SLACK_SIGNING_SECRET", "8f742231b10e8888abcd99yyyzzz85a5")
        .script("work", script)
        .rules(rules)
        .start();
    let expected = |body: &str, outcome: &str| (200, body.to_owned(), outcome.to_owned());
    assert_eq!(
        slash_command(&daemon, "quick"),
        expected(r#"{"text": "done quick"}"#, "done")
    );
    assert_eq!(
        slash_command(&daemon, "bad"),
        expected(r#"{"text": "failed, exit 3: no such host"}"#, "failed")
    );
    let begun = Instant::now();
    assert_eq!(
        slash_command(&daemon, "slow"),
        expected(r#"{"text": "still working on slow"}"#, "pending")
    );
    // Slack waits three seconds.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    std::fs::write(daemon.folder().join("go"), "").unwrap();
    daemon.eventually("a late command goes on to its end", || {
        daemon.read("worked") == "done quick\ndone slow\n"
    });
}

#[test]
fn a_button_with_a_constant_body_runs_at_each_press() {
    let target = Target::ok();
    let rules = format!(
        r#"
rules:
  - name: button
    endpoint: /button
    verify: {{bearer: env:BUTTON_TOKEN}}
    on_duplicate: run
    actions:
      - forward:
          url: {}/dispatches
          headers: {{Content-Type: application/json}}
          body: '{{"ref": "main"}}'
"#,
        target.url()
    );
    let daemon = Scenario::new()
        .env("BUTTON_TOKEN", "a-token-of-the-button")
        .rules(&rules)
        .start();
    let press = |token: &str| {
        let sending = daemon
            .post("/button")
            .header("Authorization", &format!("Bearer {token}"));
        sending.json(r#"{"button": 1}"#).send().outcome()
    };
    for presses in 1..=2 {
        assert_eq!(press("a-token-of-the-button"), (200, "accepted".into()));
        daemon.eventually("the request is made", || target.requests().len() == presses);
    }
    assert_eq!(press("another-token"), (401, "refused".into()));
    for request in target.requests() {
        assert_eq!(request.line, "POST /dispatches HTTP/1.1");
        assert_eq!(request.body, br#"{"ref": "main"}"#);
    }
    assert_eq!(daemon.scenario.deliveries(&["--state", "done"]).len(), 2);
}

#[test]
fn each_job_that_the_manual_lists_has_its_test() {
    let page = read("docs/explain/how-it-is-tested.md");
    let (_, section) = page.split_once("\n## Ten jobs\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut jobs = 0;
    for row in rows {
        let test = row.split('`').nth(1).unwrap_or_else(|| panic!("no test: {row}"));
        let (module, name) = test.split_once("::").unwrap();
        let path = format!("tests/it/{module}.rs");
        assert!(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(&path).exists(),
            "{path}"
        );
        let has_test = read(&path).contains(&format!("#[test]\nfn {name}() {{"));
        assert!(has_test, "{path} has no test `{name}`");
        jobs += 1;
    }
    assert_eq!(jobs, 10);
}
