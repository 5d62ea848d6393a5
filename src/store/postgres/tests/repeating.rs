//! Batches that are written again because their answers were lost.

use std::sync::Arc;
use std::time::Duration;

use crate::event::Received;
use crate::store::contract::{
    Postgres, Subject, after, arrival, done, new_event_of, pending, record, retry, sighting,
};
use crate::store::postgres::enqueue::Enqueuing;
use crate::store::postgres::enqueue_call::Enqueue;
use crate::store::postgres::leases::LeasedDelivery;
use crate::store::postgres::link::Link;
use crate::store::postgres::settling::Settling;
use crate::store::postgres::settling_call::{Answers, SettlingCall};
use crate::store::postgres::worker::Batch;
use crate::store::{
    Debounce, DeliveryFailure, DeliveryId, DeliveryState, Enqueued, Expansion, Group, NewDelivery, NewEvent,
    Overlap, Settings, Settled, Settlement, StoreError,
};

/// Row of `tally` of the tests.
const SLOT: i16 = 9;

/// Writes new events twice, as after an answer that was lost. Returns both answers.
async fn enqueue_twice(subject: &Postgres, events: Vec<NewEvent>) -> (Answers, Answers) {
    let node = &subject.postgres().node;
    let link = Link::connect(&node.target, "test").await.unwrap();
    let calls: Vec<Enqueue> = events.into_iter().map(Enqueue::new).collect();
    let batch = Enqueuing::new(node);
    let first = batch.write(&link, SLOT, &calls, false).await.unwrap();
    let counts = subject.store().counts().await.unwrap();
    let again = batch.write(&link, SLOT, &calls, true).await.unwrap();
    assert_eq!(subject.store().counts().await.unwrap(), counts);
    (first, again)
}

/// Writes calls that end leases twice. The memory still has the leases the second time.
async fn settle_twice(subject: &Postgres, calls: Vec<SettlingCall>) -> (Answers, Answers) {
    let node = &subject.postgres().node;
    let link = Link::connect(&node.target, "test").await.unwrap();
    let batch = Settling::new(node);
    let held: Vec<(DeliveryId, LeasedDelivery)> = {
        let leases = node.leases.lock();
        leases.iter().map(|(id, leased)| (*id, leased.clone())).collect()
    };
    let first = batch.write(&link, SLOT, &calls, false).await.unwrap();
    let counts = subject.store().counts().await.unwrap();
    {
        let mut leases = node.leases.lock();
        for (delivery, leased) in held {
            if leases.get(delivery).is_none() {
                leases.turns.begin(&leased.rule, leased.cost);
                leases.add(delivery, leased);
            }
        }
    }
    let again = batch.write(&link, SLOT, &calls, true).await.unwrap();
    let mut after = subject.store().counts().await.unwrap();
    // Leases in memory count, which the second write has ended as the first did.
    (after.waiting, after.leased) = (counts.waiting, counts.leased);
    assert_eq!(after, counts);
    (first, again)
}

fn in_group(overlap: Overlap) -> NewDelivery {
    NewDelivery {
        group: Some(Group {
            name: Arc::from("site"),
            limit: 1,
            overlap,
        }),
        ..pending("deploy", &[])
    }
}

