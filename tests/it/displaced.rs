//! A store whose files are moved, truncated or overwritten while the daemon runs, and a store that
//! another daemon or rules file uses.

use std::fs;
use std::process::Command;

use crate::scenario::{Daemon, Scenario};
use crate::status::ask;

const RULES: &str = "
server: {listen: 127.0.0.1:0, stop_grace: 1s}
rules:
  - {name: record, endpoint: /in, verify: {github: {secret: k}}, actions: [{append: out, line: '{{ payload.n }}'}]}
";

fn send(daemon: &Daemon, n: u32) -> (u16, String) {
    let body = format!(r#"{{"n": {n}}}"#);
    daemon.post("/in").json(&body).github("k").send().outcome()
}

fn accepted() -> (u16, String) {
    (200, "accepted".to_owned())
}

fn unavailable() -> (u16, String) {
    (503, "unavailable".to_owned())
}

/// Output and exit code of `status --check`.
fn status(daemon: &Daemon) -> (String, Option<i32>) {
    let output = daemon
        .scenario
        .hookyard(&["status", "--check", "--socket", "hookyard.db.sock"]);
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        output.status.code(),
    )
}

fn daemon() -> Daemon {
    let daemon = Scenario::new().rules(RULES).start();
    assert_eq!(send(&daemon, 0), accepted());
    daemon.eventually("it is done", || daemon.read("out") == "0\n");
    daemon
}

/// Moves files of the store to a folder of the scenario, or back.
fn move_store(daemon: &Daemon, suffixes: &[&str], from: &str, to: &str) {
    let folder = daemon.folder();
    fs::create_dir_all(folder.join(to)).unwrap();
    for suffix in suffixes {
        let name = format!("hookyard.db{suffix}");
        fs::rename(folder.join(from).join(&name), folder.join(to).join(&name)).unwrap();
    }
}

#[test]
fn a_store_that_was_removed_takes_nothing_and_is_told_until_it_is_back() {
    for files in [&["", "-wal", "-shm"][..], &[""], &["-wal"], &["-shm"]] {
        let mut daemon = daemon();
        move_store(&daemon, files, ".", "away");
        assert_eq!(send(&daemon, 1), unavailable(), "{files:?}");
        let (text, code) = status(&daemon);
        assert!(
            text.contains("is no longer in its place") && code == Some(1),
            "{text}"
        );
        daemon.eventually("a line in the log", || daemon.log().contains("was removed"));
        move_store(&daemon, files, "away", ".");
        assert_eq!(send(&daemon, 1), accepted(), "{files:?}");
        daemon.eventually("it is done", || daemon.read("out") == "0\n1\n");
        assert_eq!(status(&daemon).1, Some(0));
        assert!(daemon.log().contains("the store is back in its place"));
        assert_eq!(daemon.stop(), Some(0));
        daemon.start();
        assert_eq!(send(&daemon, 1), (200, "duplicate".to_owned()));
    }
}

#[test]
fn a_backup_that_is_moved_over_the_live_store_stays_whole_and_serves_after_a_restart() {
    for killed in [false, true] {
        let mut daemon = daemon();
        let backup = daemon.scenario.hookyard(&["store", "backup", "copy.db"]);
        assert_eq!(backup.status.code(), Some(0), "{backup:?}");
        for n in 1..=20 {
            assert_eq!(send(&daemon, n), accepted());
        }
        daemon.eventually("all are done", || daemon.lines("out") == 21);
        let path = daemon.folder().join("hookyard.db");
        fs::rename(daemon.folder().join("copy.db"), &path).unwrap();
        assert_eq!(send(&daemon, 99), unavailable());
        let (text, code) = status(&daemon);
        assert!(text.contains("another file is at") && code == Some(1), "{text}");
        if killed {
            daemon.kill();
        } else {
            assert_eq!(daemon.stop(), Some(0));
        }
        daemon.start();
        let check = daemon.scenario.hookyard(&["store", "check"]);
        let said = String::from_utf8_lossy(&check.stdout).into_owned();
        assert!(said.contains("is sound") && said.contains("\n1 event;"), "{said}");
        // Events in the backup are known, and later ones are not.
        assert_eq!(send(&daemon, 0), (200, "duplicate".to_owned()));
        assert_eq!(send(&daemon, 1), accepted());
    }
}

