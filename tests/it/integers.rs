//! Integers beyond 64 bits: exact, from the sender to the output of an action.

use crate::scenario::{Scenario, said};

#[test]
fn an_integer_beyond_64_bits_is_written_and_compared_exactly() {
    let daemon = Scenario::new()
        .rules(
            r#"
rules:
  - name: same
    endpoint: /open
    verify: none
    match: {'$.items[?@.id == $.wanted].name': {every: right}, $.wanted: {gt: 18446744073709551615}}
    actions:
      - {append: out, line: "{{ payload.wanted }} {{ payload.items[0] }} {{ jsonpath('$.items[?@.id == $.wanted].id') }}"}
      - {append: record, line: json}
"#,
        )
        .start();
    let bodies = [
        (
            "application/json",
            // On several lines, so that the record must be serialised again.
            "{\n\"wanted\": 18446744073709551618, \"items\": [{\"id\": 18446744073709551617, \"name\": \"wrong\"}, \
             {\"id\": 18446744073709551618, \"name\": \"right\"}]}",
        ),
        (
            "application/x-www-form-urlencoded",
            "payload={\"wanted\":18446744073709551618,\"items\":[{\"id\":18446744073709551617,\"name\":\"wrong\"},\
             {\"id\":18446744073709551618,\"name\":\"right\"}]}",
        ),
    ];
    for (count, (content_type, body)) in bodies.into_iter().enumerate() {
        let sending = daemon
            .post("/open")
            .header("Content-Type", content_type)
            .body(body);
        assert_eq!(sending.send().status, 200);
        daemon.eventually("it ran", || daemon.lines("record") == count + 1);
    }
    let line = "18446744073709551618 {\"id\":18446744073709551617,\"name\":\"wrong\"} 18446744073709551618\n";
    assert_eq!(daemon.read("out"), line.repeat(2));
    let record = daemon.read("record");
    for line in record.lines() {
        assert!(line.contains("\"wanted\":18446744073709551618"), "{line}");
        assert!(line.contains("\"id\":18446744073709551617"), "{line}");
    }
}

#[test]
fn a_rules_file_with_an_integer_beyond_64_bits_does_not_load() {
    let scenario = Scenario::new().rules(
        "rules:\n  - name: r\n    endpoint: /open\n    verify: none\n    match: {$.id: 18446744073709551617}\n    \
         actions: [{append: out}]\n",
    );
    let output = scenario.hookyard(&["check", "rules.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(
        said.contains("`18446744073709551617` does not fit 64 bits"),
        "{said}"
    );
}
