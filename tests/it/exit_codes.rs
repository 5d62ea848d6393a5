//! Exit codes, as `docs/reference/exit-codes.md` lists them.

use std::path::Path;

use crate::scenario::{Scenario, said};

/// One endpoint, one rule.
const RULES: &str = "
rules:
  - name: r
    endpoint: /in
    verify: {token: {header: X-Token, secret: {secret: hunter2}}}
    match: {$.n: 1}
    actions: [run: ['false']]
    retry: {attempts: 1}
";

/// A test of them.
const TESTS: &str = "
rules: rules.yaml
tests: [{name: one, request: {endpoint: /in, json: {n: 1}}, expect: {rules: [r]}}]
";

/// Commands to run while the daemon runs. `event` is a dead letter.
fn while_it_runs(event: &str) -> Vec<(i32, Vec<&str>)> {
    vec![
        (1, vec!["serve", "broken.yaml"]),
        (2, vec!["serve", "absent.yaml"]),
        (0, vec!["check"]),
        (1, vec!["check", "broken.yaml"]),
        (2, vec!["check", "absent.yaml"]),
        (2, vec!["check", "."]),
        (0, vec!["check", "--secrets"]),
        (1, vec!["check", "--secrets", "broken.yaml"]),
        (2, vec!["check", "--secrets", "absent.yaml"]),
        (0, vec!["explain", "--body", "one.json"]),
        (1, vec!["explain", "rules.yaml", "--body", "two.json"]),
        (2, vec!["explain", "broken.yaml", "--endpoint", "/in"]),
        (2, vec!["explain", "--endpoint", "/elsewhere"]),
        (0, vec!["plan", "rules.yaml"]),
        (1, vec!["plan", "two.yaml"]),
        (2, vec!["plan", "broken.yaml"]),
        (2, vec!["plan", "absent.yaml"]),
        (2, vec!["plan", "rules.yaml", "--since", "2999-01-01"]),
        (2, vec!["plan", "rules.yaml", "--store", "absent.db"]),
        (0, vec!["test", "r.test.yaml"]),
        (1, vec!["test", "r.test.yaml", "--coverage"]),
        (2, vec!["test", "r.test.yaml", "--filter", "other"]),
        (1, vec!["test", "wrong.test.yaml"]),
        (2, vec!["test"]),
        (2, vec!["test", "rules.yaml"]),
        (0, vec!["import", "hooks.json"]),
        (1, vec!["import", "unsafe.json"]),
        (2, vec!["import", "absent.json"]),
        (2, vec!["import", "one.json"]),
        (2, vec!["import", "hooks.json", "-o", "rules.yaml"]),
        (0, vec!["fire", "r", "--json", "one.json", "--dry-run"]),
        (1, vec!["fire", "r", "--json", "two.json"]),
        (1, vec!["fire", "r", "--json", "one.json", "--wait"]),
        (2, vec!["fire", "other"]),
        (2, vec!["fire", "r", "--store", "absent.db"]),
        (0, vec!["events", "list"]),
        (
            1,
            vec!["events", "list", "--outcome", "refused", "--since", "2999-01-01"],
        ),
        (2, vec!["events", "list", "--rules", "absent.yaml"]),
        (2, vec!["events", "list", "--since", "yesterday"]),
        (0, vec!["events", "show", event]),
        (1, vec!["events", "show", "ffff"]),
        // Two events: their ids begin with the same digits of the time.
        (2, vec!["events", "show", "0"]),
        (2, vec!["events", "capture", "0"]),
        (2, vec!["events", "replay", "0", "--dry-run"]),
        (2, vec!["events", "drop", "0", "--dry-run"]),
        (2, vec!["events", "show", "ffff", "--store", "absent.db"]),
        (1, vec!["events", "stop", event, "--drop"]),
        (2, vec!["events", "stop", event]),
        (1, vec!["events", "follow", event]),
        (2, vec!["events", "follow", event, "--store", "absent.db"]),
        (0, vec!["events", "problems"]),
        (2, vec!["events", "problems", "--store", "absent.db"]),
        (0, vec!["rules", "show", "r"]),
        (2, vec!["rules", "show", "other"]),
        (0, vec!["events", "capture", event]),
        (1, vec!["events", "capture", "ffff"]),
        (2, vec!["events", "capture", "ffff", "--store", "absent.db"]),
        (0, vec!["events", "replay", "--dead", "--dry-run"]),
        (1, vec!["events", "replay", "--dead", "--rule", "other"]),
        (2, vec!["events", "replay"]),
        (1, vec!["events", "drop", "--state", "waiting"]),
        (2, vec!["events", "drop", "--dead", "--store", "absent.db"]),
        (0, vec!["rules", "list"]),
        (2, vec!["rules", "list", "--store", "absent.db"]),
        (0, vec!["rules", "pause", "r"]),
        (1, vec!["rules", "pause", "r"]),
        (2, vec!["rules", "pause", "other"]),
        (0, vec!["rules", "resume", "r"]),
        (1, vec!["rules", "resume", "r"]),
        (2, vec!["rules", "resume", "--target", "http://127.0.0.1"]),
        (0, vec!["status"]),
        (0, vec!["status", "--check"]),
        (2, vec!["status", "--store", "absent.db"]),
        (0, vec!["store", "check"]),
        (2, vec!["store", "check", "--store", "absent.db"]),
        (0, vec!["store", "backup", "copy.db"]),
        (2, vec!["store", "backup", "copy.db"]),
        (1, vec!["store", "vacuum"]),
        (2, vec!["store", "vacuum", "--store", "absent.db"]),
        (0, vec!["store", "schema"]),
        (2, vec!["store", "schema", "--store", "postgres://h/x?y=1"]),
        (0, vec!["events", "drop", "--dead"]),
        (2, vec!["admin", "password"]),
        (0, vec!["schemes", "--show", "github"]),
        (2, vec!["schemes", "--show", "githbu"]),
        (0, vec!["init", "--dir", "man"]),
        (2, vec!["init"]),
        (0, vec!["schema"]),
        (2, vec!["schema", "hooks"]),
        (0, vec!["completions", "bash"]),
        (2, vec!["completions", "tcsh"]),
        (0, vec!["man", "man"]),
        (2, vec!["man", "nowhere"]),
        (0, vec!["--help"]),
        (2, vec!["frobnicate"]),
    ]
}

