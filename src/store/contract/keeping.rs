//! Retention of events, dedup keys, records of arrivals, and secrets.

use std::sync::Arc;
use std::time::Duration;

use super::{Subject, UNLIMITED, after, arrival, done, new_event_of, pending};
use crate::event::{ArrivalOutcome, Decision, DedupKey, Received, RuleDecision};
use crate::store::{
    ArrivalRecord, Enqueued, Keep, NewDelivery, NewEvent, PerRing, ProofRecord, Ring, RingSize, SECRETS_KEPT,
    SecretUse, Settings, Settlement, StoreError,
};

/// Done events are kept for 100 s and dead ones for 1000 s, and ten records of each ring.
fn settings() -> Settings {
    Settings {
        keep: Keep {
            done: Duration::from_secs(100),
            dead: Duration::from_secs(1000),
            records: PerRing {
                ignored: 10,
                refused: 10,
            },
            ring_bytes: 1 << 20,
        },
        max_size: None,
        min_free: 0,
    }
}

/// A record of 256 bytes and the length of the endpoint and the body, with a position in time.
fn recorded(number: i64, ring: Ring, body: usize) -> ArrivalRecord {
    let received = Received {
        body: vec![b'x'; body].into(),
        ..arrival(number)
    };
    ArrivalRecord {
        received: Arc::new(received),
        ring,
        outcome: ArrivalOutcome::Stale,
        status: 400,
        reason: format!("because {number}"),
        decision: Decision {
            generation: 7,
            rules_sha256: "00ff".into(),
            verified: Vec::new(),
            rules: vec![RuleDecision {
                rule: "deploy".into(),
                matched: false,
                reason: "it is not enabled".to_owned(),
                verified_by: None,
            }],
            unlisted: 2,
        },
        decode: "json".to_owned(),
        size: 99_999,
        proofs: vec![ProofRecord {
            scheme: "github".into(),
            secret: Some("env:SECRET".into()),
            sent_at: Some(number),
            signed: true,
            dedup_keys: vec![DedupKey::signature(b"mac"), DedupKey::id(b"7")],
        }],
        endpoint_limit: None,
    }
}

/// The numbers of the records that are still there.
async fn kept<S: Subject>(subject: &S, records: &[ArrivalRecord]) -> Vec<usize> {
    let mut kept = Vec::new();
    for (number, record) in records.iter().enumerate() {
        let found = subject.store().arrival(record.received.id).await.unwrap();
        if let Some(found) = found {
            assert_eq!(found.received.body, record.received.body);
            assert_eq!(found.received.headers, record.received.headers);
            assert_eq!(
                (found.ring, found.outcome, found.status, found.size, &found.decode),
                (
                    record.ring,
                    record.outcome,
                    record.status,
                    record.size,
                    &record.decode
                )
            );
            assert_eq!(
                (&found.reason, &found.decision, &found.proofs),
                (&record.reason, &record.decision, &record.proofs)
            );
            kept.push(number);
        }
    }
    kept
}

pub async fn a_ring_keeps_the_latest_and_no_ring_touches_the_other<S: Subject>() {
    let subject = S::open(settings()).await;
    let ignored: Vec<_> = (0..5).map(|number| recorded(number, Ring::Ignored, 3)).collect();
    let refused: Vec<_> = (0..25).map(|number| recorded(number, Ring::Refused, 0)).collect();
    let store = subject.store();
    store.record_arrivals(ignored.clone()).await.unwrap();
    for records in refused.chunks(8) {
        store.record_arrivals(records.to_vec()).await.unwrap();
    }
    assert_eq!(kept(&subject, &refused).await, (15..25).collect::<Vec<_>>());
    assert_eq!(kept(&subject, &ignored).await, (0..5).collect::<Vec<_>>());
    let counts = store.counts().await.unwrap();
    assert_eq!(
        (counts.rings.refused.records, counts.rings.ignored.records),
        (10, 5)
    );
    let bytes = ignored.iter().map(ArrivalRecord::weight).sum::<u64>();
    assert_eq!(counts.rings.ignored.bytes, bytes);
    let subject = subject.restart().await;
    assert_eq!(subject.store().counts().await, Ok(counts));
    assert_eq!(
        kept(&subject.crash().await, &refused).await,
        (15..25).collect::<Vec<_>>()
    );
}

