//! Forwards as the request came, the meaning of statuses, retries of one action, and the URL of one
//! endpoint.

use crate::scenario::{Daemon, Scenario, Target, hmac_hex, said};

const ORIGINAL: &str = r#"
endpoints:
  /hooks/{*rest}: {methods: [GET, POST, PUT, DELETE], decode: text}
rules:
  - name: a
    endpoint: /hooks/{*rest}
    verify: {token: {query: token, secret: env:TOKEN}}
    actions:
      - forward: {url: "{target}/base/?own=1", method: original, path: original, query: original}
"#;

fn start(rules: &str, target: &Target) -> Daemon {
    Scenario::new()
        .env("TOKEN", "a-token-of-many-letters")
        .rules(&rules.replace("{target}", &target.url()))
        .start()
}

fn dead(daemon: &Daemon) -> usize {
    daemon.scenario.deliveries(&["--state", "dead"]).len()
}

#[test]
fn a_request_is_passed_on_as_it_came() {
    let target = Target::ok();
    let daemon = start(ORIGINAL, &target);
    for (method, path, body, line) in [
        (
            "PUT",
            "/hooks/a%20b/c?x=1&y=%2F",
            "one \u{e9}",
            "PUT /base/hooks/a%20b/c?own=1&x=1&y=%2F HTTP/1.1",
        ),
        ("GET", "/hooks/a//b?", "", "GET /base/hooks/a//b?own=1 HTTP/1.1"),
        (
            "DELETE",
            "/hooks/x?q",
            "",
            "DELETE /base/hooks/x?own=1&q= HTTP/1.1",
        ),
    ] {
        let sent = target.requests().len();
        let mark = if path.contains('?') { "&" } else { "?" };
        let sending = daemon.request(method, &format!("{path}{mark}token=a-token-of-many-letters"));
        let sending = sending
            .header("Content-Encoding", "x-own")
            .header("X-One", "1")
            .header("Connection", "X-Two")
            .header("X-Two", "2")
            .header("Authorization", "Basic YTpi")
            .body(body);
        assert_eq!(
            sending.send().outcome(),
            (200, "accepted".into()),
            "{method} {path}"
        );
        daemon.eventually("it is forwarded", || target.requests().len() == sent + 1);
        let request = target.requests().pop().unwrap();
        assert_eq!(request.line, line);
        assert_eq!(request.body, body.as_bytes());
        assert_eq!(request.header("x-one"), Some("1"));
        let encoding = request.header("content-encoding");
        assert_eq!(encoding, (method != "GET").then_some("x-own"));
        assert_eq!(
            (request.header("x-two"), request.header("authorization")),
            (None, None)
        );
        assert_eq!(request.header("host"), Some(target.address.to_string().as_str()));
    }
}

#[test]
fn a_path_that_would_leave_the_target_is_not_sent() {
    let target = Target::ok();
    let daemon = start(ORIGINAL, &target);
    let paths = [
        "/hooks/a/../../x",
        "/hooks/..%2fx",
        "/hooks/%2e%2e/x",
        "/hooks/..;/x",
    ];
    for path in paths {
        let path = format!("{path}?token=a-token-of-many-letters");
        assert_eq!(daemon.post(&path).body(&path).send().status, 200, "{path}");
    }
    daemon.eventually("all are dead letters", || dead(&daemon) == paths.len());
    assert!(target.requests().is_empty());
    assert!(
        daemon
            .log()
            .contains("the original path has a segment `.` or `..`")
    );
}

#[test]
fn a_status_means_what_the_rule_says_and_else_the_default() {
    let target = Target::new(|number| {
        let statuses = [404, 404, 200, 409, 503, 410];
        let status = statuses.get(number).copied().unwrap_or(200);
        format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")
    });
    let rules = r#"
rules:
  - name: a
    endpoint: /a
    verify: none
    actions:
      - forward: "{target}/"
        status: {done: [2xx, 409], retry: [404], dead: [503]}
        retry: {attempts: 5, backoff: [20ms]}
      - {append: out, line: done}
    retry: {attempts: 1}
"#;
    let daemon = start(rules, &target);
    let post = |n: u32| assert_eq!(daemon.post("/a").json(n.to_string()).send().status, 200);
    post(1);
    daemon.eventually("404 twice, then success", || daemon.lines("out") == 1);
    assert_eq!(target.requests().len(), 3);
    post(2);
    daemon.eventually("409 is success", || daemon.lines("out") == 2);
    post(3);
    daemon.eventually("503 is dead", || dead(&daemon) == 1);
    post(4);
    daemon.eventually("410 keeps its meaning", || dead(&daemon) == 2);
    assert_eq!(target.requests().len(), 6);
}

