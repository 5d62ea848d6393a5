//! Responses to senders: each row of the table of answers.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::scenario::{Answer, Daemon, Scenario, hmac_hex, now};

const RULES: &str = r#"
server: {listen: 127.0.0.1:0, max_body: 1KiB, request_timeout: 1s}
endpoints:
  /open: {methods: [POST, PUT], respond: {status: 202, headers: {X-Note: thanks}, body: '{"ok":true}'}}
  /greet/{name}: {respond: {body: "hello {{ path.name }}"}}
rules:
  - {name: signed, endpoint: /signed, verify: {hmac: {secret: k}}, match: {$.a: 1}, actions: [append: "signed.jsonl"]}
  - {name: basic, endpoint: /basic, verify: {basic: {user: ci, password: pw}}, actions: [append: "basic.jsonl"]}
  - {name: bearer, endpoint: /bearer, verify: {bearer: {secret: t0k}}, actions: [append: "bearer.jsonl"]}
  - {name: open, endpoint: /open, verify: none, actions: [append: "open.jsonl"]}
  - {name: greet, endpoint: "/greet/{name}", verify: none, actions: [append: "greet.jsonl"]}
  - {name: off, endpoint: /off, verify: none, enabled: false, actions: [append: "off.jsonl"]}
"#;

fn daemon() -> Daemon {
    Scenario::new().rules(RULES).start()
}

/// Asserts the headers of every response. Its body contains `word`.
fn common_headers(answer: &Answer, word: &str, case: &str) {
    let outcome = match word {
        "invalid payload" => "unreadable",
        word => &word.replace(' ', "-"),
    };
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{case}");
    assert_eq!(answer.header("x-hookyard-status"), Some(outcome), "{case}");
}

