//! Answers that the rules state for each outcome.

use crate::scenario::{Answer, Daemon, Scenario, hmac_hex};

/// Sends JSON to a path with a bearer token.
fn with_token(daemon: &Daemon, path: &str, token: &str, body: &str) -> Answer {
    let sending = daemon.post(path).json(body);
    sending.header("Authorization", &format!("Bearer {token}")).send()
}

/// Status, body, and the value of `X-Hookyard-Status`.
fn said(answer: &Answer) -> (u16, &str, &str) {
    let outcome = answer.header("x-hookyard-status").unwrap_or_default();
    (answer.status, answer.body.as_str(), outcome)
}

#[test]
fn a_ci_job_fails_if_no_rule_wants_its_event() {
    let rules = r#"
endpoints:
  /ci: {verify: {bearer: {secret: t0k}}, respond: {ignored: {status: 403, body: "not here"}}}
rules:
  - name: main
    endpoint: /ci
    match: {$.branch: main}
    actions: [append: ci.jsonl]
    respond:
      ignored: {status: 422, headers: {X-Hint: main}, body: '{"error":"{{ payload.branch }} is not deployed"}'}
  - {name: tag, endpoint: /ci, match: {$.tag: x}, actions: [append: ci.jsonl]}
  - {name: other, endpoint: /other, verify: {bearer: {secret: t0k}}, match: {$.a: 1}, actions: [append: ci.jsonl]}
"#;
    let daemon = Scenario::new().rules(rules).start();
    let main = with_token(&daemon, "/ci", "t0k", r#"{"branch":"main"}"#);
    assert_eq!(
        (main.status, main.header("x-hookyard-status")),
        (200, Some("accepted"))
    );
    let other = with_token(&daemon, "/ci", "t0k", r#"{"branch":"dev"}"#);
    assert_eq!(
        said(&other),
        (422, r#"{"error":"dev is not deployed"}"#, "ignored")
    );
    assert_eq!(other.header("x-hint"), Some("main"));
    assert_eq!(other.header("content-type"), Some("application/json"));
    // A stranger learns nothing of it.
    let stranger = with_token(&daemon, "/ci", "other", r#"{"branch":"dev"}"#);
    assert_eq!(said(&stranger), (401, "{\"status\":\"refused\"}\n", "refused"));
    assert_eq!(stranger.header("x-hint"), None);
    assert_eq!(with_token(&daemon, "/other", "t0k", "{}").status, 200);
}

#[test]
fn the_answer_that_was_given_stands_in_the_record_of_the_arrival() {
    let rules = r"
rules:
  - name: main
    endpoint: /ci
    verify: none
    match: {$.branch: main}
    actions: [append: ci.jsonl]
    respond: {ignored: {status: 422}, unreadable: {status: 415}}
";
    let daemon = Scenario::new().rules(rules).start();
    assert_eq!(daemon.post("/ci").json("{}").send().status, 422);
    assert_eq!(daemon.post("/ci").json("{").send().status, 415);
    let listed = || {
        let arrivals = daemon.scenario.arrivals(&[]);
        let described = arrivals
            .iter()
            .map(|arrival| format!("{} {}", arrival["outcome"].as_str().unwrap(), arrival["status"]));
        described.collect::<Vec<_>>()
    };
    daemon.eventually("both are recorded", || listed().len() == 2);
    assert_eq!(listed(), ["unreadable 415", "ignored 422"]);
}

#[test]
fn the_flask_tutorial_works_with_its_own_errors() {
    // `if not request.is_json or "event" not in request.json: return jsonify(error=…), 400`
    let rules = r#"
rules:
  - name: webhook
    endpoint: /webhook
    verify: {hmac: {secret: s3cret, header: X-Signature}}
    match: {$.event: {exists: true}}
    actions: [append: events.jsonl]
    respond:
      body: '{"status":"success"}'
      ignored: {status: 400, body: '{"error":"no event"}'}
      unreadable: {status: 400, body: '{"error":"invalid JSON"}'}
"#;
    let daemon = Scenario::new().rules(rules).start();
    let send = |body: &str, key: &str| {
        let signature = hmac_hex(key, body.as_bytes());
        daemon
            .post("/webhook")
            .json(body)
            .header("X-Signature", &signature)
            .send()
    };
    let cases = [
        (
            r#"{"event":"ping"}"#,
            "s3cret",
            (200, r#"{"status":"success"}"#, "accepted"),
        ),
        ("{}", "s3cret", (400, r#"{"error":"no event"}"#, "ignored")),
        ("[]", "s3cret", (400, r#"{"error":"no event"}"#, "ignored")),
        ("{", "s3cret", (400, r#"{"error":"invalid JSON"}"#, "unreadable")),
        ("", "s3cret", (400, r#"{"error":"invalid JSON"}"#, "unreadable")),
        ("{}", "other", (403, "{\"status\":\"refused\"}\n", "refused")),
        ("{", "other", (403, "{\"status\":\"refused\"}\n", "refused")),
    ];
    for (body, key, expected) in cases {
        assert_eq!(said(&send(body, key)), expected, "{body} {key}");
    }
    // Form data is not JSON.
    let signature = hmac_hex("s3cret", b"event=ping");
    let sending = daemon.post("/webhook").body("event=ping");
    let text = sending
        .header("Content-Type", "text/plain")
        .header("X-Signature", &signature)
        .send();
    assert_eq!(said(&text), (400, r#"{"error":"invalid JSON"}"#, "unreadable"));
}

#[test]
fn a_duplicate_has_its_own_answer() {
    let rules = r"
endpoints:
  /a: {verify: {hmac: {secret: k}}, respond: {status: 202, body: new, duplicate: {status: 208, body: old}}}
  /b: {verify: {hmac: {secret: k}}, on_duplicate: reject, respond: {status: 202, body: new, duplicate: {body: old}}}
  /c: {verify: {hmac: {secret: k}}, respond: {status: 202, body: new, duplicate: {body: old}}}
rules:
  - {name: a, endpoint: /a, actions: [append: a.jsonl]}
  - {name: b, endpoint: /b, actions: [append: a.jsonl]}
  - {name: c, endpoint: /c, actions: [append: a.jsonl]}
";
    let daemon = Scenario::new().rules(rules).start();
    for (path, status) in [("/a", 208), ("/b", 409), ("/c", 202)] {
        let send = || {
            let signature = hmac_hex("k", b"{}");
            daemon
                .post(path)
                .json("{}")
                .header("X-Signature", &signature)
                .send()
        };
        assert_eq!(said(&send()), (202, "new", "accepted"), "{path}");
        assert_eq!(said(&send()), (status, "old", "duplicate"), "{path}");
    }
}

#[test]
fn an_outcome_without_an_answer_of_its_own_has_its_default() {
    let rules = r"
endpoints:
  /a: {verify: none, respond: {status: 202, headers: {X-Note: own}, body: mine}}
  /b: {verify: none, respond: {status: 202, headers: {X-Note: own}, body: mine, ignored: {}}}
rules:
  - {name: a, endpoint: /a, match: {$.a: 1}, actions: [append: a.jsonl]}
  - {name: b, endpoint: /b, match: {$.a: 1}, actions: [append: a.jsonl]}
  - {name: fail, endpoint: /fail, verify: none, respond: {wait: 5s, body: mine}, actions: [{run: [./fail]}]}
";
    let daemon = Scenario::new().script("fail", "exit 1").rules(rules).start();
    let ignored = daemon.post("/a").json("{}").send();
    assert_eq!(said(&ignored), (202, "mine", "ignored"));
    assert_eq!(ignored.header("x-note"), Some("own"));
    // An empty answer states that the default is to be given.
    let ignored = daemon.post("/b").json("{}").send();
    assert_eq!((ignored.status, ignored.header("x-note")), (200, None));
    assert!(
        ignored.body.starts_with(r#"{"status":"ignored","id":""#),
        "{ignored:?}"
    );
    assert_eq!(
        said(&daemon.post("/fail").json("{}").send()),
        (500, "mine", "failed")
    );
}

#[test]
fn a_rule_takes_from_its_endpoint_what_it_does_not_state() {
    let rules = r#"
endpoints:
  /a:
    verify: none
    respond: {wait: 5s, body: endpoint, failed: {status: 503, body: endpoint failed}}
rules:
  - {name: own, endpoint: /a, match: {$.a: own}, respond: {body: own}, actions: [{run: [./work]}]}
  - name: failing
    endpoint: /a
    match: {$.a: fail}
    respond: {failed: {status: 200, body: "{{ rule }} failed"}}
    actions: [{run: ["false"]}]
  - {name: plain, endpoint: /a, match: {$.a: {in: [plain, own]}}, respond: {wait: false}, actions: [append: a.jsonl]}
  - {name: bare, endpoint: /a, match: {$.a: bare}, actions: [{run: ["false"]}]}
"#;
    let daemon = Scenario::new().script("work", "exit 0").rules(rules).start();
    let send = |a: &str| daemon.post("/a").json(format!(r#"{{"a":"{a}"}}"#)).send();
    assert_eq!(said(&send("own")), (200, "own", "done"));
    assert_eq!(said(&send("fail")), (200, "failing failed", "failed"));
    assert_eq!(said(&send("plain")), (200, "endpoint", "accepted"));
    assert_eq!(said(&send("bare")), (503, "endpoint failed", "failed"));
}

#[test]
fn a_sender_that_is_only_observed_does_not_get_the_answers_of_verified_ones() {
    let rules = r"
rules:
  - name: seen
    endpoint: /seen
    verify: {hmac: {secret: k}, mode: observe}
    match: {$.a: 1}
    actions: [append: a.jsonl]
    respond: {ignored: {status: 422, body: private}, unreadable: {status: 415, body: private}}
";
    let daemon = Scenario::new().rules(rules).start();
    let send = |body: &str, signature: &str| {
        let sending = daemon.post("/seen").json(body);
        sending.header("X-Signature", signature).send()
    };
    for (body, status, default) in [("{}", 422, 200), ("{", 415, 400)] {
        let known = send(body, &hmac_hex("k", body.as_bytes()));
        assert_eq!((known.status, known.body.as_str()), (status, "private"));
        let stranger = send(body, "00");
        assert_eq!(stranger.status, default);
        assert!(!stranger.body.contains("private"), "{stranger:?}");
    }
}

#[test]
fn answers_that_can_never_be_given_are_findings() {
    let find = |endpoint: &str, respond: &str| {
        let rules = format!(
            "endpoints: {{/a: {endpoint}}}\nrules:\n  - {{name: a, endpoint: /a, verify: none, actions: [append: a], respond: {respond}}}\n  \
             - {{name: b, endpoint: /a, verify: none, actions: [append: a], respond: {{ignored: {{status: 400}}}}}}\n"
        );
        let scenario = Scenario::new().rules(&rules);
        let checked = scenario.hookyard(&["check", "rules.yaml", "--format", "json"]);
        let found: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
        let found = found["diagnostics"].as_array().unwrap().clone();
        found
            .iter()
            .map(|one| {
                format!(
                    "{} {}",
                    one["severity"].as_str().unwrap(),
                    one["code"].as_str().unwrap()
                )
            })
            .collect::<Vec<_>>()
            .join(", ")
    };
    for (endpoint, respond, expected) in [
        ("{}", "{wait: 1s, failed: {status: 200}, late: {status: 200}}", ""),
        ("{}", "{ignored: {status: 400}}", ""),
        ("{}", "{ignored: {status: 403}}", "warning respond-early"),
        ("{}", "{failed: {status: 200}}", "error respond-wait"),
        ("{}", "{wait: false, late: {status: 200}}", "error respond-wait"),
        ("{respond: {late: {status: 200}}}", "{}", "error respond-wait"),
        ("{respond: {late: {status: 200}}}", "{wait: true}", ""),
        ("{respond: {wait: true}}", "{late: {status: 200}}", ""),
        ("{}", "{status: 422}", "error respond-status"),
        (
            "{}",
            "{ignored: {status: 199}}",
            "error respond-status, warning respond-early",
        ),
        ("{}", "{duplicate: {status: 600}}", "error respond-status"),
        (
            "{}",
            "{duplicate: {status: 204, body: x}}",
            "warning respond-body",
        ),
        (
            "{}",
            "{unreadable: {status: 400, body: '{{ payload.x }}'}}",
            "warning respond-body",
        ),
        ("{}", "{unreadable: {status: 400, body: '{{ body }}'}}", ""),
        ("{}", "{duplicate: 409}", "error wrong-value"),
        ("{}", "{duplicate: {wait: 1s}}", "error unknown-key"),
        ("{}", "{refused: {status: 200}}", "error unknown-key"),
        (
            "{}",
            "{duplicate: {headers: {Content-Length: '3'}}}",
            "error respond-header",
        ),
    ] {
        assert_eq!(find(endpoint, respond), expected, "{endpoint} {respond}");
    }
}

#[test]
fn an_answer_that_cannot_be_rendered_is_never_silent() {
    let rules = r#"
endpoints:
  /a: {verify: {hmac: {secret: k}}, respond: {status: 202, headers: {X-Note: own}, body: "{{ payload.missing }}"}}
rules:
  - name: taken
    endpoint: /a
    match: {$.a: 1}
    actions: [append: a.jsonl]
    respond: {ignored: {status: 422, body: "{{ payload.why }}"}, duplicate: {status: 208, body: "{{ payload.why }}"}}
"#;
    let daemon = Scenario::new().rules(rules).start();
    let send = |body: &str| {
        let signature = hmac_hex("k", body.as_bytes());
        daemon
            .post("/a")
            .json(body)
            .header("X-Signature", &signature)
            .send()
    };
    let taken = send(r#"{"a":1}"#);
    assert_eq!((taken.status, taken.header("x-note")), (202, Some("own")));
    assert!(
        taken.body.starts_with(r#"{"status":"accepted","id":""#),
        "{taken:?}"
    );
    assert_eq!(send(r#"{"a":1}"#).status, 208);
    assert_eq!(send("{}").status, 422);
    let reasons = || {
        let arrivals = daemon.scenario.arrivals(&[]);
        let marked = arrivals.iter().filter_map(|arrival| {
            let reason = arrival["reason"].as_str()?;
            let fault = reason.starts_with("the answer's body could not be rendered: ");
            fault.then(|| format!("{}: {reason}", arrival["outcome"].as_str().unwrap()))
        });
        marked.collect::<Vec<_>>()
    };
    daemon.eventually("all are marked", || reasons().len() == 3);
    let [ignored, duplicate, accepted] = <[String; 3]>::try_from(reasons()).unwrap();
    assert!(
        ignored.starts_with("ignored: ") && ignored.contains("payload.why"),
        "{ignored}"
    );
    assert!(
        duplicate.starts_with("duplicate: ") && duplicate.contains("a duplicate of"),
        "{duplicate}"
    );
    assert!(
        accepted.starts_with("accepted: ") && accepted.contains("payload.missing"),
        "{accepted}"
    );
    let id = daemon.scenario.arrivals(&["--outcome", "accepted"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let shown = daemon.scenario.hookyard(&["events", "show", &id]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("reason the answer's body could not be rendered"),
        "{shown}"
    );
    let logged =
        |line: &str| line.contains("ERROR") && line.contains("the answer's body could not be rendered");
    assert!(daemon.log().lines().any(logged), "{}", daemon.log());
    let metrics = crate::status::metrics(&daemon);
    assert!(
        metrics.contains("\nhookyard_answers_unrendered_total{endpoint=\"/a\"} 3\n"),
        "{metrics}"
    );
}

#[test]
fn a_waiting_sender_gets_the_status_of_an_answer_that_cannot_be_rendered() {
    let rules = r#"
rules:
  - name: work
    endpoint: /a
    verify: none
    actions: [{run: ["true"], id: work}, {run: ["false"], id: fail}, {append: a.jsonl, id: never}]
    respond: {wait: 10s, failed: {status: 200, body: "{{ actions.never.detail }}"}}
"#;
    let daemon = Scenario::new().rules(rules).start();
    let answer = daemon.post("/a").json("{}").send();
    assert_eq!(answer.status, 200);
    assert!(
        answer.body.starts_with(r#"{"status":"failed","id":""#),
        "{answer:?}"
    );
    let marked = || {
        daemon.scenario.arrivals(&[])[0]["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(marked().contains("actions.never"), "{}", marked());
}
