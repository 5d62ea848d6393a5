//! Single events and rules files that once crashed the daemon.

use std::fmt::Write;

use crate::scenario::{Scenario, said};

#[test]
fn a_match_and_a_template_select_the_same() {
    let daemon = Scenario::new()
        .rules(
            r#"
rules:
  - name: nested
    endpoint: /open
    verify: none
    match: {'$.f[?@[?@ == 6]].x': found}
    actions: [{append: out, line: "{{ jsonpath('$.f[?@[?@ == 6]].x') }}"}]
  - name: exact
    endpoint: /open
    verify: none
    match: {'$.big[?@.id == $.same.id].name': {every: right}}
    actions: [{append: out, line: "{{ jsonpath('$.big[?@.id == $.same.id].name') }}"}]
  - name: order
    endpoint: /open
    verify: none
    match: {"$['\\u263a']": smile}
    actions: [{append: out, line: '{{ jsonpath("$..[''j'',''k'']") }} {{ jsonpath("$[''\u263a'']") }}'}]
"#,
        )
        .start();
    let body = serde_json::json!({
        "f": [{"n": 6, "x": "found"}, {"n": 5}],
        "big": [
            {"id": 1_234_567_890_123_456_789_u64, "name": "wrong"},
            {"id": 1_234_567_890_123_456_788_u64, "name": "right"}
        ],
        "same": {"id": 1_234_567_890_123_456_788_u64},
        "o": {"k": 2, "j": 1, "p": {"k": 4, "j": 3}},
        "\u{263a}": "smile"
    });
    assert_eq!(daemon.post("/open").json(body.to_string()).send().status, 200);
    daemon.eventually("all three ran", || daemon.lines("out") == 3);
    let mut lines: Vec<String> = daemon.read("out").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["[1,2,3,4] smile", "found", "right"]);
}

#[test]
fn a_body_with_a_long_key_over_many_items_costs_a_template_little() {
    let mut daemon = Scenario::new()
        .rules(
            "rules:\n  - name: open\n    endpoint: /open\n    verify: none\n    \
             match: {'$.commits[*].modified[*]': {exists: true}}\n    actions:\n      \
             - {append: out, line: \"{{ jsonpath('$.commits[*].modified[*]') | length }}\"}\n      \
             - {append: out, line: \"{{ jsonpath('$..*') | length }}\"}\n",
        )
        .start();
    // 560 KB. Storing the paths as strings would take 10 GB.
    let body = serde_json::json!({"commits": {"k".repeat(520_000): {"modified": vec![0; 20_000]}}});
    assert_eq!(daemon.post("/open").json(body.to_string()).send().status, 200);
    daemon.eventually("both ran", || daemon.lines("out") == 2);
    assert_eq!(daemon.read("out"), "20000\n20003\n");
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 400_000, "{peak} KB");
    daemon.still_runs();
}

#[test]
fn a_rules_file_that_used_to_crash_the_loader_is_a_finding() {
    let with = |before: &str, matching: &str, template: &str| {
        format!(
            "{before}server: {{listen: 127.0.0.1:0}}\nrules:\n  - name: r\n    endpoint: /open\n    verify: none\n    \
             match: {{{matching}}}\n    actions: [{{append: out, line: \"{template}\"}}]\n"
        )
    };
    let mut tags = String::new();
    for tag in 0..50_000 {
        writeln!(tags, "%TAG !a{tag}! x").unwrap();
    }
    let braces = format!("$.a: {{glob: '{}a{}'}}", "{".repeat(250), "}".repeat(250));
    let long = format!("$.a: {{matches: '{}'}}", "\\w".repeat(500_000));
    let aliases = format!(
        "a: &a \"{}\"\nb: [{}]\n",
        "a".repeat(100_000),
        vec!["*a"; 20_000].join(",")
    );
    for (text, message) in [
        (with("", &braces, "x"), "`{…}` nests more than 16 levels deep"),
        (with("", &long, "x"), "longer than 32768 bytes"),
        (with(&aliases, "$.a: x", "x"), "with all aliases written out"),
        (
            with(&format!("{tags}---\n"), "$.a: x", "x"),
            "lines begin with `%`",
        ),
        (
            with("", "$.a: x", &format!("{{{{ payload{} }}}}", ".a".repeat(30_000))),
            "words and signs",
        ),
        (
            with(
                "",
                "$.a: x",
                &format!(
                    "{{{{ jsonpath('$[?{}@{} > 1]') }}}}",
                    "length(".repeat(20),
                    ")".repeat(20)
                ),
            ),
            "nests more than",
        ),
    ] {
        let scenario = Scenario::new().file("rules.yaml", text);
        let output = scenario.hookyard(&["check", "rules.yaml"]);
        assert_eq!(output.status.code(), Some(1), "{message}");
        let said = said(&output);
        assert!(said.contains(message), "{message}: {said:.2000}");
    }
}
