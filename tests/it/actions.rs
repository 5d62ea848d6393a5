//! Actions through the daemon: ends of commands, verdicts of forwards, retries and dead letters,
//! and pending work that continues after a restart.

use std::time::{Duration, Instant};

use crate::scenario::{Daemon, Scenario, Target, fixture};

/// A rule on `/open` without verification, with these actions (YAML, flow style) and further keys.
fn open(actions: &str, more: &str) -> String {
    format!("rules:\n  - {{name: open, endpoint: /open, verify: none, actions: {actions}{more}}}\n")
}

fn post(daemon: &Daemon) -> u16 {
    daemon
        .post("/open")
        .json(fixture("github/push.json"))
        .send()
        .status
}

#[test]
fn a_value_from_the_request_never_reaches_a_shell_as_code() {
    let daemon = Scenario::new()
        .rules(
            r#"
rules:
  - name: shell
    endpoint: /open
    verify: none
    actions:
      - shell: printf '%s\n' "$VALUE" > value
        env: {VALUE: "{{ payload.value }}"}
      - run: [/bin/sh, -c, 'printf "%s\n" "$1" > argument', sh, "{{ payload.value }}"]
"#,
        )
        .start();
    let value = "$(touch hacked); `touch hacked` && touch hacked #'\"";
    daemon
        .post("/open")
        .json(serde_json::json!({ "value": value }).to_string())
        .send();
    daemon.eventually("both ran", || daemon.read("argument") == format!("{value}\n"));
    assert_eq!(daemon.read("value"), format!("{value}\n"));
    assert!(!daemon.folder().join("hacked").exists());
}

