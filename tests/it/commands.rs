//! Commands with the settings that operators need: another user, limits, and no process left
//! behind.
//!
//! Only root can change the user. Without root, such a test checks the diagnostic instead.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::scenario::{Daemon, Scenario};

/// A rule on `/open` with this action, tried once.
fn open(action: &str) -> String {
    format!(
        "server: {{listen: 127.0.0.1:0, stop_grace: 200ms}}\nrules:\n  - {{name: open, endpoint: /open, verify: none, \
         retry: {{attempts: 1}}, actions: [{action}]}}\n"
    )
}

/// A scenario whose folder has these permissions.
fn stage(mode: u32) -> Scenario {
    let scenario = Scenario::new();
    std::fs::set_permissions(scenario.folder(), std::fs::Permissions::from_mode(mode)).unwrap();
    scenario
}

/// A scenario with a world-writable folder.
fn shared() -> Scenario {
    stage(0o777)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Niceness of the tests, which commands inherit by default (`nice cargo test`).
fn own_niceness() -> i32 {
    rustix::process::getpriority_process(None).unwrap()
}

fn post(daemon: &Daemon, body: &str) {
    assert_eq!(daemon.post("/open").json(body).send().status, 200);
}

/// True if a process runs. A zombie does not.
fn runs(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_command_has_its_niceness_and_its_limits() {
    let script = "nice; ulimit -t; ulimit -d; ulimit -n; ulimit -H -n; printf %s \"$VALUE $HOME $#\"; cat";
    let daemon = Scenario::new()
        .script("show", &format!("{{ {script}; }} > shown"))
        .rules(&open(
            "{run: [./show, --, '--nice=3', '', --], env: {VALUE: '{{ payload.v }}', HOME: /h}, nice: 7, \
             limits: {cpu: 90s, memory: 64MiB, files: 100}}",
        ))
        .start();
    post(&daemon, r#"{"v":"a=b"}"#);
    daemon.eventually("it is done", || daemon.log().contains("next=\"done\""));
    assert_eq!(
        daemon.read("shown"),
        format!(
            "{}\n90\n65536\n100\n100\na=b /h 4{{\"v\":\"a=b\"}}",
            own_niceness().max(7)
        )
    );
}

#[test]
fn a_command_without_any_of_it_is_as_the_daemon_is() {
    let daemon = Scenario::new()
        .rules(&open("{shell: '{ nice; ulimit -t; } > shown'}"))
        .start();
    post(&daemon, "{}");
    daemon.eventually("it is done", || daemon.log().contains("next=\"done\""));
    assert_eq!(daemon.read("shown"), format!("{}\nunlimited\n", own_niceness()));
}

#[test]
fn a_command_that_goes_past_a_limit_ends_and_says_so() {
    for (script, limit, outcome, words) in [
        ("while :; do :; done", "cpu: 1s", "killed by SIGXCPU", ""),
        (
            "dd if=/dev/zero of=/dev/null bs=100M count=1",
            "memory: 32MiB",
            "exit 1",
            "memory",
        ),
        (
            "paste $(seq 30 | sed s,.*,/dev/null,)",
            "files: 16",
            "exit 1",
            "Too many open files",
        ),
    ] {
        let action = format!("{{shell: 'exec 2> said; {script}', limits: {{{limit}}}}}");
        let daemon = Scenario::new().rules(&open(&action)).start();
        post(&daemon, "{}");
        daemon.eventually("it is dead", || daemon.log().contains("dead letter"));
        assert!(daemon.log().contains(outcome), "{script}\n{}", daemon.log());
        assert!(
            daemon.read("said").contains(words),
            "{script}\n{}",
            daemon.read("said")
        );
    }
}

#[test]
fn a_command_runs_as_another_user_and_has_no_way_back() {
    let scenario = shared()
        .script(
            "show",
            "id -u; id -g; id -G; echo \"$HOME $USER $LOGNAME $LD_PRELOAD $#\"; pwd\n\
             grep -E '^(NoNewPrivs|Cap(Inh|Prm|Eff|Amb)):' /proc/self/status | tr -d '\\t'\n\
             cat > /dev/stderr",
        )
        .rules(&open(
            "{shell: './show \"$A\" > shown 2> said; echo again > /dev/stdout', user: nobody, env: {A: x, LD_PRELOAD: ''}}",
        ));
    if !is_root() {
        let output = scenario.hookyard(&["check", "--format", "json"]);
        assert_eq!(output.status.code(), Some(1));
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(found["diagnostics"][0]["code"], "user", "{found:#}");
        return;
    }
    let folder = scenario.folder().to_str().unwrap().to_owned();
    let daemon = scenario.start();
    post(&daemon, "{}");
    daemon.eventually("it is over", || daemon.log().contains("next="));
    assert!(daemon.log().contains("next=\"done\""), "{}", daemon.log());
    let account = std::fs::read_to_string("/etc/passwd").unwrap();
    let account = account.lines().find(|line| line.starts_with("nobody:")).unwrap();
    let account: Vec<&str> = account.split(':').collect();
    let (uid, gid, home) = (account[2], account[3], account[5]);
    assert_eq!(
        daemon.read("shown"),
        format!(
            "{uid}\n{gid}\n{gid}\n{home} nobody nobody  1\n{folder}\nCapInh:{0}\nCapPrm:{0}\nCapEff:{0}\nCapAmb:{0}\n\
             NoNewPrivs:1\n",
            "0".repeat(16)
        )
    );
    assert_eq!(daemon.read("said"), "{}");
}

#[test]
fn a_group_of_its_own_is_all_a_command_has() {
    let scenario = shared().rules(&open(
        "{shell: '{ id -u; id -g; id -G; } > shown', user: 54321, group: 54322}",
    ));
    if !is_root() {
        assert_eq!(scenario.hookyard(&["check"]).status.code(), Some(1));
        return;
    }
    let daemon = scenario.start();
    post(&daemon, "{}");
    daemon.eventually("it is done", || daemon.log().contains("next=\"done\""));
    assert_eq!(daemon.read("shown"), "54321\n54322\n54322\n");
}

#[test]
fn a_user_has_no_more_processes_than_its_limit() {
    // Use an account that runs nothing else. Without root, the limit also counts the processes of
    // the test's own user.
    let user = if is_root() {
        "user: 54323, group: 54323, limits: {processes: 2}"
    } else {
        "limits: {processes: 1}"
    };
    let script = "exec 2> said; sleep 1 & sleep 1 & sleep 1 & wait; echo x > ran";
    let daemon = shared()
        .rules(&open(&format!("{{shell: '{script}', {user}}}")))
        .start();
    post(&daemon, "{}");
    daemon.eventually("it is dead", || daemon.log().contains("dead letter"));
    assert!(daemon.read("said").contains("fork"), "{}", daemon.read("said"));
    assert_eq!(daemon.lines("ran"), 0);
}

#[test]
fn what_cannot_be_set_is_said_and_the_command_does_not_run() {
    let scenario = Scenario::new();
    let touch = scenario.folder().join("ran").to_str().unwrap().to_owned();
    let become_root = ["--uid=0", "--gid=0", "--groups=0"];
    let become_nobody = ["--uid=4294967295", "--gid=65534", "--groups=65534"];
    let user = if is_root() { become_nobody } else { become_root };
    let run = |more: &[&str], cwd: &str, program: &str| {
        let cwd = format!("--cwd={cwd}");
        let arguments = [&["__exec"], more, &[&cwd, "--", program, &touch]].concat();
        let output = scenario.hookyard(&arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    };
    let (code, text) = run(&user, "/", "/usr/bin/touch");
    assert_eq!(code, Some(125), "{text}");
    assert!(text.starts_with("hookyard __exec: cannot set the "), "{text}");
    let (code, text) = run(&[], "/no/such/folder", "/usr/bin/touch");
    assert_eq!(code, Some(126));
    assert!(
        text.starts_with("hookyard __exec: cannot enter `/no/such/folder`: "),
        "{text}"
    );
    let (code, text) = run(&["--nice=1"], "/", "/no/such/program");
    assert_eq!(code, Some(126));
    assert!(
        text.starts_with("hookyard __exec: cannot start `/no/such/program`: "),
        "{text}"
    );
    assert!(!Path::new(&touch).exists());
    assert_eq!(run(&["--nice=1"], "/", "/usr/bin/touch").0, Some(0));
    assert!(Path::new(&touch).exists());
}

#[test]
fn the_variables_of_a_command_mean_nothing_to_what_becomes_it() {
    let mut command = Scenario::new().command(&["__exec", "--cwd=/", "--", "/usr/bin/env"]);
    command
        .env("__exec_LD_LIBRARY_PATH", "/x")
        .env("__exec___exec_A", "b");
    let output = command.current_dir("/").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    // The daemon's own `PATH` does not reach the command.
    assert_eq!(lines, ["LD_LIBRARY_PATH=/x", "__exec_A=b"]);
}

#[test]
fn a_folder_that_the_user_may_not_enter_is_said() {
    let scenario = stage(0o700).rules(&open("{shell: 'true', user: nobody}"));
    if !is_root() {
        assert_eq!(scenario.hookyard(&["check"]).status.code(), Some(1));
        return;
    }
    let daemon = scenario.start();
    post(&daemon, "{}");
    daemon.eventually("it is dead", || daemon.log().contains("dead letter"));
    assert!(daemon.log().contains("cannot enter `/"), "{}", daemon.log());
}

#[test]
fn at_the_stop_of_the_daemon_nothing_of_a_commands_group_survives() {
    let users: &[&str] = if is_root() {
        &["", ", user: nobody"]
    } else {
        &[", nice: 1"]
    };
    for user in users {
        let mut daemon = shared()
            .script(
                "stubborn",
                "trap '' TERM\n(trap '' TERM; sleep 300 & echo $! > grandchild; wait) &\necho $! > child\n\
                 echo $$ > leader\nsleep 300",
            )
            .rules(&open(&format!(
                "{{run: [./stubborn], grace: 300ms, timeout: 1m{user}}}"
            )))
            .start();
        post(&daemon, "{}");
        let names = ["leader", "child", "grandchild"];
        daemon.eventually("all of them run", || {
            names.iter().all(|name| daemon.lines(name) == 1)
        });
        let pids = names.map(|name| daemon.read(name).trim().to_owned());
        assert!(pids.iter().all(|pid| runs(pid)));
        assert_eq!(daemon.stop(), Some(0));
        for pid in pids {
            assert!(!runs(&pid), "{pid}{user}");
        }
    }
}

#[test]
fn the_time_limit_of_a_command_of_another_user_ends_its_whole_group() {
    let user = if is_root() { ", user: nobody" } else { ", nice: 1" };
    let daemon = shared()
        .rules(&open(&format!(
            "{{shell: 'trap \"\" TERM; sleep 300 & echo $! > child; wait; sleep 300', timeout: 300ms, grace: 100ms{user}}}"
        )))
        .start();
    post(&daemon, "{}");
    daemon.eventually("it is dead", || daemon.log().contains("dead letter"));
    assert!(daemon.log().contains("timed out after 300ms"), "{}", daemon.log());
    let pid = daemon.read("child").trim().to_owned();
    daemon.eventually("its child is gone", || !runs(&pid));
}
