//! What people are told: every fault at once, at its place, in the words of the rules file; and a refused file is
//! tried again when what it lacks has come.

use crate::scenario::{Daemon, Scenario, rules_text};

/// Writes other rules in place and waits until they are refused.
fn refused(daemon: &Daemon, text: &str) {
    std::fs::write(
        daemon.folder().join("rules.yaml"),
        rules_text(daemon.folder(), text),
    )
    .unwrap();
    daemon.eventually("the rules are refused", || refusals(daemon) > 0);
}

/// How often the log says that the rules in force stay.
fn refusals(daemon: &Daemon) -> usize {
    daemon.log().matches("the rules in force stay").count()
}

const OPEN: &str = "rules: [{name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}]\n";

#[test]
fn rules_that_lack_a_secret_file_are_in_force_when_it_comes() {
    let daemon = Scenario::new().rules(OPEN).start();
    let secret = daemon.folder().join("elsewhere/key");
    std::fs::create_dir(secret.parent().unwrap()).unwrap();
    refused(
        &daemon,
        "rules: [{name: open, endpoint: /open, verify: {hmac: 'file:elsewhere/key'}, actions: [append: open.jsonl]}]\n",
    );
    let log = daemon.log();
    assert!(log.contains("cannot read the secret file"), "{log}");
    std::fs::write(&secret, "k\n").unwrap();
    daemon.eventually("the rules are in force", || {
        daemon.post("/open").json("{}").send().status == 403
    });
}

#[test]
fn rules_that_lack_a_program_are_in_force_when_it_comes_and_are_refused_once() {
    let daemon = Scenario::new().rules(OPEN).start();
    let rules =
        "rules: [{name: other, endpoint: /other, verify: none, actions: [run: ['{dir}/bin/deploy']]}]\n";
    refused(&daemon, rules);
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(refusals(&daemon), 1, "{}", daemon.log());
    let bin = daemon.folder().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::copy("/bin/true", bin.join("deploy")).unwrap();
    daemon.eventually("the rules are in force", || {
        daemon.post("/other").json("{}").send().status == 200
    });
    assert_eq!(refusals(&daemon), 1, "{}", daemon.log());
}

#[test]
fn a_refused_reload_logs_a_warning_as_a_warning() {
    let daemon = Scenario::new().rules(OPEN).start();
    refused(
        &daemon,
        "rules: [{name: open, endpoint: /open, verify: {hmac: plain}, actions: [append: open.jsonl]}]\nnonsense: 1\n",
    );
    let log = daemon.log();
    let line = |words: &str| log.lines().find(|line| line.contains(words)).unwrap_or_default();
    assert!(line("a secret written out").contains(" WARN "), "{log}");
    assert!(line("unknown key").contains(" ERROR "), "{log}");
}
