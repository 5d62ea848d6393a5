//! `on_failure` actions: they run once per failed delivery, also across crashes, and know the
//! reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::scenario::{Daemon, Scenario, Target, said};

/// Fails with some output until there is a file `well`.
const BREAK: &str = "
      - shell: |
          [ -e well ] && exit 0
          echo begun; echo 'no space left' >&2; exit 3
";

fn rules(more: &str) -> String {
    format!(
        "
rules:
  - name: deploy
    endpoint: /deploy
    verify: {{github: {{secret: k}}}}
    retry: {{attempts: 2, backoff: [10ms]}}
    actions:{BREAK}{more}"
    )
}

fn send(daemon: &Daemon, n: u32) {
    let answer = daemon
        .post("/deploy")
        .json(format!(r#"{{"n": {n}}}"#))
        .github("k")
        .send();
    assert_eq!(answer.outcome(), (200, "accepted".to_owned()));
}

/// Deliveries in `hookyard events list`.
fn listed(daemon: &Daemon, filter: &[&str]) -> Vec<Value> {
    daemon.scenario.deliveries(filter)
}

#[test]
fn it_is_done_once_and_knows_what_has_failed() {
    let daemon = Scenario::new()
        .rules(&rules(
            r#"    on_failure:
      - append: alarms.txt
        line: "{{ payload.n }} {{ failure.action }}; {{ failure.reason }}; {{ failure.output | trim | replace('\n', '|') }}"
      - shell: echo "$HOOKYARD_FAILURE_ACTION $HOOKYARD_FAILURE_REASON $OUTPUT" > command.txt; cat > record.json
        env: {OUTPUT: "{{ failure.output }}"}
        stdin: json
"#,
        ))
        .start();
    send(&daemon, 1);
    daemon.eventually("the second action is done", || daemon.lines("record.json") == 1);
    assert_eq!(
        daemon.read("alarms.txt"),
        "1 shell; exit 3, after 2 attempts; begun|no space left\n"
    );
    assert_eq!(
        daemon.read("command.txt"),
        "shell exit 3, after 2 attempts begun\nno space left\n\n"
    );
    let record: Value = serde_json::from_str(&daemon.read("record.json")).unwrap();
    assert_eq!(record["failure"]["reason"], "exit 3, after 2 attempts");
    assert_eq!(record["payload"]["n"], 1);
    daemon.eventually("it has ended", || {
        listed(&daemon, &["--state", "done"]).len() == 1
    });
    let dead = listed(&daemon, &["--state", "dead"]);
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0]["reason"], "exit 3, after 2 attempts");
    let all = listed(&daemon, &[]);
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["failure_of"], dead[0]["delivery"]);
    assert!(daemon.log().contains("next=\"dead letter, on_failure\""));
    assert!(daemon.log().contains("on_failure=true"));
    // A second event fails, too.
    send(&daemon, 2);
    daemon.eventually("again", || daemon.lines("alarms.txt") == 2);
    // A successful delivery needs no `on_failure`.
    std::fs::write(daemon.folder().join("well"), "").unwrap();
    send(&daemon, 3);
    daemon.eventually("it is done", || listed(&daemon, &["--state", "done"]).len() == 3);
    assert_eq!(daemon.lines("alarms.txt"), 2);
}

