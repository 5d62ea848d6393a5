//! Debouncing: the wait for quiet.

use std::sync::Arc;
use std::time::Duration;

use super::{Subject, UNLIMITED, after, arrival, done, pending, retry};
use crate::event::EventId;
use crate::store::group::reason;
use crate::store::{Debounce, DeliveryId, DeliveryState, Enqueued, Group, NewDelivery, Overlap, Settings};

/// Quiet for 100 ms, or 250 ms after the first.
fn debounced() -> NewDelivery {
    NewDelivery {
        debounce: Some(Debounce {
            quiet: Duration::from_millis(100),
            at_most: Duration::from_millis(250),
        }),
        ..pending("deploy", &[])
    }
}

fn in_group(delivery: NewDelivery, name: &str, overlap: Overlap) -> NewDelivery {
    let group = Group {
        name: Arc::from(name),
        limit: 1,
        overlap,
    };
    NewDelivery {
        group: Some(group),
        ..delivery
    }
}

/// Enqueues a delivery that arrives at `millis`.
async fn enqueue<S: Subject>(subject: &S, millis: i64, delivery: NewDelivery) -> (EventId, DeliveryId) {
    let received = arrival(millis);
    let delivery = subject.enqueue_new(&received, delivery).await;
    (received.id, delivery)
}

/// The state of the only delivery of an event.
async fn state<S: Subject>(subject: &S, event: EventId) -> DeliveryState {
    subject.store().deliveries(event).await.unwrap().remove(0).state
}

pub async fn the_newest_delivery_is_due_after_the_quiet_time<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let (first, _) = enqueue(&subject, 0, debounced()).await;
    let (second, _) = enqueue(&subject, 60, debounced()).await;
    assert_eq!(subject.lease_all(after(159)).await, []);
    assert_eq!(
        subject.store().next_due(UNLIMITED.into()).await,
        Ok(Some(after(160)))
    );
    let subject = subject.crash().await;
    let (third, newest) = enqueue(&subject, 120, debounced()).await;
    for (event, at) in [(first, 60), (second, 120)] {
        let reason = reason::DEBOUNCED.to_owned();
        assert_eq!(
            state(&subject, event).await,
            DeliveryState::Superseded {
                at: after(at),
                reason
            }
        );
    }
    let found = state(&subject, third).await;
    assert!(
        matches!(found, DeliveryState::Debounced { due, .. } if due == after(220)),
        "{found:?}"
    );
    assert_eq!(subject.lease_all(after(219)).await, []);
    assert_eq!(subject.lease_all(after(220)).await, [newest]);
    // This delivery has begun. Later ones leave it alone, also while it waits for another attempt.
    let (_, fourth) = enqueue(&subject, 225, debounced()).await;
    subject.settle(newest, retry(300)).await;
    let subject = subject.crash().await;
    let (_, fifth) = enqueue(&subject, 230, debounced()).await;
    assert_ne!(fourth, fifth);
    assert_eq!(subject.lease_all(after(400)).await, [newest, fifth]);
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.leased, counts.waiting, counts.done), (2, 0, 3));
}

pub async fn the_longest_wait_ends_the_debounce<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let mut newest = None;
    for millis in [0, 80, 160, 240] {
        newest = Some(enqueue(&subject, millis, debounced()).await.1);
    }
    assert_eq!(subject.lease_all(after(249)).await, []);
    assert_eq!(
        subject.lease_all(after(250)).await,
        newest.into_iter().collect::<Vec<_>>()
    );
    // A new wait starts from the beginning.
    let (event, _) = enqueue(&subject, 260, debounced()).await;
    let found = state(&subject, event).await;
    assert!(
        matches!(found, DeliveryState::Debounced { due, .. } if due == after(360)),
        "{found:?}"
    );
}

pub async fn each_rule_and_group_is_debounced_separately<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let other = NewDelivery {
        rule: Arc::from("other"),
        ..debounced()
    };
    let all = [
        debounced(),
        other,
        in_group(debounced(), "a", Overlap::Queue),
        in_group(debounced(), "b", Overlap::Queue),
        pending("deploy", &[]),
    ];
    let mut expected = Vec::new();
    for delivery in all {
        expected.push(enqueue(&subject, 0, delivery).await.1);
    }
    // A delivery without a debounce is due at once, and supersedes those of its rule and group that
    // wait for quiet.
    assert_eq!(subject.lease_all(after(0)).await, expected.split_off(4));
    assert_eq!(subject.lease_all(after(100)).await, expected.split_off(1));
}

