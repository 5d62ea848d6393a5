//! Bodies that a strict reader would reject: repaired if possible, else accepted by rules that do
//! not read the payload.

use serde_json::{Value, json};

use crate::scenario::{Daemon, Scenario, Sending, Target, hmac_hex};

const RULES: &str = r#"
server: {listen: 127.0.0.1:0}
endpoints:
  /in: {verify: {hmac: {secret: k}}}
  /only: {verify: {hmac: {secret: k}}}
  /id: {verify: {hmac: {secret: k, id: {json: $.id}}}}
rules:
  - name: raw
    endpoint: /in
    match: {any: [{$.never: true}, {header.X-Kind: [raw, both]}]}
    actions:
      - {shell: "cat > raw.body"}
      - {append: raw.txt, line: "{{ headers.x_kind }} {{ body | length }}"}
  - name: reads
    endpoint: /in
    match: {header.X-Kind: both, $.ref: {exists: false}}
    actions: [{append: reads.txt, line: "x"}]
  - name: writes
    endpoint: /in
    match: {header.X-Kind: record}
    actions: [append: record.jsonl]
  - name: other
    endpoint: /in
    match: {header.X-Kind: other, $.ref: main}
    actions: [append: record.jsonl]
  - name: only
    endpoint: /only
    match: {header.X-Kind: only, $.ref: main}
    actions: [append: record.jsonl]
  - name: id
    endpoint: /id
    actions: [append: id.jsonl]
"#;

fn signed(daemon: &Daemon, path: &str, kind: &str, body: &[u8]) -> Sending {
    let sending = daemon.post(path).header("Content-Type", "application/json");
    sending
        .header("X-Kind", kind)
        .header("X-Signature", &hmac_hex("k", body))
        .body(body)
}

fn said(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

/// JSON that is nested too deeply to be decoded.
fn deep() -> Vec<u8> {
    format!("{}{}", "[".repeat(200), "]".repeat(200)).into_bytes()
}

#[test]
fn a_rule_that_does_not_read_an_unreadable_body_takes_the_event() {
    let daemon = Scenario::new().rules(RULES).start();
    let body = deep();
    let outcome = |kind: &str| signed(&daemon, "/in", kind, &body).send().outcome();
    assert_eq!(outcome("both"), said(200, "accepted"), "{}", daemon.log());
    daemon.eventually("the body is passed on", || daemon.lines("raw.txt") == 1);
    assert_eq!(daemon.read("raw.body").as_bytes(), body);
    assert_eq!(daemon.read("raw.txt"), "both 400\n");
    let why = "the body is not valid JSON: nested more than 127 deep at line 1 column 128";
    daemon.eventually("the rules that were not asked are named", || {
        let log = daemon.log();
        log.contains("not_asked=\"reads\"") && log.contains(why)
    });
    // A condition on a missing field cannot hold for an undecodable payload.
    assert!(!daemon.folder().join("reads.txt").exists());
}

#[test]
fn what_is_refused_as_unreadable_is_listed_and_what_nothing_wants_is_ignored() {
    let daemon = Scenario::new().rules(RULES).start();
    let body = deep();
    let outcome = |kind: &str, body: &[u8]| signed(&daemon, "/in", kind, body).send().outcome();
    // One action writes a record with the payload, and the other reads a field of it.
    assert_eq!(outcome("record", &body), said(400, "invalid payload"));
    assert_eq!(outcome("other", &body), said(400, "invalid payload"));
    assert_eq!(outcome("record", b""), said(400, "invalid payload"));
    // The only rule wants another event, whatever the body says.
    let elsewhere = signed(&daemon, "/only", "nothing", &body);
    assert_eq!(elsewhere.send().outcome(), said(200, "ignored"));
    let listed = || {
        let rows = daemon.scenario.arrivals(&["--outcome", "unreadable"]);
        rows.iter()
            .filter_map(|row| row["reason"].as_str().map(str::to_owned))
            .collect::<Vec<String>>()
    };
    daemon.eventually("they are listed", || listed().len() == 3);
    let deep = "the body is not valid JSON: nested more than 127 deep at line 1 column 128";
    let empty = "the body is empty where JSON was expected";
    assert_eq!(listed(), [empty, deep, deep]);
}

#[test]
fn an_unreadable_event_survives_a_restart_and_is_shown_as_what_it_is() {
    let rules = r#"
server: {listen: 127.0.0.1:0}
rules:
  - name: later
    endpoint: /in
    verify: none
    actions: [{shell: "test -e go && cat > raw.body"}]
    retry: {attempts: 100, backoff: [200ms]}
"#;
    let mut daemon = Scenario::new().rules(rules).start();
    let answer = daemon.post("/in").json(deep()).send();
    assert_eq!(answer.outcome(), said(200, "accepted"), "{}", daemon.log());
    daemon.kill();
    daemon.start();
    std::fs::write(daemon.folder().join("go"), "").unwrap();
    daemon.eventually("the body is passed on", || {
        daemon.read("raw.body").as_bytes() == deep()
    });
    let id = serde_json::from_str::<Value>(&answer.body).unwrap()["id"].clone();
    let show = daemon
        .scenario
        .hookyard(&["events", "show", id.as_str().unwrap(), "--format", "json"]);
    let shown: Value = serde_json::from_slice(&show.stdout).unwrap();
    assert_eq!(shown["payload"], Value::Null);
    let fault = "the body is not valid JSON: nested more than 127 deep at line 1 column 128";
    assert_eq!(shown["undecodable"], json!(fault));
    let show = daemon
        .scenario
        .hookyard(&["events", "show", id.as_str().unwrap()]);
    let text = String::from_utf8_lossy(&show.stdout).into_owned();
    assert!(
        text.contains(&format!("it cannot be decoded: {fault}\n  | [[[[")),
        "{text}"
    );
}

#[test]
fn explain_says_of_an_unreadable_body_what_serve_does() {
    let scenario = Scenario::new().rules(RULES).file("deep.json", deep());
    let explain = |kind: &str| {
        let header = format!("X-Kind: {kind}");
        let arguments = [
            "explain",
            "rules.yaml",
            "--endpoint",
            "/in",
            "--body",
            "deep.json",
            "--header",
            &header,
            "--header",
            "Content-Type: application/json",
        ];
        let output = scenario.hookyard(&arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    };
    let (code, text) = explain("both");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("yes raw: every condition holds"), "{text}");
    assert!(
        text.contains("no  reads: $.ref: expected {\"exists\":false}, found a payload that cannot be read"),
        "{text}"
    );
    let (code, text) = explain("record");
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("no  writes: its actions need the payload, which cannot be read"),
        "{text}"
    );
    assert!(text.contains("the answer would be 400 invalid payload"), "{text}");
}