#[test]
fn a_daemon_whose_store_another_one_has_replaced_leaves_that_alone() {
    let mut first = daemon();
    move_store(&first, &["", "-wal", "-shm"], ".", "away");
    // The first request must detect this, not a periodic check.
    assert_eq!(send(&first, 1), unavailable());
    let other = RULES.replace("append: out", "append: other");
    let other = format!(
        "admin: {{socket: none}}\nstore: {{path: {}}}\n{other}",
        first.folder().join("hookyard.db").display()
    );
    let mut second = Scenario::new().rules(&other).start();
    assert_eq!(send(&second, 1), accepted());
    assert_eq!(send(&first, 2), unavailable());
    assert_eq!(first.stop(), Some(0));
    // The store's WAL still exists: the second daemon's events survive a kill.
    assert_eq!(send(&second, 3), accepted());
    second.kill();
    second.start();
    assert_eq!(send(&second, 1), (200, "duplicate".to_owned()));
    assert_eq!(send(&second, 3), (200, "duplicate".to_owned()));
}

#[test]
fn a_store_that_is_truncated_or_overwritten_takes_nothing_and_is_told_until_the_restart() {
    // The file, the command that changes it, and the number of events after the restart, if there
    // is one.
    for (file, command, kept) in [
        ("-wal", ": > hookyard.db-wal", Some(0)),
        (
            "-wal",
            "head -c 9000 hookyard.db-wal > x; cat x > hookyard.db-wal",
            Some(0),
        ),
        ("-shm", ": > hookyard.db-shm", Some(4)),
        ("", ": > hookyard.db", None),
        ("", "cat copy.db > hookyard.db", Some(1)),
        (
            "",
            "dd if=/dev/urandom of=hookyard.db bs=512 count=1 conv=notrunc",
            None,
        ),
    ] {
        let mut daemon = daemon();
        let backup = daemon.scenario.hookyard(&["store", "backup", "copy.db"]);
        assert_eq!(backup.status.code(), Some(0), "{backup:?}");
        for n in 1..=3 {
            assert_eq!(send(&daemon, n), accepted());
        }
        // The writer is idle after the last settlement.
        daemon.eventually("all have ended", || {
            status(&daemon).0 == "ok\n" && ended(&daemon) == 4
        });
        let changed = Command::new("sh")
            .args(["-c", command])
            .current_dir(daemon.folder())
            .stderr(std::process::Stdio::null())
            .status();
        assert!(changed.unwrap().success());
        let named = format!("hookyard.db{file}` was ");
        // Known before any event arrives.
        let (text, code) = status(&daemon);
        assert!(text.contains(&named) && code == Some(1), "{command}: {text}");
        for n in [1, 50, 51] {
            assert_eq!(send(&daemon, n), unavailable(), "{command}");
        }
        let (code, text) = ask(&daemon, "/readyz");
        assert!(code == 503 && text.contains(&named), "{command}: {code} {text}");
        assert!(daemon.log().contains(&named), "{command}: {}", daemon.log());
        assert_eq!(
            daemon.log().matches("ERROR the store").count(),
            1,
            "{}",
            daemon.log()
        );
        assert_eq!(daemon.stop(), Some(0));
        let Some(kept) = kept else { continue };
        if file.is_empty() {
            // As the message says: the log belongs to the database that is gone.
            for suffix in ["-wal", "-shm"] {
                fs::remove_file(daemon.folder().join(format!("hookyard.db{suffix}"))).unwrap();
            }
        }
        daemon.start();
        assert_eq!(ended(&daemon), kept, "{command}");
        assert_eq!(send(&daemon, 77), accepted(), "{command}");
    }
}

