//! Debounced rules: they wait for a quiet period, then deliver the newest event.

use std::time::Duration;

use crate::scenario::{Daemon, Scenario, said};

fn rules(debounce: &str, more: &str) -> String {
    format!(
        "
rules:
  - name: deploy
    endpoint: /deploy
    verify: none
    debounce: {debounce}
    actions: [{{append: deploy.txt, line: \"{{{{ payload.n }}}}\"}}]
{more}"
    )
}

fn send(daemon: &Daemon, n: u32) {
    let answer = daemon
        .post("/deploy")
        .json(format!(r#"{{"n": {n}, "ref": "r{}"}}"#, n % 2))
        .send();
    assert_eq!(answer.outcome(), (200, "accepted".to_owned()));
}

fn listed(daemon: &Daemon) -> String {
    let output = daemon.scenario.hookyard(&["events", "list"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn of_a_stampede_the_newest_is_delivered_when_it_is_quiet() {
    let daemon = Scenario::new().rules(&rules("1500ms", "")).start();
    for n in 1..=5 {
        send(&daemon, n);
    }
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(daemon.lines("deploy.txt"), 0);
    daemon.eventually("the newest is delivered", || daemon.read("deploy.txt") == "5\n");
    daemon.eventually("the others are superseded", || {
        let listed = listed(&daemon);
        let lines = |word| listed.lines().filter(|line| line.contains(word)).count();
        lines("superseded") == 4 && lines("deploy done ") == 1
    });
    assert_eq!(daemon.log().matches("while it waited for quiet").count(), 4);
    // A new quiet period begins.
    send(&daemon, 6);
    daemon.eventually("the next is delivered", || daemon.read("deploy.txt") == "5\n6\n");
}

#[test]
fn the_wait_goes_on_after_a_kill() {
    let mut daemon = Scenario::new().rules(&rules("2s", "")).start();
    send(&daemon, 1);
    daemon.kill();
    daemon.start();
    assert_eq!(daemon.lines("deploy.txt"), 0);
    send(&daemon, 2);
    daemon.eventually("the newest is delivered", || daemon.read("deploy.txt") == "2\n");
}

#[test]
fn what_never_rests_is_delivered_after_the_longest_wait() {
    let daemon = Scenario::new()
        .rules(&rules("{quiet: 10m, at_most: 10m}", ""))
        .start();
    send(&daemon, 1);
    daemon.rewrite(&rules("{quiet: 1s, at_most: 1s}", ""));
    // An earlier event stays the newest until another supersedes it. `at_most` counts from the
    // first.
    daemon.eventually("a later one is due", || {
        send(&daemon, 2);
        std::thread::sleep(Duration::from_millis(100));
        daemon.lines("deploy.txt") > 0
    });
}

#[test]
fn the_groups_of_a_rule_wait_by_themselves() {
    let group = "    concurrency: {group: \"{{ payload.ref }}\"}\n";
    let daemon = Scenario::new().rules(&rules("1s", group)).start();
    for n in 1..=6 {
        send(&daemon, n);
    }
    daemon.eventually("the newest of each", || {
        let text = daemon.read("deploy.txt");
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        lines == ["5", "6"]
    });
}

#[test]
fn check_says_what_is_wrong_with_it() {
    for (debounce, words) in [
        ("0s", "waits for nothing"),
        ("soon", "invalid duration `soon`"),
        ("{at_most: 1m}", "quiet"),
        ("{quiet: 2m, at_most: 1m}", "`quiet` would have no effect"),
        ("{quiet: 2m, most: 1m}", "unknown key `most`"),
        ("1s\n    respond: {wait: true}", "a superseded delivery has none"),
    ] {
        let output = Scenario::new().rules(&rules(debounce, "")).hookyard(&["check"]);
        let text = said(&output);
        assert!(text.contains(words), "{debounce}: {text}");
        assert_eq!(output.status.code(), Some(1), "{debounce}");
    }
}