#[test]
fn half_a_surrogate_pair_and_two_marks_lose_nothing_and_the_bytes_stay() {
    let target = Target::ok();
    let rules = format!(
        r#"
server: {{listen: 127.0.0.1:0}}
rules:
  - name: take
    endpoint: /in
    verify: {{hmac: {{secret: k}}}}
    match: {{$.ref: main, $.text: {{prefix: "cut "}}}}
    actions:
      - {{append: take.jsonl}}
      - {{append: take.txt, line: "{{{{ payload.text }}}}"}}
      - {{forward: '{}'}}
"#,
        target.url()
    );
    let daemon = Scenario::new().rules(&rules).start();
    let body = b"\xEF\xBB\xBF\xEF\xBB\xBF{\"ref\": \"main\", \"text\": \"cut \\ud83d\"}";
    assert_eq!(
        signed(&daemon, "/in", "", body).send().outcome(),
        said(200, "accepted"),
        "{}",
        daemon.log()
    );
    daemon.eventually("it is forwarded", || target.requests().len() == 1);
    assert_eq!(target.requests()[0].body, body);
    assert_eq!(daemon.read("take.txt"), "cut \u{FFFD}\n");
    // Other readers are stricter, so a record never holds the original of a repaired payload.
    let record: Value = serde_json::from_str(&daemon.read("take.jsonl")).unwrap();
    assert_eq!(record["payload"], json!({"ref": "main", "text": "cut \u{FFFD}"}));
}

