//! Rules files and events whose parts are small and whose sum is not.

use std::fmt::Write;

use crate::scenario::{Scenario, said};

fn with(matching: &str, line: &str) -> String {
    format!(
        "server: {{listen: 127.0.0.1:0}}\nrules:\n  - name: r\n    endpoint: /open\n    verify: none\n    \
         match: {matching}\n    actions:\n      - append: out\n        line: '{}'\n",
        line.replace('\'', "''")
    )
}

fn check(text: &str) -> (Option<i32>, String) {
    let scenario = Scenario::new().file("rules.yaml", text);
    let output = scenario.hookyard(&["check", "rules.yaml"]);
    (output.status.code(), said(&output))
}

/// An `any` of these operators on `$.a`.
fn any(operators: impl IntoIterator<Item = String>) -> String {
    let tests: Vec<String> = operators
        .into_iter()
        .map(|operator| format!("{{$.a: {{{operator}}}}}"))
        .collect();
    format!("{{any: [{}]}}", tests.join(", "))
}

#[test]
fn an_aliased_pattern_is_compiled_once_and_many_patterns_are_an_error() {
    let heavy = r"\w{12}";
    for (operator, pattern) in [("matches", heavy), ("glob", "{a*,b?,[c-z]*}")] {
        let first = std::iter::once(format!("{operator}: &p '{pattern}'"));
        let aliased = any(first.chain((0..20_000).map(|_| format!("{operator}: *p"))));
        let (code, said) = check(&with(&aliased, "x"));
        assert_eq!(code, Some(0), "{operator}: {said:.1000}");
    }
    let first = any([
        r"matches: '\w{16000}'".to_owned(),
        r"matches: '\w{17000}'".to_owned(),
    ]);
    let (code, said) = check(&with(&first, "x"));
    assert_eq!(code, Some(1));
    assert!(said.contains("it compiles to something too large"), "{said}");
    assert!(said.contains("all patterns up to here"), "{said}");
    assert!(said.contains("rules.yaml:6:"), "{said}");
}

#[test]
fn templates_that_describe_endless_values_are_errors() {
    let again = |start: &str, step: &str, end: &str| format!("{start}{}{end}", step.repeat(40));
    for template in [
        again("{% set a = [1] %}", "{% set a = [a, a] %}", "{{ a }}"),
        again(
            "{% set a = {'k': 1} %}",
            "{% set a = {'x': a, 'y': a} %}",
            "{{ a == {} }}",
        ),
        again(
            "{% set a = [1] %}",
            "{% set a = a + a %}",
            "{{ a | string | length }}",
        ),
    ] {
        let (code, said) = check(&with("{$.a: x}", &template));
        assert_eq!(code, Some(1), "{template}");
        assert!(said.contains("can grow beyond bounds"), "{said:.1000}");
        assert!(said.contains("rules.yaml:"), "{said:.1000}");
    }
}

#[test]
fn an_event_that_makes_a_template_endless_fails_its_attempt_only() {
    for line in [
        "{{ payload.price * payload.quantity }}",
        "{{ (payload.price * payload.quantity) ~ '' }}",
        "{{ (payload.price * payload.quantity) | string | length }}",
        "{{ payload.price * payload.quantity == payload.price * payload.quantity }}",
        "{{ payload.price * payload.quantity | int }}",
    ] {
        let mut daemon = Scenario::new()
            .rules(&with("{$.price: {exists: true}}", line).replace("server: {listen: 127.0.0.1:0}\n", ""))
            .start();
        let body = serde_json::json!({"price": [["x".repeat(700_000)]], "quantity": 1_000_000});
        assert_eq!(daemon.post("/open").json(body.to_string()).send().status, 200);
        daemon.eventually("the attempt failed", || {
            daemon.log().contains("does more work than is allowed")
        });
        assert_eq!(daemon.lines("out"), 0, "{line}");
        daemon.still_runs();
    }
}

#[test]
fn many_faults_and_long_texts_are_reported_in_part() {
    let mut text = with("{$.a: x}", "x");
    for key in 0..20_000 {
        writeln!(text, "unknown{key}: 1").unwrap();
    }
    let (code, said) = check(&text);
    assert_eq!(code, Some(1));
    assert!(said.matches("unknown key").count() <= 100);
    assert!(said.contains("more error"), "{said:.1000}");

    let key = format!("{}? {}\n: 1\n", with("{$.a: x}", "x"), "k".repeat(100_000));
    let (code, said) = check(&key);
    assert_eq!(code, Some(1));
    assert!(said.len() < 20_000, "{} bytes", said.len());

    let listen: Vec<String> = (0..5000)
        .map(|port| format!("127.0.0.1:{}", 20_000 + port))
        .collect();
    let text = with("{$.a: x}", "x").replace("127.0.0.1:0", &format!("[{}]", listen.join(", ")));
    assert!(check(&text).1.contains("at most 64 are taken"));

    let selectors: Vec<String> = (0..20_000)
        .map(|number| format!("header.x-{number}: x"))
        .collect();
    assert_eq!(
        check(&with(&format!("{{{}}}", selectors.join(", ")), "x")).0,
        Some(0)
    );
}

#[test]
fn payloads_of_running_deliveries_share_a_budget() {
    let rules = "rules:\n  - name: slow\n    endpoint: /open\n    verify: none\n    match: {$.k: a}\n    \
                 actions: [{run: [/bin/sleep, '600'], timeout: 20m}]\n";
    let mut daemon = Scenario::new().rules(rules).start();
    let objects = vec![r#"{"a":1}"#; 100_000].join(",");
    let body = format!(r#"{{"l":[{objects}],"k":"a"}}"#);
    for _ in 0..8 {
        assert_eq!(daemon.post("/open").json(body.clone()).send().status, 200);
    }
    // Eight payloads of 80 MB each would be resident otherwise.
    let peak = crate::flood::most_memory(&daemon);
    assert!(peak < 500 << 20, "{peak} bytes");
    // A small event does not wait for them.
    assert_eq!(daemon.post("/open").json(r#"{"k":"a"}"#).send().status, 200);
    daemon.still_runs();
}

#[test]
fn waiting_senders_leave_connections_to_others() {
    let rules = "server: {listen: 127.0.0.1:0, max_connections: 8}\nrules:\n  - name: slow\n    endpoint: /wait\n    \
                 verify: none\n    respond: {wait: 30s}\n    actions: [{run: [/bin/sleep, '600'], timeout: 20m}]\n  \
                 - {name: quick, endpoint: /quick, verify: none, actions: [{append: out}]}\n";
    let mut daemon = Scenario::new().rules(rules).start();
    let _streams: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = daemon.connect();
            let request = "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
            std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
            stream
        })
        .collect();
    daemon.eventually("four senders wait", || {
        daemon.log().matches("outcome=\"accepted\"").count() == 4
    });
    let answer = daemon.post("/wait").send();
    assert_eq!(answer.status, 504);
    assert_eq!(daemon.post("/quick").send().status, 200);
    daemon.still_runs();
}
