//! Elements of `for_each` in the environment of commands, in the event record, and in large events.

use serde_json::{Value, json};

use crate::scenario::Scenario;

#[test]
fn a_command_and_the_event_record_have_the_element() {
    let rules = r"
rules:
  - name: each
    endpoint: /alerts
    verify: none
    for_each: $.alerts[*]
    concurrency: {limit: 1}
    actions:
      - {run: [./note]}
      - {append: records.jsonl}
";
    let note = "printf '%s %s\\n' \"$HOOKYARD_ITEM_INDEX\" \"${HOOKYARD_ITEM-none}\" >> noted";
    let daemon = Scenario::new().script("note", note).rules(rules).start();
    let long = "x".repeat(70_000);
    let body = json!({"alerts": [{"n": 12_345_678_901_234_567_u64, "s": "ä\u{0}"}, "b", long]});
    let answer = daemon.post("/alerts").json(body.to_string()).send();
    assert_eq!(answer.status, 200, "{}", answer.body);
    daemon.eventually("all have run", || daemon.lines("records.jsonl") == 3);
    // A command of a long element runs, without the variable.
    let noted = daemon.read("noted");
    let noted: Vec<&str> = noted.lines().collect();
    assert_eq!(
        noted,
        [r#"0 {"n":12345678901234567,"s":"ä\u0000"}"#, r#"1 "b""#, "2 none"]
    );
    let records = daemon.read("records.jsonl");
    let records: Vec<Value> = records
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record["item"], body["alerts"][index]);
        assert_eq!(record["item_index"], index);
    }
}

#[test]
fn a_rule_without_elements_has_no_variable_of_an_element() {
    let rules = "
rules:
  - {name: a, endpoint: /a, verify: none, actions: [{run: [./note]}, {append: records.jsonl}]}
";
    let daemon = Scenario::new().script("note", "env > noted").rules(rules).start();
    assert_eq!(daemon.post("/a").json("{}").send().status, 200);
    daemon.eventually("it has run", || daemon.lines("records.jsonl") == 1);
    for absent in ["HOOKYARD_ITEM", "HOOKYARD_FIRED_BY"] {
        assert!(!daemon.read("noted").contains(absent), "{absent}");
    }
    let record: Value = serde_json::from_str(&daemon.read("records.jsonl")).unwrap();
    assert!(
        record.get("item").is_none() && record.get("fired_by").is_none(),
        "{record}"
    );
}

#[test]
fn each_element_of_a_large_event_has_its_own_delivery() {
    let rules = r#"
rules:
  - name: each
    endpoint: /alerts
    verify: none
    for_each: $.alerts[*]
    actions: [{append: "out.log", line: "{{ item.n }}"}]
  - name: odd
    endpoint: /alerts
    verify: none
    for_each: $.odd[*]
    actions: [{append: "odd.log", line: "{{ item }} {{ payload.odd | length }}"}]
"#;
    let daemon = Scenario::new().rules(rules).start();
    let alerts: Vec<Value> = (0..300)
        .map(|n| json!({"n": n, "text": "x".repeat(2000)}))
        .collect();
    let body = json!({"alerts": alerts, "odd": [1, 3, 5]});
    assert_eq!(daemon.post("/alerts").json(body.to_string()).send().status, 200);
    daemon.eventually("all have run", || {
        daemon.lines("out.log") == 300 && daemon.lines("odd.log") == 3
    });
    let mut numbers: Vec<u32> = daemon
        .read("out.log")
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());
    let mut odd: Vec<String> = daemon.read("odd.log").lines().map(str::to_owned).collect();
    odd.sort();
    assert_eq!(odd, ["1 3", "3 3", "5 3"]);
}