#[test]
fn it_survives_a_kill_and_its_own_failure_is_no_second_dead_letter() {
    let reachable = Arc::new(AtomicBool::new(false));
    let answering = Arc::clone(&reachable);
    let target = Target::new(move |_| {
        let status = if answering.load(Ordering::Relaxed) {
            200
        } else {
            404
        };
        format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")
    });
    let alarm = format!(
        "    on_failure:
      - shell: echo alarm >> alarms.txt; [ -e go ] || sleep 30
      - forward: {{url: '{}', body: '{{{{ failure.reason }}}}'}}
",
        target.url()
    );
    let mut daemon = Scenario::new().rules(&rules(&alarm)).start();
    send(&daemon, 1);
    daemon.eventually("the alarm begins", || daemon.lines("alarms.txt") == 1);
    assert_eq!(listed(&daemon, &["--state", "dead"]).len(), 1);
    daemon.kill();
    std::fs::write(daemon.folder().join("go"), "").unwrap();
    daemon.start();
    daemon.eventually("it ends", || {
        listed(&daemon, &["--state", "waiting"]).is_empty() && target.requests().len() == 1
    });
    // Run again, since the outcome of the interrupted attempt is unknown.
    assert_eq!(daemon.lines("alarms.txt"), 2);
    assert_eq!(target.requests()[0].body, b"exit 3, after 2 attempts");
    assert!(daemon.log().contains("next=\"given up\""));
    let dead = listed(&daemon, &["--state", "dead"]);
    assert_eq!(dead.len(), 1, "{dead:?}");
    // A replay only covers the failed delivery, and its next failure counts as a new one.
    reachable.store(true, Ordering::Relaxed);
    let event = dead[0]["event"].as_str().unwrap();
    let output = daemon.scenario.hookyard(&["events", "replay", event]);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("1 delivery replayed"),
        "{output:?}"
    );
    daemon.eventually("another alarm", || target.requests().len() == 2);
    let made = |listed: Vec<Value>| listed.iter().filter(|one| !one["failure_of"].is_null()).count();
    daemon.eventually("it is done", || made(listed(&daemon, &["--state", "done"])) == 1);
    assert_eq!(made(listed(&daemon, &[])), 2);
    let output = daemon.scenario.hookyard(&["events", "drop", "--dead"]);
    assert!(output.status.success());
    assert_eq!(
        listed(&daemon, &[]).len(),
        0,
        "and what was done for its failures went with it"
    );
    let output = daemon.scenario.hookyard(&["store", "check"]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_sender_that_waits_does_not_wait_for_it_and_neither_does_the_group() {
    let daemon = Scenario::new()
        .rules(&rules(
            "    respond: {wait: 20s}
    concurrency: {limit: 1}
    on_failure:
      - shell: echo alarm >> alarms.txt; i=0; while [ ! -e go ] && [ $i -lt 1000 ]; do sleep 0.02; i=$((i+1)); done
",
        ))
        .start();
    let post = |n: u32| {
        daemon
            .post("/deploy")
            .json(format!(r#"{{"n": {n}}}"#))
            .github("k")
    };
    assert_eq!(post(1).send().outcome(), (500, "failed".to_owned()));
    daemon.eventually("the alarm is under way", || daemon.lines("alarms.txt") == 1);
    std::fs::write(daemon.folder().join("well"), "").unwrap();
    // The same event again is a duplicate, since its failure was reported; another event is new.
    assert_eq!(post(1).send().outcome(), (200, "done".to_owned()));
    assert_eq!(post(2).send().outcome(), (200, "done".to_owned()));
    std::fs::write(daemon.folder().join("go"), "").unwrap();
    daemon.eventually("the alarm has ended", || {
        listed(&daemon, &["--state", "waiting"]).is_empty()
    });
    assert_eq!(daemon.lines("alarms.txt"), 1);
}

#[test]
fn check_knows_its_names_and_explain_shows_it() {
    for (more, words) in [
        ("    on_failure: []\n", "a rule has 1 to 64 on_failure"),
        ("    on_failure: {run: [x]}\n", "`on_failure` is a list"),
        (
            "    on_failure: [{append: x.txt, line: '{{ failure.cause }}'}]\n",
            "unknown name `failure.cause`",
        ),
        (
            "      - append: x.txt\n        line: '{{ failure.reason }}'\n",
            "there is no `failure` here",
        ),
    ] {
        let output = Scenario::new().rules(&rules(more)).hookyard(&["check"]);
        let text = said(&output);
        assert!(text.contains(words), "{more}: {text}");
        assert_eq!(output.status.code(), Some(1), "{more}");
    }
    let scenario = Scenario::new()
        .rules(&rules(
            "    on_failure: [{append: x.txt, line: 'n {{ failure.reason }}'}]\n",
        ))
        .file("body.json", "{}");
    let arguments = [
        "explain",
        "rules.yaml",
        "--endpoint",
        "/deploy",
        "--body",
        "body.json",
    ];
    let output = scenario.hookyard(&arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("on failure would do") && text.contains("n <reason>"),
        "{text}"
    );
}
