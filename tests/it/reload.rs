//! Reloads of the rules file under the running daemon, for all ways to change a file. Under load no
//! request is refused or lost, and a broken file changes nothing.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::scenario::{Daemon, Scenario, rules_text};

/// Rules whose answer contains their version.
fn version(number: usize) -> String {
    format!(
        "endpoints:\n  /open: {{respond: {{body: '{{\"version\":{number}}}'}}}}\nrules:\n  - {{name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}}\n"
    )
}

/// The version in force.
fn in_force(daemon: &Daemon) -> usize {
    let answer = daemon.post("/open").json("{}").send();
    assert_eq!(answer.status, 200, "{answer:?}");
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    usize::try_from(body["version"].as_u64().unwrap()).unwrap()
}

fn text(daemon: &Daemon, number: usize) -> String {
    rules_text(daemon.folder(), &version(number))
}

fn rules(daemon: &Daemon) -> std::path::PathBuf {
    daemon.folder().join("rules.yaml")
}

/// Changes the rules in these ways, one after the other, under load. Waits until each change is in
/// force.
fn under_load(daemon: &Daemon, ways: &[(&str, &dyn Fn(usize))]) {
    let stop = Arc::new(AtomicBool::new(false));
    let accepted = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let (stop, accepted, sending) = (
                Arc::clone(&stop),
                Arc::clone(&accepted),
                daemon.post("/open").json("{}"),
            );
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let answer = sending.try_send().expect("no request is refused by a reload");
                    assert_eq!(answer.status, 200, "{answer:?}");
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut probes = 0;
    for (index, (way, change)) in ways.iter().enumerate() {
        let number = index + 2;
        change(number);
        daemon.eventually(way, || {
            probes += 1;
            in_force(daemon) == number
        });
    }
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.join().unwrap();
    }
    let answered = accepted.load(Ordering::Relaxed) + probes;
    daemon.eventually("every accepted event was acted upon", || {
        daemon.lines("open.jsonl") == answered
    });
}

#[test]
fn a_rename_over_the_rules_is_seen_as_a_change_also_at_the_moment_of_the_poll() {
    let daemon = Scenario::new().rules(&version(1)).start();
    let rename = |number: usize| {
        let new = daemon.folder().join("rules.new");
        std::fs::write(&new, text(&daemon, number)).unwrap();
        std::fs::rename(&new, rules(&daemon)).unwrap();
    };
    // Each change waits 200 ms for further ones. So these take more than 12 s, and the poll, every
    // five seconds, falls into such a wait.
    under_load(&daemon, &[("renamed", &rename as &dyn Fn(usize)); 60]);
    let log = daemon.log();
    let reloaded = |cause: &str| log.matches(&format!("cause=\"{cause}\"")).count();
    assert_eq!((reloaded("change"), reloaded("time")), (60, 0), "{log}");
}

#[test]
fn every_way_of_writing_a_file_is_seen_and_loses_no_request() {
    let daemon = Scenario::new().rules(&version(1)).start();
    let path = rules(&daemon);
    let beside = daemon.folder().join("beside.yaml");
    let write = |to: &Path, number: usize| std::fs::write(to, text(&daemon, number)).unwrap();
    let sh = |script: String| {
        assert!(
            Command::new("sh")
                .args(["-ec", &script])
                .status()
                .unwrap()
                .success()
        );
    };
    let folder = daemon.folder().display();
    under_load(
        &daemon,
        &[
            ("written in place", &|number| write(&path, number)),
            ("moved over it", &|number| {
                write(&beside, number);
                std::fs::rename(&beside, &path).unwrap();
            }),
            // vim renames the old file to a backup and writes a new one.
            ("vim", &|number| {
                std::fs::rename(&path, daemon.folder().join("rules.yaml~")).unwrap();
                write(&path, number);
                std::fs::remove_file(daemon.folder().join("rules.yaml~")).unwrap();
            }),
            ("sed -i", &|number| {
                sh(format!(
                    "sed -i 's/version\":[0-9]*/version\":{number}/' {folder}/rules.yaml"
                ));
            }),
            ("truncated, and written slowly", &|number| {
                let text = text(&daemon, number);
                let (head, tail) = text.split_at(text.len() / 2);
                std::fs::write(&path, "").unwrap();
                std::thread::sleep(Duration::from_millis(400));
                std::fs::write(&path, head).unwrap();
                std::thread::sleep(Duration::from_millis(400));
                std::fs::write(&path, format!("{head}{tail}")).unwrap();
            }),
            ("deleted and back", &|number| {
                std::fs::remove_file(&path).unwrap();
                std::thread::sleep(Duration::from_millis(500));
                write(&path, number);
            }),
        ],
    );
}