#[test]
fn a_proof_in_the_body_is_read_as_the_payload_is() {
    let daemon = Scenario::new().rules(RULES).start();
    let body = b"\xEF\xBB\xBF\xEF\xBB\xBF{\"id\": \"7\", \"text\": \"\\ud83d\", \"latin\": \"\xEF\"}";
    let send = |body: &[u8]| signed(&daemon, "/id", "", body).send().outcome();
    assert_eq!(send(body), said(200, "accepted"), "{}", daemon.log());
    assert_eq!(send(b"{\"id\": \"7\"}"), said(200, "duplicate"));
    daemon.eventually("the record is written", || daemon.lines("id.jsonl") == 1);
    let record: Value = serde_json::from_str(&daemon.read("id.jsonl")).unwrap();
    let expected = json!({"id": "7", "text": "\u{FFFD}", "latin": "\u{FFFD}"});
    assert_eq!(record["payload"], expected);
}

#[test]
fn plex_sends_json_as_a_part_of_a_form_and_windows_a_mark_before_one() {
    let rules = r#"
server: {listen: 127.0.0.1:0}
rules:
  - {name: plex, endpoint: /plex, verify: none, match: {$.payload.event: media.play, $.thumb.size: 3},
     actions: [{append: plex.txt, line: "{{ payload.payload.Metadata.title }}"}]}
  - {name: form, endpoint: /form, verify: none, match: {$.a: "1"}, actions: [{append: form.txt, line: "x"}]}
  - {name: json, endpoint: /json, verify: none, match: {$.a: 1}, actions: [{append: json.txt, line: "x"}]}
"#;
    let daemon = Scenario::new().rules(rules).start();
    let send = |path: &str, content_type: &str, body: &str| {
        let sending = daemon.post(path).header("Content-Type", content_type);
        assert_eq!(
            sending.body(body).send().outcome(),
            said(200, "accepted"),
            "{}",
            daemon.log()
        );
    };
    let part = |head: &str, content: &str| {
        format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
    };
    let body = [
        part(
            "name=\"payload\"\r\nContent-Type: application/json",
            r#"{"event": "media.play", "Metadata": {"title": "Heat"}}"#,
        ),
        part(
            "name=\"thumb\"; filename=\"thumb.jpg\"\r\nContent-Type: image/jpeg",
            "abc",
        ),
        "--b--\r\n".to_owned(),
    ];
    send("/plex", "multipart/form-data; boundary=b", &body.concat());
    daemon.eventually("the title is written", || daemon.read("plex.txt") == "Heat\n");
    send("/form", "application/x-www-form-urlencoded", "\u{FEFF}a=1");
    send("/json", "text/json", "{\"a\": 1}");
    send(
        "/json",
        "Application/X-JSON; charset='utf-8'",
        "\u{FEFF}\u{FEFF}{\"a\": 1, \"b\": 2}",
    );
}

#[test]
fn what_no_rule_reads_is_validated_and_there_for_actions() {
    let rules = r#"
server: {listen: 127.0.0.1:0}
rules:
  - name: part
    endpoint: /in
    verify: none
    match: {$.a.b: x, "$.list[*].n": {gt: 18446744073709551615}}
    actions:
      - {append: part.txt, line: "{{ payload.a.b }} {{ payload.list[0].n }}"}
      - {append: rest.txt, line: "{% for key in payload %}{{ key }} {% endfor %}{{ payload.rest.deep | tojson }}"}
      - {append: variable.txt, line: "{% set p = payload %}{{ p.rest.deep[1] }} {{ payload.a | length }}"}
"#;
    let daemon = Scenario::new().rules(rules).start();
    let send = |rest: &str| {
        let body = format!(
            r#"{{"a":{{"b":"y"}},"a":{{"b":"x","c":0}},"list":[{{"n":18446744073709551617}}],"rest":{rest}}}"#
        );
        let sending = daemon.post("/in").header("Content-Type", "application/json");
        sending.body(body.as_str()).send().outcome()
    };
    for broken in [
        "1e999",
        "01",
        "\"\\ud83\"",
        "[1,]",
        &format!("{}1{}", "[".repeat(127), "]".repeat(127)),
    ] {
        assert_eq!(send(broken), said(400, "invalid payload"), "{broken}");
    }
    assert_eq!(
        send(r#"{"deep":[1.50,"z\ud83d"],"other":null}"#),
        said(200, "accepted")
    );
    daemon.eventually("all lines are written", || daemon.lines("variable.txt") == 1);
    assert_eq!(daemon.read("part.txt"), "x 18446744073709551617\n");
    assert_eq!(daemon.read("rest.txt"), "a list rest [1.5,\"z\u{FFFD}\"]\n");
    assert_eq!(daemon.read("variable.txt"), "z\u{FFFD} 2\n");
}
