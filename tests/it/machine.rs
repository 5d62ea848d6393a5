//! Problems of this machine, which are not errors in the rules file.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::scenario::{Daemon, Scenario, said};

/// Two rules. The first needs a program in a folder that is replaced from time to time.
const RULES: &str = "
rules:
  - name: deploy
    endpoint: /deploy
    verify: {token: {header: X-Token, secret: file:token}}
    retry: {attempts: 50, backoff: 200ms}
    actions: [{run: [./checkout/deploy.sh]}]
  - name: keep
    endpoint: /keep
    verify: {token: {header: X-Token, secret: file:token}}
    actions: [append: out.jsonl]
";

fn post(daemon: &Daemon, path: &str, token: &str) -> (u16, String) {
    daemon
        .post(path)
        .header("X-Token", token)
        .json("{}")
        .send()
        .outcome()
}

fn status(daemon: &Daemon) -> Value {
    let output = daemon.scenario.hookyard(&["status", "--format", "json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// Errors and missing items that `check` reports, and the exit code.
fn check(scenario: &Scenario, arguments: &[&str]) -> (Option<i32>, Vec<(String, String)>) {
    let output = scenario.hookyard(&[&["check", "--format", "json"], arguments].concat());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let diagnostics = found["diagnostics"].as_array().unwrap().iter();
    let diagnostics =
        diagnostics.map(|diagnostic| (text(&diagnostic["severity"]), text(&diagnostic["message"])));
    // Warnings and notes are tested elsewhere.
    let grave = |(severity, _): &(String, String)| severity == "error" || severity == "unavailable";
    (output.status.code(), diagnostics.filter(grave).collect())
}

#[test]
fn a_program_that_is_missing_for_a_while_holds_up_its_own_rule_alone() {
    let mut daemon = Scenario::new()
        .file("token", "old-token-of-the-sender")
        .private("token")
        .script("checkout/deploy.sh", "echo done >> deployed")
        .rules(RULES)
        .start();
    assert_eq!(status(&daemon)["unavailable"], serde_json::json!({}));
    // The program's folder is being replaced, while a secret of both rules is rotated.
    let (here, away) = (daemon.folder().join("checkout"), daemon.folder().join("away"));
    std::fs::rename(&here, &away).unwrap();
    std::fs::write(daemon.folder().join("token"), "new-token-of-the-sender").unwrap();
    daemon.eventually("the new secret is in force", || {
        post(&daemon, "/keep", "new-token-of-the-sender").0 == 200
    });
    let (code, diagnostics) = check(&daemon.scenario, &[]);
    assert_eq!((code, diagnostics.len()), (Some(1), 1), "{diagnostics:?}");
    assert!(
        diagnostics[0].0 == "unavailable" && diagnostics[0].1.contains("no program"),
        "{diagnostics:?}"
    );
    daemon.eventually("the operator sees it", || {
        status(&daemon)["unavailable"]["deploy"]
            .as_str()
            .is_some_and(|why| why.contains("no program"))
    });
    let output = daemon.scenario.hookyard(&["status", "--check"]);
    assert!(output.status.code() == Some(1) && said(&output).contains("the rule `deploy` is unavailable"));
    // After a restart only this rule is unavailable, and its events are still accepted.
    daemon.stop();
    daemon.start();
    assert_eq!(
        post(&daemon, "/deploy", "new-token-of-the-sender"),
        (200, "accepted".into())
    );
    daemon.eventually("the attempt says why", || {
        daemon.log().contains("unavailable: there is no program")
    });
    assert!(crate::status::metrics(&daemon).contains("\nhookyard_rules_unavailable 1"));
    std::fs::rename(&away, &here).unwrap();
    daemon.eventually("it is delivered without a reload", || {
        daemon.lines("deployed") == 1
    });
    daemon.eventually("the operator sees that, too", || {
        status(&daemon)["unavailable"] == serde_json::json!({}) && daemon.log().contains("available again")
    });
    let (code, diagnostics) = check(&daemon.scenario, &[]);
    assert_eq!((code, diagnostics), (Some(0), Vec::new()));
}

#[test]
fn a_folder_and_a_user_that_are_missing_are_the_machines_and_a_mistake_is_the_files() {
    let action = |action: &str| {
        let rules = format!("rules: [{{name: r, endpoint: /in, verify: none, actions: [{action}]}}]\n");
        check(&Scenario::new().rules(&rules), &[])
    };
    for (yaml, words) in [
        ("append: no/such/x.jsonl", "there is no folder"),
        ("append: '{dir}'", "is a folder"),
        ("{run: ['true'], cwd: no/such}", "there is no folder"),
        ("{shell: 'true', cwd: no/such}", "there is no folder"),
        ("{run: ['true'], user: no-such-user}", "there is no user"),
        ("{run: ['true'], group: no-such-group}", "there is no group"),
        ("{run: [no-such-program]}", "there is no program"),
        ("{run: ['{dir}']}", "is not a file"),
        ("{run: ['{dir}/rules.yaml']}", "may not be executed"),
        ("{run: [sh, /missing.sh]}", "there is no script `/missing.sh`"),
        ("{run: [bash, ./x.sh, '{{ payload.x }}']}", "there is no script"),
        ("{run: [env, A=1, timeout, '5', sh, x.sh]}", "there is no script"),
        ("{run: [sh, '{dir}']}", "is a folder"),
    ] {
        let (code, diagnostics) = action(yaml);
        assert_eq!((code, diagnostics.len()), (Some(1), 1), "{yaml} {diagnostics:?}");
        assert!(
            diagnostics[0].0 == "unavailable" && diagnostics[0].1.contains(words),
            "{yaml} {diagnostics:?}"
        );
    }
    for yaml in [
        "{run: ['{{ payload.x }}']}",
        "{run: ['true'], cwd: 5}",
        "{run: ['true'], user: 'a:b'}",
        "{run: [true-program], env: {PATH: '{{ payload.x }}'}}",
    ] {
        let (code, diagnostics) = action(yaml);
        assert!(
            code == Some(1) && diagnostics.iter().all(|(severity, _)| severity == "error"),
            "{yaml} {diagnostics:?}"
        );
    }
}

#[test]
fn a_script_that_cannot_start_is_told_at_load_and_by_its_attempts() {
    let executable = |scenario: Scenario, name: &str, content: &str| {
        let scenario = scenario.file(name, content);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(scenario.folder().join(name), mode).unwrap();
        scenario
    };
    let rule = |name: &str, more: &str| {
        format!(
            "  - {{name: {name}, endpoint: /{name}, verify: none, retry: {{attempts: 1}}, actions: [{{run: [./{name}]{more}}}]}}\n"
        )
    };
    let scripts = [
        ("crlf", "#!/bin/sh\r\necho\r\n", "carriage return"),
        ("gone", "#!/no/such/shell\n", "no program `/no/such/shell`"),
        (
            "env",
            "#!/usr/bin/env no-such-shell\n",
            "no program `no-such-shell`",
        ),
        (
            "options",
            "#!/usr/bin/env python3 -u\n",
            "gets `python3 -u` as one argument",
        ),
        (
            "ignored",
            "#!/usr/bin/env -i sh\n",
            "gets `-i sh` as one argument",
        ),
        ("binary", "\u{7f}ELF\u{2}\u{1}\u{1}", "cut off or damaged"),
        ("bare", "echo hello\n", "does not begin with `#!`"),
        ("empty", "", "is empty"),
    ];
    let mut rules = String::from("rules:\n");
    let mut scenario = Scenario::new();
    for (name, content, _) in scripts {
        scenario = executable(scenario, name, content);
        rules += &rule(name, "");
    }
    // The program is sound at load and missing later, with limits and without.
    for (name, more) in [("later", ""), ("limited", ", nice: 1")] {
        scenario = executable(scenario, name, "#!/bin/sh\n");
        rules += &rule(name, more);
    }
    let scenario = scenario.rules(&rules);
    let (code, diagnostics) = check(&scenario, &[]);
    assert_eq!(
        (code, diagnostics.len()),
        (Some(1), scripts.len()),
        "{diagnostics:?}"
    );
    for ((_, _, words), (severity, message)) in scripts.iter().zip(&diagnostics) {
        assert!(
            severity == "unavailable" && message.contains(words),
            "{words}: {message}"
        );
    }
    let daemon = scenario.start();
    for name in ["later", "limited"] {
        std::fs::write(daemon.folder().join(name), "#!/no/such/shell\n").unwrap();
    }
    for name in scripts.map(|(name, ..)| name).iter().chain(&["later", "limited"]) {
        assert_eq!(daemon.post(&format!("/{name}")).json("{}").send().status, 200);
    }
    let reason = |name: &str| {
        let found = daemon.scenario.deliveries(&["--state", "dead", "--rule", name]);
        let reason = found.first().and_then(|row| row["reason"].as_str());
        reason.unwrap_or_default().to_owned()
    };
    for (name, _, words) in scripts {
        daemon.eventually(name, || reason(name).contains(words));
    }
    daemon.eventually("why it did not start", || {
        reason("later").contains("no program `/no/such/shell`")
    });
    daemon.eventually("why it did not start", || {
        reason("limited").contains("no program `/no/such/shell`")
    });
}

#[test]
fn a_script_behind_a_shell_that_is_missing_for_a_while_holds_up_its_own_rule_alone() {
    let daemon = Scenario::new()
        .rules(
            "rules:\n  - {name: deploy, endpoint: /deploy, verify: none, retry: {attempts: 50, backoff: 200ms}, \
             actions: [{run: [sh, deploy.sh]}]}\n  - {name: keep, endpoint: /keep, verify: none, actions: [append: out.jsonl]}\n",
        )
        .start();
    assert_eq!(daemon.post("/keep").json("{}").send().status, 200);
    assert_eq!(daemon.post("/deploy").json("{}").send().status, 200);
    let why = || {
        status(&daemon)["unavailable"]["deploy"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    daemon.eventually("the operator sees it", || why().contains("there is no script"));
    daemon.eventually("the attempt says why", || {
        daemon.log().contains("unavailable: there is no script")
    });
    std::fs::write(daemon.folder().join("deploy.sh"), "echo done >> deployed\n").unwrap();
    daemon.eventually("it is delivered without a reload", || {
        daemon.lines("deployed") == 1
    });
    daemon.eventually("the operator sees that, too", || why().is_empty());
}

#[test]
fn a_check_offline_looks_at_nothing_of_this_machine_and_finds_what_is_wrong_in_the_file() {
    let rules = "
server: {tls: {cert: none.pem, key: none.key}}
rules:
  - {name: github, endpoint: /github, verify: {github: {secret: env:UNSET}}, match: {event: push}, actions: [run: [./no-such]]}
  - {name: jwt, endpoint: /jwt, verify: {jwt: {algorithms: [RS256], jwks: file:none.json, issuer: https://a.example, audience: https://b.example, claims: {email: a@b.example}, body_hash: none, id: {json: $.id}}}, actions: [append: no/such/x]}
  - {name: slack, endpoint: /slack, verify: {slack: {secret: credential:none}}, actions: [{shell: 'true', user: no-such-user, cwd: /no/such}]}
  - name: forward
    endpoint: /forward
    verify: {bearer: {secret: file:/no/such}}
    actions:
      - forward: https://a.example/
        headers: {Authorization: \"Bearer {{ secret('UNSET') }}\"}
        sign: {standard: env:UNSET}
        tls: {ca: none.pem, cert: none.pem, key: none.key}
        proxy: env:UNSET
";
    let scenario = Scenario::new().file("rules.yaml", rules);
    let (code, diagnostics) = check(&scenario, &[]);
    assert!(code == Some(1) && diagnostics.len() > 8, "{diagnostics:?}");
    let output = scenario.hookyard(&["check", "--offline"]);
    assert!(
        said(&output).contains("rules.yaml loads: 4 endpoints, 4 rules, "),
        "{}",
        said(&output)
    );
    assert_eq!(output.status.code(), Some(0));
    // An error in the file is still an error, even beside a missing secret.
    let broken = rules
        .replace("event: push", "$.x: {mathces: a}")
        .replace("UNSET}}, match", "UNSET, sceret: x}}, match");
    let (code, diagnostics) = check(&Scenario::new().file("rules.yaml", broken), &["--offline"]);
    assert_eq!((code, diagnostics.len()), (Some(1), 2), "{diagnostics:?}");
    assert!(
        diagnostics.iter().all(|(severity, _)| severity == "error"),
        "{diagnostics:?}"
    );
}

#[test]
fn a_check_takes_the_variables_of_the_service_and_a_file_from_standard_input() {
    let rules = "rules: [{name: r, endpoint: /in, verify: {github: {secret: env:GITHUB_SECRET}}, actions: [append: x]}]\n";
    let scenario = Scenario::new()
        .rules(rules)
        .file(
            "environment",
            "# of the service\nGITHUB_SECRET='a secret of the service'\n",
        )
        .file("broken", "GITHUB_SECRET='hunter2'\nnonsense hunter2\n");
    assert_eq!(check(&scenario, &[]).0, Some(1));
    assert_eq!(
        check(&scenario, &["--env-file", "environment"]),
        (Some(0), Vec::new())
    );
    for (file, words) in [
        ("none", "cannot read `none`"),
        ("broken", "line 2 of `broken`"),
        (".", "it is a folder, not a file"),
    ] {
        let output = scenario.hookyard(&["check", "--env-file", file]);
        let text = said(&output);
        assert!(
            output.status.code() == Some(2) && text.contains(words) && !text.contains("hunter2"),
            "{text}"
        );
    }
    let piped = |arguments: &[&str], text: &[u8]| -> Output {
        let mut command = scenario.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = piped(&["check", "-", "--env-file", "environment"], rules.as_bytes());
    assert!(
        said(&output).contains("<stdin> loads: 1 endpoint, 1 rule, "),
        "{}",
        said(&output)
    );
    let output = piped(&["check", "--offline", "-"], b"rules: [{name: a}]\n");
    assert!(
        output.status.code() == Some(1) && said(&output).contains("<stdin>:1:"),
        "{}",
        said(&output)
    );
    assert_eq!(piped(&["check", "-"], b"\xff\xfe").status.code(), Some(2));
    for clash in [
        &["--offline", "--running"][..],
        &["--offline", "--env-file", "x"],
        &["--offline", "--secrets"],
    ] {
        assert_eq!(
            scenario.hookyard(&[&["check"], clash].concat()).status.code(),
            Some(2),
            "{clash:?}"
        );
    }
}

#[test]
fn a_running_daemon_judges_a_file_in_its_own_environment_and_tells_no_secret() {
    let rules = "rules: [{name: r, endpoint: /in, verify: {github: {secret: env:GITHUB_SECRET}}, actions: [append: x]}]\n";
    let daemon = Scenario::new()
        .env("GITHUB_SECRET", "hunter2-of-the-daemon")
        .rules(rules)
        .start();
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new.yaml");
    std::fs::write(&new, rules.replace("append: x", "append: beside/x")).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = daemon.scenario.command(arguments);
        let output = command.env_remove("GITHUB_SECRET").output().unwrap();
        (output.status.code(), said(&output))
    };
    let (code, text) = run(&["check"]);
    assert!(
        code == Some(1) && text.contains("`GITHUB_SECRET` is not set"),
        "{text}"
    );
    let (code, text) = run(&["check", "--running"]);
    let judged = format!(
        "(judged by the daemon of {}/rules.yaml)",
        daemon.folder().display()
    );
    assert!(
        code == Some(0) && text.contains("1 endpoint, 1 rule") && text.contains(&judged),
        "{text}"
    );
    // Another file as a replacement of the daemon's: its relative paths start at the daemon's
    // folder.
    let (code, text) = run(&["check", "--running", new.to_str().unwrap()]);
    let missing = format!("no folder `{}/beside`", daemon.folder().display());
    assert!(
        code == Some(1) && text.contains(&missing) && text.contains("new.yaml:1:"),
        "{text}"
    );
    std::fs::write(&new, rules.replace("github: {secret", "github: {sceret")).unwrap();
    let (code, text) = run(&["check", "--running", new.to_str().unwrap(), "--format", "json"]);
    let found: Value = serde_json::from_str(&text).unwrap();
    assert!(code == Some(1) && found["loads"] == false, "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    // Nothing has changed, and without a daemon there is no answer.
    assert_eq!(status(&daemon)["rules"]["generation"], 1);
    let mut daemon = daemon;
    daemon.stop();
    let output = daemon.scenario.hookyard(&["check", "--running"]);
    assert!(
        output.status.code() == Some(2) && said(&output).contains("no daemon answers"),
        "{}",
        said(&output)
    );
}