#[test]
fn git_checkout_is_seen() {
    let scenario = Scenario::new().rules(&version(1));
    let git = |folder: &Path, arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "init.defaultBranch=main",
        ]);
        assert!(
            command
                .args(arguments)
                .current_dir(folder)
                .output()
                .unwrap()
                .status
                .success(),
            "{arguments:?}"
        );
    };
    let folder = scenario.folder().to_owned();
    git(&folder, &["init", "-q"]);
    git(&folder, &["add", "rules.yaml"]);
    git(&folder, &["commit", "-qm", "one"]);
    git(&folder, &["checkout", "-qb", "next"]);
    std::fs::write(folder.join("rules.yaml"), rules_text(&folder, &version(2))).unwrap();
    git(&folder, &["commit", "-qam", "two"]);
    git(&folder, &["checkout", "-q", "main"]);
    let daemon = scenario.start();
    under_load(
        &daemon,
        &[("git checkout", &|_| git(&folder, &["checkout", "-q", "next"]))],
    );
}

#[test]
fn a_config_maps_symlink_swap_is_seen() {
    let scenario = Scenario::new();
    let folder = scenario.folder().to_owned();
    let place = |number: usize| {
        let data = folder.join(format!("..data_{number}"));
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("rules.yaml"), rules_text(&folder, &version(number))).unwrap();
        let next = folder.join("..data_tmp");
        std::os::unix::fs::symlink(&data, &next).unwrap();
        std::fs::rename(&next, folder.join("..data")).unwrap();
    };
    place(1);
    std::os::unix::fs::symlink("..data/rules.yaml", folder.join("rules.yaml")).unwrap();
    let daemon = scenario.start();
    let swap = |number: usize| {
        place(number);
        std::fs::remove_dir_all(folder.join(format!("..data_{}", number - 1))).unwrap();
    };
    under_load(
        &daemon,
        &[
            ("first swap", &swap),
            ("second swap", &swap),
            ("third swap", &swap),
        ],
    );
}

#[test]
fn a_broken_file_changes_nothing_and_is_explained_and_a_mended_one_is_taken() {
    let daemon = Scenario::new().rules(&version(1)).start();
    let broken = version(2).replace("verify: none", "verify: nnoe") + "  - {name: other, endpiont: /x}\n";
    std::fs::write(rules(&daemon), rules_text(daemon.folder(), &broken)).unwrap();
    daemon.eventually("the findings are logged", || {
        daemon.log().contains("the rules in force stay")
    });
    assert_eq!(in_force(&daemon), 1);
    let log = daemon.log();
    assert!(
        log.contains("rules.yaml:5:") && log.contains("nnoe") && log.contains("did you mean `endpoint`"),
        "{log}"
    );
    // A signal reloads and reports again, and nothing changes.
    daemon.signal("HUP");
    daemon.eventually("the findings are logged again", || {
        daemon.log().matches("the rules in force stay").count() == 2
    });
    assert_eq!(in_force(&daemon), 1);
    std::fs::write(rules(&daemon), text(&daemon, 3)).unwrap();
    daemon.eventually("the mended file is in force", || in_force(&daemon) == 3);
}

#[test]
fn an_empty_or_deleted_file_changes_nothing() {
    let daemon = Scenario::new().rules(&version(1)).start();
    std::fs::write(rules(&daemon), "").unwrap();
    daemon.eventually("the empty file is refused", || {
        daemon.log().contains("the file is empty")
    });
    assert_eq!(in_force(&daemon), 1);
    std::fs::remove_file(rules(&daemon)).unwrap();
    daemon.eventually("its absence is logged", || daemon.log().contains("cannot read"));
    assert_eq!(in_force(&daemon), 1);
    std::fs::write(rules(&daemon), text(&daemon, 2)).unwrap();
    daemon.eventually("it is back", || in_force(&daemon) == 2);
}

#[test]
fn a_signal_reloads_at_once_and_the_generation_is_logged() {
    let daemon = Scenario::new().rules(&version(1)).start();
    assert!(daemon.log().contains("generation=1"), "{}", daemon.log());
    daemon.signal("HUP");
    daemon.eventually("the second generation is in force", || {
        daemon.log().contains("generation=2")
    });
}

