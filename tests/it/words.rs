//! Diagnostics: all errors at once, each at its position and in the words of the rules file. A
//! rejected file is retried when its missing files appear.

use std::path::Path;
use std::process::{Output, Stdio};

use hookyard::base::diagnostic::Diagnostic;
use hookyard::config;

use crate::scenario::{Daemon, Scenario, rules_text};

/// Writes other rules in place and waits until they are rejected.
fn refused(daemon: &Daemon, text: &str) {
    std::fs::write(
        daemon.folder().join("rules.yaml"),
        rules_text(daemon.folder(), text),
    )
    .unwrap();
    daemon.eventually("the rules are refused", || refusals(daemon) > 0);
}

/// Number of log lines that say that the rules in force stay.
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
fn rules_that_lack_a_secret_are_in_force_when_it_comes_and_are_refused_once() {
    let daemon = Scenario::new().rules(OPEN).start();
    let rules = "rules: [{name: other, endpoint: /other, actions: [append: other.jsonl], \
        verify: {token: {header: X-Token, secret: 'file:{dir}/secrets/token'}}}]\n";
    refused(&daemon, rules);
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(refusals(&daemon), 1, "{}", daemon.log());
    let secrets = daemon.folder().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    std::fs::write(secrets.join("token"), "the token of the sender").unwrap();
    daemon.eventually("the rules are in force", || {
        let sending = daemon.post("/other").header("X-Token", "the token of the sender");
        sending.json("{}").send().status == 200
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

/// The diagnostics of a rules file, each with its line and message.
fn diagnostics(text: &str) -> Vec<String> {
    let diagnostics = match config::load_text(Path::new("r.yaml"), text.to_owned(), Vec::new()) {
        Ok(loaded) => loaded.warnings,
        Err(diagnostics) => diagnostics,
    };
    let line = |diagnostic: &Diagnostic| diagnostic.line().replacen("r.yaml:", "", 1);
    diagnostics.iter().map(line).collect()
}

#[test]
fn a_rule_without_name_endpoint_or_actions_is_read_to_its_end() {
    let rest = "verify: {githbu: x}, match: {$.a: {mathces: x}}, retry: {attempts: 0}, respond: {status: 7}";
    let words = ["githbu", "mathces", "`attempts` is 0", "`7` is not a status"];
    for (keys, first) in [
        ("endpoint: /a, actions: [append: x]", "`name` is missing"),
        (
            "name: 3, endpoint: /a, actions: [append: x]",
            "wrong type: `3`, expected text",
        ),
        ("name: a, actions: [append: x]", "`endpoint` is missing"),
        (
            "name: a, endpoint: a, actions: [append: x]",
            "the endpoint `a` does not begin with `/`",
        ),
        (
            "name: a, endpoint: [], actions: [append: x]",
            "wrong type: a list, expected text",
        ),
        ("name: a, endpoint: /a", "`actions` is missing"),
        ("name: a, endpoint: /a, actions: 3", "`actions` is a list"),
    ] {
        let found = diagnostics(&format!("rules: [{{ {keys}, {rest} }}]\n"));
        assert!(
            found.iter().any(|line| line.contains(first)),
            "{keys}: {found:#?}"
        );
        assert_eq!(found.len(), 1 + words.len(), "{keys}: {found:#?}");
        for word in words {
            assert!(
                found.iter().any(|line| line.contains(word)),
                "{keys}, {word}: {found:#?}"
            );
        }
    }
}

#[test]
fn a_slip_is_said_once_and_blames_nothing_else() {
    for (text, expected) in [
        (
            "rules: [{nmae: a, endpoint: /a, verify: none, actions: [append: x]}]\n",
            "unknown key `nmae`",
        ),
        (
            "rules: [{name: a, endpoint: /a, verify: {githbu: x}, match: {event: push}, actions: [append: x]}]\n",
            "unknown scheme `githbu`",
        ),
        (
            "endpoints: {/a: 3}\nrules: [{name: a, endpoint: /a, verify: none, actions: [append: x]}]\n",
            "wrong type: `3`, expected a mapping",
        ),
        (
            "endpoints: {/a: {methods: [1]}}\nrules: []\n",
            "a method is a word",
        ),
        ("rules: []\n<<: 3\n", "`<<` takes a mapping"),
        ("rules: [3]\n", "a rule is a mapping"),
    ] {
        let found = diagnostics(text);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(found[0].contains(expected), "{text}: {found:#?}");
    }
}

#[test]
fn every_address_and_every_fault_of_an_endpoint_has_its_own_finding() {
    assert_eq!(
        diagnostics("server:\n  listen: [9000, '::1', 127.0.0.1:0, [x]]\nrules: []\n"),
        [
            "2:12: an address to listen on is text (write `127.0.0.1:9000`, `unix:/run/…` or `systemd`)",
            "2:18: `::1` is not host and port (write `127.0.0.1:9000`, `unix:/run/…` or `systemd`)",
            "2:38: an address to listen on is text (write `127.0.0.1:9000`, `unix:/run/…` or `systemd`)",
        ]
    );
    let found = diagnostics(
        "endpoints: {a: {verify: {githbu: x}, methods: [GTE], respond: {status: 7}}}\nrules: []\n",
    );
    assert_eq!(found.len(), 4, "{found:#?}");
}

#[test]
fn types_are_called_what_they_are_in_yaml() {
    assert_eq!(
        diagnostics("rules: []\nlog: {format: 3}\nserver: {max_connections: -1, max_body: []}\nstore: []\n"),
        [
            "2:15: unknown value `3` (known here: text, json)",
            "3:27: wrong value: `-1`, expected a whole number from 0 to 4294967295",
            "3:31: wrong type: a list, expected a size such as `64KiB` or `1MiB`",
            "4:1: wrong type: a list, expected a mapping",
        ]
    );
    assert_eq!(
        diagnostics("rules: []\nlog: {format: [json]}\n"),
        ["2:7: wrong type: a list, expected one word"]
    );
    assert_eq!(
        diagnostics("[]\n"),
        ["1:1: wrong type: a list, expected a mapping"]
    );
}

#[test]
fn a_key_without_a_value_never_means_the_default() {
    let null = |key: &str| format!("`{key}` has no value; remove the key or give it one");
    for section in ["server", "store", "log", "endpoints"] {
        assert_eq!(
            diagnostics(&format!("rules: []\n{section}:\n")),
            [format!("2:1: {}", null(section))]
        );
    }
    assert_eq!(diagnostics("rules:\n"), [format!("1:1: {}", null("rules"))]);
    for (keys, key) in [
        ("server: {listen: }", "listen"),
        ("server: {public_url: }", "public_url"),
        ("store: {keep: {done: }}", "done"),
        ("store: {max_size: }", "max_size"),
        ("log: {file: }", "file"),
        ("log: {file: {path: /tmp/x, keep: }}", "keep"),
        ("endpoints: {/a: {replay_window: }}", "replay_window"),
        ("endpoints: {/a: {verify: }}", "verify"),
        ("endpoints: {/a: {methods: }}", "methods"),
        ("endpoints: {/a: {respond: {wait: }}}", "wait"),
    ] {
        let found = diagnostics(&format!("rules: []\n{keys}\n"));
        assert!(
            found.len() == 1 && found[0].ends_with(&null(key)),
            "{keys}: {found:#?}"
        );
    }
    for key in [
        "enabled",
        "replay_window",
        "on_duplicate",
        "match",
        "retry",
        "respond",
        "verify",
        "actions",
    ] {
        let mut rule = String::from("rules:\n  - name: a\n    endpoint: /a\n");
        for (known, value) in [("verify", "none"), ("actions", "[append: x]")] {
            if known != key {
                rule += &format!("    {known}: {value}\n");
            }
        }
        let found = diagnostics(&format!("{rule}    {key}:\n"));
        assert!(
            found.len() == 1 && found[0].ends_with(&null(key)),
            "{key}: {found:#?}"
        );
    }
    // As an operand it is a value, and an endpoint without settings has the defaults.
    let text = "endpoints: {/a: }\nrules: [{name: a, endpoint: /a, verify: none, match: {$.x: null}, actions: [append: x]}]\n";
    assert_eq!(diagnostics(text), [""; 0]);
}

#[test]
fn a_limit_that_lets_nothing_through_is_a_finding() {
    for text in [
        "server: {max_body: 0}",
        "store: {max_size: 0}",
        "endpoints: {/a: {max_body: 0 B}}",
    ] {
        let found = diagnostics(&format!("rules: []\n{text}\n"));
        assert!(
            found.len() == 1 && found[0].contains("nothing could ever be taken"),
            "{text}: {found:#?}"
        );
    }
}

#[test]
fn a_parameter_that_the_path_does_not_have_is_a_finding() {
    let text = |endpoint: &str, conditions: &str| {
        format!(
            "rules: [{{name: a, endpoint: '{endpoint}', verify: none, match: {conditions}, actions: [append: x]}}]\n"
        )
    };
    for conditions in ["{path.app: x}", "{any: [{path.rest: x}, {not: {path.app: x}}]}"] {
        assert_eq!(
            diagnostics(&text("/deploy/{app}/{*rest}", conditions)),
            [""; 0],
            "{conditions}"
        );
    }
    for (endpoint, conditions, expected) in [
        (
            "/a",
            "{path.app: x}",
            "has no parameter `app` (a parameter is written in the endpoint",
        ),
        ("/a/{app}", "{path.ap: x}", "did you mean `path.app`?"),
        (
            "/a/{app}",
            "{any: [{not: {path.other: x}}, {$.a: 1}]}",
            "known here: app",
        ),
        ("/a/{{app}}", "{path.app: x}", "has no parameter `app`"),
    ] {
        let found = diagnostics(&text(endpoint, conditions));
        assert!(
            found.len() == 1 && found[0].contains(expected),
            "{endpoint}: {found:#?}"
        );
    }
}

#[test]
fn a_file_that_begins_with_a_byte_order_mark_loads() {
    let scenario = Scenario::new().file("rules.yaml", format!("\u{feff}{OPEN}# more\n"));
    let output = scenario.hookyard(&["check", "rules.yaml"]);
    assert_eq!(
        (output.status.code(), text(&output).0.as_str()),
        (Some(0), "rules.yaml loads: 1 endpoint, 1 rule, 0 warnings\n")
    );
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn one_is_singular_and_a_name_is_asked_for_only_where_the_file_is_missing() {
    let scenario = Scenario::new()
        .file("rules.yaml", "rules: 3\n")
        .file("latin1", b"\xff");
    let said = |name: &str| text(&scenario.hookyard(&["check", name])).0;
    assert!(said("rules.yaml").ends_with("rules.yaml does not load: 1 error\n"));
    assert!(said("absent.yaml").contains("name the file"));
    for name in [".", "latin1"] {
        assert!(!said(name).contains("name the file"), "{name}");
    }
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure_and_a_full_disk_is() {
    let scenario = Scenario::new().rules(OPEN).file("broken.yaml", "rules: 3\n");
    for (arguments, code) in [
        (["check", "rules.yaml"].as_slice(), 0),
        (&["check", "broken.yaml"], 1),
        (&["explain", "rules.yaml", "--endpoint", "/open"], 0),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = scenario
            .command(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let stderr = text(&output).1;
        assert_eq!(
            (output.status.code(), stderr.as_str()),
            (Some(code), ""),
            "{arguments:?}"
        );
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = scenario
            .command(arguments)
            .stdout(full)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output).1.contains("cannot write"), "{arguments:?}");
    }
}

#[test]
fn explain_says_the_answer_that_serve_would_give() {
    let rules = "
endpoints:
  /small: {max_body: 4}
rules:
  - {name: part, endpoint: '/part/{name}', verify: none, actions: [append: x.jsonl]}
  - {name: small, endpoint: /small, verify: none, actions: [append: x.jsonl]}
  - {name: deep, endpoint: /deep, verify: none, match: {$.a: 1}, actions: [append: x.jsonl]}
";
    let daemon = Scenario::new().rules(rules).start();
    for (path, content_type, body, expected) in [
        ("/part/%ff", "application/json", "{}", (404, "not found")),
        ("/small", "application/json", "12345", (413, "too large")),
        ("/deep", "application/json", "{", (400, "invalid payload")),
        ("/deep", "text/plain", "hello", (400, "invalid payload")),
    ] {
        let sent = daemon
            .post(path)
            .header("Content-Type", content_type)
            .body(body)
            .send();
        assert_eq!((sent.status, sent.word().as_str()), expected, "{path}");
        std::fs::write(daemon.folder().join("body"), body).unwrap();
        let content_type = format!("Content-Type: {content_type}");
        let arguments = [
            "explain",
            "rules.yaml",
            "--endpoint",
            path,
            "--body",
            "body",
            "--header",
            &content_type,
        ];
        let output = daemon.scenario.hookyard(&arguments);
        let (stdout, stderr) = text(&output);
        assert_eq!(
            (output.status.code(), stderr.as_str()),
            (Some(1), ""),
            "{path}: {stdout}"
        );
        let words = format!("the answer would be {} {}: ", expected.0, expected.1);
        assert!(stdout.contains(&words), "{path}: {stdout}");
        let output = daemon
            .scenario
            .hookyard(&[arguments.as_slice(), &["--format", "json"]].concat());
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["refused"]["status"], expected.0, "{path}");
    }
    let output = daemon
        .scenario
        .hookyard(&["explain", "rules.yaml", "--endpoint", "small"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output)
            .1
            .starts_with("error: no endpoint `small`: it begins with `/`")
    );
}

#[test]
fn explain_renders_without_what_serve_does_not_keep() {
    let rules = "
rules:
  - name: token
    endpoint: /token
    verify: {token: {query: key, secret: hunter2}}
    match: {query.key: hunter2}
    actions: [{append: x.txt, line: '{{ query.other }} {{ query.key | default(\"gone\") }}'}]
";
    let scenario = Scenario::new().rules(rules);
    let output = scenario.hookyard(&[
        "explain",
        "rules.yaml",
        "--endpoint",
        "/token?key=hunter2&other=kept",
    ]);
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    assert!(
        stdout.contains("kept gone") && !stdout.contains("hunter2"),
        "{stdout}"
    );
}

#[test]
fn send_helps_with_slips_signs_the_future_and_knows_passwords() {
    let rules = "
rules:
  - {name: basic, endpoint: /basic, verify: {basic: {user: u, password: a}}, actions: [append: x.jsonl]}
  - {name: stripe, endpoint: /stripe, verify: {stripe: k}, actions: [append: x.jsonl]}
";
    let daemon = Scenario::new().rules(rules).start();
    let send = |path: &str, more: &[&str]| {
        let url = format!("http://{}{path}", daemon.address);
        let output = daemon.scenario.hookyard(&[&["send", &url], more].concat());
        (output.status.code(), text(&output))
    };
    let (code, said) = send("/basic", &["--as", "{basic: {user: u}}", "--secret", "a"]);
    assert_eq!(code, Some(0), "{said:?}");
    let (code, said) = send("/basic", &["--as", "githbu", "--secret", "a"]);
    assert!(
        code == Some(2) && said.1.contains("did you mean `github`?"),
        "{said:?}"
    );
    let stripe = ["--as", "stripe", "--secret", "k"];
    let (code, said) = send("/stripe", &[stripe.as_slice(), &["--ahead", "10m"]].concat());
    assert!(code == Some(1) && said.0.contains("stale"), "{said:?}");
    let (code, said) = send("/stripe", &[stripe.as_slice(), &["--ahead", "1m"]].concat());
    assert_eq!(code, Some(0), "{said:?}");
    let (code, said) = send("/stripe", &[stripe.as_slice(), &["--age=-5s"]].concat());
    assert!(
        code == Some(2) && said.1.contains("the future is `--ahead 5s`"),
        "{said:?}"
    );
}

#[test]
fn a_failure_at_the_start_is_said_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for log in ["{}", "{format: json}", "{level: off}"] {
        let rules = format!("server: {{listen: '{address}'}}\nlog: {log}\n{OPEN}");
        let output = Scenario::new().rules(&rules).hookyard(&["serve", "rules.yaml"]);
        let stderr = text(&output).1;
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert_eq!(stderr.matches(&address.to_string()).count(), 1, "{stderr}");
    }
}

#[test]
fn help_shows_commands_as_they_are_typed() {
    let scenario = Scenario::new();
    let (stdout, _) = text(&scenario.hookyard(&["--help"]));
    assert!(
        stdout.contains("send http://127.0.0.1:9000/github --as github --secret env:GITHUB_SECRET"),
        "{stdout}"
    );
    assert!(!stdout.contains("<http") && !stdout.contains('`'), "{stdout}");
}
