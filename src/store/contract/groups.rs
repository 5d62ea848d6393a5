//! Concurrency groups: which delivery may begin.

use std::sync::Arc;

use super::{Subject, UNLIMITED, after, arrival, done, pending, retry};
use crate::store::group::reason;
use crate::store::{
    DeliveryId, DeliveryState, Displaced, Enqueued, Group, NewDelivery, Overlap, Settings, Settlement,
};

fn in_group(limit: u32, overlap: Overlap) -> NewDelivery {
    NewDelivery {
        group: Some(Group {
            name: Arc::from("site"),
            limit,
            overlap,
        }),
        ..pending("deploy", &[])
    }
}

/// Enqueues an event in the group.
async fn enqueue<S: Subject>(subject: &S, limit: u32, overlap: Overlap) -> Enqueued {
    let enqueued = subject.enqueue(&arrival(0), &[in_group(limit, overlap)]).await;
    enqueued.unwrap().remove(0)
}

/// Enqueues a delivery that waits or begins, and stops no other.
async fn enqueued<S: Subject>(subject: &S, limit: u32, overlap: Overlap) -> DeliveryId {
    match enqueue(subject, limit, overlap).await {
        Enqueued::New(delivery) => delivery,
        Enqueued::InPlaceOf(delivery, Displaced { stop, .. }) if stop.is_empty() => delivery,
        other => panic!("{other:?}"),
    }
}

pub async fn a_group_runs_its_limit_in_the_order_of_arrival<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(enqueued(&subject, 2, Overlap::Queue).await);
    }
    let beside = subject.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    assert_eq!(subject.lease_all(after(0)).await, [all[0], all[1], beside]);
    assert_eq!(subject.lease_all(after(9)).await, []);
    subject.settle(all[1], done(0)).await;
    assert_eq!(subject.lease_all(after(0)).await, [all[2]]);
    // Any end lets the next one begin.
    let dead = Settlement::Dead {
        at: after(0),
        reason: "exit 1".to_owned(),
        forget_dedup_keys: false,
        failure: None,
    };
    subject.settle(all[0], dead).await;
    assert_eq!(subject.lease_all(after(0)).await, [all[3]]);
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.waiting, counts.leased), (1, 3));
}

pub async fn a_retry_keeps_its_turn_in_the_group_after_a_crash<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = enqueued(&subject, 1, Overlap::Queue).await;
    let second = enqueued(&subject, 1, Overlap::Queue).await;
    assert_eq!(subject.lease_all(after(0)).await, [first]);
    subject.settle(first, retry(500)).await;
    assert_eq!(subject.lease_all(after(499)).await, []);
    assert_eq!(
        subject.store().next_due(UNLIMITED.into()).await,
        Ok(Some(after(500)))
    );
    let subject = subject.crash().await;
    assert_eq!(subject.lease_all(after(499)).await, []);
    assert_eq!(subject.lease_all(after(500)).await, [first]);
    let next = Settlement::Next {
        action: 1,
        due: after(0),
    };
    subject.settle(first, next).await;
    let subject = subject.restart().await;
    assert_eq!(subject.lease_all(after(500)).await, [first]);
    subject.settle(first, done(600)).await;
    assert_eq!(subject.lease_all(after(600)).await, [second]);
    subject.settle(second, done(600)).await;
    assert_eq!(subject.store().next_due(UNLIMITED.into()).await, Ok(None));
}

pub async fn a_wider_limit_does_not_wait_for_a_coalesced_delivery<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = enqueued(&subject, 1, Overlap::Queue).await;
    let narrow = enqueued(&subject, 1, Overlap::Queue).await;
    let wide = enqueued(&subject, 2, Overlap::Coalesce).await;
    assert_eq!(subject.lease_all(after(0)).await, [first, wide]);
    let subject = subject.restart().await;
    assert_eq!(subject.lease_all(after(0)).await, [first, wide]);
    subject.settle(first, done(0)).await;
    subject.settle(wide, done(0)).await;
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.waiting, counts.leased), (0, 0), "{narrow}");
}

pub async fn overlap_skip_ends_a_delivery_of_a_busy_group<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = enqueued(&subject, 1, Overlap::Skip).await;
    let received = arrival(5);
    let skipped = subject.enqueue(&received, &[in_group(1, Overlap::Skip)]).await;
    assert!(matches!(skipped.unwrap()[..], [Enqueued::Skipped(_)]));
    assert_eq!(subject.lease_all(after(9)).await, [first]);
    let listed = subject.store().deliveries(received.id).await.unwrap();
    let expected = DeliveryState::Superseded {
        at: after(5),
        reason: reason::SKIPPED.to_owned(),
    };
    assert_eq!(listed[0].state, expected);
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.done, counts.leased, counts.waiting), (1, 1, 0));
    subject.settle(first, done(0)).await;
    let second = enqueued(&subject, 1, Overlap::Skip).await;
    assert_eq!(subject.lease_all(after(9)).await, [second]);
}