#[test]
fn each_situation_has_its_status_and_word() {
    let daemon = daemon();
    let signed = |body: &str| {
        daemon
            .post("/signed")
            .json(body)
            .header("X-Signature", &hmac_hex("k", body.as_bytes()))
    };
    let large = "x".repeat(2000);
    let cases = [
        ("accepted", signed(r#"{"a":1}"#), 200, "accepted"),
        ("duplicate", signed(r#"{"a":1}"#), 200, "duplicate"),
        ("ignored", signed(r#"{"a":2}"#), 200, "ignored"),
        ("undecodable", signed("{"), 400, "invalid payload"),
        ("unsigned", daemon.post("/signed").json("{}"), 403, "refused"),
        (
            "wrongly signed",
            daemon.post("/signed").json("{}").header("X-Signature", "00"),
            403,
            "refused",
        ),
        ("basic without", daemon.post("/basic").json("{}"), 401, "refused"),
        (
            "basic",
            daemon
                .post("/basic")
                .json("{}")
                .header("Authorization", "Basic Y2k6cHc="),
            200,
            "accepted",
        ),
        (
            "basic wrong",
            daemon
                .post("/basic")
                .json("{}")
                .header("Authorization", "Basic Y2k6cHg="),
            401,
            "refused",
        ),
        (
            "bearer without",
            daemon.post("/bearer").json("{}"),
            401,
            "refused",
        ),
        (
            "bearer",
            daemon
                .post("/bearer")
                .json("{}")
                .header("Authorization", "Bearer t0k"),
            200,
            "accepted",
        ),
        ("nowhere", daemon.post("/nowhere").json("{}"), 404, "not found"),
        ("off", daemon.post("/off").json("{}"), 200, "ignored"),
        (
            "wrong method",
            daemon.request("DELETE", "/open"),
            405,
            "method not allowed",
        ),
        ("head", daemon.request("HEAD", "/signed"), 405, ""),
        ("too large", signed(&large), 413, "too large"),
    ];
    for (case, sending, status, word) in cases {
        if case == "head" {
            // The response to HEAD has a length and no body.
            let mut stream = daemon.connect();
            stream
                .write_all(&sending.header("Connection", "close").bytes())
                .unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert!(
                text.starts_with("HTTP/1.1 405 ") && text.ends_with("\r\n\r\n"),
                "{text}"
            );
            continue;
        }
        let answer = sending.send();
        assert_eq!(answer.outcome(), (status, word.to_owned()), "{case}: {answer:?}");
        common_headers(&answer, word, case);
    }
    assert_eq!(
        daemon.request("DELETE", "/open").send().header("allow"),
        Some("POST, PUT, OPTIONS")
    );
    let options = daemon.request("OPTIONS", "/open").send();
    assert_eq!(
        (options.status, options.header("allow")),
        (204, Some("POST, PUT, OPTIONS"))
    );
    let challenge = daemon.post("/basic").send();
    assert!(
        challenge
            .header("www-authenticate")
            .unwrap()
            .starts_with("Basic ")
    );
}

#[test]
fn the_status_header_says_what_became_of_a_request_whatever_the_answer_looks_like() {
    let rules = r#"
server: {listen: 127.0.0.1:0, request_timeout: 300ms}
endpoints:
  /limited: {rate_limit: 1/h}
  /own: {respond: {body: "thanks", headers: {X-Note: own}}}
rules:
  - {name: limited, endpoint: /limited, verify: none, actions: [append: a.jsonl]}
  - {name: own, endpoint: /own, verify: none, actions: [append: a.jsonl]}
  - {name: slack, endpoint: /slack, verify: {slack: k}, actions: [append: a.jsonl]}
  - {name: meta, endpoint: /meta, verify: {meta: {secret: k, verify_token: vt}}, actions: [append: a.jsonl]}
"#;
    let daemon = Scenario::new().rules(rules).start();
    let says = |answer: Answer, status: u16, outcome: &str| {
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("x-hookyard-status"), Some(outcome), "{answer:?}");
    };
    says(daemon.post("/own").json("{}").send(), 200, "accepted");
    says(daemon.post("/limited").json("{}").send(), 200, "accepted");
    says(daemon.post("/limited").json("{}").send(), 429, "limited");
    let meta = "/meta?hub.mode=subscribe&hub.verify_token=vt&hub.challenge=7";
    says(daemon.request("GET", meta).send(), 200, "handshake");
    says(daemon.request("OPTIONS", "/own").send(), 204, "options");
    says(daemon.request("OPTIONS", "*").send(), 204, "options");
    let stale = now() - 1000;
    let signature = format!("v0={}", hmac_hex("k", format!("v0:{stale}:{{}}").as_bytes()));
    let sending = daemon
        .post("/slack")
        .header("X-Slack-Request-Timestamp", &stale.to_string());
    says(
        sending.json("{}").header("X-Slack-Signature", &signature).send(),
        400,
        "stale",
    );
    let mut stream = daemon.connect();
    stream
        .write_all(b"POST /own HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n{")
        .unwrap();
    says(Answer::read(&mut stream).unwrap(), 408, "too-slow");
    let mut stream = daemon.connect();
    stream
        .write_all(b"POST /own HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    says(Answer::read(&mut stream).unwrap(), 400, "bad-request");
}

#[test]
fn the_tutorial_works_to_the_letter() {
    let daemon = Scenario::new()
        .script("work", "test \"$(cat)\" != '{\"fail\":true}'")
        .rules(
            r"
rules:
  - name: tutorial
    endpoint: /hook
    verify: {hmac: {secret: s3cret, timestamp: {header: X-Timestamp, unit: s}}}
    replay_window: 300s
    actions: [{run: [./work]}]
    respond: {wait: true}
",
        )
        .start();
    let post = |body: &str, at: i64, signature: &str| {
        let sending = daemon
            .post("/hook")
            .json(body)
            .header("X-Timestamp", &at.to_string());
        sending.header("X-Signature", signature).send().status
    };
    let signed = |body: &str, at: i64| post(body, at, &hmac_hex("s3cret", body.as_bytes()));
    assert_eq!(signed(r#"{"n":1}"#, now()), 200);
    assert_eq!(signed(r#"{"n":2}"#, now() - 290), 200);
    assert_eq!(post(r#"{"n":3}"#, now(), &hmac_hex("other", br#"{"n":3}"#)), 403);
    assert_eq!(signed(r#"{"n":4}"#, now() - 310), 400);
    assert_eq!(signed(r#"{"n":5}"#, now() + 310), 400);
    // Not JSON. The rule reads no field of it, and its command gets the raw body.
    assert_eq!(signed(r#"{"n":"#, now()), 200);
    assert_eq!(signed(r#"{"fail":true}"#, now()), 500);
}

#[test]
fn refusals_look_the_same_whatever_the_reason() {
    let daemon = daemon();
    let good = hmac_hex("k", b"{}");
    let cases: Vec<Answer> = [
        daemon.post("/signed").json("{}"),
        daemon.post("/signed").json("{}").header("X-Signature", ""),
        daemon
            .post("/signed")
            .json("{}")
            .header("X-Signature", &good[2..]),
        daemon.post("/signed").json("{ }").header("X-Signature", &good),
        daemon.post("/signed").json("{}").header("X-Signature", "not hex"),
        daemon
            .post("/signed")
            .json("{}")
            .header("X-Signature", &"a".repeat(20_000)),
        daemon
            .post("/signed")
            .json("{}")
            .header("X-Signature", &good)
            .header("X-Signature", &good),
    ]
    .iter()
    .map(crate::scenario::Sending::send)
    .collect();
    for answer in cases {
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (403, "{\"status\":\"refused\"}\n")
        );
    }
    assert!(!daemon.log().contains(&good), "the log holds no signature");
}

#[test]
fn an_endpoint_shapes_its_own_success() {
    let daemon = daemon();
    let answer = daemon.post("/open").json("{}").send();
    assert_eq!((answer.status, answer.body.as_str()), (202, "{\"ok\":true}"));
    assert_eq!(
        (answer.header("x-note"), answer.header("content-type")),
        (Some("thanks"), Some("application/json"))
    );
    let answer = daemon.post("/greet/J%C3%BCrg").body("x").send();
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello Jürg"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(daemon.post("/greet/%ff").body("x").send().status, 404);
}

#[test]
fn expect_100_continue_is_honoured_and_a_refused_length_is_not_awaited() {
    let daemon = daemon();
    let head = |length: usize| {
        format!("POST /open HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n")
    };
    let mut stream = daemon.connect();
    stream.write_all(head(2).as_bytes()).unwrap();
    let mut line = [0; 25];
    stream.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{}").unwrap();
    assert_eq!(Answer::read(&mut stream).unwrap().status, 202);
    let mut stream = daemon.connect();
    stream.write_all(head(1_000_000).as_bytes()).unwrap();
    assert_eq!(Answer::read(&mut stream).unwrap().status, 413);
}

#[test]
fn a_body_that_nobody_wants_is_taken_off_the_wire_and_its_answer_is_heard() {
    let daemon = daemon();
    let post = |path: &str, length: usize, sent: usize| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; sent]].concat()
    };
    let mut stream = daemon.connect();
    for (path, status) in [("/none", 404), ("/open", 413), ("/none", 404)] {
        stream.write_all(&post(path, 2_000_000, 2_000_000)).unwrap();
        let answer = Answer::read(&mut stream).unwrap();
        assert_eq!((answer.status, answer.header("connection")), (status, None));
    }
    // Within the limit. In the following request, the last byte is one too many.
    stream
        .write_all(&post("/none", 20_000_000, (4 << 20) + 1))
        .unwrap();
    assert_eq!(
        Answer::read(&mut stream).unwrap().header("connection"),
        Some("close")
    );
}

#[test]
fn a_chunked_body_is_bounded_and_verified_as_it_came() {
    let daemon = daemon();
    let body = r#"{"a":1}"#;
    let chunked = |chunks: &[&str]| {
        let mut text = format!(
            "POST /signed HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nX-Signature: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
            hmac_hex("k", body.as_bytes())
        );
        for chunk in chunks {
            text.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
        }
        text.push_str("0\r\n\r\n");
        let mut stream = daemon.connect();
        // The daemon may answer and close before everything is written.
        drop(stream.write_all(text.as_bytes()));
        Answer::read(&mut stream).unwrap().outcome()
    };
    assert_eq!(chunked(&[r#"{"a""#, ":1}"]), (200, "accepted".into()));
    assert_eq!(
        chunked(&["y".repeat(600).as_str(), "y".repeat(600).as_str()]),
        (413, "too large".into())
    );
}

#[test]
fn the_slow_and_the_silent_are_cut_off() {
    let daemon = daemon();
    let begun = Instant::now();
    let mut silent = daemon.connect();
    let mut half = daemon.connect();
    half.write_all(b"POST /open HTTP/1.1\r\nHost:").unwrap();
    let mut stalled = daemon.connect();
    stalled
        .write_all(b"POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
        .unwrap();
    assert_eq!(
        Answer::read(&mut stalled).unwrap().outcome(),
        (408, "too slow".into())
    );
    for stream in [&mut silent, &mut half] {
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest));
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(daemon.post("/open").json("{}").send().status, 202);
}

#[test]
fn a_head_too_large_is_answered_431_and_garbage_400() {
    let daemon = daemon();
    let answer = daemon
        .post("/open")
        .header("X-Long", &"a".repeat(70_000))
        .try_send()
        .unwrap();
    assert_eq!(answer.status, 431);
    for garbage in [
        "GET\r\n\r\n",
        "POST /open HTTP/9.9\r\n\r\n",
        "\0\0\0\r\n\r\n",
        "POST /o pen HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = daemon.connect();
        stream.write_all(garbage.as_bytes()).unwrap();
        let mut text = String::new();
        drop(stream.read_to_string(&mut text));
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 4") || text.starts_with("HTTP/1.1 5"),
            "{text}"
        );
    }
    assert_eq!(daemon.post("/open").json("{}").send().status, 202);
}

#[test]
fn a_connection_is_kept_alive_and_pipelined_requests_are_answered_in_order() {
    let daemon = daemon();
    let mut stream = daemon.connect();
    let one = daemon.post("/open").json("{}").bytes();
    let other = daemon.post("/nowhere").json("{}").bytes();
    stream.write_all(&[one.clone(), other, one].concat()).unwrap();
    let statuses: Vec<u16> = (0..3)
        .map(|_| Answer::read(&mut stream).unwrap().status)
        .collect();
    assert_eq!(statuses, [202, 404, 202]);
}

#[test]
fn connections_beyond_the_bound_wait_while_all_are_at_work() {
    let rules = "
server: {listen: 127.0.0.1:0, max_connections: 1, request_timeout: 60s}
rules:
  - {name: work, endpoint: /work, verify: none, respond: {wait: 20s}, actions: [run: [./work]]}
  - {name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}
";
    let scenario = Scenario::new().script("work", "echo >> begun; sleep 1");
    let daemon = scenario.rules(rules).start();
    let mut waiting = daemon.connect();
    let request = daemon.post("/work").json("{}").bytes();
    waiting.write_all(&request).unwrap();
    daemon.eventually("the command runs", || daemon.lines("begun") == 1);
    let begun = Instant::now();
    assert_eq!(daemon.post("/open").json("{}").send().status, 200);
    assert!(
        begun.elapsed() > Duration::from_millis(300),
        "it waited until the first had its answer"
    );
    assert_eq!(Answer::read(&mut waiting).unwrap().status, 200);
}

#[test]
fn a_unix_socket_is_served_and_removed_at_the_end() {
    let scenario = Scenario::new();
    let path = scenario.folder().join("http.sock");
    let rules = format!(
        "server: {{listen: [127.0.0.1:0, 'unix:{}']}}\nrules: [{{name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}}]\n",
        path.display()
    );
    let mut daemon = scenario.rules(&rules).start();
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream
        .write_all(b"POST /open HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    assert_eq!(daemon.stop(), Some(0));
    assert!(!path.exists());
}
