//! A full disk, for every file that the daemon writes, and a store that another program has locked.
//!
//! A file size limit (`RLIMIT_FSIZE`) simulates the full disk: a write past it fails, and a write
//! across it is cut short. It needs no privilege, and can be lifted like a disk that is cleared.

use std::time::Duration;

use crate::failing::event;
use crate::scenario::{Answer, Daemon, Scenario, eventually};

/// Starts the daemon with `SIGXFSZ` ignored, so that the write fails as on a full disk.
const UNSIGNALLED: [&str; 3] = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];

/// A rule that appends a number and retries at once.
const RECORD: &str = "
rules:
  - name: record
    endpoint: /in
    verify: {github: {secret: k}}
    actions: [{append: out, line: '{{ payload.n }}'}]
    retry: {attempts: 100, backoff: [100ms]}
";

/// True if the answer is 503 and says when to retry.
fn is_sent_away(answer: &Answer) -> bool {
    answer.outcome() == (503, "unavailable".into()) && answer.header("retry-after") == Some("30")
}

/// The lines of `out`, each of which is complete.
fn recorded(daemon: &Daemon) -> Vec<usize> {
    let text = daemon.read("out");
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    let mut lines: Vec<usize> = text.lines().map(|line| line.parse().unwrap()).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_disk_that_is_full_at_any_write_loses_nothing_and_takes_nothing_twice() {
    let daemon = Scenario::new().through(&UNSIGNALLED).rules(RECORD).start();
    assert_eq!(event(&daemon, 0).send().status, 200);
    let log = daemon.folder().join("hookyard.db-wal");
    let mut taken = vec![0];
    let mut sent_away = 0;
    for number in 1..40 {
        // From no space at all: inside a header, inside a page, and between two pages.
        let room = [
            0, 24, 700, 8216, 8240, 25_000, 60_000, 90_000, 130_000, 160_000, 200_000, 250_000, 400_000,
        ];
        let written = std::fs::metadata(&log).unwrap().len();
        daemon.limit("fsize", &(written + room[number % room.len()]).to_string());
        let answer = event(&daemon, number).send();
        if answer.status == 200 {
            taken.push(number);
        } else {
            assert!(is_sent_away(&answer), "{answer:?}");
            sent_away += 1;
        }
        daemon.limit("fsize", "unlimited");
        // The sender retries. A refused event is new, and an answered one is a duplicate.
        let again = event(&daemon, number).send();
        let word = if answer.status == 200 {
            "duplicate"
        } else {
            "accepted"
        };
        assert_eq!(again.outcome(), (200, word.into()), "{number}");
    }
    assert!(sent_away >= 5 && taken.len() >= 5, "{sent_away} {taken:?}");
    daemon.eventually("everything is done", || recorded(&daemon).len() >= 40);
    let lines = recorded(&daemon);
    assert_eq!(lines, (0..40).collect::<Vec<_>>());
}

#[test]
fn on_a_disk_that_stays_full_the_daemon_goes_on_and_so_it_does_when_there_is_room() {
    let mut daemon = Scenario::new().through(&UNSIGNALLED).rules(RECORD).start();
    assert_eq!(event(&daemon, 0).send().status, 200);
    daemon.eventually("it is done", || recorded(&daemon) == [0]);
    daemon.limit("fsize", "1");
    for number in 1..4 {
        assert!(is_sent_away(&event(&daemon, number).send()));
    }
    // Requests that do not need the store are answered as usual.
    assert_eq!(daemon.post("/in").json("{}").github("wrong").send().status, 403);
    std::thread::sleep(Duration::from_millis(1500));
    daemon.limit("fsize", "unlimited");
    for number in 1..4 {
        assert_eq!(event(&daemon, number).send().outcome(), (200, "accepted".into()));
    }
    daemon.eventually("they are done", || recorded(&daemon) == [0, 1, 2, 3]);
    daemon.eventually("it says why", || {
        daemon.log().contains("no room in the store") || daemon.log().contains("the store cannot be used")
    });
    assert_eq!(daemon.stop(), Some(0));
    daemon.start();
    assert_eq!(event(&daemon, 3).send().outcome(), (200, "duplicate".into()));
}

#[test]
fn a_line_that_does_not_fit_is_appended_whole_when_there_is_room() {
    let daemon = Scenario::new().through(&UNSIGNALLED).rules(RECORD).start();
    // The file reaches the limit long before the store and its log: two bytes are left.
    let whole = format!("{}\n", "1".repeat(9)).repeat(400_000);
    std::fs::write(daemon.folder().join("out"), &whole).unwrap();
    daemon.limit("fsize", &(whole.len() + 2).to_string());
    assert_eq!(event(&daemon, 123).send().status, 200);
    daemon.eventually("it is tried twice", || {
        daemon.log().matches("cannot append to").count() >= 2
    });
    let log = daemon.log();
    assert!(log.contains("2 of 4 bytes could be written"), "{log}");
    assert!(log.contains("next=\"retry at"), "{log}");
    daemon.limit("fsize", "unlimited");
    let complete = format!("{whole}123\n");
    daemon.eventually("the line is whole", || daemon.read("out") == complete);
}

#[test]
fn logs_on_a_full_disk_do_not_stop_the_daemon() {
    let rules =
        format!("log: {{file: {{path: hookyard.log, rotate: {{every: never, size: 1GiB}}}}}}\n{RECORD}");
    // A log that is longer than any other file, so that the limit holds for it alone.
    let long = 1 << 29;
    let scenario = Scenario::new()
        .through(&UNSIGNALLED)
        .rules(&rules)
        .file("hookyard.log", "");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(scenario.folder().join("hookyard.log"));
    file.unwrap().set_len(long).unwrap();
    let mut daemon = scenario.start();
    daemon.limit("fsize", &long.to_string());
    for number in 0..300 {
        assert_eq!(event(&daemon, number).send().status, 200);
    }
    daemon.eventually("all is done", || recorded(&daemon).len() == 300);
    daemon.eventually("it is told", || {
        daemon
            .log()
            .contains("hookyard.log` cannot be written: File too large")
    });
    assert_eq!(daemon.stop(), Some(0));
    assert!(
        daemon.log().contains("stopped"),
        "the other log has everything:\n{}",
        daemon.log()
    );
}

#[test]
fn with_too_little_room_left_events_are_sent_away_until_the_rules_or_the_disk_allow_them() {
    let scarce = |store: &str| format!("store: {store}\n{RECORD}");
    let daemon = Scenario::new().rules(&scarce("{min_free: 0}")).start();
    assert_eq!(event(&daemon, 0).send().status, 200);
    daemon.eventually("it is done", || recorded(&daemon) == [0]);
    for (number, store, why) in [
        // No disk has this much free space.
        (1, "{min_free: 1PiB}", "are to stay free"),
        (2, "{max_size: 8KiB}", "and its limit is 8192"),
    ] {
        daemon.rewrite(&scarce(store));
        eventually("events are sent away", || {
            is_sent_away(&event(&daemon, number).send())
        });
        daemon.eventually("it says why", || daemon.log().contains(why));
        // Duplicates are still recognised.
        assert_eq!(event(&daemon, 0).send().outcome(), (200, "duplicate".into()));
        daemon.rewrite(&scarce("{min_free: 64KiB, max_size: 1GiB}"));
        eventually("events are taken", || event(&daemon, number).send().status == 200);
    }
    daemon.eventually("nothing is lost", || recorded(&daemon) == [0, 1, 2]);
}

#[test]
fn a_store_that_another_program_has_locked_is_waited_for_and_then_events_are_sent_away() {
    let daemon = Scenario::new().rules(RECORD).start();
    assert_eq!(event(&daemon, 0).send().status, 200);
    daemon.eventually("it is done", || recorded(&daemon) == [0]);
    let other = rusqlite::Connection::open(daemon.folder().join("hookyard.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let short = event(&daemon, 1);
    let waiting = std::thread::spawn(move || short.send());
    std::thread::sleep(Duration::from_millis(500));
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(waiting.join().unwrap().outcome(), (200, "accepted".into()));
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(is_sent_away(&event(&daemon, 2).send()));
    other.execute_batch("COMMIT").unwrap();
    daemon.eventually("it says why", || daemon.log().contains("database is locked"));
    assert_eq!(event(&daemon, 2).send().outcome(), (200, "accepted".into()));
    daemon.eventually("nothing is lost, nothing done twice", || {
        recorded(&daemon) == [0, 1, 2]
    });
}