pub async fn an_older_delivery_never_runs_after_a_newer_one_without_debounce<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let (event, _) = enqueue(&subject, 0, debounced()).await;
    // The rule has lost its debounce in between.
    let subject = subject.crash().await;
    let (_, newer) = enqueue(&subject, 50, pending("deploy", &[])).await;
    assert!(matches!(
        state(&subject, event).await,
        DeliveryState::Superseded { .. }
    ));
    assert_eq!(subject.lease_all(after(900)).await, [newer]);
}

pub async fn an_overdue_delivery_keeps_its_position<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    enqueue(&subject, 0, in_group(debounced(), "hot", Overlap::Queue)).await;
    let (_, other) = enqueue(
        &subject,
        250,
        NewDelivery {
            due: after(255),
            ..pending("deploy", &[])
        },
    )
    .await;
    // The first was due and not leased yet. A newer one keeps its position, and does not go to the
    // end of the queue.
    let (_, hot) = enqueue(&subject, 300, in_group(debounced(), "hot", Overlap::Queue)).await;
    assert_eq!(
        subject.store().next_due(UNLIMITED.into()).await,
        Ok(Some(after(250)))
    );
    assert_eq!(subject.lease_all(after(300)).await, [hot, other]);
}

pub async fn a_debounced_delivery_enters_its_group_when_its_wait_is_over<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let queued = |overlap| in_group(pending("other", &[]), "site", overlap);
    let (_, waits) = enqueue(&subject, 0, in_group(debounced(), "site", Overlap::Replace)).await;
    // Until then the group is free.
    let (_, first) = enqueue(&subject, 10, queued(Overlap::Queue)).await;
    assert_eq!(subject.lease_all(after(10)).await, [first]);
    let (second_event, _) = enqueue(&subject, 20, queued(Overlap::Queue)).await;
    // At the end of its wait it replaces the running delivery, which is to be stopped.
    let leased = subject.store().lease(UNLIMITED.into(), after(100)).await.unwrap();
    assert!(leased.leases.is_empty());
    assert_eq!(leased.displaced.stop, [first]);
    assert!(matches!(
        state(&subject, second_event).await,
        DeliveryState::Superseded { .. }
    ));
    let subject = subject.restart().await;
    let stopped = subject.leases(after(100)).await.remove(0);
    assert_eq!((stopped.delivery, stopped.superseded.is_some()), (first, true));
    assert_eq!(subject.lease_all(after(100)).await, []);
    subject.settle(first, done(110)).await;
    assert_eq!(subject.lease_all(after(110)).await, [waits]);
}

pub async fn a_debounced_delivery_obeys_the_overlap_of_its_busy_group<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let (_, busy) = enqueue(
        &subject,
        0,
        in_group(pending("other", &[]), "site", Overlap::Queue),
    )
    .await;
    assert_eq!(subject.lease_all(after(0)).await, [busy]);
    let (_, queued) = enqueue(&subject, 0, in_group(debounced(), "site", Overlap::Queue)).await;
    let skipping = NewDelivery {
        rule: Arc::from("skipping"),
        ..in_group(debounced(), "site", Overlap::Skip)
    };
    let received = arrival(0);
    let enqueued = subject.enqueue(&received, &[skipping]).await.unwrap();
    assert!(matches!(enqueued[..], [Enqueued::New(_)]));
    assert_eq!(subject.lease_all(after(100)).await, []);
    let reason = reason::SKIPPED.to_owned();
    assert_eq!(
        state(&subject, received.id).await,
        DeliveryState::Superseded {
            at: after(100),
            reason
        }
    );
    assert_eq!(subject.store().next_due(UNLIMITED.into()).await, Ok(None));
    let subject = subject.crash().await;
    assert_eq!(subject.lease_all(after(100)).await, [busy]);
    subject.settle(busy, done(200)).await;
    assert_eq!(subject.lease_all(after(200)).await, [queued]);
}