pub async fn overlap_coalesce_keeps_only_the_newest_queued_delivery<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = enqueued(&subject, 1, Overlap::Coalesce).await;
    assert_eq!(subject.lease_all(after(0)).await, [first]);
    let received = arrival(3);
    let old = subject
        .enqueue(&received, &[in_group(1, Overlap::Coalesce)])
        .await;
    assert!(matches!(old.unwrap()[..], [Enqueued::New(_)]));
    let Enqueued::InPlaceOf(second, displaced) = enqueue(&subject, 1, Overlap::Coalesce).await else {
        panic!("nothing gave way");
    };
    let ended: Vec<_> = displaced
        .ended
        .iter()
        .map(|ended| (ended.event, ended.reason))
        .collect();
    assert_eq!(ended, [(received.id, reason::COALESCED)]);
    let Enqueued::InPlaceOf(newest, displaced) = enqueue(&subject, 1, Overlap::Coalesce).await else {
        panic!("nothing gave way");
    };
    assert_eq!(
        (displaced.ended[0].delivery, &*displaced.ended[0].rule),
        (second, "deploy")
    );
    let listed = subject.store().deliveries(received.id).await.unwrap();
    assert!(
        matches!(&listed[0].state, DeliveryState::Superseded { reason, .. } if reason == reason::COALESCED),
        "{listed:?}"
    );
    let subject = subject.crash().await;
    assert_eq!(subject.lease_all(after(9)).await, [first]);
    subject.settle(first, done(9)).await;
    assert_eq!(subject.lease_all(after(9)).await, [newest]);
    subject.settle(newest, done(9)).await;
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.done, counts.waiting), (4, 0));
}

pub async fn overlap_replace_stops_the_running_delivery<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = enqueued(&subject, 1, Overlap::Replace).await;
    assert_eq!(subject.lease_all(after(0)).await, [first]);
    let second = match enqueue(&subject, 1, Overlap::Replace).await {
        Enqueued::InPlaceOf(delivery, displaced) if displaced.stop == [first] => delivery,
        other => panic!("{other:?}"),
    };
    // The second waits until the first has ended. A third supersedes it in between.
    assert_eq!(subject.lease_all(after(0)).await, []);
    let third = match enqueue(&subject, 1, Overlap::Replace).await {
        Enqueued::InPlaceOf(delivery, displaced) if displaced.stop == [first] => delivery,
        other => panic!("{other:?}"),
    };
    // After a crash before the stop, the superseded delivery does not begin again.
    let subject = subject.crash().await;
    let leases = subject.leases(after(0)).await;
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].delivery, first);
    assert_eq!(leases[0].superseded.as_deref(), Some(reason::REPLACED));
    let superseded = Settlement::Superseded {
        at: after(1),
        reason: reason::REPLACED.to_owned(),
    };
    subject.settle(first, superseded).await;
    assert_eq!(subject.lease_all(after(1)).await, [third]);
    assert_ne!(second, third);
    // A delivery that waits for another attempt is not running, so it ends at once.
    subject.settle(third, retry(1000)).await;
    let fourth = enqueued(&subject, 1, Overlap::Replace).await;
    assert_eq!(subject.lease_all(after(2000)).await, [fourth]);
    subject.settle(fourth, done(2000)).await;
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.done, counts.waiting, counts.leased), (4, 0, 0));
}

pub async fn a_replaced_delivery_that_is_done_before_it_stops_is_done<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let received = arrival(0);
    let first = subject
        .enqueue_new(&received, in_group(1, Overlap::Replace))
        .await;
    assert_eq!(subject.lease_all(after(0)).await, [first]);
    assert!(matches!(
        enqueue(&subject, 1, Overlap::Replace).await,
        Enqueued::InPlaceOf(..)
    ));
    subject.settle(first, done(3)).await;
    let listed = subject.store().deliveries(received.id).await.unwrap();
    assert_eq!(listed[0].state, DeliveryState::Done { at: after(3) });
    assert_eq!(subject.lease_all(after(3)).await.len(), 1);
}

pub async fn groups_do_not_wait_for_each_other<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let named = |name: &str| NewDelivery {
        group: Some(Group {
            name: Arc::from(name),
            limit: 1,
            overlap: Overlap::Queue,
        }),
        ..pending(name, &[])
    };
    // Deliveries of one event, and of several rules that share a group.
    let both = subject
        .enqueue(&arrival(0), &[named("a"), named("b")])
        .await
        .unwrap();
    assert!(both.iter().all(Enqueued::is_new));
    assert_eq!(subject.lease_all(after(0)).await.len(), 2);
    let shared = [
        NewDelivery {
            rule: Arc::from("x"),
            ..named("c")
        },
        NewDelivery {
            rule: Arc::from("y"),
            ..named("c")
        },
    ];
    let enqueued = subject.enqueue(&arrival(1), &shared).await.unwrap();
    assert!(matches!(enqueued[..], [Enqueued::New(_), Enqueued::New(_)]));
    assert_eq!(subject.lease_all(after(1)).await.len(), 1);
}
