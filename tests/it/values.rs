//! Values of templates through the daemon: client, method, the event's name, the time, and filters.

use sha2::{Digest, Sha256};

use crate::scenario::{Scenario, fixture, said};

const SECRET: &str = "it-is-a-test-of-values";

#[test]
fn an_action_sees_client_method_event_name_and_time() {
    let rules = r#"
endpoints: {/github: {verify: {github: env:SECRET}}}
rules:
  - name: named
    endpoint: /github
    match: {event: push}
    respond: {body: "{{ event.name }} by {{ method }}"}
    actions:
      - {append: named.log, line: "{{ event.name }} {{ client.ip }} {{ method }} {{ now() | datetimeformat('%Y') | length }}"}
      - run: [./note]
"#;
    let daemon = Scenario::new()
        .env("SECRET", SECRET)
        .script(
            "note",
            "echo $HOOKYARD_EVENT_NAME $HOOKYARD_CLIENT_IP $HOOKYARD_METHOD > note.txt",
        )
        .rules(rules)
        .start();
    let answer = daemon
        .post("/github")
        .header("X-GitHub-Event", "push")
        .github(SECRET)
        .body(fixture("github/push.json"))
        .send();
    assert_eq!((answer.status, answer.body.as_str()), (200, "push by POST"));
    daemon.eventually("both have run", || {
        daemon.read("note.txt") == "push 127.0.0.1 POST\n"
            && daemon.read("named.log") == "push 127.0.0.1 POST 4\n"
    });
}

#[test]
fn an_event_name_in_the_payload_is_read_also_where_nothing_else_is() {
    let rules = r#"
rules:
  - name: typed
    endpoint: /typed
    verify: {hmac: {secret: env:SECRET, event: {json: $.type}}}
    actions: [{append: typed.log, line: "{{ event.name }}"}]
"#;
    let daemon = Scenario::new().env("SECRET", SECRET).rules(rules).start();
    let body = r#"{"other": [1, 2, 3], "type": "invoice.paid"}"#;
    let signature = crate::scenario::hmac_hex(SECRET, body.as_bytes());
    let answer = daemon
        .post("/typed")
        .header("X-Signature", &signature)
        .json(body)
        .send();
    assert_eq!(answer.status, 200);
    daemon.eventually("the line is there", || {
        daemon.read("typed.log") == "invoice.paid\n"
    });
}

#[test]
fn an_event_name_that_the_scheme_does_not_know_is_found_by_check() {
    let rules = "rules: [{name: a, endpoint: /a, verify: none, actions: [{append: a.log, line: \"{{ event.name }}\"}]}]\n";
    let scenario = Scenario::new().rules(rules);
    let output = scenario.hookyard(&["check", "rules.yaml"]);
    let said = said(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("`headers.x_event_name`"), "{said}");
}

#[test]
fn filters_convert_values_and_a_value_that_cannot_be_is_a_dead_letter() {
    let rules = r#"
rules:
  - name: good
    endpoint: /in
    verify: none
    match: {$.kind: good}
    actions: [{append: good.log, line: "{{ (payload.data | b64decode | fromjson).order }} {{ payload.at | datetimeformat('%d.%m.%Y', tz='+02:00') }} {{ payload.ref | regex_replace('[^a-z]+', '-') }} {{ payload.data | sha256 }}"}]
  - name: bad
    endpoint: /in
    verify: none
    match: {$.kind: bad}
    actions: [{append: bad.log, line: "{{ payload.data | b64decode }}"}]
"#;
    let daemon = Scenario::new().rules(rules).start();
    let good = r#"{"kind": "good", "data": "eyJvcmRlciI6MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxfQ", "at": "2026-11-30T23:30:00Z", "ref": "refs/heads/1ain"}"#;
    assert_eq!(daemon.post("/in").json(good).send().status, 200);
    let bad = r#"{"kind": "bad", "data": "not Base64!"}"#;
    assert_eq!(daemon.post("/in").json(bad).send().status, 200);
    daemon.eventually("the good one is written", || !daemon.read("good.log").is_empty());
    let digest =
        data_encoding::HEXLOWER.encode(&Sha256::digest("eyJvcmRlciI6MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxfQ"));
    let expected = format!("123456789012345678901 01.12.2026 refs-heads-ain {digest}\n");
    assert_eq!(daemon.read("good.log"), expected);
    daemon.eventually("the bad one is a dead letter", || {
        daemon.scenario.deliveries(&["--state", "dead"]).len() == 1
    });
    assert_eq!(daemon.read("bad.log"), "");
    assert!(daemon.log().contains("not Base64"), "{}", daemon.log());
}
