//! Tests of the rate and the circuit of a target.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::forwarding::{Answer, Target, status};
use super::*;

/// Performs an action for a delivery.
async fn deliver(actor: &ActionRunner, action: &Action, delivery: &str) -> Outcome {
    let event = event(json!({}), &[]);
    let action_context = ActionContext {
        delivery: delivery.into(),
        ..action_context(&event, &[])
    };
    actor
        .perform(action, &action_context, CancellationToken::new())
        .await
}

#[tokio::test]
async fn a_near_turn_is_waited_for_and_a_far_one_is_deferred() {
    let mut target = Target::new(status("200 OK", "", "")).await;
    let action = compile(&format!("{{forward: '{}', rate: 4/s}}", target.address));
    let started = Instant::now();
    for delivery in ["a", "b", "c"] {
        assert_eq!(deliver(&ACTOR, &action, delivery).await.verdict, Verdict::Done);
        target.requests.recv().await.unwrap();
    }
    assert!(started.elapsed() >= Duration::from_millis(500));
    let slow = compile(&format!("{{forward: '{}', rate: 10/m}}", target.address));
    let mut waits = Vec::new();
    assert_eq!(deliver(&ACTOR, &slow, "d").await.verdict, Verdict::Done);
    target.requests.recv().await.unwrap();
    for delivery in ["e", "f"] {
        let outcome = deliver(&ACTOR, &slow, delivery).await;
        let Verdict::Later { after } = outcome.verdict else {
            panic!("{outcome:?}");
        };
        assert_eq!(outcome.detail, "the rate is reached");
        waits.push(after);
    }
    assert!(waits[0] > Duration::from_secs(4) && waits[0] <= Duration::from_secs(6));
    assert!(waits[1] > Duration::from_secs(10) && waits[1] <= Duration::from_secs(12));
    assert!(target.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_rate_limits_only_its_own_target() {
    let targets = [
        Target::new(status("200 OK", "", "")).await,
        Target::new(status("200 OK", "", "")).await,
    ];
    for target in &targets {
        let action = compile(&format!("{{forward: '{}/a', rate: 1/h}}", target.address));
        assert_eq!(deliver(&ACTOR, &action, "a").await.verdict, Verdict::Done);
        let same = compile(&format!("{{forward: '{}/b?x', rate: 1/h}}", target.address));
        let outcome = deliver(&ACTOR, &same, "b").await;
        assert!(matches!(outcome.verdict, Verdict::Later { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_target_that_keeps_failing_is_not_called() {
    for answer in [
        status("503 Busy", "", ""),
        status("429 Slow down", "", ""),
        Answer::Cut,
        Answer::Stall,
    ] {
        let mut target = Target::new(answer).await;
        let action = compile(&format!("{{forward: '{}', timeout: 200ms}}", target.address));
        for _ in 0..5 {
            let outcome = deliver(&ACTOR, &action, "a").await;
            assert!(matches!(outcome.verdict, Verdict::Failed { .. }), "{outcome:?}");
            target.requests.recv().await.unwrap();
        }
        let outcome = deliver(&ACTOR, &action, "b").await;
        let Verdict::Later { after } = outcome.verdict else {
            panic!("{outcome:?}");
        };
        assert_eq!(outcome.detail, "the circuit is open");
        assert!(after > Duration::from_secs(25) && after <= Duration::from_secs(30));
        assert!(target.requests.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_target_that_answers_stays_in_use_whatever_the_status() {
    for line in ["404 Not Found", "302 Found", "408 Slow", "401 No"] {
        let target = Target::new(status(line, "", "")).await;
        let action = compile(&format!("forward: '{}'", target.address));
        for _ in 0..7 {
            let outcome = deliver(&ACTOR, &action, "a").await;
            assert!(outcome.detail.starts_with("HTTP"), "{outcome:?}");
        }
    }
}