#[test]
fn a_secret_file_is_watched() {
    let rules = "rules: [{name: open, endpoint: /open, verify: {hmac: {secret: 'file:secrets/key'}}, actions: [append: open.jsonl]}]\n";
    let daemon = Scenario::new().file("secrets/key", "old\n").rules(rules).start();
    let send = |secret: &str, body: &str| {
        let signature = crate::scenario::hmac_hex(secret, body.as_bytes());
        daemon
            .post("/open")
            .json(body)
            .header("X-Signature", &signature)
            .send()
            .status
    };
    assert_eq!((send("old", "1"), send("new", "2")), (200, 403));
    std::fs::write(daemon.folder().join("secrets/key"), "new\n").unwrap();
    let mut number = 10;
    daemon.eventually("the new secret is in force", || {
        number += 1;
        send("new", &number.to_string()) == 200
    });
    assert_eq!(send("old", "3"), 403);
}

#[test]
fn what_needs_a_restart_is_named_and_left_alone() {
    let daemon = Scenario::new().rules(&version(1)).start();
    let moved = version(2) + "server: {listen: 127.0.0.1:1}\nstore: {path: other.db}\n";
    std::fs::write(rules(&daemon), moved).unwrap();
    daemon.eventually("the rest is in force", || in_force(&daemon) == 2);
    // The rules answer before the line about them is written.
    daemon.eventually("it is logged", || daemon.log().contains(" reloaded "));
    let log = daemon.log();
    assert!(
        log.contains("server.listen") && log.contains("store.path") && log.contains("restart"),
        "{log}"
    );
    assert!(!daemon.folder().join("other.db").exists());
}

#[test]
fn a_folder_that_is_removed_and_made_again_is_watched_again() {
    let scenario = Scenario::new();
    let folder = scenario.folder().join("etc");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("rules.yaml"), rules_text(&folder, &version(1))).unwrap();
    std::os::unix::fs::symlink("etc/rules.yaml", scenario.folder().join("rules.yaml")).unwrap();
    let daemon = scenario.start();
    std::fs::remove_dir_all(&folder).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    std::fs::create_dir(&folder).unwrap();
    for number in [2, 3] {
        std::fs::write(folder.join("rules.yaml"), rules_text(&folder, &version(number))).unwrap();
        daemon.eventually("it is in force", || in_force(&daemon) == number);
    }
}

#[test]
fn a_queued_delivery_whose_rule_is_gone_becomes_a_dead_letter_that_says_so() {
    let rules = "
rules:
  - {name: going, endpoint: /open, verify: none, actions: [{run: [/bin/false]}], retry: {attempts: 5, backoff: [1s]}}
";
    let daemon = Scenario::new().rules(rules).start();
    assert_eq!(daemon.post("/open").json("{}").send().status, 200);
    daemon.eventually("the first attempt failed", || daemon.log().contains("exit 1"));
    daemon.rewrite("rules: []\n");
    daemon.eventually("it is dead", || {
        daemon
            .log()
            .contains("the rule `going` is gone from the rules file")
    });
}

