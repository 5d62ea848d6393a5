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

#[test]
fn the_data_of_a_pubsub_message_is_matched_and_kept_as_it_was_sent() {
    let rules = r#"
endpoints: {/pubsub: {verify: none, unpack: {$.message.data: [base64, json]}}}
rules:
  - name: large
    endpoint: /pubsub
    match: {$.message.data.total: {gt: 1000}, $.message.attributes.kind: order}
    actions:
      - {append: large.log, line: "{{ payload.message.data.id }} {{ payload.message.data.total }}"}
      - {run: [./keep]}
"#;
    let daemon = Scenario::new()
        .script("keep", "cat > body.json")
        .rules(rules)
        .start();
    let message = |data: &str| {
        let data = data_encoding::BASE64.encode(data.as_bytes());
        format!(r#"{{"message": {{"data": "{data}", "attributes": {{"kind": "order"}}}}}}"#)
    };
    let small = daemon
        .post("/pubsub")
        .json(message(r#"{"id": "a", "total": 7}"#))
        .send();
    assert_eq!(small.outcome(), (200, "ignored".into()));
    let large = message(r#"{"id": "b", "total": 12345678901234567890123}"#);
    let answer = daemon.post("/pubsub").json(large.clone()).send();
    assert_eq!(answer.outcome(), (200, "accepted".into()));
    daemon.eventually("it is written", || {
        daemon.read("large.log") == "b 12345678901234567890123\n"
    });
    daemon.eventually("the command has the bytes as sent", || {
        daemon.read("body.json") == large
    });
    let broken = r#"{"message": {"data": "not Base64!", "attributes": {"kind": "order"}}}"#;
    assert_eq!(daemon.post("/pubsub").json(broken).send().status, 400);
    daemon.eventually("the reason is kept", || {
        let output =
            daemon
                .scenario
                .hookyard(&["events", "list", "--outcome", "unreadable", "--format", "json"]);
        said(&output).contains("`$.message.data`: not Base64")
    });
}

#[test]
fn the_type_of_a_value_counts_and_a_list_is_one_value() {
    let explain = |condition: &str, body: &str| {
        let rules = format!(
            "rules: [{{name: a, endpoint: /a, verify: none, match: {{{condition}}}, actions: [append: a.jsonl]}}]\n"
        );
        let scenario = Scenario::new().file("body.json", body).rules(&rules);
        let output = scenario.hookyard(&["explain", "rules.yaml", "--body", "body.json"]);
        said(&output).starts_with("yes a: ")
    };
    for (condition, body, holds) in [
        ("$.v: 3", r#"{"v": 3}"#, true),
        ("$.v: 3", r#"{"v": "3"}"#, false),
        ("$.v: '3'", r#"{"v": 3}"#, false),
        ("$.v: true", r#"{"v": "true"}"#, false),
        ("not: {$.v: 3}", r#"{"v": "3"}"#, false),
        ("$.v: new", r#"{"v": ["new"]}"#, false),
        ("'$.v[*]': new", r#"{"v": ["new"]}"#, true),
        ("$.v: {contains: new}", r#"{"v": ["new"]}"#, true),
        ("any: [{$.v: 1}, {$.w: 1}]", r#"{"w": 1}"#, true),
    ] {
        assert_eq!(explain(condition, body), holds, "{condition} {body}");
    }
}

#[test]
fn a_part_of_a_form_beside_a_picture_is_unpacked() {
    let rules = r#"
rules:
  - name: play
    endpoint: /plex
    verify: none
    match: {$.payload.event: media.play}
    actions: [{append: plex.log, line: "{{ payload.payload.Metadata.title }} {{ payload.thumb.filename }}"}]
endpoints: {/plex: {unpack: {$.payload: json}}}
"#;
    let daemon = Scenario::new().rules(rules).start();
    let body = "--x\r\nContent-Disposition: form-data; name=\"payload\"\r\nContent-Type: application/json\r\n\r\n\
                {\"event\": \"media.play\", \"Metadata\": {\"title\": \"A film\"}}\r\n\
                --x\r\nContent-Disposition: form-data; name=\"thumb\"; filename=\"thumb.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n\
                \u{1}\u{2}\u{3}\r\n--x--\r\n";
    let answer = daemon
        .post("/plex")
        .header("Content-Type", "multipart/form-data; boundary=x")
        .body(body)
        .send();
    assert_eq!(answer.outcome(), (200, "accepted".into()));
    daemon.eventually("it is written", || {
        daemon.read("plex.log") == "A film thumb.jpg\n"
    });
}

#[test]
fn what_unpack_cannot_mean_is_found() {
    let rules = "
endpoints:
  /a: {verify: none, unpack: {$.a: [json, base64]}}
  /b: {verify: none, unpack: {$.a: gzip}}
  /c: {verify: none, unpack: {a.b: json}}
  /d: {verify: none, unpack: {}}
  /e: {verify: none, unpack: json}
rules: []
";
    let output = Scenario::new().rules(rules).hookyard(&["check", "rules.yaml"]);
    let said = said(&output);
    assert!(!output.status.success(), "{said}");
    for part in [
        "`json` is the last",
        "a field holds `base64`, `json`, or a list of these",
        "0 fields: from 1 to 16",
        "`unpack` says which fields",
        "rules.yaml:6:",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn patterns_and_formats_are_checked_at_load() {
    for (template, reason) in [
        (
            "{{ payload.a | regex_replace('(', 'x') }}",
            "the pattern `(` of `regex_replace`",
        ),
        ("{{ payload.a | regex_replace(payload.b, 'x') }}", "written out"),
        ("{{ payload.a | datetimeformat('%Q') }}", "is no format such as"),
    ] {
        let rules = format!(
            "rules: [{{name: a, endpoint: /a, verify: none, actions: [{{append: a.log, line: \"{template}\"}}]}}]\n"
        );
        let output = Scenario::new().rules(&rules).hookyard(&["check", "rules.yaml"]);
        assert!(
            !output.status.success() && said(&output).contains(reason),
            "{}",
            said(&output)
        );
    }
}

#[test]
fn a_template_cannot_hide_where_a_value_comes_from() {
    for (template, reason) in [
        (
            "{% filter replace('a', payload.x) %}a{% endfilter %}",
            "is not taken",
        ),
        (
            "{% set rule = payload.x %}{{ rule }}",
            "`rule` has a meaning already",
        ),
        (
            "{% for method in [payload.x] %}{{ method }}{% endfor %}",
            "`method` has a meaning already",
        ),
        (
            "{% with client = payload.x %}{{ client }}{% endwith %}",
            "`client` has a meaning already",
        ),
        (
            "{% with (rule, a) = payload.x %}{{ rule }}{% endwith %}",
            "`rule` has a meaning already",
        ),
        (
            "{% for loop in payload.x %}{{ loop }}{% endfor %}",
            "reserved variable name loop",
        ),
        ("{{ payload.x }}", "BASH_ENV"),
        ("{% set own = payload.x %}{{ own }}", "BASH_ENV"),
    ] {
        let rules = format!(
            "rules: [{{name: a, endpoint: /a, verify: none, actions: [{{run: [/bin/bash, s.sh], env: {{BASH_ENV: \"{template}\"}}}}]}}]\n"
        );
        let scenario = Scenario::new().script("s.sh", "true").rules(&rules);
        let output = scenario.hookyard(&["check", "rules.yaml"]);
        let found = said(&output);
        assert!(
            !output.status.success() && found.contains(reason),
            "{template}: {found}"
        );
    }
}

#[test]
fn what_a_sender_can_make_of_a_pattern_is_bounded() {
    let rules = r#"
rules:
  - name: a
    endpoint: /a
    verify: none
    actions: [{append: a.log, line: "{{ payload.x | regex_replace('a*b|a', payload.r) | length }}"}]
"#;
    let daemon = Scenario::new().rules(rules).start();
    for (text, replacement) in [
        ("a".repeat(16 << 10), "$0".repeat(512)),
        ("a".repeat(60_000), "$0".into()),
    ] {
        let body = serde_json::json!({"x": text, "r": replacement}).to_string();
        assert_eq!(daemon.post("/a").json(body).send().status, 200);
    }
    daemon.eventually("both are dead letters", || {
        daemon.scenario.deliveries(&["--state", "dead"]).len() == 2
    });
}
