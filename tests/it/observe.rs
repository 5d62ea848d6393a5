//! Observe mode (`mode: observe`): its rules accept requests that fail verification, and mark and
//! log them. No other rule does.

use crate::scenario::{Daemon, Scenario, hmac_hex, now};

const RULES: &str = r#"
endpoints:
  /in: {verify: {hmac: {secret: k}}}
rules:
  - name: observing
    endpoint: /in
    verify: {hmac: {secret: new}, mode: observe}
    actions:
      - append: observed.jsonl
      - append: observed.txt
        line: "{% if verified %}genuine{% else %}doubtful{% endif %}"
      - run: [/bin/sh, -c, 'printf "%s\n" "$HOOKYARD_VERIFIED" >> observed.env']
      - forward: {url: "http://{address}/mirror"}
  - {name: enforcing, endpoint: /in, actions: [append: enforced.jsonl]}
  - name: mirror
    endpoint: /mirror
    verify: none
    actions: [{append: mirrored, line: "{{ headers['x-hookyard-verified'] | default('genuine') }}"}]
"#;

fn daemon() -> Daemon {
    let daemon = Scenario::new().rules("rules: []").start();
    let rules = RULES.replace("{address}", &daemon.address.to_string());
    daemon.rewrite(&format!("server: {{listen: '{}'}}\n{rules}", daemon.address));
    daemon
}

#[test]
fn what_is_not_genuine_is_taken_and_marked_by_the_rule_that_observes_alone() {
    let daemon = daemon();
    let body = format!(r#"{{"at":{}}}"#, now());
    let post = |signature: Option<&str>| {
        let sending = daemon
            .post("/in")
            .json(&body)
            .header("X-Hookyard-Verified", "true");
        match signature {
            Some(signature) => sending.header("X-Signature", signature),
            None => sending,
        }
        .send()
        .outcome()
    };
    assert_eq!(post(None), (200, "accepted".into()));
    daemon.eventually("it is marked", || daemon.lines("mirrored") == 1);
    assert!(daemon.read("observed.jsonl").contains(r#""verified":false"#));
    assert_eq!(daemon.read("observed.txt"), "doubtful\n");
    assert_eq!(daemon.read("observed.env"), "false\n");
    assert_eq!(daemon.read("mirrored"), "false\n");
    assert_eq!(daemon.lines("enforced.jsonl"), 0);
    let log = daemon.log();
    let line = log
        .lines()
        .find(|line| line.contains("rule observing only observes"))
        .unwrap();
    assert!(
        line.contains("WARN") && line.contains("the header `x-signature` is missing"),
        "{line}"
    );
    // Unverified events are not remembered, so a repetition is accepted again.
    assert_eq!(post(None), (200, "accepted".into()));
    daemon.eventually("it is taken again", || daemon.lines("mirrored") == 2);

    // Genuine for the observing rule: accepted once, and not marked.
    assert_eq!(
        post(Some(&hmac_hex("new", body.as_bytes()))),
        (200, "accepted".into())
    );
    daemon.eventually("it is genuine", || daemon.lines("mirrored") == 3);
    assert!(daemon.read("observed.txt").ends_with("genuine\n"));
    assert!(daemon.read("observed.env").ends_with("true\n"));
    assert!(
        daemon.read("mirrored").ends_with("genuine\n"),
        "a sender cannot claim to be verified"
    );
    assert_eq!(
        post(Some(&hmac_hex("new", body.as_bytes()))),
        (200, "duplicate".into())
    );

    // Genuine for the other rule: both accept it, and the observing one marks it.
    assert_eq!(
        post(Some(&hmac_hex("k", body.as_bytes()))),
        (200, "accepted".into())
    );
    daemon.eventually("both have it", || {
        daemon.lines("enforced.jsonl") == 1 && daemon.lines("mirrored") == 4
    });
    assert!(daemon.read("observed.txt").ends_with("doubtful\n"));
}

#[test]
fn a_marked_delivery_stays_marked_across_a_crash() {
    let mut daemon = Scenario::new()
        .rules(
            r#"
rules:
  - name: observing
    endpoint: /in
    verify: {github: {secret: k}, mode: observe}
    actions:
      - {run: [/bin/sh, -c, "test -e go"]}
      - {append: verified, line: "{{ verified }}"}
    retry: {attempts: 100, backoff: [200ms]}
"#,
        )
        .start();
    assert_eq!(
        daemon.post("/in").json("{}").send().outcome(),
        (200, "accepted".into())
    );
    daemon.kill();
    std::fs::write(daemon.folder().join("go"), "").unwrap();
    daemon.start();
    daemon.eventually("it is delivered", || daemon.lines("verified") == 1);
    assert_eq!(daemon.read("verified"), "false\n");
}

#[test]
fn it_is_loud_in_check_and_at_the_start() {
    let scenario = Scenario::new().rules(
        "rules:\n  - {name: a, endpoint: /a, verify: {github: {secret: k}, mode: observe}, actions: [append: a]}\n",
    );
    let output = scenario.hookyard(&["check"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("warning: observe mode: every request is let in"),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(0));
    let daemon = scenario.start();
    let log = daemon.log();
    assert!(
        log.lines()
            .any(|line| line.contains("WARN") && line.contains("observe mode")),
        "{log}"
    );
}

#[test]
fn an_answer_does_not_say_verified_of_what_is_not_and_a_handshake_runs_no_action() {
    let daemon = Scenario::new()
        .rules(
            r#"
rules:
  - name: observing
    endpoint: /in
    verify: {slack: {secret: k}, mode: observe}
    respond: {wait: 5s, body: "{{ verified }} {{ actions[0].outcome }}"}
    actions: [append: out.jsonl]
"#,
        )
        .start();
    let answer = daemon.post("/in").json(r#"{"type":"event_callback"}"#).send();
    assert_eq!((answer.status, answer.body.as_str()), (200, "false done"));
    let handshake = r#"{"type":"url_verification","challenge":"abc"}"#;
    let answer = daemon.post("/in").json(handshake).send();
    assert_eq!(answer.outcome(), (403, "refused".into()));
    assert_eq!(daemon.lines("out.jsonl"), 1);
}
