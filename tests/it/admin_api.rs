//! The admin API: what the operator's page shows as JSON, and every action.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use hookyard::sys::account::own_name;
use serde_json::{Value, json};

use crate::scenario::{Daemon, Scenario, said};

const RULES: &str = r#"
rules:
  - name: push
    endpoint: /github
    verify: {github: env:SECRET}
    match: {event: push, $.ref: refs/heads/main}
    actions: [{append: pushes.jsonl}]
  - name: broken
    endpoint: /broken/{site}
    verify: none
    retry: {attempts: 1}
    actions: [{run: [/bin/sh, -c, "exit 3"]}]
  - name: slow
    endpoint: /slow
    verify: none
    retry: {attempts: 2, backoff: [1h]}
    actions: [{shell: "echo begun; exec sleep 60"}]
"#;

fn daemon() -> Daemon {
    Scenario::new().env("SECRET", "of the test").rules(RULES).start()
}

/// Status and body of an answer on the admin socket.
fn ask(daemon: &Daemon, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
    let socket = daemon.folder().join("hookyard.db.sock");
    let mut stream = UnixStream::connect(socket).unwrap();
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

fn get(daemon: &Daemon, path: &str) -> Value {
    let (status, body) = ask(daemon, "GET", &format!("/api/v1{path}"), None);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

fn post(daemon: &Daemon, path: &str, body: &Value) -> (u16, Value) {
    let (status, answer) = ask(daemon, "POST", &format!("/api/v1{path}"), Some(body));
    (
        status,
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{path}: {answer}")),
    )
}

fn arrive(daemon: &Daemon, path: &str, body: &str) -> Value {
    daemon.post(path).json(body).send();
    daemon.eventually("it is listed", || {
        get(daemon, "/arrivals")["arrivals"][0]["endpoint"].is_string()
    });
    get(daemon, "/arrivals?limit=1")["arrivals"][0].clone()
}

fn delivery_of(arrival: &Value) -> String {
    arrival["deliveries"][0]["delivery"].as_str().unwrap().to_owned()
}

fn in_state(daemon: &Daemon, delivery: &str, state: &str) -> bool {
    get(daemon, &format!("/deliveries/{delivery}"))["state"] == state
}

#[test]
fn an_ignored_arrival_says_why_and_is_run_once_the_rules_want_it() {
    let daemon = daemon();
    let push = r#"{"ref": "refs/heads/next", "id": 9007199254740993}"#;
    let sent = daemon.post("/github").header("X-GitHub-Event", "push").json(push);
    assert_eq!(sent.github("of the test").send().word(), "ignored");
    let mut id = String::new();
    daemon.eventually("it is recorded", || {
        let found = get(&daemon, "/arrivals?q=outcome:ignored%20%24.ref:refs/heads/next");
        id = found["arrivals"][0]["id"].as_str().unwrap_or_default().to_owned();
        !id.is_empty()
    });
    let (_, text) = ask(&daemon, "GET", &format!("/api/v1/arrivals/{id}"), None);
    // No digit is lost on the way.
    assert!(text.contains("\"id\":9007199254740993"), "{text}");
    let arrival: Value = serde_json::from_str(&text).unwrap();
    let decided = &arrival["decision"]["rules"][0];
    assert_eq!(
        (&decided["rule"], &decided["matched"]),
        (&json!("push"), &json!(false))
    );
    assert!(
        decided["reason"].as_str().unwrap().contains("refs/heads/main"),
        "{decided}"
    );
    let (status, body) = ask(&daemon, "GET", &format!("/api/v1/arrivals/{id}/body"), None);
    assert_eq!((status, body.as_str()), (200, push));

    let replay = format!("/arrivals/{id}/replay");
    let (status, answer) = post(&daemon, &replay, &json!({}));
    assert_eq!((status, &answer["possible"]), (409, &json!(false)), "{answer}");
    assert_eq!(answer["summary"][0], "no rule in force matches");
    daemon.rewrite(&RULES.replace("refs/heads/main", "refs/heads/next"));
    daemon.eventually("the rules are in force", || {
        get(&daemon, "/status")["rules"]["generation"] == 2
    });
    let (status, answer) = post(&daemon, &format!("{replay}?dry_run=1"), &json!({}));
    assert_eq!((status, &answer["accepted"]), (200, &json!(["push"])), "{answer}");
    assert_eq!(daemon.lines("pushes.jsonl"), 0);
    // A paused rule takes it, and the answer says that it waits.
    post(&daemon, "/rules/push/pause", &json!({}));
    let (status, answer) = post(&daemon, &replay, &json!({}));
    assert_eq!((status, &answer["accepted"]), (200, &json!(["push"])), "{answer}");
    let waits = answer["waits"][0].as_str().unwrap();
    assert!(
        waits.starts_with("its delivery waits: the rule push is paused since ")
            && waits.ends_with(&own_name()),
        "{waits}"
    );
    post(&daemon, "/rules/push/resume", &json!({}));
    daemon.eventually("it ran", || daemon.lines("pushes.jsonl") == 1);
    // The log and the history name the user who did it. To actions it is an event that arrived.
    let by = own_name();
    daemon.eventually("the log says who", || {
        let log = daemon.log();
        let mut lines = log.lines();
        lines.any(|line| line.contains("replayed an arrival") && line.contains(&format!("by=\"{by}\"")))
    });
    let arrival = get(&daemon, &format!("/arrivals/{id}"));
    assert_eq!(
        (&arrival["outcome"], &arrival["replayed_by"], &arrival["fired_by"]),
        (&json!("ignored"), &json!(by), &json!(null))
    );
    let (_, page) = ask(&daemon, "GET", &format!("/arrivals/{id}"), None);
    assert!(page.contains(&format!("<bdi>{by}</bdi> ran it later.")), "{page}");
    let listed = said(
        &daemon
            .scenario
            .hookyard(&["events", "list", "--outcome", "ignored"]),
    );
    assert!(listed.contains(&format!("replayed by {by}")), "{listed}");
    let shown = said(&daemon.scenario.hookyard(&["events", "show", &id]));
    assert!(shown.contains(&format!("; replayed by {by}")), "{shown}");
    let written = std::fs::read_to_string(daemon.folder().join("pushes.jsonl")).unwrap();
    assert!(!written.contains("fired_by"), "{written}");
}

#[test]
fn dead_letters_are_replayed_and_dropped_one_by_one_and_in_groups() {
    let daemon = daemon();
    let first = arrive(&daemon, "/broken/a", "{}");
    arrive(&daemon, "/broken/b", r#"{"n": 2}"#);
    let dead = || get(&daemon, "/problems")["groups"]["dead"][0]["count"].clone();
    daemon.eventually("both are dead", || dead() == 2);

    let delivery = delivery_of(&first);
    let (status, answer) = post(
        &daemon,
        &format!("/deliveries/{delivery}/replay?dry_run=1"),
        &json!({}),
    );
    assert_eq!((status, &answer["deliveries"]), (200, &json!(1)), "{answer}");
    assert_eq!(answer["summary"][0], "1 delivery would be replayed");
    post(&daemon, &format!("/deliveries/{delivery}/replay"), &json!({}));
    let replayed = || get(&daemon, &format!("/deliveries/{delivery}"));
    daemon.eventually("it is dead again", || {
        let delivery = replayed();
        delivery["replays"] == 1 && delivery["state"] == "dead"
    });
    // The same by its arrival: all deliveries of the event that have ended.
    let arrival = format!("/arrivals/{}/replay", first["id"].as_str().unwrap());
    let (status, answer) = post(&daemon, &format!("{arrival}?dry_run=1"), &json!({}));
    assert_eq!((status, &answer["deliveries"]), (200, &json!(1)), "{answer}");
    let (status, answer) = post(&daemon, &arrival, &json!({}));
    assert_eq!(
        (status, &answer["changed"]),
        (200, &json!("replayed")),
        "{answer}"
    );
    daemon.eventually("it is dead once more", || {
        let delivery = replayed();
        delivery["replays"] == 2 && delivery["state"] == "dead"
    });
    // The history and the log say who did it.
    let by = format!("by {}", own_name());
    let attempts = replayed()["attempts"].to_string();
    assert!(
        attempts.contains("replayed") && attempts.contains(&by),
        "{attempts}"
    );
    let logged = daemon
        .log()
        .lines()
        .any(|line| line.contains("replayed deliveries") && line.contains(&own_name()));
    assert!(logged, "{}", daemon.log());

    let group = get(&daemon, "/problems")["groups"]["dead"][0].clone();
    let mut body = json!({"rule": group["rule"], "reason": group["reason"]});
    let (_, answer) = post(&daemon, "/deliveries/drop?dry_run=1", &body);
    assert_eq!(
        (&answer["count"], &answer["dry_run"]),
        (&json!(2), &json!(true)),
        "{answer}"
    );
    assert_eq!(dead(), 2);
    // Another number than the one that was seen changes nothing.
    body["count"] = json!(1);
    let (status, answer) = post(&daemon, "/deliveries/drop", &body);
    assert_eq!(status, 409, "{answer}");
    assert!(
        answer["failed"]
            .as_str()
            .unwrap()
            .contains("there are 2 now, not 1"),
        "{answer}"
    );
    assert_eq!(dead(), 2);
    body["count"] = json!(2);
    let (status, answer) = post(&daemon, "/deliveries/drop", &body);
    assert_eq!((status, &answer["deliveries"]), (200, &json!(2)), "{answer}");
    assert_eq!(dead(), Value::Null);
}

#[test]
fn a_running_attempt_is_listed_in_the_queue_and_stopped() {
    let daemon = daemon();
    let delivery = delivery_of(&arrive(&daemon, "/slow", "{}"));
    let queue = || get(&daemon, "/queue");
    daemon.eventually("it runs", || {
        queue()["running_attempts"][0]["delivery"] == json!(delivery)
    });
    let (status, answer) = post(
        &daemon,
        &format!("/deliveries/{delivery}/stop"),
        &json!({"after": "drop"}),
    );
    assert_eq!(
        (status, &answer["stopped"][0]["rule"]),
        (200, &json!("slow")),
        "{answer}"
    );
    daemon.eventually("it is dead", || in_state(&daemon, &delivery, "dead"));
    let (status, answer) = post(
        &daemon,
        &format!("/deliveries/{delivery}/stop"),
        &json!({"after": "retry"}),
    );
    assert_eq!(
        (status, &answer["summary"][0]),
        (409, &json!("nothing is in progress"))
    );
    // What becomes of the delivery has to be said.
    let (status, answer) = post(&daemon, &format!("/deliveries/{delivery}/stop"), &json!({}));
    assert_eq!(status, 400, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("after"), "{answer}");
}

#[test]
fn a_waiting_delivery_is_given_up() {
    let daemon = daemon();
    post(&daemon, "/rules/push/pause", &json!({}));
    post(&daemon, "/rules/slow/pause", &json!({}));
    let delivery = delivery_of(&arrive(&daemon, "/slow", "{}"));
    let waiting = get(&daemon, &format!("/deliveries/{delivery}"));
    assert!(
        waiting["waits_for"].as_str().unwrap().contains("paused"),
        "{waiting}"
    );
    let (status, answer) = post(&daemon, &format!("/deliveries/{delivery}/replay"), &json!({}));
    assert_eq!(status, 409, "{answer}");
    let (status, answer) = post(&daemon, &format!("/deliveries/{delivery}/drop"), &json!({}));
    assert_eq!((status, &answer["deliveries"]), (200, &json!(1)), "{answer}");
    let dropped = get(&daemon, &format!("/deliveries/{delivery}"));
    assert_eq!(dropped["reason"], format!("dropped by {}", own_name()));
}

#[test]
fn rules_and_targets_are_paused_and_resumed() {
    let daemon = Scenario::new()
        .rules(
            r#"
rules:
  - name: a.b
    endpoint: /in
    verify: none
    actions: [{forward: "http://127.0.0.1:1/x"}]
"#,
        )
        .start();
    let rule = "/rules/a%2Eb";
    let (status, answer) = post(&daemon, &format!("{rule}/pause"), &json!({}));
    assert_eq!((status, &answer["changed"]), (200, &json!(true)), "{answer}");
    assert_eq!(get(&daemon, rule)["paused"]["by"], own_name());
    let (_, answer) = post(&daemon, &format!("{rule}/pause"), &json!({}));
    assert_eq!(answer["changed"], false);
    let (_, answer) = post(&daemon, &format!("{rule}/resume"), &json!({}));
    assert_eq!(answer["changed"], true);
    let target = json!({"target": "http://127.0.0.1:1"});
    post(&daemon, "/targets/pause", &target);
    assert_eq!(get(&daemon, "/rules")["targets"][0]["name"], "http://127.0.0.1:1");
    post(&daemon, "/targets/resume", &target);
    assert_eq!(get(&daemon, "/rules")["targets"], json!([]));
    for (path, body) in [
        ("/rules/none/pause", json!({})),
        ("/targets/pause", json!({"target": "http://other.example"})),
        ("/targets/pause", json!({})),
    ] {
        let (status, answer) = post(&daemon, path, &body);
        assert!(matches!(status, 400 | 409), "{path}: {answer}");
    }
}

#[test]
fn a_rule_is_fired_by_hand() {
    let daemon = daemon();
    let body = json!({"event_name": "push", "text": "{\"ref\": \"refs/heads/main\"}"});
    let (status, answer) = post(&daemon, "/rules/push/fire?dry_run=1", &body);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(daemon.lines("pushes.jsonl"), 0);
    let (status, answer) = post(&daemon, "/rules/push/fire", &body);
    assert_eq!(status, 200, "{answer}");
    let location = answer["location"].as_str().unwrap();
    assert_eq!(
        location,
        format!("/deliveries/{}", answer["delivery"].as_str().unwrap())
    );
    daemon.eventually("it ran", || daemon.lines("pushes.jsonl") == 1);
    let fired = get(&daemon, "/arrivals?q=outcome:fired")["arrivals"][0].clone();
    assert_eq!(fired["fired_by"], own_name());
    post(&daemon, "/rules/push/pause", &json!({}));
    let (_, answer) = post(&daemon, "/rules/push/fire", &body);
    let waits = answer["waits"].as_str().unwrap();
    assert!(waits.contains("the rule push is paused since "), "{waits}");
    let other = json!({"event_name": "push", "text": "{\"ref\": \"other\"}"});
    let (status, answer) = post(&daemon, "/rules/push/fire", &other);
    assert_eq!((status, &answer["possible"]), (409, &json!(false)), "{answer}");
}

#[test]
fn arrivals_are_paged_and_completed_and_mistakes_are_said() {
    let daemon = daemon();
    for number in 0..7 {
        arrive(&daemon, "/broken/a", &number.to_string());
    }
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let page = get(&daemon, &format!("/arrivals?limit=3{before}"));
        for arrival in page["arrivals"].as_array().unwrap() {
            seen.push(arrival["id"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else { break };
        before = format!("&before={next}");
    }
    let mut sorted = seen.clone();
    sorted.sort_unstable();
    sorted.reverse();
    sorted.dedup();
    assert_eq!((seen.len(), &seen), (7, &sorted));

    let wrong = get(&daemon, "/arrivals?q=outcme:ignored");
    assert!(
        wrong["error"]["hint"].as_str().unwrap().contains("outcome"),
        "{wrong}"
    );
    let suggestions = get(&daemon, "/suggestions?q=rule:br&at=7");
    assert_eq!(suggestions["suggestions"][0]["text"], "rule:broken");
    for path in ["/arrivals?limit=0", "/arrivals?before=x", "/arrivals?limit=many"] {
        let (status, body) = ask(&daemon, "GET", &format!("/api/v1{path}"), None);
        assert_eq!(status, 400, "{path}: {body}");
    }
    for path in [
        "/arrivals/x",
        "/deliveries/x",
        "/rules/none",
        "/nothing",
        "/arrivals/01900000-0000-7000-8000-000000000000",
    ] {
        let (status, body) = ask(&daemon, "GET", &format!("/api/v1{path}"), None);
        assert_eq!(status, 404, "{path}: {body}");
        assert!(body.starts_with("{\"error\":"), "{path}: {body}");
    }
    let (status, body) = ask(&daemon, "GET", "/api/v1/rules/push/pause", None);
    assert_eq!(status, 405, "{body}");
    let (status, body) = ask(&daemon, "POST", "/api/v1/rules", Some(&json!({})));
    assert_eq!(status, 405, "{body}");
    let (status, body) = ask(&daemon, "POST", "/api/v1/rules/push/pause", Some(&json!([1])));
    assert_eq!(status, 400, "{body}");
}

#[test]
fn new_arrivals_are_counted_in_a_stream_that_goes_on_where_it_was() {
    let daemon = daemon();
    let start = get(&daemon, "/arrivals");
    let cursor = start["cursor"].as_str().unwrap().to_owned();
    arrive(&daemon, "/broken/a", "1");
    arrive(&daemon, "/slow", "2");
    let (id, counted) = first_event(&daemon, &format!("/arrivals/stream?after={cursor}"), "");
    assert_eq!(counted["count"], 2);
    assert_eq!(
        counted["total"].as_i64().unwrap() - start["total"].as_i64().unwrap(),
        2
    );
    let (_, counted) = first_event(
        &daemon,
        &format!("/arrivals/stream?q=rule:slow&after={cursor}"),
        "",
    );
    assert_eq!(counted["count"], 1);
    arrive(&daemon, "/slow", "3");
    let header = format!("Last-Event-ID: {id}\r\n");
    let (_, counted) = first_event(&daemon, &format!("/arrivals/stream?after={cursor}"), &header);
    assert_eq!(counted["count"], 3);
}

/// Id and data of the first event of a stream.
fn first_event(daemon: &Daemon, path: &str, headers: &str) -> (String, Value) {
    let mut stream = UnixStream::connect(daemon.folder().join("hookyard.db.sock")).unwrap();
    write!(
        stream,
        "GET /api/v1{path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
    )
    .unwrap();
    let (mut text, mut some) = (String::new(), [0; 1024]);
    loop {
        let read = stream.read(&mut some).unwrap();
        assert!(read > 0, "the stream has ended: {text}");
        text += std::str::from_utf8(&some[..read]).unwrap();
        let line = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::to_owned)
        };
        if let (Some(id), Some(data), true) = (
            line("id: "),
            line("data: "),
            text.ends_with("\n\r\n") || text.contains("}\n\n"),
        ) {
            return (id, serde_json::from_str(&data).unwrap());
        }
    }
}

#[test]
fn the_description_of_the_api_is_served() {
    let daemon = daemon();
    let document = get(&daemon, "/openapi.json");
    assert_eq!(document["openapi"], "3.1.1");
    assert!(document["paths"]["/rules/{name}/pause"]["post"].is_object());
}

#[test]
fn every_view_is_a_page_that_carries_its_protection() {
    let daemon = daemon();
    let arrival = arrive(&daemon, "/broken/%3Cscript%3E", r#"{"a": "<script>"}"#);
    let paths = [
        "/".to_owned(),
        format!("/arrivals/{}", arrival["id"].as_str().unwrap()),
        format!("/deliveries/{}", delivery_of(&arrival)),
        "/rules".to_owned(),
        "/rules/broken".to_owned(),
        "/queue".to_owned(),
        "/problems".to_owned(),
        "/try".to_owned(),
        "/system".to_owned(),
    ];
    for path in paths {
        let (status, page) = ask(&daemon, "GET", &path, None);
        assert_eq!(status, 200, "{path}: {page}");
        assert!(page.starts_with("<!doctype html>"), "{path}: {page}");
        assert_eq!(page.matches("<script").count(), 1, "{path}: {page}");
    }
    let (status, page) = ask(&daemon, "GET", "/no/such/page", None);
    assert_eq!(status, 404);
    assert!(page.contains("Not found"), "{page}");
    let (status, _) = ask(&daemon, "GET", "/assets/page.js", None);
    assert_eq!(status, 200);
}
