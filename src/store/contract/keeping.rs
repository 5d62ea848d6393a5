//! Retention of events, dedup keys, refusals and secrets.

use std::sync::Arc;
use std::time::Duration;

use super::{Subject, UNLIMITED, after, arrival, done, pending};
use crate::store::{
    Enqueued, Keep, NewDelivery, RefusedRequest, SECRETS_KEPT, SecretUse, Settings, Settlement, StoreError,
};

/// Done events are kept for 100 s and dead ones for 1000 s, and ten refusals.
fn settings() -> Settings {
    Settings {
        keep: Keep {
            done: Duration::from_secs(100),
            dead: Duration::from_secs(1000),
            refused: 10,
        },
        max_size: None,
        min_free: 0,
    }
}

fn refused(number: i64) -> RefusedRequest {
    RefusedRequest {
        at: after(number),
        endpoint: Arc::from("/github"),
        client: Some([127, 0, 0, 1].into()),
        reason: format!("bad signature {number}"),
        headers: "content-type: application/json".to_owned(),
    }
}

pub async fn refusals_are_a_ring_that_keeps_the_latest<S: Subject>() {
    let subject = S::open(settings());
    for number in 0..25 {
        subject.store().refuse(refused(number));
        if number % 10 == 0 {
            // Spread over several batches.
            subject.store().counts().await.unwrap();
        }
    }
    let store = subject.store();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.refused, counts.refused_dropped), (10, 0));
    let latest: Vec<_> = (15..25).rev().map(refused).collect();
    assert_eq!(store.refused(99).await, Ok(latest.clone()));
    assert_eq!(store.refused(3).await, Ok(latest[..3].to_vec()));
    let subject = subject.restart().await;
    assert_eq!(subject.store().refused(99).await, Ok(latest));
    assert_eq!(subject.store().counts().await.unwrap().refused, 10);
}

pub async fn long_refusals_are_cut<S: Subject>() {
    let subject = S::open(settings());
    let long = RefusedRequest {
        reason: "é".repeat(100_000),
        headers: format!("x{}", "é".repeat(100_000)),
        client: None,
        ..refused(0)
    };
    subject.store().refuse(long);
    let kept = &subject.store().refused(1).await.unwrap()[0];
    assert_eq!(kept.reason, "é".repeat(RefusedRequest::REASON_KEPT / 2));
    assert_eq!(
        kept.headers,
        format!("x{}", "é".repeat((RefusedRequest::HEADERS_KEPT - 1) / 2))
    );
    assert_eq!(kept.client, None);
}

pub async fn expired_dedup_keys_are_swept_with_some_slack<S: Subject>() {
    let subject = S::open(settings());
    let first = arrival(0);
    subject.enqueue_new(&first, pending("deploy", &["a", "b"])).await;
    let longer = NewDelivery {
        remember_until: after(2000),
        ..pending("deploy", &["c"])
    };
    subject.enqueue_new(&arrival(0), longer).await;
    let two_hours = 7_200_000;
    assert_eq!(subject.sweep_all(after(two_hours + 999)).await, 0);
    assert_eq!(subject.sweep_all(after(two_hours + 1000)).await, 0);
    // An arrival in time is a duplicate, even if it is compared late or after a clock that was
    // ahead is corrected.
    let late = subject
        .enqueue(&arrival(1000), &[pending("deploy", &["a"])])
        .await
        .unwrap();
    assert_eq!(late, [Enqueued::Duplicate { of: first.id }]);
    assert_eq!(subject.sweep_all(after(two_hours + 1001)).await, 2);
    assert_eq!(subject.crash().store().counts().await.unwrap().dedup_keys, 1);
}

pub async fn a_clock_that_is_ahead_for_an_hour_forgets_no_event<S: Subject>() {
    let subject = S::open(settings());
    let hour = 3_600_000;
    let known = arrival(0);
    subject.enqueue_new(&known, pending("deploy", &["a"])).await;
    subject
        .enqueue_new(&arrival(hour), pending("deploy", &["b"]))
        .await;
    subject.sweep_all(after(hour + 60_000)).await;
    // The clock is corrected.
    let again = subject.enqueue(&arrival(900), &[pending("deploy", &["a"])]).await;
    assert_eq!(again, Ok(vec![Enqueued::Duplicate { of: known.id }]));
}

pub async fn ended_events_are_swept_when_their_time_is_over<S: Subject>() {
    let subject = S::open(settings());
    let [well, badly] = [arrival(0), arrival(0)];
    let first = subject.enqueue_new(&well, pending("deploy", &[])).await;
    let second = subject.enqueue_new(&badly, pending("deploy", &[])).await;
    subject.lease_all(after(0)).await;
    subject.settle(first, done(0)).await;
    let dead = Settlement::Dead {
        at: after(0),
        reason: String::new(),
        forget_dedup_keys: false,
        failure: None,
    };
    subject.settle(second, dead).await;
    let counts = async || {
        let counts = subject.store().counts().await.unwrap();
        (counts.events, counts.done, counts.dead)
    };
    assert_eq!(
        (subject.sweep_all(after(100_000)).await, counts().await),
        (0, (2, 1, 1))
    );
    assert_eq!(
        (subject.sweep_all(after(100_001)).await, counts().await),
        (1, (1, 0, 1))
    );
    assert_eq!(
        (subject.sweep_all(after(1_000_000)).await, counts().await),
        (0, (1, 0, 1))
    );
    assert_eq!(
        (subject.sweep_all(after(1_000_001)).await, counts().await),
        (1, (0, 0, 0))
    );
    assert_eq!(subject.store().deliveries(badly.id).await, Ok(Vec::new()));
    assert_eq!(subject.store().attempts(second).await, Ok(Vec::new()));
}

