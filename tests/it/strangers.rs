//! Untrusted text: it reaches no interpreter, cannot mislead a reader, and commands see nothing of
//! the daemon.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::scenario::{Daemon, Scenario};

/// Characters that control how text is shown: ESC, CSI as C1, a bidi override, a zero-width space,
/// a line separator.
const HOSTILE: &str = "a\u{1b}[2J\u{9b}2J\u{202e}b\u{200b}c\u{2028}d\u{e0041}";
/// The same text, escaped.
const HARMLESS: &str = "a\\u001b[2J\\u009b2J\\u202eb\\u200bc\\u2028d\\udb40\\udc41";

/// A rule on `/open` without verification, with these actions (YAML, flow style) and further keys.
fn open(actions: &str, more: &str) -> String {
    format!("rules:\n  - {{name: open, endpoint: /open, verify: none{more}, actions: [{actions}]}}\n")
}

/// Diagnostics of `check` for a rule with this action: severity, code, message and hint.
fn found(actions: &str, more: &str) -> Vec<[String; 4]> {
    let scenario = Scenario::new()
        .env("TOKEN", "a-token-of-some-length")
        .script("deploy.sh", "true")
        .rules(&open(actions, more));
    let output = scenario.hookyard(&["check", "--format", "json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |diagnostic: &Value, key: &str| diagnostic[key].as_str().unwrap_or_default().to_owned();
    let diagnostics = found["diagnostics"].as_array().unwrap().iter();
    diagnostics
        .filter(|diagnostic| diagnostic["code"] != "open")
        .map(|diagnostic| ["severity", "code", "message", "hint"].map(|key| text(diagnostic, key)))
        .filter(|[_, code, ..]| ["template", "env", "option", "secret", "embedded"].contains(&code.as_str()))
        .collect()
}

fn kinds(actions: &str, more: &str) -> Vec<(String, String)> {
    let diagnostics = found(actions, more).into_iter();
    diagnostics.map(|[severity, code, ..]| (severity, code)).collect()
}

fn one(severity: &str, code: &str) -> Vec<(String, String)> {
    vec![(severity.to_owned(), code.to_owned())]
}

fn shown(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = daemon.scenario.hookyard(arguments);
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

/// True if a text contains terminal control characters.
fn is_hostile(text: &str) -> bool {
    text.contains(|letter: char| HOSTILE.contains(letter) && !letter.is_ascii_graphic())
}

#[test]
fn a_template_in_what_an_interpreter_runs_is_an_error_with_the_hint_of_a_shell() {
    let shell = found(r#"{shell: "echo {{ payload.x }}"}"#, "");
    let hint = &shell[0][3];
    for command in [
        r#"sh, -c, "echo {{ payload.x }}""#,
        r#"bash, -lc, "echo {{ payload.x }}""#,
        r#"env, A=1, sh, -c, "echo {{ payload.x }}""#,
        r#"timeout, "5", sh, -c, "echo {{ payload.x }}""#,
        r#"find, ., -exec, sh, -c, "echo {{ payload.x }}", ;"#,
        r#"awk, "/{{ payload.x }}/""#,
        r#"git, rebase, -x, "make {{ payload.x }}", main"#,
        r#"socat, "-", "EXEC:{{ payload.x }}""#,
        r#"tcpdump, -z, "{{ payload.x }}""#,
        r#"vim, "+{{ payload.x }}", file"#,
    ] {
        let found = found(&format!("{{run: [{command}]}}"), "");
        assert_eq!(found.len(), 1, "{command}: {found:?}");
        assert_eq!((found[0][0].as_str(), &found[0][3]), ("error", hint), "{command}");
    }
    for argument in [
        r#"sh, -c, 'echo "$1"', _, "{{ payload.x }}""#,
        r#"python3, -m, json.tool, -c, "--a={{ payload.x }}""#,
        r#"kubectl, set, image, deployment/web, "web=web:{{ payload.x }}""#,
    ] {
        let found = found(&format!("{{run: [{argument}], stdin: none}}"), "");
        let refused: Vec<_> = found.iter().filter(|found| found[0] == "error").collect();
        assert_eq!(refused, [] as [&[String; 4]; 0], "{argument}");
    }
    // The event itself would be the script.
    assert_eq!(kinds("{run: [sh]}", ""), one("error", "template"));
    assert_eq!(kinds("{run: [sh], stdin: none}", ""), []);
    for command in [
        "ssh, web",
        "psql, -h, db, app",
        "su, '-', www",
        "docker, exec, -i, web, sh, -s",
        "ssh, web, bash",
        "awk, -f, '-'",
        "crontab, '-'",
        "docker, exec, -i, web, sh",
        "xargs, '-I{}', sh, -c, 'echo {}'",
    ] {
        let action = |more: &str| format!("{{run: [{command}]{more}}}");
        assert_eq!(kinds(&action(""), ""), one("error", "template"), "{command}");
        assert_eq!(kinds(&action(", stdin: none"), ""), [], "{command}");
    }
    assert_eq!(
        kinds(
            r#"{run: [git, -c, "core.sshCommand={{ payload.x }}", fetch]}"#,
            ""
        ),
        one("error", "template")
    );
}

#[test]
fn a_template_in_a_variable_that_steers_programs_is_an_error() {
    for name in [
        "LD_PRELOAD",
        "PATH",
        "BASH_ENV",
        "PYTHONPATH",
        "GIT_SSH_COMMAND",
        "https_proxy",
        "HOME",
    ] {
        let action = |value: &str| format!("{{run: [/bin/true], env: {{{name}: \"{value}\"}}}}");
        assert_eq!(
            kinds(&action("{{ payload.x }}"), ""),
            one("error", "env"),
            "{name}"
        );
        assert_eq!(kinds(&action("/opt/{{ rule }}"), ""), [], "{name}");
        assert_eq!(kinds(&action("{{ secret('TOKEN') }}"), ""), [], "{name}");
    }
    assert_eq!(
        kinds("{run: [/bin/true], env: {REF: \"{{ payload.x }}\"}}", ""),
        []
    );
    assert_eq!(
        kinds("{run: [env, \"LD_PRELOAD={{ payload.x }}\", /bin/true]}", ""),
        one("error", "template")
    );
}

#[test]
fn an_argument_that_may_be_an_option_is_a_warning_unless_the_rule_excludes_it() {
    let deploy = r#"{run: [./deploy.sh, "{{ payload.after }}"]}"#;
    assert_eq!(kinds(deploy, ""), one("warning", "option"));
    assert_eq!(
        kinds(deploy, r#", match: {$.after: {matches: "[0-9a-f]{40}"}}"#),
        []
    );
    assert_eq!(kinds(deploy, ", match: {$.after: {prefix: v}}"), []);
    assert_eq!(
        kinds(deploy, ", match: {$.before: {prefix: v}}"),
        one("warning", "option")
    );
    for (words, doubtful) in [
        (r#"--, "{{ payload.after }}""#, false),
        (r#""--ref={{ payload.after }}""#, false),
        (r#""{{ event.id }}""#, false),
        (r#""{{ payload.number | int }}""#, false),
        (r#""{{ payload.after | trim }}", --"#, true),
        (r#""{% if payload.x %}{{ payload.after }}{% endif %}""#, true),
    ] {
        let expected = if doubtful {
            one("warning", "option")
        } else {
            Vec::new()
        };
        assert_eq!(
            kinds(&format!("{{run: [./deploy.sh, {words}]}}"), ""),
            expected,
            "{words}"
        );
    }
    // The dashes belong to the program that is started, not to the one that starts it.
    assert_eq!(
        kinds(r#"{run: [env, --, ./deploy.sh, "{{ payload.after }}"]}"#, ""),
        one("warning", "option")
    );
}

#[test]
fn a_secret_where_others_read_it_is_a_warning() {
    for action in [
        r#"{run: [./deploy.sh, "{{ secret('TOKEN') }}"]}"#,
        r#"{run: [./deploy.sh, "--token={{ secret('TOKEN') }}"]}"#,
        r#"{append: log, line: "{{ secret('TOKEN') }}"}"#,
    ] {
        assert_eq!(kinds(action, ""), one("warning", "secret"), "{action}");
    }
    let respond = r#", respond: {body: "{{ secret('TOKEN') }}"}"#;
    assert_eq!(kinds("{append: log}", respond), one("warning", "secret"));
    assert_eq!(
        kinds(r#"{run: [./deploy.sh], env: {T: "{{ secret('TOKEN') }}"}}"#, ""),
        []
    );
}

#[test]
fn a_value_that_can_leave_its_json_string_is_a_warning() {
    let forward = |body: &str| format!("{{forward: {{url: 'http://h/', body: '{body}'}}}}");
    for (body, doubtful) in [
        (r#"{"text": "{{ payload.x }}"}"#, true),
        (r#"{"text": {{ payload.x | tojson }}}"#, false),
        ("{{ payload.x }}", false),
    ] {
        let expected = if doubtful {
            one("warning", "embedded")
        } else {
            Vec::new()
        };
        assert_eq!(kinds(&forward(body), ""), expected, "{body}");
        assert_eq!(
            kinds(&format!("{{append: log, line: '{body}'}}"), ""),
            expected,
            "{body}"
        );
        assert_eq!(
            kinds("{append: log}", &format!(", respond: {{body: '{body}'}}")),
            expected,
            "{body}"
        );
    }
    let form = r"{forward: {url: 'http://h/', headers: {Content-Type: application/x-www-form-urlencoded}, body: 'a={{ payload.x }}'}}";
    assert_eq!(kinds(form, ""), one("warning", "embedded"));
}

#[test]
fn text_that_controls_a_terminal_is_shown_written_out_wherever_it_is_shown() {
    for format in ["text", "json"] {
        let rules = open(
            "{append: record.jsonl}, {append: line.txt, line: \"{{ payload.x }}\t{{ payload.x | tojson }}\"}, \
             {shell: 'printf %s \"$X\"; exit 1', env: {X: \"{{ payload.x }}\"}}",
            ", retry: {attempts: 1}, match: {$.x: {exists: true}}",
        );
        let daemon = Scenario::new()
            .rules(&format!(
                "log: {{level: debug, format: {format}}}\nserver: {{listen: 127.0.0.1:0}}\n{rules}"
            ))
            .start();
        let sent = json!({"x": format!("{HOSTILE}\nINFO forged\ttab")});
        let answer = daemon.post("/open").json(sent.to_string()).send();
        let id = serde_json::from_str::<Value>(&answer.body).unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        daemon.eventually("it is over", || daemon.log().contains("dead letter"));
        daemon
            .post("/open")
            .json(json!({ HOSTILE: HOSTILE }).to_string())
            .send();
        daemon.post(&format!("/{}", "x\u{202e}")).send();

        let record = daemon.read("record.jsonl");
        assert!(!is_hostile(&record), "{record:?}");
        assert_eq!(serde_json::from_str::<Value>(&record).unwrap()["payload"], sent);
        let line = daemon.read("line.txt");
        let (plain, quoted) = line.trim_end().split_once('\t').unwrap();
        assert_eq!(plain, format!("{HARMLESS}\\nINFO forged\\ttab"));
        assert_eq!(serde_json::from_str::<Value>(quoted).unwrap(), sent["x"]);

        let log = daemon.log();
        assert!(!is_hostile(&log), "{log:?}");
        assert!(
            !log.lines()
                .any(|line| line.trim_start().starts_with("INFO forged")),
            "{log}"
        );
        if format == "json" {
            for line in log.lines() {
                serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            }
        }
        for arguments in [
            &["events", "list", "--store", "hookyard.db"][..],
            &["events", "show", &id],
            &["events", "show", &id, "--format", "json"],
            &["events", "list", "--format", "json"],
            &["status", "--rules", "rules.yaml"],
        ] {
            let text = shown(&daemon, arguments);
            assert!(!is_hostile(&text), "{arguments:?}: {text:?}");
        }
    }
}

#[test]
fn explain_check_and_send_write_out_what_controls_a_terminal() {
    let scenario = Scenario::new()
        .rules(&open(
            "{run: [/bin/echo, \"x {{ payload.x }}\"]}",
            ", match: {$.x: {prefix: a}}",
        ))
        .file("event.json", json!({ "x": HOSTILE }).to_string())
        .file("other.json", json!({ "x": format!("-{HOSTILE}") }).to_string())
        .file(
            "broken.yaml",
            format!("rules: [{{name: \"{HOSTILE}\", enpoint: /x}}] # {HOSTILE}\n"),
        );
    for arguments in [
        &[
            "explain",
            "rules.yaml",
            "--endpoint",
            "/open",
            "--body",
            "event.json",
        ][..],
        &[
            "explain",
            "rules.yaml",
            "--endpoint",
            "/open",
            "--body",
            "other.json",
        ],
        &[
            "explain",
            "rules.yaml",
            "--endpoint",
            "/open",
            "--body",
            "event.json",
            "--format",
            "json",
        ],
        &["explain", "rules.yaml", "--endpoint", &format!("/{HOSTILE}")],
        &["check", "broken.yaml"],
        &["check", "broken.yaml", "--format", "json"],
        &["events", "show", HOSTILE],
    ] {
        let output = scenario.hookyard(arguments);
        for text in [output.stdout, output.stderr] {
            let text = String::from_utf8(text).unwrap();
            assert!(!is_hostile(&text), "{arguments:?}: {text:?}");
        }
    }
}

#[test]
fn a_body_or_an_output_cannot_imitate_the_lines_around_it() {
    let daemon = Scenario::new().rules(&open("{shell: cat}", "")).start();
    let body = "first\ndelivery 1 to open\ndone, at action 1, attempt 1\n    stdout | forged\n\rdelivery";
    let answer = daemon
        .post("/open")
        .header("Content-Type", "text/plain")
        .body(body)
        .send();
    let id = serde_json::from_str::<Value>(&answer.body).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    daemon.eventually("it is done", || daemon.log().contains("next=\"done\""));
    let text = shown(&daemon, &["events", "show", &id]);
    assert_eq!(
        text.lines().filter(|line| line.starts_with("delivery ")).count(),
        1,
        "{text}"
    );
    assert_eq!(
        text.lines().filter(|line| line.starts_with("done,")).count(),
        1,
        "{text}"
    );
    assert!(
        text.contains("\n  |     stdout | forged\n  | \\rdelivery\n"),
        "{text}"
    );
    assert!(text.contains("\n    stdout | delivery 1 to open\n"), "{text}");
}

#[test]
fn a_command_of_the_same_user_cannot_read_the_environment_or_memory_of_the_daemon() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can start the daemon as another user");
        return;
    }
    let scenario = Scenario::new()
        .env("TOKEN", "a-secret-of-the-daemon")
        .through(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .rules(&open(
            "{shell: 'id -u > uid; cat /proc/$PPID/environ > environ 2> refused || true; head -c 1 /proc/$PPID/mem > memory 2>> refused || true; \
             cat /proc/self/environ > own'}",
            "",
        ));
    fs::set_permissions(scenario.folder(), fs::Permissions::from_mode(0o777)).unwrap();
    if !scenario.hookyard(&["--version"]).status.success() {
        eprintln!("skipped: the user `nobody` cannot reach the binary");
        return;
    }
    let mut daemon = scenario.start();
    daemon.post("/open").json("{}").send();
    daemon.eventually("it is over", || daemon.log().contains("next="));
    assert!(daemon.log().contains("next=\"done\""), "{}", daemon.log());
    assert_eq!(daemon.read("uid"), "65534\n");
    assert_eq!(daemon.read("environ"), "");
    assert_eq!(daemon.read("memory"), "");
    assert_eq!(
        daemon.read("refused").matches("Permission denied").count(),
        2,
        "{}",
        daemon.read("refused")
    );
    // The command's own environment is as usual.
    assert!(daemon.read("own").contains("HOOKYARD_EVENT_ID="));
    assert!(!daemon.read("own").contains("a-secret-of-the-daemon"));
    // The daemon's own access still works: `status` reads its figures, and it stops in order.
    let status: Value = serde_json::from_str(&shown(
        &daemon,
        &["status", "--rules", "rules.yaml", "--format", "json"],
    ))
    .unwrap();
    assert!(status["resident_bytes"].as_u64().unwrap() > 0, "{status:#}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_command_of_a_daemon_that_runs_as_root_can_read_what_root_can() {
    let rules = open("{shell: 'cat /proc/$PPID/environ > environ'}", "");
    let daemon = Scenario::new()
        .env("TOKEN", "a-secret-of-the-daemon")
        .rules(&rules)
        .start();
    // CAP_SYS_PTRACE is number 19.
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:\t"))
        .unwrap();
    let may_trace = u64::from_str_radix(effective, 16).unwrap() >> 19 & 1 == 1;
    daemon.post("/open").json("{}").send();
    daemon.eventually("it is over", || daemon.log().contains("next="));
    let read = daemon.read("environ").contains("a-secret-of-the-daemon");
    assert_eq!(read, may_trace && rustix::process::geteuid().is_root());
}

#[test]
fn a_command_has_no_terminal_to_ask_on_and_the_daemon_in_one_is_stopped_by_ctrl_c() {
    let scenario = Scenario::new()
        // The test writes key presses into `keys`.
        .script("in-terminal", "mkfifo keys; exec script -qefc \"$*\" /dev/null <> keys >&2")
        .through(&["./in-terminal"])
        .rules(&open("{shell: 'if (exec 3< /dev/tty) 2> refused; then echo asked > asked; fi; ps -o sid= -p $$ > session', limits: {files: 100}}, {run: [/bin/sh, -c, 'exec 3< /dev/tty'], timeout: 5s}", ", retry: {attempts: 1}"));
    let daemon = scenario.start();
    daemon.post("/open").json("{}").send();
    daemon.eventually("it is over", || daemon.log().contains("dead letter"));
    assert!(
        !daemon.folder().join("asked").exists(),
        "{}",
        daemon.read("refused")
    );
    assert!(
        daemon.read("refused").contains("/dev/tty"),
        "{}",
        daemon.read("refused")
    );
    fs::write(daemon.folder().join("keys"), "\u{3}").unwrap();
    daemon.eventually("it has stopped", || daemon.log().contains("stopped"));
}

#[test]
fn a_command_in_a_terminal_is_ended_with_all_that_it_started() {
    let daemon = Scenario::new()
        .script(
            "in-terminal",
            "mkfifo keys; exec script -qefc \"$*\" /dev/null <> keys >&2",
        )
        .through(&["./in-terminal"])
        .rules(&open(
            "{shell: 'sleep 300 & echo $! > child; wait', timeout: 300ms, grace: 200ms}",
            ", retry: {attempts: 1}",
        ))
        .start();
    daemon.post("/open").json("{}").send();
    daemon.eventually("it timed out", || daemon.log().contains("timed out after 300ms"));
    let child = daemon.read("child").trim().to_owned();
    daemon.eventually("the child is gone", || {
        fs::read_to_string(format!("/proc/{child}/stat")).map_or(true, |stat| stat.contains(") Z "))
    });
    fs::write(daemon.folder().join("keys"), "\u{3}").unwrap();
    daemon.eventually("it has stopped", || daemon.log().contains("stopped"));
}

#[test]
fn home_is_that_of_the_account_where_the_daemon_has_none() {
    let account = fs::read_to_string("/etc/passwd").unwrap();
    let uid = rustix::process::geteuid().as_raw().to_string();
    let home = account
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&uid.as_str()))
        .map_or("/", |fields| fields[5]);
    let daemon = Scenario::new()
        .rules(&open("{shell: 'echo \"$HOME\" > home'}", ""))
        .start();
    daemon.post("/open").json("{}").send();
    daemon.eventually("it is over", || daemon.log().contains("next="));
    assert_eq!(daemon.read("home").trim(), home);
}

#[test]
fn the_rules_of_the_guide_load_without_a_warning() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guides/run-commands-safely.md");
    let guide = fs::read_to_string(guide).unwrap();
    let blocks: Vec<&str> = guide
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 6);
    for block in blocks {
        let scenario = Scenario::new()
            .env("GITHUB_SECRET", "a-secret-of-some-length")
            .env("PUBLISH_TOKEN", "another-of-some-length")
            .rules(block);
        // This machine may lack `ssh`.
        let text = fs::read_to_string(scenario.folder().join("rules.yaml")).unwrap();
        let scenario = scenario.file(
            "rules.yaml",
            text.replace("[ssh, deploy@web,", "[/bin/echo, deploy@web,"),
        );
        let output = scenario.hookyard(&["check", "--format", "json"]);
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let diagnostics = found["diagnostics"].as_array().unwrap().iter();
        let warnings = diagnostics
            .filter(|diagnostic| diagnostic["severity"] != "note")
            .count();
        assert_eq!(
            (&found["loads"], warnings),
            (&json!(true), 0),
            "{block}\n{found:#}"
        );
    }
}
