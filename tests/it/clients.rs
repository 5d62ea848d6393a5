//! Client addresses, and the clients that are accepted: trusted proxies and `allow` lists.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::scenario::{Answer, Daemon, Scenario, said};
use crate::status::metrics;

/// Rules for a proxy on this machine, and for a unix socket.
const RULES: &str = "
server: {listen: [127.0.0.1:0, 'unix:{dir}/sock'], trusted_proxies: [127.0.0.1, 10.0.0.0/8]}
endpoints:
  /few: {allow: [192.0.2.0/24, '2001:db8::/32']}
rules:
  - {name: few, endpoint: /few, verify: none, actions: [append: few.jsonl]}
  - {name: near, endpoint: /rules, allow: 192.0.2.7, verify: {hmac: {secret: s, content: '{body}'}}, actions: [append: near.jsonl]}
  - {name: far, endpoint: /rules, allow: [198.51.100.0/24], verify: {hmac: {secret: s}, mode: observe}, actions: [append: far.jsonl]}
";

fn refused() -> (u16, String) {
    (403, "refused".into())
}

fn accepted() -> (u16, String) {
    (200, "accepted".into())
}

fn from(daemon: &Daemon, path: &str, list: &str) -> (u16, String) {
    let sending = daemon.post(path).header("X-Forwarded-For", list);
    sending.json("{}").send().outcome()
}

