//! Forwards through the daemon: failing targets, rate limits, client certificates.

use std::time::{Duration, Instant};

use crate::scenario::{Daemon, Scenario, Target, rules_text};

/// A rule without verification that forwards every event.
fn open(forward: &str, more: &str) -> String {
    format!("rules:\n  - {{name: open, endpoint: /open, verify: none, actions: [{{{forward}}}]{more}}}\n")
}

fn post(daemon: &Daemon) -> u16 {
    daemon.post("/open").json("{}").send().status
}

#[test]
fn a_target_that_keeps_failing_is_left_alone_and_what_waits_keeps_its_attempts() {
    let target = Target::new(|_| "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_owned());
    let rules = open(
        &format!("forward: '{}'", target.url()),
        ", retry: {attempts: 7, backoff: [20ms]}",
    );
    let daemon = Scenario::new().rules(&rules).start();
    assert_eq!(post(&daemon), 200);
    daemon.eventually("the circuit opens", || daemon.log().contains("circuit open"));
    for _ in 0..20 {
        assert_eq!(post(&daemon), 200);
    }
    std::thread::sleep(Duration::from_millis(500));
    let log = daemon.log();
    assert_eq!(target.requests().len(), 5, "{log}");
    assert_eq!(log.matches("circuit open").count(), 1, "{log}");
    assert_eq!(log.matches("action=\"forward\"").count(), 5, "{log}");
    assert!(!log.contains("dead letter"), "{log}");
}

#[test]
fn what_waits_for_its_turn_comes_in_time_and_with_its_first_attempt() {
    let target = Target::ok();
    let rules = open(&format!("forward: '{}', rate: 4/s", target.url()), "");
    let daemon = Scenario::new().rules(&rules).start();
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(post(&daemon), 200);
    }
    daemon.eventually("all are forwarded", || target.requests().len() == 10);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(2200), "{took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    daemon.eventually("all are done", || {
        daemon.log().matches("next=\"done\"").count() == 10
    });
    let log = daemon.log();
    assert_eq!(log.matches(" attempt=1 ").count(), 10, "{log}");
    let mut keys: Vec<String> = target
        .requests()
        .iter()
        .map(|request| request.header("idempotency-key").unwrap().to_owned())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 10);
}

#[test]
fn a_certificate_that_comes_later_or_is_renewed_is_in_force_without_a_restart() {
    let issued = || {
        rcgen::generate_simple_self_signed(["ci.internal".to_owned()])
            .unwrap()
            .cert
            .pem()
    };
    let first = open("append: first.jsonl", "");
    let daemon = Scenario::new().rules(&first).start();
    let tls = open("forward: 'https://ci.internal/', tls: {ca: later/ca.pem}", "");
    let folder = daemon.folder().join("later");
    std::fs::create_dir(&folder).unwrap();
    let text = rules_text(daemon.folder(), &tls);
    std::fs::write(daemon.folder().join("rules.yaml"), text).unwrap();
    daemon.eventually("the rules are refused", || {
        daemon.log().contains("the rules in force stay")
    });
    assert!(daemon.log().contains("ca.pem"), "{}", daemon.log());
    for generation in [2, 3] {
        std::fs::write(folder.join("ca.pem"), issued()).unwrap();
        daemon.eventually("the certificate is in force", || {
            daemon
                .log()
                .contains(&format!("reloaded generation={generation}"))
        });
    }
}

#[test]
fn an_event_that_names_a_host_of_ours_is_a_dead_letter_and_a_secret_on_that_way_a_warning() {
    let target = Target::ok();
    let rules = open(
        "forward: 'http://{{ payload.host | safe }}/', headers: {X-Key: \"{{ secret('KEY') }}\"}",
        "",
    );
    let daemon = Scenario::new().env("KEY", "hunter2").rules(&rules).start();
    let port = target.address.port();
    for (number, host) in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1"]
        .iter()
        .enumerate()
    {
        let body = format!("{{\"host\": \"{host}:{port}\"}}");
        assert_eq!(daemon.post("/open").json(body).send().status, 200);
        daemon.eventually("it is dead", || {
            daemon.log().matches("dead letter").count() == number + 1
        });
    }
    assert!(target.requests().is_empty());
    let log = daemon.log();
    assert!(log.contains("which is not a public address"), "{log}");
    assert!(
        log.contains("a secret goes to a host that the event names"),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn a_secret_is_no_part_of_a_host_which_the_log_shows() {
    let text = |url: &str| {
        let rules = format!(
            "rules:\n  - {{name: a, endpoint: /a, verify: none, actions: [{{forward: \"{url}\"}}]}}\n"
        );
        let output = Scenario::new().rules(&rules).hookyard(&["check"]);
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let (loads, said) = text("http://{{ secret('PATH') | safe }}.example/x");
    assert!(
        !loads && said.contains("a host is shown in the log, and this one holds a secret"),
        "{said}"
    );
    let (loads, said) = text("http://hooks.example/{{ secret('PATH') }}");
    assert!(loads, "{said}");
}

#[test]
fn a_forward_without_a_body_says_that_it_has_none() {
    let target = Target::ok();
    let rules = ["POST", "PUT", "PATCH", "GET", "DELETE"].map(|method| {
        format!(
            "  - {{name: {method}, endpoint: /{method}, verify: none, actions: [{{forward: {{url: '{}', method: {method}}}}}]}}\n",
            target.url()
        )
    });
    let rules = format!("rules:\n{}", rules.concat());
    let daemon = Scenario::new().rules(&rules).start();
    for (index, (method, length)) in [
        ("POST", Some("0")),
        ("PUT", Some("0")),
        ("PATCH", Some("0")),
        ("GET", None),
        ("DELETE", None),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(daemon.post(&format!("/{method}")).send().status, 200);
        daemon.eventually("it is forwarded", || target.requests().len() == index + 1);
        let request = target.requests()[index].clone();
        assert!(request.line.starts_with(method), "{}", request.line);
        assert_eq!(request.header("content-length"), length, "{method}");
    }
}

#[test]
fn a_target_that_finds_it_too_early_is_asked_again() {
    let target = Target::new(|number| {
        let status = ["425 Too Early", "421 Misdirected Request", "200 OK"][number.min(2)];
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
    });
    let rules = open(
        &format!("forward: '{}'", target.url()),
        ", retry: {attempts: 3, backoff: [20ms]}",
    );
    let daemon = Scenario::new().rules(&rules).start();
    assert_eq!(post(&daemon), 200);
    daemon.eventually("it is done", || daemon.log().contains("next=\"done\""));
    assert_eq!(target.requests().len(), 3);
}