pub async fn a_ring_is_bounded_in_bytes<S: Subject>() {
    let subject = S::open(Settings {
        keep: Keep {
            ring_bytes: 10_000,
            ..settings().keep
        },
        ..settings()
    })
    .await;
    let records: Vec<_> = (0..4)
        .map(|number| recorded(number, Ring::Ignored, 4000))
        .collect();
    subject.store().record_arrivals(records.clone()).await.unwrap();
    assert_eq!(kept(&subject, &records).await, [2, 3]);
    assert!(subject.store().counts().await.unwrap().rings.ignored.bytes <= 10_000);
}

pub async fn an_endpoint_keeps_no_more_records_than_it_wants<S: Subject>() {
    let subject = S::open(settings()).await;
    let own = |number| ArrivalRecord {
        endpoint_limit: Some(2),
        ..recorded(number, Ring::Ignored, 0)
    };
    let mut records: Vec<_> = (0..4).map(own).collect();
    records.push(recorded(4, Ring::Refused, 0));
    subject.store().record_arrivals(records.clone()).await.unwrap();
    assert_eq!(kept(&subject, &records).await, [2, 3, 4]);
}

pub async fn a_replayed_arrival_becomes_an_event_in_one_write<S: Subject>() {
    let subject = S::open(settings()).await;
    let record = recorded(0, Ring::Ignored, 3);
    let store = subject.store();
    store.record_arrivals(vec![record.clone()]).await.unwrap();
    let replay = |received: &Received| NewEvent {
        is_replay: true,
        ..new_event_of(received, &[pending("deploy", &["a"])])
    };
    store.enqueue(replay(&record.received)).await.unwrap();
    assert_eq!(store.arrival(record.received.id).await.unwrap().map(drop), None);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.events, counts.rings.ignored), (1, RingSize::default()));
    let again = store.enqueue(replay(&record.received)).await;
    let of = record.received.id;
    assert_eq!(again, Ok(vec![Enqueued::Duplicate { of }]));
}

pub async fn expired_dedup_keys_are_swept_with_some_slack<S: Subject>() {
    let subject = S::open(settings()).await;
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
    assert_eq!(
        subject.crash().await.store().counts().await.unwrap().dedup_keys,
        1
    );
}

pub async fn a_clock_that_is_ahead_for_an_hour_forgets_no_event<S: Subject>() {
    let subject = S::open(settings()).await;
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
    let subject = S::open(settings()).await;
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
    let subject = S::open(settings()).await;
    let both = [pending("deploy", &[]), pending("record", &[])];
    subject.enqueue(&arrival(0), &both).await.unwrap();
    let leased = subject.lease_all(after(0)).await;
    subject.settle(leased[0], done(0)).await;
    assert_eq!(subject.sweep_all(after(9_000_000)).await, 0);
    subject.settle(leased[1], done(9_000_000)).await;
    assert_eq!(subject.sweep_all(after(9_000_000)).await, 0);
    assert_eq!(subject.sweep_all(after(9_100_001)).await, 1);
    let counts = subject.crash().await.store().counts().await.unwrap();
    assert_eq!((counts.events, counts.done, counts.waiting), (0, 0, 0));
}

