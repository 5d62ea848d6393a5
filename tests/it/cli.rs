//! The command line: exit codes, whole outputs, JSON for programs.

use std::process::Output;

use crate::scenario::{Scenario, fixture};

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

const RULES: &str = r#"
rules:
  - name: deploy
    endpoint: /github
    verify: {github: {secret: env:SECRET}}
    match: {event: push, $.ref: refs/heads/main}
    actions:
      - run: [/bin/echo, "{{ payload.after }}"]
  - name: docs
    endpoint: /github
    match: {$.repository.full_name: acme/docs}
    verify: {github: {secret: env:SECRET}}
    actions: [append: docs.jsonl]
"#;

fn scenario() -> Scenario {
    Scenario::new()
        .env("SECRET", "k")
        .rules(RULES)
        .file("push.json", fixture("github/push.json"))
}

#[test]
fn check_says_everything_at_once_with_place_and_hint() {
    let scenario = Scenario::new().file(
        "rules.yaml",
        r#"server:
  listne: 127.0.0.1:9000
endpoints:
  /github: {verify: {githbu: {secret: env:UNSET}}, max_body: 1 parsec}
rules:
  - name: deploy
    endpoint: /github
    match:
      $.ref[: main
      $.x: {mathces: "a("}
      $.y: {matches: "a("}
      client.ip: {in_cidr: [10.0.0.0/33]}
    actions:
      - run: [no-such-program-anywhere]
      - shell: echo {{ payload.x }}
      - forward: ftp://example.com
      - append: no/such/folder/x.jsonl
    replay_window: 10
  - name: deploy
    endpoint: /open
    actions: [append: x.jsonl]
"#,
    );
    let output = scenario.hookyard(&["check", "rules.yaml"]);
    let (stdout, stderr) = text(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(1), ""));
    for (line, words) in [
        (2, "unknown key `listne`"),
        (4, "unknown scheme `githbu`"),
        (4, "invalid size `1 parsec`"),
        (9, "$.ref["),
        (10, "unknown operator `mathces`"),
        (11, "a("),
        (12, "10.0.0.0/33"),
        (14, "no-such-program-anywhere"),
        (15, "a script is fixed"),
        (16, "ftp"),
        (17, "no/such/folder"),
        (18, "duration"),
        (19, "a second rule named `deploy`"),
        (19, "no verification covers the rule `deploy`"),
    ] {
        assert!(stdout.contains(words), "{words} is not in:\n{stdout}");
        let at = stdout
            .split("error: ")
            .flat_map(|part| part.split("unavailable: "))
            .filter(|part| part.contains(words))
            .collect::<Vec<_>>();
        let place = format!("rules.yaml:{line}:");
        assert!(
            at.iter().any(|part| part.contains(&place)),
            "{words} is not at line {line}:\n{stdout}"
        );
    }
    assert!(
        stdout.contains("did you mean `github`?") && stdout.contains("did you mean `listen`?"),
        "{stdout}"
    );
    assert!(stdout.contains("^^^^^^"), "{stdout}");

    let output = scenario.hookyard(&["check", "rules.yaml", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["loads"], false);
    let first = &json["diagnostics"][0];
    assert_eq!(
        (first["line"].as_u64(), first["code"].as_str()),
        (Some(2), Some("unknown-key"))
    );
}

#[test]
fn check_of_good_rules_says_so_and_never_shows_a_secret() {
    let scenario = Scenario::new().rules(&RULES.replace("env:SECRET", "hunter2-in-the-open"));
    let output = scenario.hookyard(&["check"]);
    let (stdout, _) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    assert!(
        stdout.contains("warning: ") && stdout.contains("1 endpoint, 2 rules"),
        "{stdout}"
    );
    let output = scenario.hookyard(&["check", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (json["loads"].as_bool(), json["rules"].as_u64()),
        (Some(true), Some(2))
    );
}

#[test]
fn check_warns_of_an_endpoint_that_no_rule_uses() {
    let rule = "rules: [{name: site, endpoint: /hooks/github, verify: {github: {secret: env:SECRET}}, \
                actions: [{append: site.jsonl}]}]\n";
    let warnings = |endpoints: &str, rules: &str| {
        let scenario = Scenario::new().env("SECRET", "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0");
        let scenario = scenario.rules(&format!("endpoints: {endpoints}\n{rules}"));
        let output = scenario.hookyard(&["check", "--format", "json"]);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let diagnostics = json["diagnostics"].as_array().unwrap().clone();
        let unused = diagnostics.into_iter();
        let unused = unused.filter(|diagnostic| diagnostic["code"] == "unused-endpoint");
        (json["loads"].clone(), unused.collect::<Vec<_>>())
    };
    // The rule of the prefix's path is open to every address, which `allow` does not say.
    let (loads, found) = warnings("{/github: {allow: [192.0.2.0/24]}}", rule);
    assert_eq!((loads, found.len()), (true.into(), 1), "{found:#?}");
    assert_eq!(found[0]["severity"], "warning");
    assert_eq!(found[0]["line"], 2);
    assert_eq!(found[0]["message"], "no rule has the endpoint `/github`");
    let hint = "write `endpoint: /github` in a rule, or remove it: its settings hold for no other path";
    assert_eq!(found[0]["hint"], hint);
    for used in [
        "{/hooks/github: {allow: [192.0.2.0/24]}}",
        "{/hooks/github: }",
        "{}",
    ] {
        let (loads, found) = warnings(used, rule);
        assert_eq!((loads, found.len()), (true.into(), 0), "{used}: {found:#?}");
    }
    let (_, found) = warnings("{/github: , /gitlab: }", "rules: []\n");
    assert_eq!(found.len(), 2, "{found:#?}");
    // A rule with an error is not there yet, and its endpoint is not to blame.
    let (loads, found) = warnings("{/hooks/github: }", &rule.replace("append", "apend"));
    assert_eq!((loads, found.len()), (false.into(), 0), "{found:#?}");
}

#[test]
fn explain_says_what_would_run_and_what_failed() {
    let scenario = scenario();
    let event = [
        "--header",
        "X-GitHub-Event: push",
        "--header",
        "Content-Type: application/json",
    ];
    let arguments = [
        &[
            "explain",
            "rules.yaml",
            "--endpoint",
            "/github",
            "--body",
            "push.json",
        ],
        event.as_slice(),
    ]
    .concat();
    let output = scenario.hookyard(&arguments);
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let push: serde_json::Value = serde_json::from_slice(&fixture("github/push.json")).unwrap();
    assert!(
        stdout.contains("yes deploy") && stdout.contains(push["after"].as_str().unwrap()),
        "{stdout}"
    );
    assert!(
        stdout.contains("no  docs") && stdout.contains("acme/docs") && stdout.contains("acme/site"),
        "{stdout}"
    );

    let json = scenario.hookyard(&[arguments.as_slice(), &["--format", "json"]].concat());
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["rules"][0]["matched"], true);
    assert_eq!(json["rules"][1]["explanation"]["matched"], false);

    let other = scenario.hookyard(&["explain", "rules.yaml", "--endpoint", "/github"]);
    assert_eq!(other.status.code(), Some(1), "{:?}", text(&other));
    let nowhere = scenario.hookyard(&["explain", "rules.yaml", "--endpoint", "/nowhere"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(
        text(&nowhere).1.contains("/github"),
        "it names the endpoints that there are"
    );
}

#[test]
fn explain_shows_no_secret() {
    let rules = r#"
rules:
  - name: relay
    endpoint: /open
    verify: none
    actions:
      - forward: http://127.0.0.1:1/
        headers: {Authorization: "Bearer {{ secret('TOKEN') }}"}
"#;
    let scenario = Scenario::new().env("TOKEN", "hunter2").rules(rules);
    let output = scenario.hookyard(&["explain", "rules.yaml", "--endpoint", "/open"]);
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stdout.contains("Bearer ***") && !stdout.contains("hunter2"),
        "{stdout}"
    );
}

/// One endpoint per sender.
const SENDERS: &str = r"
rules:
  - {name: github, endpoint: /github, verify: {github: {secret: env:SECRET}}, match: {event: push}, actions: [append: x.jsonl]}
  - {name: github_sha1, endpoint: /github_sha1, verify: {github_sha1: {secret: env:SECRET}}, actions: [append: x.jsonl]}
  - {name: gitlab, endpoint: /gitlab, verify: {gitlab: {secret: env:SECRET}}, actions: [append: x.jsonl]}
  - {name: gitea, endpoint: /gitea, verify: {gitea: {secret: env:SECRET}}, actions: [append: x.jsonl]}
  - {name: forgejo, endpoint: /forgejo, verify: {forgejo: {secret: env:SECRET}}, actions: [append: x.jsonl]}
  - {name: gogs, endpoint: /gogs, verify: {gogs: {secret: env:SECRET}}, actions: [append: x.jsonl]}
  - {name: slack, endpoint: /slack, verify: {slack: {secret: env:SECRET}}, actions: [append: x.jsonl]}
  - {name: stripe, endpoint: /stripe, verify: {stripe: {secret: env:SECRET}}, actions: [append: x.jsonl]}
  - {name: shopify, endpoint: /shopify, verify: {shopify: {secret: env:SECRET}}, actions: [append: x.jsonl]}
  - {name: standard, endpoint: /standard, verify: {standard: {secret: env:WHSEC}}, actions: [append: x.jsonl]}
  - {name: bitbucket, endpoint: /bitbucket, verify: {bitbucket: {secret: env:SECRET}}, actions: [append: x.jsonl]}
  - {name: hmac, endpoint: /hmac, verify: {hmac: {secret: env:SECRET}}, actions: [append: x.jsonl]}
  - {name: bearer, endpoint: /bearer, verify: {bearer: {secret: env:SECRET}}, actions: [append: x.jsonl]}
";

#[test]
fn send_signs_as_each_sender_does() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let daemon = Scenario::new()
        .env("SECRET", "k")
        .env("WHSEC", secret)
        .file("push.json", fixture("github/push.json"))
        .rules(SENDERS)
        .start();
    let send = |scheme: &str, more: &[&str]| {
        let url = format!("http://{}/{scheme}", daemon.address);
        let secret = if scheme == "standard" {
            "env:WHSEC"
        } else {
            "env:SECRET"
        };
        let arguments = [
            &[
                "send",
                &url,
                "--as",
                scheme,
                "--secret",
                secret,
                "--body",
                "push.json",
            ],
            more,
        ]
        .concat();
        let output = daemon.scenario.hookyard(&arguments);
        (output.status.code(), text(&output))
    };
    for scheme in [
        "github",
        "github_sha1",
        "gitlab",
        "gitea",
        "forgejo",
        "gogs",
        "slack",
        "stripe",
        "shopify",
        "standard",
        "bitbucket",
        "hmac",
        "bearer",
    ] {
        let event: &[&str] = if scheme == "github" {
            &["--event", "push"]
        } else {
            &[]
        };
        let (code, (stdout, stderr)) = send(scheme, event);
        assert_eq!(code, Some(0), "{scheme}: {stdout}{stderr}");
        assert!(
            stdout.starts_with("200 ") && stdout.contains("accepted"),
            "{scheme}: {stdout}"
        );
    }
    for scheme in ["slack", "stripe", "standard"] {
        let (code, (stdout, _)) = send(scheme, &["--age", "10m"]);
        assert_eq!(
            (code, stdout.contains("stale")),
            (Some(1), true),
            "{scheme}: {stdout}"
        );
    }
    let url = format!("http://{}/github", daemon.address);
    let wrong = daemon.scenario.hookyard(&[
        "send", &url, "--as", "github", "--secret", "other", "--format", "json",
    ]);
    assert_eq!(wrong.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&wrong.stdout).unwrap();
    assert_eq!(
        (json["status"].as_u64(), json["body"]["status"].as_str()),
        (Some(403), Some("refused"))
    );
    let nobody = daemon
        .scenario
        .hookyard(&["send", "http://127.0.0.1:1/", "--as", "none"]);
    assert_eq!(nobody.status.code(), Some(2));
    let unknown = daemon
        .scenario
        .hookyard(&["send", &url, "--as", "githbu", "--secret", "x"]);
    assert_eq!(
        (unknown.status.code(), text(&unknown).1.contains("githbu")),
        (Some(2), true)
    );
}

#[test]
fn bad_usage_is_2_and_help_teaches() {
    let scenario = Scenario::new();
    assert_eq!(scenario.hookyard(&["serve", "--nonsense"]).status.code(), Some(2));
    assert_eq!(scenario.hookyard(&["frobnicate"]).status.code(), Some(2));
    for command in ["serve", "check", "explain"] {
        let output = scenario.hookyard(&[command, "absent.yaml"]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        let (stdout, stderr) = text(&output);
        let hint = format!("name the file: `hookyard {command} RULES`");
        assert!((stdout + &stderr).contains(&hint), "{command}");
    }
    for command in ["serve", "check", "explain", "send", "events", "store"] {
        let output = scenario.hookyard(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stdout.len() > 250, "{command}");
    }
    let version = scenario.hookyard(&["--version"]);
    assert!(text(&version).0.starts_with("hookyard "));
}

#[test]
fn completions_and_manual_pages_know_every_command_that_is_shown_and_none_that_is_not() {
    let scenario = Scenario::new().file("man/here", "");
    let (help, _) = text(&scenario.hookyard(&["--help"]));
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands: Vec<&str> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .collect();
    assert!(
        commands.contains(&"serve") && commands.contains(&"completions"),
        "{help}"
    );
    assert!(commands.contains(&"man") && !help.contains("__exec"), "{help}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = scenario.hookyard(&["completions", shell]);
        assert!(output.status.success(), "{output:?}");
        let (script, _) = text(&output);
        for command in &commands {
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert!(!script.contains("__exec"), "{shell}");
    }
    assert_eq!(scenario.hookyard(&["completions", "tcsh"]).status.code(), Some(2));

    assert!(scenario.hookyard(&["man", "man"]).status.success());
    let page = |name: &str| std::fs::read_to_string(scenario.folder().join("man").join(name));
    for command in &commands {
        let page = page(&format!("hookyard-{command}.1")).unwrap();
        assert!(page.contains(".TH hookyard-"), "{page}");
    }
    assert!(page("hookyard-__exec.1").is_err());
    let nowhere = scenario.hookyard(&["man", "nowhere"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(
        text(&nowhere)
            .1
            .starts_with("error: cannot write into `nowhere`: ")
    );
}