#[test]
fn exit_codes_are_those_of_the_table() {
    let mut daemon = Scenario::new()
        .rules(RULES)
        .file("one.json", "{\"n\": 1}")
        .file("two.json", "{\"n\": 2}")
        .file("three.json", "{\"n\": 1, \"other\": true}")
        .file("two.yaml", RULES.replace("$.n: 1", "$.n: 2"))
        .file("r.test.yaml", TESTS)
        .file("wrong.test.yaml", TESTS.replace("[r]", "[]"))
        .file("broken.yaml", "rules: [{name: a}]\n")
        .file("hooks.json", r#"[{"id": "a", "execute-command": "/bin/true"}]"#)
        .file(
            "unsafe.json",
            r#"[{"id": "a", "execute-command": "/bin/true", "trigger": {}}]"#,
        )
        .file("man/x", "")
        .start();
    let url = format!("http://{}/in", daemon.address);
    let as_token = "{token: {header: X-Token}}";
    let send = |secret: &'static str| {
        vec![
            "send", &url, "--as", as_token, "--secret", secret, "--body", "one.json",
        ]
    };
    let check = |daemon: &crate::scenario::Daemon, cases: &[(i32, Vec<&str>)]| {
        for (code, arguments) in cases {
            let output = daemon.scenario.hookyard(arguments);
            assert_eq!(
                output.status.code(),
                Some(*code),
                "{arguments:?}\n{}",
                said(&output)
            );
        }
    };
    let send_other = {
        let mut arguments = send("hunter2");
        arguments[7] = "three.json";
        arguments
    };
    let mut tried = vec![
        (1, vec!["events", "list"]),
        (1, vec!["events", "problems"]),
        (0, send("hunter2")),
        (0, send_other),
        (1, send("wrong")),
        (2, vec!["send", "http://127.0.0.1:1/", "--as", "none"]),
    ];
    check(&daemon, &tried);
    daemon.eventually("both are dead", || {
        daemon.log().matches("dead letter").count() == 2
    });
    let listed = daemon.scenario.deliveries(&[]);
    let event = listed[0]["event"].as_str().unwrap().to_owned();
    let mut running = while_it_runs(&event);
    check(&daemon, &running);
    assert_eq!(daemon.stop(), Some(0));
    let mut stopped = vec![
        (2, vec!["status"]),
        (2, vec!["status", "--check"]),
        (2, vec!["open"]),
        (0, vec!["store", "vacuum"]),
    ];
    check(&daemon, &stopped);
    // An orderly stop is tested above. A damaged store and attempts that run have their own tests.
    // So have the ways to the page, and a store that moves to a server.
    tried.append(&mut running);
    tried.append(&mut stopped);
    tried.extend([
        (0, vec!["serve"]),
        (0, vec!["store", "move"]),
        (1, vec!["store", "move"]),
        (2, vec!["store", "move"]),
        (1, vec!["status", "--check"]),
        (1, vec!["store", "check"]),
        (0, vec!["events", "stop"]),
        (0, vec!["events", "follow"]),
        (0, vec!["open"]),
        (0, vec!["admin", "password"]),
    ]);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/exit-codes.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let mut documented = 0;
    for row in rows {
        let cells: Vec<&str> = row
            .trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim_matches([' ', '`', '|']))
            .collect();
        documented += 1;
        for (code, cell) in (0..).zip(&cells[1..]) {
            let known = tried.iter().any(|(other, arguments)| {
                *other == code && cells[0].split(' ').all(|word| arguments.contains(&word))
            });
            assert_eq!(known, *cell != "-", "{} {code}: {cell}", cells[0]);
        }
    }
    assert_eq!(documented, 34);
}
