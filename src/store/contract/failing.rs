//! Deliveries that are made for the failure of another.

use std::sync::Arc;
use std::time::Duration;

use super::{Subject, UNLIMITED, after, arrival, done, pending, retry};
use crate::store::{
    Concurrency, DeliveryFailure, DeliveryState, Group, Keep, NewDelivery, Overlap, Settings, Settlement,
};

fn failure() -> DeliveryFailure {
    DeliveryFailure {
        action: "run".to_owned(),
        reason: "exit 3, after 2 attempts".to_owned(),
        output: "no space\nleft".to_owned(),
    }
}

/// A dead letter at `millis` for which another delivery is made.
fn dead(millis: i64) -> Settlement {
    Settlement::Dead {
        at: after(millis),
        reason: "exit 3".to_owned(),
        forget_dedup_keys: false,
        failure: Some(Box::new(failure())),
    }
}

pub async fn a_failure_makes_one_delivery_that_survives_a_crash<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let received = arrival(0);
    let failed = subject.enqueue_new(&received, pending("deploy", &["n"])).await;
    assert_eq!(subject.lease_all(after(0)).await, [failed]);
    subject.settle(failed, dead(5)).await;
    let subject = subject.crash().await;
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.dead, counts.waiting, counts.done), (1, 1, 0));
    let leases = subject.leases(after(5)).await;
    let [lease] = &leases[..] else {
        panic!("{leases:?}");
    };
    assert_ne!(lease.delivery, failed);
    assert_eq!(lease.failure.as_deref(), Some(&failure()));
    assert_eq!((&*lease.rule, lease.action, lease.attempt), ("deploy", 0, 1));
    assert_eq!(lease.received.id, received.id);
    // Its retry gets the same failure.
    subject.settle(lease.delivery, retry(9)).await;
    let again = subject.leases(after(9)).await;
    assert_eq!((again[0].delivery, again[0].attempt), (lease.delivery, 2));
    assert_eq!(again[0].failure.as_deref(), Some(&failure()));
    subject.settle(lease.delivery, done(9)).await;
    let listed = subject.store().deliveries(received.id).await.unwrap();
    assert_eq!(listed[1].failure_of, Some(failed));
    assert_eq!(listed[1].state, DeliveryState::Done { at: after(9) });
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.dead, counts.waiting, counts.done), (1, 0, 1));
}

pub async fn a_failure_delivery_that_fails_is_no_dead_letter_and_makes_no_further_one<S: Subject>() {
    let keep = Keep {
        done: Duration::from_secs(1),
        dead: Duration::from_secs(9),
        ..Keep::default()
    };
    let subject = S::open(Settings {
        keep,
        ..Settings::default()
    })
    .await;
    let received = arrival(0);
    let failed = subject.enqueue_new(&received, pending("deploy", &[])).await;
    subject.lease_all(after(0)).await;
    subject.settle(failed, dead(0)).await;
    let made = subject.lease_all(after(0)).await;
    // The event stays until its last delivery has ended.
    assert_eq!(subject.sweep_all(after(60_000)).await, 0);
    subject.settle(made[0], dead(60_000)).await;
    assert_eq!(subject.lease_all(after(70_000)).await, []);
    let listed = subject.store().deliveries(received.id).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert!(matches!(listed[1].state, DeliveryState::Dead { .. }));
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.dead, counts.done), (1, 1));
    let subject = subject.restart().await;
    assert_eq!(subject.store().counts().await.unwrap(), counts);
    assert_eq!(subject.sweep_all(after(68_999)).await, 0);
    assert_eq!(subject.sweep_all(after(69_001)).await, 1);
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.dead, counts.done, counts.events), (0, 0, 0));
}

pub async fn a_failure_delivery_belongs_to_no_group_and_keeps_its_position<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let in_group = || NewDelivery {
        group: Some(Group {
            name: Arc::from("site"),
            limit: 1,
            overlap: Overlap::Queue,
        }),
        ..pending("deploy", &[])
    };
    let failed = subject.enqueue_new(&arrival(0), in_group()).await;
    let next = subject.enqueue_new(&arrival(0), in_group()).await;
    for _ in 0..5 {
        subject
            .enqueue_new(
                &arrival(0),
                NewDelivery {
                    due: after(1),
                    ..pending("deploy", &[])
                },
            )
            .await;
    }
    let one = Concurrency {
        per_rule: 1,
        ..UNLIMITED
    };
    let leased = subject.store().lease(one.into(), after(9)).await.unwrap().leases;
    assert_eq!(leased[0].delivery, failed);
    subject.settle(failed, dead(9)).await;
    let two = Concurrency {
        per_rule: 2,
        ..UNLIMITED
    };
    let leased = subject.store().lease(two.into(), after(9)).await.unwrap().leases;
    let failures: Vec<_> = leased
        .iter()
        .map(|lease| (lease.delivery == next, lease.failure.is_some()))
        .collect();
    assert_eq!(failures, [(true, false), (false, true)]);
    assert!(!leased[1].in_group);
}
