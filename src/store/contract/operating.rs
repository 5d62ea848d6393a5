//! The operator's changes, while the store is open.

use super::{Recorded, after, arrival, dead, done, pending, record};
use crate::store::{
    DeliveryFilter, DeliveryState, Dropped, Group, NewDelivery, Overlap, Settings, Settled, Settlement,
    StoreError,
};

/// A delivery in a group that runs one at a time.
fn in_group() -> NewDelivery {
    NewDelivery {
        group: Some(Group {
            name: "site".into(),
            limit: 1,
            overlap: Overlap::Queue,
        }),
        ..pending("deploy", &[])
    }
}

pub async fn a_dead_delivery_is_replayed_from_its_first_action_and_that_is_recorded<S: Recorded>() {
    let subject = S::open(Settings::default()).await;
    let id = subject.enqueue_new(&arrival(0), pending("deploy", &["n"])).await;
    subject.lease_all(after(1)).await;
    subject
        .settle(
            id,
            Settlement::Next {
                action: 1,
                due: after(1),
            },
        )
        .await;
    subject.lease_all(after(1)).await;
    subject.settle(id, dead(2)).await;
    assert_eq!(subject.records().replay(&[id], after(10), "lea"), Ok(1));
    // Only once: the delivery waits now.
    assert_eq!(subject.records().replay(&[id], after(11), "lea"), Ok(0));
    assert_eq!(
        subject.records().drop_deliveries(&[], after(11), "lea"),
        Ok(Dropped::default())
    );

    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.waiting, counts.dead), (1, 0));
    let leases = subject.leases(after(10)).await;
    let lease = &leases[0];
    assert_eq!((lease.delivery, lease.action, lease.attempt), (id, 0, 1));
    let attempts = subject.store().attempts(id).await.unwrap();
    let last = attempts.last().unwrap();
    assert_eq!(
        (last.outcome.as_str(), last.detail.as_str(), last.action),
        ("replayed", "by lea; it was dead: exit 3", 1)
    );
    subject.settle(id, done(20)).await;
    let history = subject.history();
    let listed = history.before(&DeliveryFilter::default(), i64::MAX, 9).unwrap();
    assert_eq!(
        (listed[0].delivery.state.clone(), listed[0].replays),
        (DeliveryState::Done { at: after(20) }, 1)
    );
    assert!(subject.records().check().unwrap().faults.is_empty());
}

pub async fn a_running_delivery_that_is_dropped_can_be_replayed_at_once<S: Recorded>() {
    let subject = S::open(Settings::default()).await;
    let id = subject.enqueue_new(&arrival(0), pending("deploy", &["n"])).await;
    subject.lease_all(after(1)).await;
    let dropped = subject.records().drop_deliveries(&[id], after(0), "lea").unwrap();
    assert_eq!(dropped.given_up, 1);
    // With the same due time as before.
    assert_eq!(subject.records().replay(&[id], after(0), "lea"), Ok(1));
    let settled = Settled {
        delivery: id,
        attempt: Some(record(0, 1)),
        settlement: done(5),
    };
    let late = subject.store().settle(settled).await;
    assert_eq!(late, Err(StoreError::NotLeased { delivery: id }));
    // Not while the old attempt is running.
    assert_eq!(subject.lease_all(after(9)).await, []);
    subject.store().release(id).await.unwrap();
    assert_eq!(subject.lease_all(after(9)).await, [id]);
    subject.settle(id, done(9)).await;
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.waiting, counts.leased, counts.done), (0, 0, 1));
}

pub async fn a_dropped_delivery_occupies_its_group_until_its_attempt_is_over<S: Recorded>() {
    let subject = S::open(Settings::default()).await;
    let first = subject.enqueue_new(&arrival(0), in_group()).await;
    let second = subject.enqueue_new(&arrival(0), in_group()).await;
    assert_eq!(subject.lease_all(after(1)).await, [first]);
    let dropped = subject
        .records()
        .drop_deliveries(&[first], after(2), "lea")
        .unwrap();
    assert_eq!(dropped.given_up, 1);
    assert_eq!(subject.lease_all(after(3)).await, []);
    let late = Settled::unattempted(first, done(4));
    let late = subject.store().settle(late).await;
    assert_eq!(late, Err(StoreError::NotLeased { delivery: first }));
    assert_eq!(subject.lease_all(after(5)).await, []);
    subject.store().release(first).await.unwrap();
    assert_eq!(subject.lease_all(after(6)).await, [second]);
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.leased, counts.dead, counts.waiting), (1, 1, 0));
    assert!(subject.records().check().unwrap().faults.is_empty());
}

pub async fn what_was_dropped_while_it_ran_is_free_after_a_crash<S: Recorded>() {
    let subject = S::open(Settings::default()).await;
    let first = subject.enqueue_new(&arrival(0), in_group()).await;
    let second = subject.enqueue_new(&arrival(1), in_group()).await;
    let alone = subject.enqueue_new(&arrival(2), pending("build", &[])).await;
    assert_eq!(subject.lease_all(after(3)).await.len(), 2);
    let dropped = subject
        .records()
        .drop_deliveries(&[first, alone], after(4), "lea");
    assert_eq!(dropped.unwrap().given_up, 2);
    assert_eq!(subject.records().replay(&[alone], after(5), "lea"), Ok(1));
    let subject = subject.crash().await;
    let mut leased = subject.lease_all(after(6)).await;
    leased.sort_unstable();
    assert_eq!(leased, [second, alone]);
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.leased, counts.dead), (2, 1));
    assert_eq!(subject.records().check().unwrap().faults, [""; 0]);
}

pub async fn an_ended_delivery_is_deleted_with_its_event_but_not_its_dedup_keys<S: Recorded>() {
    let subject = S::open(Settings::default()).await;
    let received = arrival(0);
    let two = [pending("deploy", &["n"]), pending("record", &["n"])];
    subject.enqueue(&received, &two).await.unwrap();
    let ids = subject.lease_all(after(1)).await;
    subject.settle(ids[0], dead(2)).await;
    subject.settle(ids[1], done(2)).await;
    let drop_one = |id| subject.records().drop_deliveries(&[id], after(3), "lea").unwrap();
    let one = Dropped {
        forgotten: 1,
        ..Dropped::default()
    };
    assert_eq!(drop_one(ids[0]), one);
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.dead, counts.done, counts.events), (0, 1, 1));
    // The event is swept as one without a dead delivery.
    assert!(subject.records().check().unwrap().faults.is_empty());
    assert_eq!(drop_one(ids[1]), one);
    assert_eq!(drop_one(ids[1]), Dropped::default());
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.done, counts.events, counts.dedup_keys), (0, 0, 2));
}
