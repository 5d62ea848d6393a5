//! Reference: the environment of a command and the event record, as their pages list them.

use std::collections::BTreeSet;
use std::path::Path;

use crate::scenario::Scenario;

const RULES: &str = "
rules:
  - name: r
    endpoint: /in
    verify: {token: {header: X-Token, secret: a-token-of-this-test-1, event: {header: X-Kind}}}
    actions:
      - append: events.jsonl
      - shell: env > variables; exit 78
        exit: {dead: [78]}
    on_failure:
      - append: failures.jsonl
      - shell: env > failures.variables
";

/// The names in the first column of the table with this head.
fn documented(page: &str, head: &str) -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/reference")
        .join(page);
    let page = std::fs::read_to_string(page).unwrap();
    let (_, table) = page.split_once(head).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned())
        .collect()
}

#[test]
fn a_command_and_a_record_have_the_names_that_their_pages_list() {
    let daemon = Scenario::new().rules(RULES).start();
    let sent = daemon
        .post("/in")
        .header("X-Token", "a-token-of-this-test-1")
        .header("X-Kind", "push")
        .json("{}")
        .send();
    assert_eq!(sent.status, 200);
    let read = |name: &str| std::fs::read_to_string(daemon.folder().join(name)).unwrap_or_default();
    daemon.eventually("the last action has run", || {
        read("failures.variables").contains("HOOKYARD_FAILURE_REASON=")
    });

    let fields = |name: &str| -> BTreeSet<String> {
        let record: serde_json::Value = serde_json::from_str(&read(name)).unwrap();
        record.as_object().unwrap().keys().cloned().collect()
    };
    let mut listed = documented("event-record.md", "| field | type | value |");
    // Elements and fired events have further ones, which `elements.rs` and `fire.rs` look at.
    for name in ["item", "item_index", "fired_by"] {
        assert!(listed.remove(name), "{name}");
    }
    assert_eq!(fields("failures.jsonl"), listed);
    listed.remove("failure");
    assert_eq!(fields("events.jsonl"), listed);

    // The shell sets these itself.
    let own = ["PWD", "OLDPWD", "SHLVL", "_"];
    let variables = |name: &str| -> BTreeSet<String> {
        let text = read(name);
        let names = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, _)| name);
        names
            .filter(|name| !own.contains(name))
            .map(str::to_owned)
            .collect()
    };
    let mut listed = documented("environment.md", "| variable | value |");
    for name in ["HOOKYARD_ITEM", "HOOKYARD_ITEM_INDEX", "HOOKYARD_FIRED_BY"] {
        assert!(listed.remove(name), "{name}");
    }
    assert_eq!(variables("failures.variables"), listed);
    listed.retain(|name| !name.starts_with("HOOKYARD_FAILURE_"));
    assert_eq!(variables("variables"), listed);
}
