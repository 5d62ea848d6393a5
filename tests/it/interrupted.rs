//! Attempts during which the daemon dies: counted, bounded, and shown.

use serde_json::Value;

use crate::scenario::{Daemon, Scenario};

/// A rule with this command, retry and further keys.
fn scenario(command: &str, more: &str) -> Scenario {
    Scenario::new().rules(&format!(
        "server: {{listen: 127.0.0.1:0, stop_grace: 100ms}}
rules:
  - name: deploy
    endpoint: /in
    verify: none
    actions:
      - shell: |
          echo $HOOKYARD_ATTEMPT >> runs
          {command}
{more}"
    ))
}

/// The delivery to `deploy` that is not for `on_failure`: its state, its reason, and its attempts
/// by number and outcome.
fn shown(daemon: &Daemon) -> (String, String, Vec<(u64, String)>) {
    let list = daemon.scenario.deliveries(&[]);
    let event = list[0]["event"].as_str().unwrap();
    let show = daemon
        .scenario
        .hookyard(&["events", "show", event, "--format", "json"]);
    let show: Value = serde_json::from_slice(&show.stdout).unwrap();
    let delivery = &show["deliveries"][0];
    let attempts = delivery["attempts"].as_array().unwrap().iter().map(|attempt| {
        let outcome = attempt["outcome"].as_str().unwrap().to_owned();
        (attempt["attempt"].as_u64().unwrap(), outcome)
    });
    let text = |key: &str| delivery[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"), attempts.collect())
}

fn interrupted(number: u64) -> (u64, String) {
    (number, "interrupted".to_owned())
}

/// True if the daemon logs that the delivery is given up.
fn is_given_up(daemon: &Daemon) -> bool {
    daemon.log().contains("next=\"dead letter\"")
}

#[test]
fn an_event_whose_command_kills_the_daemon_ends_as_a_dead_letter() {
    let more = "    retry: {attempts: 3, backoff: [10ms]}
    on_failure: [{append: alarm, line: '{{ failure.action }}: {{ failure.reason }}'}]
";
    let mut daemon = scenario("kill -9 $PPID", more).start();
    // The answer may be missing, since the daemon may already be gone.
    let mut stream = daemon.connect();
    std::io::Write::write_all(&mut stream, &daemon.post("/in").json("{}").bytes()).unwrap();
    let mut runs = 0;
    loop {
        daemon.eventually("it runs or is given up", || {
            daemon.lines("runs") > runs || is_given_up(&daemon)
        });
        if is_given_up(&daemon) {
            break;
        }
        runs = daemon.lines("runs");
        daemon.kill();
        daemon.start();
    }
    daemon.eventually("the alarm is raised", || daemon.lines("alarm") == 1);
    // At most one unrecorded attempt, then three.
    let runs = daemon.lines("runs");
    assert!((3..=4).contains(&runs), "{}", daemon.read("runs"));
    let reason = "interrupted: the daemon ended during attempt 3, the last one, and during 2 before it; look whether its \
                  command stops or kills hookyard";
    assert_eq!(daemon.read("alarm"), format!("shell: {reason}\n"));
    let (state, said, attempts) = shown(&daemon);
    assert_eq!((state.as_str(), said.as_str()), ("dead", reason));
    assert_eq!(attempts, [1, 2, 3].map(interrupted));
    // The daemon still serves.
    daemon.still_runs();
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_daemon_killed_again_and_again_during_one_delivery_runs_it_no_more_often_than_its_rule_allows() {
    let mut daemon = scenario("sleep 60", "    retry: {attempts: 4, backoff: [10ms]}\n").start();
    assert_eq!(daemon.post("/in").json("{}").send().status, 200);
    for life in 1..=20 {
        daemon.eventually("it runs or is given up", || {
            daemon.lines("runs") >= life.min(4) || is_given_up(&daemon)
        });
        if life == 1 {
            // Longer than the daemon needs to record the start of an attempt.
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        daemon.kill();
        daemon.start();
        let told = daemon.log().contains("interrupted by the end of the last daemon");
        assert_eq!(told, life <= 4, "{life}: {}", daemon.log());
    }
    daemon.eventually("it is dead", || shown(&daemon).0 == "dead");
    let (state, reason, attempts) = shown(&daemon);
    assert_eq!(state, "dead", "{reason}");
    assert_eq!(attempts, [1, 2, 3, 4].map(interrupted));
    assert_eq!(daemon.read("runs"), "1\n2\n3\n4\n");
    let replayed = daemon.scenario.hookyard(&["events", "replay", "--dead"]);
    assert_eq!(replayed.status.code(), Some(0));
    // After a replay, the count starts again.
    daemon.eventually("it runs", || daemon.read("runs").ends_with("4\n1\n"));
}

#[test]
fn restarts_alone_do_not_use_up_an_attempt_and_are_shown() {
    let more = "    retry: {attempts: 1, backoff: [10ms]}\n";
    let mut daemon = scenario("[ -e go ] || sleep 60", more).start();
    assert_eq!(daemon.post("/in").json("{}").send().status, 200);
    for restarts in 1..=4 {
        daemon.eventually("it runs", || daemon.lines("runs") == restarts);
        assert_eq!(daemon.stop(), Some(0));
        assert!(
            daemon.log().contains("outcome=\"interrupted\""),
            "{}",
            daemon.log()
        );
        let (state, _, attempts) = shown(&daemon);
        assert_eq!(state, "waiting");
        assert_eq!(attempts, vec![interrupted(1); restarts]);
        if restarts == 4 {
            std::fs::write(daemon.folder().join("go"), "").unwrap();
        }
        daemon.start();
    }
    daemon.eventually("it is done", || shown(&daemon).0 == "done");
    let (.., attempts) = shown(&daemon);
    assert_eq!(attempts.last(), Some(&(1, "done".to_owned())));
}

#[test]
fn an_event_whose_command_stops_the_daemon_each_time_is_given_up() {
    let more = "    retry: {attempts: 2, backoff: [10ms]}\n";
    let mut daemon = scenario("kill -TERM $PPID; sleep 60", more).start();
    assert_eq!(daemon.post("/in").json("{}").send().status, 200);
    let mut stops = 0;
    while !is_given_up(&daemon) {
        daemon.eventually("it stops or is given up", || {
            daemon.log().contains("INFO stopped") || is_given_up(&daemon)
        });
        if is_given_up(&daemon) {
            break;
        }
        daemon.kill();
        stops += 1;
        assert!(stops < 20, "{}", daemon.log());
        daemon.start();
    }
    assert_eq!((stops, daemon.lines("runs")), (10, 10));
    let (state, reason, attempts) = shown(&daemon);
    assert_eq!(state, "dead");
    assert!(reason.contains("during 10 attempts in a row"), "{reason}");
    assert_eq!(attempts.len(), 10);
    daemon.still_runs();
}

#[test]
fn quick_attempts_are_never_written_down_as_begun() {
    let mut daemon = Scenario::new()
        .rules("rules: [{name: record, endpoint: /in, verify: none, actions: [append: out]}]\n")
        .start();
    for _ in 0..50 {
        assert_eq!(daemon.post("/in").json("{}").send().status, 200);
    }
    daemon.eventually("all are done", || daemon.lines("out") == 50);
    daemon.kill();
    daemon.start();
    assert!(!daemon.log().contains("interrupted"), "{}", daemon.log());
}
