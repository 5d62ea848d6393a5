//! The job of the guide *Relay Stripe*: each payment goes to the target once, a dead target makes a
//! dead letter, and a replay delivers it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::scenario::{Daemon, Scenario, Target, hmac_hex, now, said};

const SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";

fn post(daemon: &Daemon, body: &str) -> (u16, String) {
    let at = now();
    let signature = hmac_hex(SECRET, format!("{at}.{body}").as_bytes());
    daemon
        .post("/stripe")
        .json(body)
        .header("Stripe-Signature", &format!("t={at},v1={signature}"))
        .send()
        .outcome()
}

#[test]
fn what_the_target_did_not_take_is_a_dead_letter_and_a_replay_delivers_it() {
    let is_up = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_up);
    let target = Target::new(move |_| {
        let status = if asked.load(Ordering::SeqCst) {
            "200 OK"
        } else {
            "500 Down"
        };
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
    });
    let rules = format!(
        r"
rules:
  - name: relay
    endpoint: /stripe
    verify: {{stripe: env:STRIPE}}
    match: {{event: [invoice.paid, invoice.voided]}}
    actions: [forward: '{}/billing']
    retry: {{attempts: 2, backoff: [20ms]}}
    on_failure: [append: failures.jsonl]
",
        target.url()
    );
    let daemon = Scenario::new().env("STRIPE", SECRET).rules(&rules).start();
    let paid = r#"{"id": "evt_1", "type": "invoice.paid", "data": {"object": {"amount": 700}}}"#;
    assert_eq!(post(&daemon, paid), (200, "accepted".into()));
    let other = r#"{"id": "evt_2", "type": "customer.created"}"#;
    assert_eq!(post(&daemon, other), (200, "ignored".into()));
    let dead = || daemon.scenario.deliveries(&["--state", "dead"]);
    daemon.eventually("it is a dead letter", || dead().len() == 1);
    daemon.eventually("the failure is told", || daemon.lines("failures.jsonl") == 1);
    assert_eq!(target.requests().len(), 2);
    // Stripe tries again for days: the event is known, and runs nothing.
    assert_eq!(post(&daemon, paid), (200, "duplicate".into()));

    is_up.store(true, Ordering::SeqCst);
    let replayed = daemon
        .scenario
        .hookyard(&["events", "replay", dead()[0]["delivery"].as_str().unwrap()]);
    assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
    daemon.eventually("it is delivered", || {
        dead().is_empty() && target.requests().len() == 3
    });
    let requests = target.requests();
    let key = |index: usize| requests[index].header("idempotency-key").map(str::to_owned);
    assert!(key(0).is_some() && key(0) == key(1) && key(1) == key(2));
    assert_eq!(requests[2].body, paid.as_bytes());
    assert_eq!(requests[2].header("stripe-signature"), None);
}