#[test]
fn a_file_that_is_broken_or_absent_at_the_start_ends_it_with_findings() {
    let scenario = Scenario::new().rules("rules: [{name: x}]\n");
    let output = scenario.hookyard(&["serve", "rules.yaml"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("`endpoint` is missing") && text.contains("rules.yaml:2:"),
        "{text}"
    );
    let output = scenario.hookyard(&["serve", "absent.yaml"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("cannot read `absent.yaml`"), "{text}");
}

/// Replaces a file with a named pipe that has no writer.
fn pipe_in_place_of(path: &Path) {
    std::fs::remove_file(path).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_rules_file_that_is_deleted_and_made_again_is_noticed_by_its_name() {
    let daemon = Scenario::new().rules(&version(1)).start();
    for number in [2, 3] {
        std::fs::remove_file(rules(&daemon)).unwrap();
        daemon.eventually("its absence is told", || {
            daemon.log().matches("the rules in force stay").count() == number - 1
        });
        std::fs::write(rules(&daemon), text(&daemon, number)).unwrap();
        daemon.eventually("it is in force", || in_force(&daemon) == number);
    }
    // The rules answer before the line about them is written.
    daemon.eventually("both are logged", || {
        daemon.log().matches(" reloaded ").count() >= 2
    });
    // Polling does not reload it.
    let log = daemon.log();
    let reloaded: Vec<&str> = log.lines().filter(|line| line.contains(" reloaded ")).collect();
    assert_eq!(reloaded.len(), 2, "{log}");
    assert!(
        reloaded.iter().all(|line| line.contains("cause=\"change\"")),
        "{log}"
    );
}

#[test]
fn a_pipe_in_place_of_a_secret_or_of_the_rules_holds_up_nothing() {
    let keyed = |number: usize| {
        let signed = "rules: [{name: signed, endpoint: /signed, verify: {hmac: {secret: 'file:key'}}, actions: [append: out.jsonl]}";
        version(number).replace("rules:\n  - {", &format!("{signed},\n  {{")) + "  ]\n"
    };
    let daemon = Scenario::new()
        .file("key", "0123456789abcdef\n")
        .rules(&keyed(1))
        .start();
    let key = daemon.folder().join("key");
    pipe_in_place_of(&key);
    daemon.eventually("the pipe is told", || {
        daemon.log().contains("is a named pipe, not a file")
    });
    let status = || {
        daemon
            .scenario
            .hookyard(&["status", "--rules", "rules.yaml", "--check"])
            .status
            .code()
    };
    assert_eq!(status(), Some(1));
    daemon.signal("HUP");
    daemon.eventually("a signal is answered", || {
        daemon.log().matches("the rules in force stay").count() == 2
    });
    pipe_in_place_of(&rules(&daemon));
    daemon.eventually("the other pipe is told", || {
        daemon.log().contains("rules.yaml` is a named pipe, not a file ")
    });
    assert!(status().is_some());
    assert_eq!(in_force(&daemon), 1);
    for path in [&key, &rules(&daemon)] {
        std::fs::remove_file(path).unwrap();
    }
    std::fs::write(&key, "0123456789abcdef").unwrap();
    std::fs::write(rules(&daemon), rules_text(daemon.folder(), &keyed(2))).unwrap();
    daemon.eventually("both are files again", || in_force(&daemon) == 2);
}

#[test]
fn a_program_that_comes_later_lets_refused_rules_load_by_itself() {
    let daemon = Scenario::new().rules(&version(1)).start();
    let needy = version(2).replace("append: open.jsonl", "run: [./later]");
    std::fs::write(rules(&daemon), rules_text(daemon.folder(), &needy)).unwrap();
    daemon.eventually("it is looked at", || {
        daemon.log().contains("later") || in_force(&daemon) == 2
    });
    let program = daemon.folder().join("later");
    std::fs::write(&program, "#!/bin/sh\n").unwrap();
    assert!(
        Command::new("chmod")
            .arg("+x")
            .arg(&program)
            .status()
            .unwrap()
            .success()
    );
    daemon.eventually("the rules are in force", || in_force(&daemon) == 2);
}

#[test]
fn a_read_that_hangs_is_told_and_holds_up_nothing() {
    let signed = "rules: [{name: a, endpoint: /a, verify: {hmac: {secret: 'file:key'}}, actions: [append: out.jsonl]}]\n";
    let daemon = Scenario::new()
        .file("key", "0123456789abcdef\n")
        .rules(signed)
        .start();
    // Opening a file on which another program holds a lease blocks until the lease ends.
    let script = r#"$SIG{IO} = 'IGNORE'; open F, '+<', 'key' or die; fcntl(F, 1024, 1) or die; print "held\n"; close STDOUT; sleep 60"#;
    let mut holder = Command::new("perl")
        .args(["-e", script])
        .current_dir(daemon.folder())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut held = String::new();
    std::io::Read::read_to_string(holder.stdout.as_mut().unwrap(), &mut held).unwrap();
    assert_eq!(held, "held\n");
    daemon.signal("HUP");
    daemon.eventually("the file is named", || {
        daemon.log().contains("key` takes longer than 5 s")
    });
    let status = daemon.scenario.hookyard(&["status", "--rules", "rules.yaml"]);
    assert!(
        crate::scenario::said(&status).contains("takes longer than 5 s"),
        "{status:?}"
    );
    // Rules without that file still load.
    std::fs::write(rules(&daemon), text(&daemon, 2)).unwrap();
    daemon.eventually("other rules are in force", || daemon.log().contains(" reloaded "));
    assert_eq!(in_force(&daemon), 2);
    holder.kill().unwrap();
    holder.wait().unwrap();
    std::fs::write(rules(&daemon), rules_text(daemon.folder(), signed)).unwrap();
    daemon.eventually("the file is read again", || {
        daemon.log().matches(" reloaded ").count() == 2
    });
}