/// Number of deliveries that have ended.
fn ended(daemon: &Daemon) -> u64 {
    let output = daemon
        .scenario
        .hookyard(&["status", "--format", "json", "--socket", "hookyard.db.sock"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    status["deliveries"]["ended"].as_u64().unwrap()
}

/// Runs `hookyard serve` to its end. Returns the exit code and the output.
fn refused(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_second_daemon_is_kept_out_whatever_files_are_removed_beside_the_store() {
    let daemon = daemon();
    let names = || {
        let names = fs::read_dir(daemon.folder()).unwrap();
        let names = names.map(|name| name.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with("hookyard.db"))
            .collect::<Vec<_>>()
    };
    for name in names() {
        if !["hookyard.db", "hookyard.db-wal", "hookyard.db-shm"].contains(&&*name) {
            fs::remove_file(daemon.folder().join(name)).unwrap();
        }
    }
    let (code, said) = refused(&mut daemon.scenario.command(&["serve", "rules.yaml"]));
    assert_ne!(code, Some(0));
    let by = format!(
        "is in use by process {}; two daemons need two stores",
        daemon.pid()
    );
    assert!(said.contains(&by), "{said}");
    assert_eq!(send(&daemon, 1), accepted());
}

/// A rules file with one rule whose deliveries wait.
fn waiting(name: &str) -> String {
    format!(
        "server: {{listen: 127.0.0.1:0}}
rules:
  - name: {name}
    endpoint: /{name}
    verify: none
    debounce: {{quiet: 1h}}
    actions: [append: out]
"
    )
}

#[test]
fn a_second_rules_file_on_a_store_is_refused_while_it_would_lose_what_waits() {
    let mut daemon = Scenario::new()
        .file("b.yaml", waiting("other"))
        .rules(&waiting("deploy"))
        .start();
    assert_eq!(daemon.post("/deploy").json("{}").send().status, 200);
    assert_eq!(daemon.stop(), Some(0));
    let (code, said) = refused(&mut daemon.scenario.command(&["serve", "b.yaml"]));
    assert_ne!(code, Some(0));
    assert!(
        said.contains("belongs to the rules file")
            && said.contains("rules.yaml`: 1 delivery waits in it for rules that")
            && said.contains("(deploy)")
            && said.contains("store: {path: …}"),
        "{said}"
    );
    // Nothing was lost, and the daemon still serves its own file.
    daemon.start();
    let listed = daemon
        .scenario
        .hookyard(&["events", "list", "--state", "waiting"]);
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_rules_file_that_was_moved_or_keeps_the_rules_takes_its_store_along() {
    let elsewhere = tempfile::tempdir().unwrap();
    let store = format!("store: {{path: {}/hookyard.db}}\n", elsewhere.path().display());
    let told = "the store was used with another rules file before";
    let mut first = Scenario::new()
        .rules(&(store.clone() + &waiting("deploy")))
        .start();
    assert_eq!(first.post("/deploy").json("{}").send().status, 200);
    assert_eq!(first.stop(), Some(0));
    // This rules file has the rule with waiting deliveries.
    let mut second = Scenario::new()
        .rules(&(store.clone() + &waiting("deploy")))
        .start();
    assert!(second.log().contains(told), "{}", second.log());
    assert_eq!(second.stop(), Some(0));
    second.start();
    assert!(!second.log().contains(told), "{}", second.log());
    assert_eq!(second.stop(), Some(0));
    // This rules file lacks the rule, but the former file is gone.
    fs::remove_file(second.folder().join("rules.yaml")).unwrap();
    let third = Scenario::new().rules(&(store + &waiting("other"))).start();
    assert!(third.log().contains(told), "{}", third.log());
}