/// The response to a request through the unix socket.
fn by_socket(daemon: &Daemon, headers: &str) -> String {
    let mut stream = UnixStream::connect(daemon.folder().join("sock")).unwrap();
    let request = format!(
        "POST /few HTTP/1.1\r\nHost: h\r\n{headers}Connection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text[9..12].to_owned()
}

#[test]
fn an_endpoint_takes_only_from_the_networks_that_it_lists() {
    let daemon = Scenario::new().rules(RULES).start();
    for inside in [
        "192.0.2.1",
        "1.1.1.1, 192.0.2.1, 10.1.2.3",
        "::ffff:192.0.2.1",
        "[2001:db8::1]:4711",
    ] {
        assert_eq!(from(&daemon, "/few", inside), accepted(), "{inside}");
    }
    for outside in [
        "192.0.3.1",
        "192.0.2.1, 198.51.100.1",
        "unknown",
        "192.0.2.1, junk",
    ] {
        assert_eq!(from(&daemon, "/few", outside), refused(), "{outside}");
    }
    assert_eq!(daemon.post("/few").json("{}").send().outcome(), refused());
    daemon.eventually("the log says why, and the sender does not learn it", || {
        let log = daemon.log();
        log.contains("`allow` does not let 198.51.100.1 in")
            && log.contains("`allow` does not let 127.0.0.1 in")
            && log.contains("`allow` lets no client in whose address is not known")
    });
    let arguments = ["events", "list", "--outcome", "refused", "--store", "hookyard.db"];
    daemon.eventually("it is listed among what was refused", || {
        let listed = daemon.scenario.hookyard(&arguments);
        String::from_utf8_lossy(&listed.stdout).contains("198.51.100.1")
    });
}

#[test]
fn who_is_not_let_in_is_refused_before_the_body_is_read() {
    let daemon = Scenario::new().rules(RULES).start();
    let mut stream = daemon.connect();
    stream
        .write_all(b"POST /few HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
        .unwrap();
    let answer = Answer::read(&mut stream).unwrap();
    assert_eq!(
        (answer.outcome(), answer.header("connection")),
        (refused(), Some("close"))
    );
}

#[test]
fn a_rule_takes_only_from_the_networks_that_it_lists() {
    let daemon = Scenario::new().rules(RULES).start();
    let signed = |client: &str, body: &str| {
        let signature = crate::scenario::hmac_hex("s", body.as_bytes());
        let sending = daemon.post("/rules").header("X-Forwarded-For", client);
        sending
            .header("X-Signature", &signature)
            .json(body)
            .send()
            .outcome()
    };
    assert_eq!(signed("192.0.2.7", "{\"n\": 1}"), accepted());
    daemon.eventually("one rule took it", || daemon.lines("near.jsonl") == 1);
    assert_eq!(signed("198.51.100.7", "{\"n\": 2}"), accepted());
    daemon.eventually("the other took it", || daemon.lines("far.jsonl") == 1);
    assert_eq!((daemon.lines("near.jsonl"), daemon.lines("far.jsonl")), (1, 1));
    // Genuine, but from another address.
    assert_eq!(signed("203.0.113.7", "{\"n\": 3}"), refused());
    // A rule that only observes the proof still enforces its `allow` list.
    assert_eq!(from(&daemon, "/rules", "203.0.113.7"), refused());
    assert_eq!(from(&daemon, "/rules", "192.0.2.7"), refused());
    assert_eq!(from(&daemon, "/rules", "198.51.100.7"), accepted());
    daemon.eventually("it is taken and marked", || {
        daemon.log().contains("only observes")
    });
}

#[test]
fn a_unix_socket_is_believed_where_the_list_says_so() {
    let list = "X-Forwarded-For: 192.0.2.1\r\n";
    let daemon = Scenario::new().rules(RULES).start();
    assert_eq!([by_socket(&daemon, ""), by_socket(&daemon, list)], ["403", "403"]);
    daemon.rewrite(&RULES.replace("[127.0.0.1, 10.0.0.0/8]", "[unix]"));
    assert_eq!([by_socket(&daemon, ""), by_socket(&daemon, list)], ["403", "200"]);
    // TCP peers are not trusted any more.
    assert_eq!(from(&daemon, "/few", "192.0.2.1"), refused());
}

#[test]
fn lists_that_cannot_be_meant_are_found() {
    let rules = "
server: {trusted_proxies: [0.0.0.0/0, 10.0.0.0/40]}
endpoints: {/a: {allow: []}, /b: {allow: [10.0.0.0/8]}}
rules:
  - {name: a, endpoint: /a, allow: [localhost, 5], verify: none, actions: [append: a]}
  - {name: b, endpoint: /b, allow: 192.0.2.7, verify: none, actions: [append: b]}
";
    let output = Scenario::new().rules(rules).hookyard(&["check", "rules.yaml"]);
    let said = said(&output);
    for expected in [
        "every peer is believed",
        "invalid network `10.0.0.0/40`",
        "an empty `allow` lets no client in",
        "invalid network `localhost`",
        "a network is text",
        "the endpoint `/b` lets none of these in",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn explain_says_who_is_not_let_in() {
    let scenario = Scenario::new().rules(RULES);
    let explained = |client: &str| {
        let output = scenario.hookyard(&["explain", "rules.yaml", "--endpoint", "/few", "--client", client]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(
        explained("192.0.2.9").starts_with("yes few"),
        "{}",
        explained("192.0.2.9")
    );
    let outside = explained("192.0.3.9");
    assert!(
        outside.starts_with("no  few: `allow` does not let 192.0.3.9 in"),
        "{outside}"
    );
}

#[test]
fn who_comes_too_often_is_told_when_to_come_again() {
    let rules = "
server: {listen: 127.0.0.1:0, trusted_proxies: 127.0.0.1}
endpoints:
  /each: {rate_limit: {rate: 1/h, burst: 2, per: client}}
  /all: {rate_limit: [3/h, {rate: 2/h, per: client}]}
rules:
  - {name: each, endpoint: /each, verify: none, actions: [append: each.jsonl]}
  - {name: all, endpoint: /all, verify: none, actions: [append: all.jsonl]}
";
    let daemon = Scenario::new().rules(rules).start();
    let statuses = |path: &str, clients: &[&str]| -> Vec<u16> {
        clients
            .iter()
            .map(|client| from(&daemon, path, client).0)
            .collect()
    };
    let clients = [
        "192.0.2.1",
        "192.0.2.1",
        "::ffff:192.0.2.1",
        "192.0.2.2",
        "2001:db8::1",
        "2001:db8::2",
        "2001:db8::3",
    ];
    assert_eq!(statuses("/each", &clients), [200, 200, 429, 200, 200, 200, 429]);
    // A client that exceeds its own limit does not use up the total limit.
    let clients = [
        "192.0.2.1",
        "192.0.2.1",
        "192.0.2.1",
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.3",
    ];
    assert_eq!(statuses("/all", &clients), [200, 200, 429, 429, 200, 429]);
    let answer = daemon.post("/each").header("X-Forwarded-For", "192.0.2.1").send();
    assert_eq!(answer.outcome(), (429, "too many requests".into()));
    let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&after), "{after}");
    // A reload does not reset the limits.
    daemon.rewrite(&format!(
        "{rules}  - {{name: more, endpoint: /more, verify: none, actions: [append: more.jsonl]}}\n"
    ));
    assert_eq!(statuses("/each", &["192.0.2.1"]), [429]);
    assert_eq!(statuses("/all", &["192.0.2.9"]), [429]);
    let lines = daemon.log().matches("status=429").count();
    assert!((1..9).contains(&lines), "{}", daemon.log());
    // All of them are counted.
    let metrics = metrics(&daemon);
    assert!(
        metrics.contains("\nhookyard_turned_away_total{status=\"429\"} 8\n"),
        "{metrics}"
    );
}

#[test]
fn who_comes_too_often_is_refused_before_the_body_is_read() {
    let rules = "
endpoints: {/slow: {rate_limit: 1/h}}
rules: [{name: slow, endpoint: /slow, verify: none, actions: [append: slow.jsonl]}]
";
    let daemon = Scenario::new().rules(rules).start();
    assert_eq!(daemon.post("/slow").json("{}").send().status, 200);
    let mut stream = daemon.connect();
    stream
        .write_all(b"POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
        .unwrap();
    assert_eq!(Answer::read(&mut stream).unwrap().status, 429);
}

#[test]
fn limits_that_cannot_be_meant_are_found() {
    let rules = "
endpoints:
  /a: {rate_limit: 10}
  /b: {rate_limit: {rate: 10/d, burst: 5}}
  /c: {rate_limit: {rate: 10/s, burst: 0, per: address}}
  /d: {rate_limit: {burst: 5}}
  /e: {rate_limit: [10/s, 5/s]}
  /f: {rate_limit: {rate: 10/s, burst: 0}}
rules: []
";
    let output = Scenario::new().rules(rules).hookyard(&["check", "rules.yaml"]);
    let said = said(&output);
    assert_eq!(
        said.matches("`rate_limit` is how many requests").count(),
        2,
        "{said}"
    );
    for expected in [
        "address",
        "`rate` is missing",
        "a second limit per endpoint",
        "`burst` may be 1 to",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn a_handshake_is_answered_to_whom_its_rule_takes_from() {
    let rules = "
server: {listen: 127.0.0.1:0, trusted_proxies: 127.0.0.1}
rules:
  - {name: files, endpoint: /in, allow: 192.0.2.7, verify: {dropbox: s}, actions: [append: a]}
  - {name: other, endpoint: /in, allow: 192.0.2.8, verify: {bearer: s}, actions: [append: b]}
";
    let daemon = Scenario::new().rules(rules).start();
    let greeted = |client: &str| {
        let asking = daemon.request("GET", "/in?challenge=abc");
        let answer = asking.header("X-Forwarded-For", client).send();
        (answer.status, answer.body)
    };
    assert_eq!(greeted("192.0.2.7"), (200, "abc".into()));
    // Another rule of the endpoint accepts this client, and has no handshake.
    assert_eq!(greeted("192.0.2.8").0, 405);
    assert_eq!(greeted("192.0.2.9").0, 401);
}