#[test]
fn a_missing_value_is_a_dead_letter_and_never_an_empty_argument() {
    let daemon = Scenario::new()
        .rules(&open(r#"[{run: [/bin/touch, "ran{{ payload.absent }}"]}]"#, ""))
        .start();
    assert_eq!(post(&daemon), 200);
    daemon.eventually("it is dead", || daemon.log().contains("dead letter"));
    assert!(daemon.log().contains("payload.absent"), "{}", daemon.log());
    assert!(!daemon.folder().join("ran").exists());
}

#[test]
fn a_command_is_stopped_at_its_time_limit_with_all_its_children() {
    let daemon = Scenario::new()
        .script(
            "stubborn",
            "trap '' TERM\nsleep 300 & echo $! > child\necho $$ > leader\nwait; wait; sleep 300",
        )
        .rules(&open(
            "[{run: [./stubborn], timeout: 300ms, grace: 300ms}]",
            ", retry: {attempts: 1}",
        ))
        .start();
    assert_eq!(post(&daemon), 200);
    daemon.eventually("it is dead", || daemon.log().contains("dead letter"));
    assert!(daemon.log().contains("timed out"), "{}", daemon.log());
    for name in ["leader", "child"] {
        let pid = daemon.read(name).trim().to_owned();
        let gone = || match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            // A zombie whose parent was the command itself is reaped by init, which the daemon
            // cannot hurry.
            Ok(stat) => stat.contains(") Z ") && name == "child",
            Err(_) => true,
        };
        daemon.eventually(name, gone);
    }
}

#[test]
fn a_failure_is_retried_by_schedule_and_counts_its_attempts() {
    let daemon = Scenario::new()
        .script(
            "flaky",
            "echo \"$HOOKYARD_ATTEMPT\" >> attempts; test \"$HOOKYARD_ATTEMPT\" = 3",
        )
        .rules(&open(
            "[{run: [./flaky]}, {append: after.jsonl}]",
            ", retry: {attempts: 3, backoff: [50ms]}",
        ))
        .start();
    assert_eq!(post(&daemon), 200);
    daemon.eventually("the action after it runs", || daemon.lines("after.jsonl") == 1);
    assert_eq!(daemon.read("attempts"), "1\n2\n3\n");
}

#[test]
fn when_the_attempts_are_spent_later_actions_do_not_run() {
    let daemon = Scenario::new()
        .rules(&open(
            "[{run: [/bin/false]}, {append: after.jsonl}]",
            ", retry: {attempts: 2, backoff: [50ms]}",
        ))
        .start();
    assert_eq!(post(&daemon), 200);
    daemon.eventually("it is dead", || daemon.log().contains("dead letter"));
    assert_eq!(daemon.log().matches("exit 1").count(), 2, "{}", daemon.log());
    assert!(!daemon.folder().join("after.jsonl").exists());
}

#[test]
fn exit_codes_say_whether_another_try_can_help() {
    for (code, word) in [
        (0, "next=\"done\""),
        (75, "next=\"retry at"),
        (78, "next=\"dead letter\""),
    ] {
        let rules = open(
            &format!("[{{run: [/bin/sh, -c, 'exit {code}'], exit: {{done: [0], retry: [75], dead: [78]}}}}]"),
            ", retry: {attempts: 5, backoff: [1h]}",
        );
        let daemon = Scenario::new().rules(&rules).start();
        assert_eq!(post(&daemon), 200);
        daemon.eventually(word, || daemon.log().contains(word));
    }
}

#[test]
fn a_forward_is_judged_by_its_status_and_retried_in_time() {
    let status = |number| match number {
        0 => "503 Service Unavailable",
        1 => "429 Too Many Requests",
        _ => "204 No Content",
    };
    let target =
        Target::new(move |number| format!("HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n", status(number)));
    let rules = open(
        &format!("[{{forward: '{}/x'}}]", target.url()),
        ", retry: {attempts: 5, backoff: [50ms]}",
    );
    let daemon = Scenario::new().rules(&rules).start();
    assert_eq!(post(&daemon), 200);
    daemon.eventually("the third attempt is taken", || {
        daemon.log().contains("next=\"done\"")
    });
    let requests = target.requests();
    assert_eq!(requests.len(), 3);
    let key = requests[0].header("idempotency-key").unwrap();
    assert!(
        requests
            .iter()
            .all(|request| request.header("idempotency-key") == Some(key))
    );
    assert!(
        requests
            .iter()
            .all(|request| request.body == fixture("github/push.json"))
    );
}

#[test]
fn a_redirect_is_not_followed_and_a_refusal_is_not_repeated() {
    for status in ["302 Found\r\nLocation: http://169.254.169.254/", "404 Not Found"] {
        let target = Target::new(move |_| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        let rules = open(
            &format!("[{{forward: '{}'}}]", target.url()),
            ", retry: {attempts: 5, backoff: [10ms]}",
        );
        let daemon = Scenario::new().rules(&rules).start();
        assert_eq!(post(&daemon), 200);
        daemon.eventually("it is dead", || daemon.log().contains("dead letter"));
        assert_eq!(target.requests().len(), 1, "{status}");
    }
}

#[test]
fn a_sender_that_gets_its_answer_does_not_wait_for_the_action() {
    let daemon = Scenario::new()
        .rules(&open("[{run: [/bin/sleep, '3']}]", ""))
        .start();
    let begun = Instant::now();
    assert_eq!(post(&daemon), 200);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn rules_of_one_endpoint_are_verified_and_run_independently() {
    let daemon = Scenario::new()
        .rules(
            r"
rules:
  - {name: github, endpoint: /shared, verify: {github: {secret: k}}, actions: [append: github.jsonl]}
  - {name: token, endpoint: /shared, verify: {token: {header: X-Token, secret: t}}, actions: [append: token.jsonl]}
  - {name: failing, endpoint: /shared, verify: {github: {secret: k}}, actions: [{run: [/bin/false]}]}
",
        )
        .start();
    assert_eq!(
        daemon
            .post("/shared")
            .json("{\"n\":1}")
            .github("k")
            .send()
            .outcome(),
        (200, "accepted".into())
    );
    daemon.eventually("the first ran", || daemon.lines("github.jsonl") == 1);
    assert_eq!(daemon.lines("token.jsonl"), 0);
    let token = daemon
        .post("/shared")
        .json("{\"n\":2}")
        .header("X-Token", "t")
        .send();
    assert_eq!(token.outcome(), (200, "accepted".into()));
    daemon.eventually("the second ran", || daemon.lines("token.jsonl") == 1);
    assert_eq!(daemon.lines("github.jsonl"), 1);
    assert_eq!(
        daemon
            .post("/shared")
            .json("{\"n\":3}")
            .github("x")
            .send()
            .outcome(),
        (403, "refused".into())
    );
    // A secret from a header is never written.
    assert!(!daemon.read("token.jsonl").contains("x-token"));
}

#[test]
fn what_is_under_way_at_the_stop_goes_on_after_the_restart_with_the_action_it_had_reached() {
    let rules = "server: {listen: 127.0.0.1:0, stop_grace: 200ms}\n".to_owned()
        + &open(
            "[{append: first.jsonl}, {run: [./slow]}, {append: last.jsonl}]",
            "",
        );
    let mut daemon = Scenario::new()
        .script("slow", "echo x >> begun; test -e ready || exec sleep 60")
        .rules(&rules)
        .start();
    assert_eq!(post(&daemon), 200);
    daemon.eventually("the command runs", || daemon.lines("begun") == 1);
    assert_eq!(daemon.stop(), Some(0));
    std::fs::write(daemon.folder().join("ready"), "").unwrap();
    daemon.start();
    daemon.eventually("the last action is done", || daemon.lines("last.jsonl") == 1);
    assert_eq!((daemon.lines("first.jsonl"), daemon.lines("begun")), (1, 2));
}

#[test]
fn stopping_waits_for_a_running_command() {
    let mut daemon = Scenario::new()
        .rules(&open("[{shell: 'sleep 1; echo x > ended'}]", ""))
        .start();
    assert_eq!(post(&daemon), 200);
    daemon.eventually("it runs", || daemon.log().contains("accepted"));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(daemon.read("ended"), "x\n");
}

#[test]
fn two_daemons_on_one_store_are_refused() {
    let daemon = Scenario::new().rules(&open("[append: x.jsonl]", "")).start();
    let output = daemon.scenario.hookyard(&["serve", "rules.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot open the store"));
}

#[test]
fn a_damaged_store_is_said_and_never_replaced() {
    let scenario = Scenario::new()
        .rules(&open("[append: x.jsonl]", ""))
        .file("hookyard.db", "no database at all");
    let output = scenario.hookyard(&["serve", "rules.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        std::fs::read(scenario.folder().join("hookyard.db")).unwrap(),
        b"no database at all"
    );
}

#[test]
fn a_sender_that_hangs_up_leaves_no_event_that_nobody_runs() {
    use std::io::Write;
    let daemon = Scenario::new().rules(&open("[append: x.jsonl]", "")).start();
    let begun = Instant::now();
    for _ in 0..50 {
        let mut stream = daemon.connect();
        stream
            .write_all(&daemon.post("/open").json("{}").bytes())
            .unwrap();
        drop(stream);
    }
    let stored = || daemon.log().matches("outcome=\"accepted\"").count();
    daemon.eventually("some of them are stored", || stored() > 0);
    std::thread::sleep(Duration::from_millis(500));
    daemon.eventually("each stored event has its line and its action", || {
        daemon.lines("x.jsonl") == stored()
    });
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "and none of them waits for a later wake-up"
    );
}

#[test]
fn a_delivery_under_way_keeps_the_rules_that_it_began_with() {
    let rules = |second: &str| {
        open(
            &format!("[{{run: [./slow]}}, {{append: out.txt, line: {second}}}]"),
            "",
        )
    };
    let daemon = Scenario::new()
        .script(
            "slow",
            "echo x >> begun; while ! test -e ready; do sleep 0.05; done",
        )
        .rules(&rules("old"))
        .start();
    assert_eq!(post(&daemon), 200);
    daemon.eventually("the first action runs", || daemon.lines("begun") == 1);
    daemon.rewrite(&rules("new"));
    std::fs::write(daemon.folder().join("ready"), "").unwrap();
    daemon.eventually("the second action is done", || daemon.lines("out.txt") == 1);
    assert_eq!(daemon.read("out.txt"), "old\n");
    assert_eq!(post(&daemon), 200);
    daemon.eventually("the next delivery goes by the new rules", || {
        daemon.read("out.txt") == "old\nnew\n"
    });
}