fn settle(delivery: DeliveryId, settlement: Settlement) -> SettlingCall {
    SettlingCall::Settle {
        settled: Settled {
            delivery,
            attempt: Some(record(0, 1)),
            settlement,
        },
        made: DeliveryId::new(after(0)),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn events_that_are_there_already_have_the_same_ids() {
    let subject = Postgres::open(Settings::default()).await;
    let seen = |received: &Received, headers: &str| NewDelivery {
        sighting: Some(Arc::new(sighting(received, &["s"], headers))),
        ..pending("seen", &["s"])
    };
    let both = [pending("deploy", &["a"]), pending("record", &["a", "b"])];
    let runs = NewDelivery {
        run_duplicates: true,
        ..pending("deploy", &["a"])
    };
    let debounced = NewDelivery {
        debounce: Some(Debounce {
            quiet: Duration::from_secs(1),
            at_most: Duration::from_secs(2),
        }),
        ..pending("later", &[])
    };
    let (known, new) = (arrival(4), arrival(5));
    let events = vec![
        new_event_of(&arrival(0), &both),
        // Twins in one batch.
        new_event_of(
            &arrival(1),
            &[pending("deploy", &["a"]), pending("record", &["c", "b"])],
        ),
        new_event_of(&arrival(2), &[runs]),
        new_event_of(
            &arrival(3),
            &[pending("deploy", &["x"]), pending("deploy", &["x"])],
        ),
        new_event_of(&known, &[seen(&known, "x-event=1")]),
        new_event_of(&new, &[seen(&new, "x-event=2"), pending("plain", &[])]),
        new_event_of(&arrival(6), &[debounced]),
    ];
    let first_id = events[0].received.id;
    let (first, again) = enqueue_twice(&subject, events).await;
    assert_eq!(first, again);
    let first: Vec<Vec<Enqueued>> = first.into_iter().map(Result::unwrap).collect();
    assert!(first[0].iter().all(Enqueued::is_new));
    assert_eq!(first[1], vec![Enqueued::Duplicate { of: first_id }; 2]);
    assert!(first[2][0].is_new() && first[3][0].is_new() && !first[3][1].is_new());
    assert!(matches!(
        first[5][..],
        [Enqueued::Altered { .. }, Enqueued::New(_)]
    ));
    assert!(first[6][0].is_new());
    let leased = subject.lease_all(after(0)).await;
    let new = first.iter().flatten().filter_map(Enqueued::delivery);
    assert_eq!(leased.len() + 1, new.count());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn an_id_that_another_event_has_fails_its_own_call_alone() {
    let subject = Postgres::open(Settings::default()).await;
    let taken = arrival(0);
    subject.enqueue_new(&taken, pending("deploy", &["a"])).await;
    let node = &subject.postgres().node;
    let link = Link::connect(&node.target, "test").await.unwrap();
    let twin = arrival(1);
    let events = [
        new_event_of(&taken, &[pending("deploy", &["b"])]),
        new_event_of(&twin, &[pending("deploy", &["c"])]),
        new_event_of(&twin, &[pending("deploy", &["d"])]),
        new_event_of(&arrival(2), &[pending("deploy", &["b"])]),
    ];
    let calls: Vec<Enqueue> = events.into_iter().map(Enqueue::new).collect();
    let answers = Enqueuing::new(node)
        .write(&link, SLOT, &calls, false)
        .await
        .unwrap();
    let refused = |of: &Received| Err(StoreError::IdTaken { event: of.id });
    assert_eq!((&answers[0], &answers[2]), (&refused(&taken), &refused(&twin)));
    assert!(answers[1].is_ok() && answers[3].as_ref().is_ok_and(|new| new[0].is_new()));
    assert_eq!(subject.store().counts().await.unwrap().events, 3);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn deliveries_in_groups_enter_them_once() {
    let subject = Postgres::open(Settings::default()).await;
    let events = [Overlap::Queue, Overlap::Queue, Overlap::Skip, Overlap::Coalesce];
    let events = events.map(|overlap| new_event_of(&arrival(0), &[in_group(overlap)]));
    let (first, again) = enqueue_twice(&subject, events.to_vec()).await;
    let delivery = |answer: &Result<Vec<Enqueued>, StoreError>| answer.as_ref().unwrap()[0].delivery();
    let ids: Vec<_> = first.iter().map(delivery).collect();
    assert_eq!(again.iter().map(delivery).collect::<Vec<_>>(), ids);
    for answers in [&first, &again] {
        assert!(
            matches!(answers[2].as_deref(), Ok([Enqueued::Skipped(_)])),
            "{answers:?}"
        );
    }
    // Who gave way is told once.
    let Ok([Enqueued::InPlaceOf(_, displaced)]) = first[3].as_deref() else {
        panic!("{first:?}");
    };
    assert_eq!(displaced.ended.len(), 1);
    assert!(matches!(again[3].as_deref(), Ok([Enqueued::New(_)])), "{again:?}");
    let leased = subject.lease_all(after(0)).await;
    assert_eq!(leased.iter().copied().map(Some).collect::<Vec<_>>(), ids[..1]);
    subject.settle(leased[0], done(1)).await;
    assert_eq!(subject.lease_all(after(1)).await.first().copied(), ids[3]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn a_settlement_that_is_there_already_is_told_as_done() {
    let subject = Postgres::open(Settings::default()).await;
    let received = arrival(0);
    let rules = ["done", "fails", "retries", "waits"].map(|rule| pending(rule, &["a"]));
    subject.enqueue(&received, &rules).await.unwrap();
    let leases = subject.leases(after(0)).await;
    let of = |rule: &str| leases.iter().find(|lease| &*lease.rule == rule).unwrap().delivery;
    let dead = Settlement::Dead {
        at: after(2),
        reason: "exit 3\0".to_owned(),
        forget_dedup_keys: true,
        failure: Some(Box::new(DeliveryFailure::default())),
    };
    let calls = vec![
        settle(of("done"), done(1)),
        settle(of("fails"), dead),
        settle(of("retries"), retry(5)),
        SettlingCall::Release(of("waits")),
        // The lease has ended in this batch.
        settle(of("done"), done(3)),
    ];
    let last = Err(StoreError::NotLeased { delivery: of("done") });
    let expected = vec![Ok(vec![]), Ok(vec![]), Ok(vec![]), Ok(vec![]), last];
    // The reason is cleaned where the call is made.
    let cleaned = calls.into_iter().map(|call| match call {
        SettlingCall::Settle { mut settled, made } => {
            if let Settlement::Dead { reason, .. } = &mut settled.settlement {
                crate::store::postgres::text::clean(reason);
            }
            SettlingCall::Settle { settled, made }
        }
        other => other,
    });
    let (first, again) = settle_twice(&subject, cleaned.collect()).await;
    assert_eq!((&first, &again), (&expected, &expected));
    let listed = subject.store().deliveries(received.id).await.unwrap();
    let failed = listed.iter().filter(|delivery| delivery.failure_of.is_some());
    assert_eq!((listed.len(), failed.count()), (5, 1));
    let reason = "exit 3\u{fffd}".to_owned();
    let dead = DeliveryState::Dead { at: after(2), reason };
    assert!(listed.iter().any(|delivery| delivery.state == dead), "{listed:?}");
    for rule in ["done", "fails", "retries"] {
        let attempts = subject.store().attempts(of(rule)).await.unwrap();
        assert_eq!(attempts.len(), 1, "{rule}");
    }
    let again = subject.leases(after(5)).await;
    let retried = again.iter().find(|lease| &*lease.rule == "retries").unwrap();
    assert_eq!((retried.attempt, again.len()), (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn a_settlement_in_a_group_lets_one_delivery_begin() {
    let subject = Postgres::open(Settings::default()).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(subject.enqueue_new(&arrival(0), in_group(Overlap::Queue)).await);
    }
    assert_eq!(subject.lease_all(after(0)).await, ids[..1]);
    let (first, again) = settle_twice(&subject, vec![settle(ids[0], done(1))]).await;
    assert_eq!((&first, &again), (&vec![Ok(vec![])], &vec![Ok(vec![])]));
    assert_eq!(subject.lease_all(after(1)).await, ids[1..2]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn an_expansion_that_is_there_already_has_the_same_ids() {
    let subject = Postgres::open(Settings::default()).await;
    let received = arrival(0);
    let whole = subject.enqueue_new(&received, pending("alerts", &["a"])).await;
    assert_eq!(subject.lease_all(after(0)).await, [whole]);
    let element = |item| NewDelivery {
        item: Some(item),
        ..in_group(Overlap::Skip)
    };
    let expansion = Expansion {
        delivery: whole,
        event: received.id,
        reason: "expanded".to_owned(),
        deliveries: vec![element(0), element(1), element(0)],
        at: after(5),
    };
    let new = expansion.deliveries.iter();
    let ids: Vec<DeliveryId> = new
        .map(|delivery| DeliveryId::of_new(delivery, received.id, after(5)))
        .collect();
    let expected = [Enqueued::New(ids[0]), Enqueued::Skipped(ids[1])];
    let call = SettlingCall::Expand {
        expansion,
        ids: ids.clone(),
    };
    let (first, again) = settle_twice(&subject, vec![call]).await;
    for answers in [first, again] {
        assert_eq!(answers[0].as_ref().unwrap()[..2], expected);
    }
    assert_eq!(subject.lease_all(after(5)).await, ids[..1]);
    assert_eq!(subject.store().deliveries(received.id).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn a_lease_that_another_node_has_is_not_settled() {
    let subject = Postgres::open(Settings::default()).await;
    let received = arrival(0);
    let delivery = subject.enqueue_new(&received, pending("deploy", &[])).await;
    assert_eq!(subject.lease_all(after(0)).await, [delivery]);
    let node = &subject.postgres().node;
    let link = Link::connect(&node.target, "test").await.unwrap();
    // The same number, counted by another node.
    let other = "UPDATE queue SET node = node + 1, settled = lease, settled_by = node + 1";
    link.run(other).await.unwrap();
    let answers = Settling::new(node);
    let answers = answers
        .write(&link, SLOT, &[settle(delivery, done(1))], true)
        .await;
    assert_eq!(answers.unwrap(), [Err(StoreError::NotLeased { delivery })]);
    let listed = subject.store().deliveries(received.id).await.unwrap();
    assert_eq!(listed[0].state, DeliveryState::Running);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn a_dropped_delivery_leaves_its_group_when_its_attempt_is_over() {
    for releases in [false, true] {
        let subject = Postgres::open(Settings::default()).await;
        let first = subject.enqueue_new(&arrival(0), in_group(Overlap::Queue)).await;
        let second = subject.enqueue_new(&arrival(0), in_group(Overlap::Queue)).await;
        assert_eq!(subject.lease_all(after(0)).await, [first]);
        let node = &subject.postgres().node;
        let link = Link::connect(&node.target, "test").await.unwrap();
        link.run("UPDATE queue SET state = 'dropped' WHERE node IS NOT NULL")
            .await
            .unwrap();
        assert_eq!(subject.lease_all(after(0)).await, []);
        if !releases {
            let settled = Settled::unattempted(first, done(1));
            let late = subject.store().settle(settled).await;
            assert_eq!(late, Err(StoreError::NotLeased { delivery: first }));
            assert_eq!(subject.lease_all(after(1)).await, []);
        }
        subject.store().release(first).await.unwrap();
        assert_eq!(subject.lease_all(after(1)).await, [second]);
    }
}
