//! No file descriptors left, and no processes left.

use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;
use std::time::Duration;

use crate::failing::{attempts, event};
use crate::scenario::{Daemon, Scenario};

/// Rules whose actions need file descriptors and processes, and retry soon.
const RULES: &str = "
log: {format: json}
rules:
  - name: command
    endpoint: /in
    verify: {github: {secret: k}}
    actions: [{shell: 'echo done >> commands'}]
    retry: {attempts: 100, backoff: [200ms]}
  - name: lines
    endpoint: /in
    verify: {github: {secret: k}}
    actions: [{append: lines}]
    retry: {attempts: 100, backoff: [200ms]}
";

/// Processor time of the daemon, in hundredths of a second.
fn ticks(daemon: &Daemon) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields = fields.split(' ').skip(11).take(2);
    fields.map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
fn without_descriptors_accepting_rests_and_actions_are_tried_again() {
    let daemon = Scenario::new().rules(RULES).start();
    assert_eq!(event(&daemon, 0).send().status, 200);
    daemon.eventually("both are done", || {
        daemon.lines("commands") == 1 && daemon.lines("lines") == 1
    });
    // The limit allows one connection and its needs.
    let mut kept = daemon.connect();
    std::io::Write::write_all(&mut kept, b"POST /in HTTP/1.1\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    // Below all open descriptors, so that closing one does not help.
    daemon.limit("nofile", "5");
    let rest = String::from_utf8(event(&daemon, 1).bytes()).unwrap();
    let (_, rest) = rest.split_once("\r\n").unwrap();
    std::io::Write::write_all(&mut kept, rest.as_bytes()).unwrap();
    let answer = crate::scenario::Answer::read(&mut kept).unwrap();
    assert_eq!(answer.outcome(), (200, "accepted".into()));
    let held: Vec<TcpStream> = (0..5).map(|_| daemon.connect()).collect();
    for rule in ["command", "lines"] {
        daemon.eventually("it fails honestly", || {
            let failed = |attempt: &&[String; 3]| attempt[0] == "failed" && attempt[2].starts_with("retry");
            let attempts = attempts(&daemon, rule);
            let failed: Vec<_> = attempts.iter().filter(failed).collect();
            failed.len() >= 2 && failed[0][1].contains("Too many open files")
        });
    }
    daemon.eventually("the log says that no connection is accepted", || {
        daemon.log().contains("could not be accepted")
    });
    let before = ticks(&daemon);
    std::thread::sleep(Duration::from_secs(2));
    let spent = ticks(&daemon) - before;
    assert!(spent < 100, "{spent} hundredths of a second in two seconds");
    drop(held);
    daemon.limit("nofile", "1024");
    daemon.eventually("both are done at last", || {
        daemon.lines("commands") == 2 && daemon.lines("lines") == 2
    });
    assert_eq!(event(&daemon, 2).send().outcome(), (200, "accepted".into()));
}

#[test]
fn without_a_process_to_be_had_a_command_is_tried_again() {
    // The kernel does not count root's processes.
    let is_root = rustix::process::geteuid().is_root();
    let (user, group) = (54_321, 54_321);
    let scenario = Scenario::new().rules(RULES);
    let scenario = if is_root {
        let folder = scenario.folder();
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        for path in [folder.to_owned(), folder.join("rules.yaml")] {
            chown(path, Some(user), Some(group)).unwrap();
        }
        // By file descriptor: the binary's path may lead through a folder that only root can enter.
        let become_user = "exec 3<\"$0\"; \
             exec setpriv --reuid=54321 --regid=54321 --clear-groups /proc/self/fd/3 \"$@\"";
        scenario.through(&["sh", "-c", become_user])
    } else {
        scenario
    };
    let daemon = scenario.start();
    // Set by the daemon's own user: root may lack the right to limit others.
    let limit = |processes: &str| {
        let user = is_root.then_some(&["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"][..]);
        let (pid, limit) = (daemon.pid().to_string(), format!("--nproc={processes}:"));
        let words = [user.unwrap_or_default(), &["prlimit", "--pid", &pid, &limit]].concat();
        let done = Command::new(words[0]).args(&words[1..]).status();
        assert!(done.unwrap().success());
    };
    limit("1");
    assert_eq!(event(&daemon, 0).send().outcome(), (200, "accepted".into()));
    daemon.eventually("it fails honestly", || attempts(&daemon, "command").len() >= 2);
    for [outcome, detail, next] in attempts(&daemon, "command") {
        assert_eq!(outcome, "failed");
        assert!(
            detail.starts_with("cannot start `/bin/sh`: Resource temporarily unavailable"),
            "{detail}"
        );
        assert!(next.starts_with("retry"), "{next}");
    }
    limit("512");
    daemon.eventually("both are done at last", || {
        daemon.lines("commands") == 1 && daemon.lines("lines") >= 1
    });
}