pub async fn an_event_is_kept_while_one_of_its_deliveries_is_pending<S: Subject>() {
    let subject = S::open(settings());
    let both = [pending("deploy", &[]), pending("record", &[])];
    subject.enqueue(&arrival(0), &both).await.unwrap();
    let leased = subject.lease_all(after(0)).await;
    subject.settle(leased[0], done(0)).await;
    assert_eq!(subject.sweep_all(after(9_000_000)).await, 0);
    subject.settle(leased[1], done(9_000_000)).await;
    assert_eq!(subject.sweep_all(after(9_000_000)).await, 0);
    assert_eq!(subject.sweep_all(after(9_100_001)).await, 1);
    let counts = subject.crash().store().counts().await.unwrap();
    assert_eq!((counts.events, counts.done, counts.waiting), (0, 0, 0));
}

pub async fn a_dedup_key_outlives_its_event<S: Subject>() {
    let subject = S::open(settings());
    let given = arrival(0);
    let long = NewDelivery {
        remember_until: after(999_000),
        ..pending("deploy", &["a"])
    };
    let delivery = subject.enqueue_new(&given, long).await;
    subject.lease_all(after(0)).await;
    subject.settle(delivery, done(0)).await;
    assert_eq!(subject.sweep_all(after(200_000)).await, 1);
    let enqueued = subject
        .enqueue(&arrival(200_000), &[pending("deploy", &["a"])])
        .await
        .unwrap();
    assert_eq!(enqueued, [Enqueued::Duplicate { of: given.id }]);
}

pub async fn a_sweep_goes_in_steps<S: Subject>() {
    let subject = S::open(settings());
    let many: Vec<String> = (0..1200).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    subject
        .enqueue(&arrival(0), &[pending("deploy", &many)])
        .await
        .unwrap();
    let mut steps = Vec::new();
    loop {
        match subject.store().sweep(after(7_300_000)).await.unwrap() {
            0 => break,
            step => steps.push(step),
        }
    }
    assert_eq!(steps, [500, 500, 200]);
}

pub async fn new_settings_take_effect_with_the_next_call<S: Subject>() {
    let subject = S::open(Settings::default());
    let store = subject.store();
    for number in 0..25 {
        store.refuse(refused(number));
    }
    assert_eq!(store.counts().await.unwrap().refused, 25);
    store.adopt(Settings {
        max_size: Some(0),
        ..settings()
    });
    let enqueued = subject.enqueue(&arrival(0), &[pending("deploy", &[])]).await;
    assert!(matches!(enqueued, Err(StoreError::Full { .. })), "{enqueued:?}");
    assert_eq!(store.sweep(after(0)).await, Ok(0));
    assert_eq!(store.counts().await.unwrap().refused, 10);
}

fn used(source: &str, millis: i64) -> SecretUse {
    SecretUse {
        endpoint: "/github".into(),
        scheme: "github".into(),
        source: source.into(),
        last_matched: after(millis),
    }
}

pub async fn the_latest_match_of_each_secret_is_kept_also_after_a_crash<S: Subject>() {
    let subject = S::open(settings());
    let store = subject.store();
    assert_eq!(store.secrets().await, Ok(vec![]));
    let first = vec![used("env:OLD", 5), used("env:NEW", 3), used("env:NEW", 9)];
    store.note_secrets(first).await.unwrap();
    let earlier = vec![used("env:OLD", 4), used("env:NEW", 10)];
    store.note_secrets(earlier).await.unwrap();
    store.note_secrets(Vec::new()).await.unwrap();
    let expected = Ok(vec![used("env:NEW", 10), used("env:OLD", 5)]);
    assert_eq!(store.secrets().await, expected);
    assert_eq!(subject.crash().restart().await.store().secrets().await, expected);
}

pub async fn of_too_many_secrets_the_latest_used_are_kept<S: Subject>() {
    let subject = S::open(settings());
    let store = subject.store();
    let most = i64::try_from(SECRETS_KEPT).unwrap();
    let uses = (0..most + 3).map(|number| used(&format!("no. {number:05}"), number));
    store.note_secrets(uses.collect()).await.unwrap();
    let kept = store.secrets().await.unwrap();
    assert_eq!(kept.len(), SECRETS_KEPT);
    assert_eq!(kept[0].last_matched, after(3));
}

pub async fn a_closed_store_says_so<S: Subject>() {
    let subject = S::open(settings());
    let store = subject.store();
    store.close().await.unwrap();
    assert_eq!(store.close().await, Err(StoreError::Closed));
    assert_eq!(store.next_due(UNLIMITED.into()).await, Err(StoreError::Closed));
    assert_eq!(store.secrets().await, Err(StoreError::Closed));
    let enqueued = subject.enqueue(&arrival(0), &[pending("deploy", &[])]).await;
    assert_eq!(enqueued, Err(StoreError::Closed));
    store.refuse(refused(0));
}
