//! Selection of rules, store and daemon by a command: independent of the caller's directory.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::scenario::{Daemon, Scenario, said};

const RULES: &str = "
rules:
  - name: r
    endpoint: /in
    verify: {token: {header: X-Token, secret: {secret: hunter2}}}
    actions: [append: out.jsonl]
";

/// A daemon that has finished one event.
fn daemon() -> Daemon {
    let daemon = Scenario::new().rules(RULES).start();
    let sent = daemon.post("/in").header("X-Token", "hunter2").json("{}").send();
    assert_eq!(sent.outcome(), (200, "accepted".into()));
    daemon.eventually("it is done", || daemon.lines("out.jsonl") == 1);
    daemon
}

/// Runs `hookyard` in another directory than the daemon's.
fn elsewhere(daemon: &Daemon, folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output: Output = daemon
        .scenario
        .command(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    (output.status.code(), said(&output))
}

#[test]
fn a_store_and_a_daemon_are_those_of_the_rules_from_every_directory() {
    let daemon = daemon();
    let other = tempfile::tempdir().unwrap();
    // Files with the default names in the caller's directory are ignored.
    std::fs::write(other.path().join("hookyard.db"), "").unwrap();
    std::fs::write(other.path().join("rules.yaml"), "rules: []\n").unwrap();
    let rules = daemon.folder().join("rules.yaml");
    let store = daemon.folder().join("hookyard.db");
    let (rules, store) = (rules.to_str().unwrap(), store.to_str().unwrap());
    for folder in [daemon.folder(), other.path(), Path::new("/")] {
        let run = |arguments: &[&str]| elsewhere(&daemon, folder, arguments);
        for named in [["--rules", rules], ["--store", store]] {
            let with = |command: &[&str]| run(&[command, &named].concat());
            let (code, text) = with(&["events", "list"]);
            assert!(
                code == Some(0) && text.contains("/in"),
                "{folder:?} {named:?} {text}"
            );
            let (code, text) = with(&["store", "check"]);
            assert!(
                code == Some(0) && text.contains(store),
                "{folder:?} {named:?} {text}"
            );
            let (code, text) = with(&["status"]);
            let pid = format!("process {}", daemon.pid());
            assert!(
                code == Some(0) && text.contains(&pid),
                "{folder:?} {named:?} {text}"
            );
        }
        daemon.eventually("the use of the secret is written down", || {
            let (code, text) = run(&["check", "--secrets", rules]);
            assert_eq!(code, Some(0), "{folder:?} {text}");
            text.contains(" ago)")
        });
    }
    // The rules there differ, and their store does not exist.
    let nothing = tempfile::tempdir().unwrap();
    std::fs::write(nothing.path().join("rules.yaml"), "rules: []\n").unwrap();
    for command in [
        &["events", "list"][..],
        &["store", "check"],
        &["status", "--check"],
        &["check", "--secrets"],
    ] {
        let (code, text) = elsewhere(&daemon, nothing.path(), command);
        assert_eq!(code, Some(2), "{command:?} {text}");
        assert!(!text.starts_with("ok"), "{command:?} {text}");
    }
}

#[test]
fn a_daemon_that_was_not_named_is_not_asked_and_its_answer_is_not_believed() {
    let daemon = daemon();
    let other = Scenario::new().rules(RULES);
    let run = |arguments: &[&str]| {
        let output = other.hookyard(arguments);
        (output.status.code(), said(&output))
    };
    // No daemon runs here.
    let (code, text) = run(&["status", "--check", "--rules", "rules.yaml"]);
    assert!(code == Some(2) && text.contains("no daemon answers at"), "{text}");
    let (code, text) = run(&["status", "--check", "--store", "hookyard.db"]);
    assert!(code == Some(2) && text.contains("no daemon answers at"), "{text}");
    // The socket that these rules name belongs to another daemon.
    let socket = daemon.folder().join("hookyard.db.sock");
    let text = format!("admin: {{socket: '{}'}}\n{RULES}", socket.display());
    std::fs::write(other.folder().join("rules.yaml"), text).unwrap();
    let (code, text) = run(&["status", "--check", "--rules", "rules.yaml"]);
    let own = daemon.folder().join("rules.yaml");
    assert!(
        code == Some(2) && text.contains(&format!("serves `{}`", own.display())),
        "{text}"
    );
    let (code, text) = run(&[
        "status",
        "--check",
        "--socket",
        socket.to_str().unwrap(),
        "--store",
        "x.db",
    ]);
    assert!(code == Some(2) && text.contains("has the store `"), "{text}");
    // A broken rules file does not hide the daemon.
    std::fs::write(daemon.folder().join("rules.yaml"), "rules: [\n").unwrap();
    let output = daemon.scenario.hookyard(&["status", "--rules", "rules.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn a_store_of_rules_that_cannot_be_read_is_unknown() {
    let scenario = Scenario::new()
        .rules("store: {path: 5}\nrules: []\n")
        .file("broken.yaml", "rules: [\n")
        // The file that was once the default.
        .file("hookyard.db", "");
    for rules in ["rules.yaml", "broken.yaml", "none.yaml", "."] {
        for command in [["events", "list"], ["store", "check"], ["store", "vacuum"]] {
            let output = scenario.hookyard(&[command.as_slice(), &["--rules", rules]].concat());
            let text = said(&output);
            assert_eq!(output.status.code(), Some(2), "{rules} {command:?} {text}");
            assert!(
                text.contains("the store is unknown"),
                "{rules} {command:?} {text}"
            );
        }
    }
}

/// Tests the package's layout in a mount namespace, from the view of the service and of an
/// operator.
const PACKAGE: &str = r#"
set -e
hookyard=$1
for folder in /etc /var/lib /run; do mount -t tmpfs none $folder; done
mkdir -p /etc/hookyard /var/lib/hookyard /run/hookyard
cat > /etc/hookyard/rules.yaml
cd /
STATE_DIRECTORY=/var/lib/hookyard RUNTIME_DIRECTORY=/run/hookyard "$hookyard" serve /etc/hookyard/rules.yaml 2> /var/lib/log &
daemon=$!
trap 'kill -9 $daemon' EXIT
for _ in $(seq 1000); do [ -S /run/hookyard/admin.sock ] && break; sleep 0.02; done
[ -S /run/hookyard/admin.sock ] || { cat /var/lib/log; exit 9; }
for _ in $(seq 1000); do "$hookyard" status > /dev/null 2>&1 && break; sleep 0.02; done
try() { echo "== $*"; "$hookyard" "$@" 2>&1 && code=0 || code=$?; echo "== exit $code"; }
mkdir /var/lib/elsewhere
cd /var/lib/elsewhere
try status --check
try status --check --rules /etc/hookyard/rules.yaml
try status --check --store /var/lib/hookyard/hookyard.db
try events list
try store check
try check --secrets
cd /etc/hookyard
try status --check
try status --check --rules rules.yaml
try events list
# Rules of another user, with the service beside them.
mkdir /var/lib/own
echo 'rules: []' > /var/lib/own/rules.yaml
cd /var/lib/own
try status --check
try status --check --rules /var/lib/own/rules.yaml
try events list
cd /
# The rules are gone, and the daemon goes on.
mv /etc/hookyard/rules.yaml /etc/hookyard/gone
try status
try events list
"#;

#[test]
fn in_the_layout_of_the_package_every_command_finds_the_store_and_the_daemon_of_the_service() {
    let allowed = Command::new("unshare")
        .args(["-m", "mount", "-t", "tmpfs", "none", "/run"])
        .output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        // Bypasses the output capture of the test runner, so that it is seen.
        let words = "SKIPPED: the layout of the package was not tried: mount namespaces take root\n";
        std::io::stderr().write_all(words.as_bytes()).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let rules = format!("server: {{listen: 127.0.0.1:0}}\n{RULES}");
    std::fs::write(folder.path().join("rules"), rules).unwrap();
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", PACKAGE, "sh", env!("CARGO_BIN_EXE_hookyard")])
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .stdin(std::fs::File::open(folder.path().join("rules")).unwrap())
        .output()
        .unwrap();
    let text = said(&output);
    let tried: Vec<(&str, &str)> = text
        .split("== exit ")
        .zip(text.split("== exit ").skip(1).map(|rest| &rest[..1]))
        .collect();
    let expected = [
        ("0", "ok"),
        ("0", "ok"),
        ("0", "ok"),
        ("1", "no arrival in `/var/lib/hookyard/hookyard.db`"),
        ("0", "/var/lib/hookyard/hookyard.db is sound"),
        ("0", "never seen"),
        ("0", "ok"),
        ("0", "ok"),
        ("1", "no arrival in `/var/lib/hookyard/hookyard.db`"),
        ("2", "no daemon answers at `/var/lib/own/hookyard.db.sock`"),
        ("2", "no daemon answers at `/var/lib/own/hookyard.db.sock`"),
        ("2", "/var/lib/own/hookyard.db"),
        ("0", "rules: /etc/hookyard/rules.yaml"),
        ("2", "the store is unknown"),
    ];
    assert_eq!(tried.len(), expected.len(), "{text}");
    for ((shown, code), (expected, words)) in tried.iter().zip(expected) {
        assert!(
            *code == expected && shown.contains(words),
            "{expected} {words}\n{text}"
        );
    }
}

#[test]
fn rules_that_are_a_pipe_or_a_folder_hold_up_no_command_and_the_daemon_is_found() {
    for (make, kind) in [("mkfifo", "a named pipe"), ("mkdir", "a folder")] {
        let daemon = daemon();
        let rules = daemon.folder().join("rules.yaml");
        std::fs::remove_file(&rules).unwrap();
        assert!(Command::new(make).arg(&rules).status().unwrap().success());
        let run = |arguments: &[&str]| {
            let output = daemon.scenario.hookyard(arguments);
            (output.status.code(), said(&output))
        };
        let words = format!("`rules.yaml` is {kind}, not a file");
        // The socket is at its usual place.
        let (code, text) = run(&["status"]);
        let pid = format!("process {}", daemon.pid());
        assert!(
            code == Some(0) && text.contains(&pid) && text.contains(&words),
            "{text}"
        );
        let (code, text) = run(&["status", "--store", "hookyard.db"]);
        assert!(code == Some(0) && text.contains(&pid), "{text}");
        let (code, text) = run(&["events", "list", "--store", "hookyard.db"]);
        assert!(code == Some(0) && text.contains("/in"), "{text}");
        for command in [
            &["check"][..],
            &["check", "--running"],
            &["check", "--offline"],
            &["check", "--secrets"],
            &["explain", "--endpoint", "/in"],
            &["events", "list"],
            &["events", "show", "0"],
            &["store", "check"],
            &["serve"],
        ] {
            let (code, text) = run(command);
            assert!(
                code == Some(2) && text.contains(&words),
                "{command:?} {code:?} {text}"
            );
        }
    }
    // The socket is elsewhere, and nothing says where.
    let daemon = Scenario::new()
        .rules(&format!("admin: {{socket: other.sock}}\n{RULES}"))
        .start();
    let rules = daemon.folder().join("rules.yaml");
    std::fs::remove_file(&rules).unwrap();
    assert!(Command::new("mkfifo").arg(&rules).status().unwrap().success());
    let output = daemon.scenario.hookyard(&["status", "--check"]);
    let text = said(&output);
    assert!(
        output.status.code() == Some(2)
            && text.contains("is a named pipe, not a file")
            && text.contains("no daemon answers at"),
        "{text}"
    );
    daemon.eventually("the daemon has noticed", || {
        let arguments = ["status", "--check", "--socket", "other.sock"];
        daemon.scenario.hookyard(&arguments).status.code() == Some(1)
    });
}

#[test]
fn a_pipe_in_place_of_the_store_holds_up_no_command() {
    let scenario = Scenario::new().rules(RULES);
    let pipe = scenario.folder().join("hookyard.db");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for command in [
        &["serve"][..],
        &["events", "list"],
        &["events", "drop", "--dead"],
        &["store", "check"],
        &["store", "backup", "copy.db"],
        &["store", "vacuum"],
        &["check", "--secrets"],
    ] {
        let output = scenario.hookyard(command);
        let text = said(&output);
        assert!(
            output.status.code() == Some(2) && text.contains("it is a named pipe, not a file"),
            "{command:?} {text}"
        );
    }
}

#[test]
fn a_hint_names_only_options_that_the_command_has() {
    let scenario = Scenario::new().file("other.yaml", "rules: []\n");
    let output = scenario.hookyard(&["check", "--running", "other.yaml"]);
    let text = said(&output);
    assert!(
        output.status.code() == Some(2) && text.contains("no daemon answers"),
        "{text}"
    );
    let mut command = scenario.command(&["check", "--running", "-"]);
    let output = command.stdin(Stdio::piped()).output().unwrap();
    let text = said(&output);
    assert!(
        output.status.code() == Some(2) && text.contains("`hookyard check --running RULES`"),
        "{text}"
    );
    for option in ["--rules", "--socket", "--store"] {
        assert!(!text.contains(option), "{text}");
    }
}
