//! Fast shutdown, and processes that commands leave behind.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::failing::event;
use crate::scenario::{Scenario, eventually};

/// A rule whose command and child ignore every signal that can be ignored.
fn stubborn() -> Scenario {
    let work = "trap '' TERM INT\n\
         (while :; do sleep 1; done) & echo $! >> children\n\
         echo $$ >> begun; while :; do sleep 1; done";
    Scenario::new().script("work", work).rules(
        "server: {listen: 127.0.0.1:0, stop_grace: 60s}\n\
         rules:\n  \
         - {name: work, endpoint: /in, verify: {github: {secret: k}}, actions: [{run: [./work], timeout: 10m}]}\n",
    )
}

#[test]
fn a_second_signal_kills_at_once_and_what_was_under_way_is_owed_after_the_restart() {
    for signal in ["TERM", "INT"] {
        let mut daemon = stubborn().start();
        assert_eq!(event(&daemon, 1).send().status, 200);
        daemon.eventually("it runs", || daemon.lines("begun") == 1);
        daemon.signal(signal);
        daemon.eventually("it stops", || daemon.log().contains("stopping"));
        let urged = Instant::now();
        // In any case, `stop` sends TERM.
        assert_eq!(daemon.stop(), Some(0), "{signal}");
        assert!(urged.elapsed() < Duration::from_secs(8), "{:?}", urged.elapsed());
        for file in ["begun", "children"] {
            let id = daemon.read(file).trim().to_owned();
            assert!(!id.is_empty());
            eventually("the command was killed with its group", || !runs(&id));
        }
        daemon.start();
        daemon.eventually("it runs again", || daemon.lines("begun") == 2);
        assert_eq!(event(&daemon, 1).send().outcome(), (200, "duplicate".into()));
        assert_eq!(daemon.scenario.deliveries(&["--state", "waiting"]).len(), 1);
        daemon.signal("TERM");
        daemon.eventually("it stops", || daemon.log().contains("stopping"));
        assert_eq!(daemon.stop(), Some(0));
    }
}

/// True if a process runs. A zombie does not.
fn runs(id: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(id).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn as_process_1_the_daemon_reaps_what_a_stopped_command_has_left() {
    // As root, or with a user namespace. If neither is allowed, the test cannot be process 1.
    let ways: [&[&str]; 2] = [
        &["unshare", "--pid", "--fork", "--kill-child"],
        &[
            "unshare",
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "--kill-child",
        ],
    ];
    let allowed = |way: &&&[&str]| {
        let tried = Command::new(way[0]).args(&way[1..]).arg("true").output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let Some(way) = ways.iter().find(allowed) else {
        eprintln!("no namespace of processes to be had: left out");
        return;
    };
    // The child becomes an orphan of process 1 when its parent ends. The grace is longer than the
    // test's patience.
    let daemon = Scenario::new()
        .through(way)
        .rules(
            "rules:\n  \
             - name: work\n    endpoint: /in\n    verify: {github: {secret: k}}\n    \
             actions: [{shell: 'sleep 1000 & sleep 1000', timeout: 500ms, grace: 5m}]\n    retry: {attempts: 1}\n",
        )
        .start();
    assert_eq!(event(&daemon, 1).send().status, 200);
    daemon.eventually("the attempt is over", || {
        daemon.log().contains("timed out after 500ms")
    });
}
