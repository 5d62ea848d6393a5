//! The view that tries other rules: a copy of the rules file decides about one request, and nothing
//! runs.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::scenario::{Daemon, Scenario};

const RULES: &str = r#"
include: [rules.d/*.yaml]
rules:
  - name: main
    endpoint: /in/{app}
    verify: {token: {header: X-Key, secret: written-out-1234}}
    match: {$.ref: main}
    actions: [{append: main.jsonl, line: "main {{ payload.ref }}"}]
  - name: next
    endpoint: /in/{app}
    verify: {token: {header: X-Key, secret: written-out-1234}}
    match: {$.ref: next}
    actions: [{append: next.jsonl}]
  - name: all
    endpoint: /in/{app}
    verify: {token: {header: X-Key, secret: written-out-1234}}
    actions: [{append: all.jsonl}]
  - name: like
    endpoint: /in/{app}
    verify: {token: {header: X-Key, secret: written-out-1234}}
    match: {header.X-Api-Key: compared-1234}
    actions: [{append: like.jsonl}]
"#;

const INCLUDED: &str = "rules:\n  - {name: other, endpoint: /other, verify: {token: {header: X-Key, secret: of-the-other-1234}}, actions: [append: o.jsonl]}\n";

fn daemon() -> Daemon {
    let guests = "admin: {read_only_socket: {path: guests.sock, mode: \"0600\"}}\n";
    Scenario::new()
        .file("rules.d/other.yaml", INCLUDED)
        .file("private.yaml", "kept-private: [")
        .rules(&format!("{guests}{RULES}"))
        .start()
}

/// Status and body of an answer, on the socket with this name.
fn ask(daemon: &Daemon, socket: &str, request: &str, kind: &str, body: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(daemon.folder().join(socket)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

const SOCKET: &str = "hookyard.db.sock";
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn get(daemon: &Daemon, path: &str) -> Value {
    let (status, body) = ask(daemon, SOCKET, &format!("GET /api/v1{path}"), JSON, "");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

fn attempt(daemon: &Daemon, body: &Value) -> (u16, Value) {
    let (status, answer) = ask(daemon, SOCKET, "POST /api/v1/try", JSON, &body.to_string());
    (
        status,
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}")),
    )
}

/// Sends an event that `main`, `all` and `like` accept, and returns its id.
fn arrive(daemon: &Daemon) -> String {
    let sent = daemon.post("/in/site").json(r#"{"ref": "main"}"#);
    let sent = sent
        .header("X-Key", "written-out-1234")
        .header("X-Api-Key", "compared-1234");
    assert_eq!(sent.send().status, 200);
    daemon.eventually("it ran", || {
        daemon.lines("all.jsonl") == 1 && daemon.lines("main.jsonl") == 1
    });
    get(daemon, "/arrivals")["arrivals"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn changes(answer: &Value) -> Vec<(String, String)> {
    let decisions = answer["decisions"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"))
        .iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut all: Vec<_> = decisions
        .map(|one| (text(&one["rule"]), text(&one["change"])))
        .collect();
    all.sort();
    all
}

fn expected(list: [(&str, &str); 4]) -> Vec<(String, String)> {
    list.map(|(rule, change)| (rule.to_owned(), change.to_owned()))
        .into()
}

#[test]
fn a_copy_decides_about_an_arrival_beside_the_rules_in_force_and_nothing_runs() {
    let daemon = daemon();
    let id = arrive(&daemon);
    let start = get(&daemon, &format!("/try?arrival={id}"));
    let rules = start["rules"].as_str().unwrap();
    assert!(!start.to_string().contains("written-out"), "{start}");
    assert!(!rules.contains("compared-1234"), "{rules}");
    assert!(rules.contains("secret: [redacted]"), "{rules}");
    let same = [
        ("all", "same"),
        ("like", "same"),
        ("main", "same"),
        ("next", "same"),
    ];
    assert_eq!(changes(&start), expected(same));
    let unchanged = attempt(&daemon, &json!({"arrival": id, "rules": rules})).1;
    assert_eq!(changes(&unchanged), expected(same));
    // A masked value matched then, so a rule that is written alike matches.
    let like = unchanged["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["rule"] == "like");
    assert_eq!(like.unwrap()["after"]["matched"], true);

    let copy = rules
        .replace("$.ref: main", "$.ref: other")
        .replace("$.ref: next", "$.ref: main")
        .replace(
            "append: all.jsonl",
            "append: all.jsonl, line: 'to {{ path.app }}'",
        )
        .replace("append: like.jsonl", "append: like2.jsonl");
    let (status, answer) = attempt(&daemon, &json!({"arrival": id, "rules": copy}));
    assert_eq!(status, 200, "{answer}");
    let changed = [
        ("all", "differs"),
        ("like", "unknown"),
        ("main", "loses"),
        ("next", "gains"),
    ];
    assert_eq!(changes(&answer), expected(changed));
    let first = &answer["decisions"][0];
    assert_eq!(first["rule"], "main");
    assert!(
        first["before"]["actions"].as_str().unwrap().contains("main main"),
        "{first}"
    );
    assert_eq!(first["after"]["reason"], "$.ref: expected \"other\"", "{first}");
    assert!(answer.to_string().contains("to site"), "{answer}");
    assert!(
        answer["as_test"].as_str().unwrap().contains("rules: [all, next]")
            || answer["as_test"].as_str().unwrap().contains("rules: [next, all]"),
        "{answer}"
    );
    for secret in ["written-out", "compared-1234", "of-the-other"] {
        assert!(!answer.to_string().contains(secret), "{answer}");
    }
    let arrivals = get(&daemon, "/arrivals");
    assert_eq!(arrivals["arrivals"].as_array().unwrap().len(), 1, "{arrivals}");
    assert_eq!(daemon.lines("all.jsonl"), 1);
    assert!(!daemon.folder().join("next.jsonl").exists() && !daemon.folder().join("like2.jsonl").exists());
}

#[test]
fn a_copy_that_does_not_load_is_shown_with_its_carets_and_includes_nothing_else() {
    let daemon = daemon();
    let id = arrive(&daemon);
    let rules = get(&daemon, "/try")["rules"].as_str().unwrap().to_owned();
    let refused = |copy: String| {
        let (status, answer) = attempt(&daemon, &json!({"arrival": id, "rules": copy}));
        assert_eq!((status, &answer["decisions"]), (409, &json!([])), "{answer}");
        answer["diagnostics"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned()
    };
    let wrong = refused(rules.replace("actions: [{append: next.jsonl}]", "actons: []"));
    assert!(wrong.contains("actons") && wrong.contains("^^^^^^"), "{wrong}");
    let other = refused(rules.replace("rules.d/*.yaml", "private.yaml"));
    assert!(
        other.contains("do not include") && !other.contains("kept-private"),
        "{other}"
    );
    // An error in a file that is included shows none of its lines.
    let twice = refused(rules.replace("name: next", "name: other"));
    assert!(!twice.contains("of-the-other"), "{twice}");
    for (body, word) in [
        (json!({"arrival": "x", "rules": rules}), "no id"),
        (
            json!({"arrival": "01900000-0000-7000-8000-000000000000"}),
            "there is no arrival",
        ),
        (json!({"rules": rules}), "choose an arrival"),
        (json!({"rules": rules, "request": "nonsense"}), "line 1"),
        (json!({"rules": "#".repeat(2 << 20), "arrival": id}), "more than"),
    ] {
        let (status, answer) = attempt(&daemon, &body);
        assert_eq!(status, 409, "{answer}");
        assert!(
            answer["failed"].as_str().unwrap().contains(word),
            "{}",
            answer["failed"]
        );
    }
    let (status, answer) = attempt(&daemon, &json!({"rulez": ""}));
    assert_eq!(status, 400, "{answer}");
}

#[test]
fn a_pasted_request_is_tried_by_a_form_without_a_script() {
    let daemon = daemon();
    let (status, page) = ask(&daemon, SOCKET, "GET /try", JSON, "");
    assert_eq!(status, 200, "{page}");
    assert!(
        page.contains("<textarea id=\"request\"") && page.contains("secret: [redacted]"),
        "{page}"
    );
    assert!(page.contains("aria-current=\"page\">Try"), "{page}");
    let rules = get(&daemon, "/try")["rules"]
        .as_str()
        .unwrap()
        .replace("$.ref: main", "$.ref: next");
    let request = "POST /in/<b>\r\nX-A: 1\r\n\r\n{\"ref\": \"next\"}";
    let request = request.replace("<b>", "site");
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("request", &request)
        .append_pair("rules", &rules.replace('\n', "\r\n"))
        .finish();
    let (status, page) = ask(&daemon, SOCKET, "POST /try", FORM, &form);
    assert_eq!(status, 200, "{page}");
    assert!(
        page.contains(">gains</span>") && page.contains("main next"),
        "{page}"
    );
    assert!(
        page.contains("- name: arrival") && page.contains("data-copy=\"test\""),
        "{page}"
    );
    assert!(!page.contains("written-out") && !page.contains("<b>"), "{page}");
    assert_eq!(page.matches("<script").count(), 1);
    assert!(!daemon.folder().join("next.jsonl").exists());
    assert_eq!(get(&daemon, "/arrivals")["arrivals"], json!([]));
    // Another page cannot post the form.
    let mut stream = UnixStream::connect(daemon.folder().join(SOCKET)).unwrap();
    write!(
        stream,
        "POST /try HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[test]
fn guests_do_not_see_the_rules_file() {
    let daemon = daemon();
    for (request, kind) in [
        ("GET /try", JSON),
        ("POST /try", FORM),
        ("GET /api/v1/try", JSON),
        ("POST /api/v1/try", JSON),
    ] {
        let (status, body) = ask(&daemon, "guests.sock", request, kind, "");
        assert_eq!(status, 403, "{request}: {body}");
        assert!(body.to_lowercase().contains("read only"), "{request}: {body}");
        assert!(!body.contains("endpoint: /in"), "{request}: {body}");
    }
    let (_, page) = ask(&daemon, "guests.sock", "GET /", JSON, "");
    assert!(page.contains(">Problems") && !page.contains(">Try"), "{page}");
}