#[test]
fn retry_of_an_action_replaces_that_of_the_rule() {
    let rules = r#"
rules:
  - name: a
    endpoint: /a
    verify: none
    actions:
      - {run: [/bin/sh, -c, "echo x >> first; test $(wc -l < first) -ge 3"], retry: {attempts: 3, backoff: [10ms]}}
      - {run: [/bin/sh, -c, "echo x >> second; exit 1"]}
    on_failure:
      - {run: [/bin/sh, -c, "echo x >> third; exit 1"], retry: {attempts: 2, backoff: [10ms]}}
    retry: {attempts: 1}
"#;
    let daemon = Scenario::new().rules(rules).start();
    assert_eq!(daemon.post("/a").json("{}").send().status, 200);
    daemon.eventually("it is given up on", || daemon.lines("third") == 2);
    assert_eq!((daemon.lines("first"), daemon.lines("second")), (3, 1));
}

#[test]
fn an_endpoint_has_a_public_url_of_its_own() {
    let rules = r#"
server: {listen: 127.0.0.1:0, public_url: https://one.example}
endpoints:
  /two: {public_url: https://two.example/}
rules:
  - {name: one, endpoint: /one, verify: {hmac: {secret: k, content: "{url}{body}"}}, actions: [append: out]}
  - {name: two, endpoint: /two, verify: {hmac: {secret: k, content: "{url}{body}"}}, actions: [append: out]}
"#;
    let daemon = Scenario::new().rules(rules).start();
    let post = |path: &str, url: &str| {
        let signature = hmac_hex("k", format!("{url}{{}}").as_bytes());
        let sending = daemon.post(path).json("{}").header("X-Signature", &signature);
        sending.send().status
    };
    assert_eq!(post("/one", "https://one.example/one"), 200);
    assert_eq!(post("/two", "https://two.example/two"), 200);
    assert_eq!(post("/one", "https://two.example/one"), 403);
    assert_eq!(post("/two", "https://one.example/two"), 403);
}

#[test]
fn what_can_never_hold_is_found_by_check() {
    let rule = |action: &str| {
        format!("rules:\n  - {{name: a, endpoint: /a, verify: none, actions: [{{{action}}}]}}\n")
    };
    for (action, words) in [
        (
            "forward: 'http://x/', status: {retry: [600]}",
            "number from 200 to 599",
        ),
        (
            "forward: 'http://x/', status: {retry: [1xx]}",
            "number from 200 to 599",
        ),
        (
            "forward: 'http://x/', status: {retry: ['55xx']}",
            "number from 200 to 599",
        ),
        ("forward: 'http://x/', status: {retry: 5xx}", "is a list"),
        (
            "forward: 'http://x/', status: {retry: [5xx], dead: [501]}",
            "`501` is listed twice",
        ),
        (
            "forward: 'http://x/', status: {done: [200, 2xx]}",
            "`2xx` is listed twice",
        ),
        (
            "forward: 'http://x/', status: {again: [404]}",
            "unknown key `again`",
        ),
        ("run: [/bin/true], status: {retry: [404]}", "status"),
        (
            "forward: {url: 'http://x/', path: /a}",
            "`path` is `original`, or left out",
        ),
        (
            "forward: {url: 'http://x/', query: a=1}",
            "`query` is `original`, or left out",
        ),
        ("append: a, retry: {attempts: 0}", "attempts"),
    ] {
        let output = Scenario::new().rules(&rule(action)).hookyard(&["check"]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{action}: {text}");
        assert!(text.contains(words), "{action}: {text}");
    }
    let endpoint = "endpoints: {/a: {public_url: hooks.example.com}}\nrules: []\n";
    let text = said(&Scenario::new().rules(endpoint).hookyard(&["check"]));
    assert!(text.contains("is not a URL like"), "{text}");
}

#[test]
fn what_is_passed_on_unsigned_tells_two_requests_with_one_body_apart() {
    let target = Target::ok();
    let rules = r#"
endpoints:
  /all/{*rest}: {methods: [POST, PUT]}
  /method: {methods: [POST, PUT, DELETE]}
  /run: {methods: [POST, PUT]}
rules:
  - name: all
    endpoint: /all/{*rest}
    verify: {hmac: {secret: env:TOKEN}}
    actions: [{forward: {url: "{target}/base", method: original, path: original, query: original}}]
  - name: method
    endpoint: /method
    verify: {hmac: {secret: env:TOKEN}}
    actions: [{append: method.log, line: "{{ method }}"}]
  - name: run
    endpoint: /run
    verify: {hmac: {secret: env:TOKEN}}
    actions: [{run: [/bin/true]}]
"#;
    let daemon = start(rules, &target);
    let send = |method: &str, path: &str| {
        let signature = hmac_hex("a-token-of-many-letters", b"{}");
        let sending = daemon.request(method, path).json("{}");
        sending.header("X-Signature", &signature).send().word()
    };
    for (method, path) in [
        ("POST", "/all/a?dry=1"),
        ("POST", "/all/a?dry=0"),
        ("PUT", "/all/a?dry=1"),
        ("POST", "/all/b?dry=1"),
        ("POST", "/method"),
        ("PUT", "/method"),
        ("DELETE", "/method"),
        ("POST", "/run"),
        ("PUT", "/run"),
    ] {
        assert_eq!(send(method, path), "accepted", "{method} {path}");
        assert_eq!(send(method, path), "duplicate", "{method} {path}, again");
    }
}