pub async fn a_dedup_key_outlives_its_event<S: Subject>() {
    let subject = S::open(settings()).await;
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
    let subject = S::open(settings()).await;
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

pub async fn a_step_of_a_sweep_is_bounded_in_deliveries_and_bytes<S: Subject>() {
    for (deliveries, bytes, expected) in [(200, 10, vec![3, 1]), (1, 5 << 20, vec![2, 2])] {
        let subject = S::open(settings()).await;
        for _ in 0..4 {
            let event = Received {
                body: vec![0; bytes].into(),
                ..arrival(0)
            };
            let all: Vec<_> = (0..deliveries).map(|_| pending("deploy", &[])).collect();
            subject.enqueue(&event, &all).await.unwrap();
        }
        loop {
            let leased = subject.lease_all(after(0)).await;
            if leased.is_empty() {
                break;
            }
            for delivery in leased {
                subject.settle(delivery, done(0)).await;
            }
        }
        let mut steps = Vec::new();
        loop {
            match subject.store().sweep(after(100_001)).await.unwrap() {
                0 => break,
                step => steps.push(step),
            }
        }
        assert_eq!(steps, expected);
    }
}

pub async fn new_settings_take_effect_with_the_next_call<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let store = subject.store();
    let records: Vec<_> = (0..25).map(|number| recorded(number, Ring::Refused, 0)).collect();
    store.record_arrivals(records).await.unwrap();
    assert_eq!(store.counts().await.unwrap().rings.refused.records, 25);
    store.adopt(Settings {
        max_size: Some(0),
        ..settings()
    });
    let enqueued = subject.enqueue(&arrival(0), &[pending("deploy", &[])]).await;
    assert!(matches!(enqueued, Err(StoreError::Full { .. })), "{enqueued:?}");
    // Records are kept also while the store is full.
    let record = vec![recorded(25, Ring::Ignored, 0)];
    store.record_arrivals(record).await.unwrap();
    assert_eq!(store.counts().await.unwrap().rings.ignored.records, 1);
    assert_eq!(store.sweep(after(0)).await, Ok(0));
    assert_eq!(store.counts().await.unwrap().rings.refused.records, 10);
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
    let subject = S::open(settings()).await;
    let store = subject.store();
    assert_eq!(store.secrets().await, Ok(vec![]));
    let first = vec![used("env:OLD", 5), used("env:NEW", 3), used("env:NEW", 9)];
    store.note_secrets(first).await.unwrap();
    let earlier = vec![used("env:OLD", 4), used("env:NEW", 10)];
    store.note_secrets(earlier).await.unwrap();
    store.note_secrets(Vec::new()).await.unwrap();
    let expected = Ok(vec![used("env:NEW", 10), used("env:OLD", 5)]);
    assert_eq!(store.secrets().await, expected);
    assert_eq!(
        subject.crash().await.restart().await.store().secrets().await,
        expected
    );
}

pub async fn of_too_many_secrets_the_latest_used_are_kept<S: Subject>() {
    let subject = S::open(settings()).await;
    let store = subject.store();
    let most = i64::try_from(SECRETS_KEPT).unwrap();
    let uses = (0..most + 3).map(|number| used(&format!("no. {number:05}"), number));
    store.note_secrets(uses.collect()).await.unwrap();
    let kept = store.secrets().await.unwrap();
    assert_eq!(kept.len(), SECRETS_KEPT);
    assert_eq!(kept[0].last_matched, after(3));
}

pub async fn a_closed_store_says_so<S: Subject>() {
    let subject = S::open(settings()).await;
    let store = subject.store();
    store.close().await.unwrap();
    assert_eq!(store.close().await, Err(StoreError::Closed));
    assert_eq!(store.next_due(UNLIMITED.into()).await, Err(StoreError::Closed));
    assert_eq!(store.secrets().await, Err(StoreError::Closed));
    let enqueued = subject.enqueue(&arrival(0), &[pending("deploy", &[])]).await;
    assert_eq!(enqueued, Err(StoreError::Closed));
    let records = vec![recorded(0, Ring::Refused, 0)];
    assert_eq!(store.record_arrivals(records).await, Err(StoreError::Closed));
}
