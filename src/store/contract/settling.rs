//! Settlements.

use super::{Subject, UNLIMITED, after, arrival, done, pending, record, retry};
use crate::store::{
    ATTEMPTS_LISTED, AttemptRecord, Concurrency, Counts, DeliveryId, DeliveryState, Enqueued, NewDelivery,
    Settings, Settled, Settlement, StoreError,
};

fn settled(delivery: DeliveryId, attempt: AttemptRecord, settlement: Settlement) -> Settled {
    Settled {
        delivery,
        attempt: Some(attempt),
        settlement,
    }
}

fn dead(millis: i64, forget_dedup_keys: bool) -> Settlement {
    Settlement::Dead {
        at: after(millis),
        reason: "exit 3".to_owned(),
        forget_dedup_keys,
        failure: None,
    }
}

/// Enqueues a delivery and leases it.
async fn leased<S: Subject>(subject: &S, delivery: NewDelivery) -> DeliveryId {
    let delivery = subject.enqueue_new(&arrival(0), delivery).await;
    assert_eq!(subject.lease_all(after(0)).await, [delivery]);
    delivery
}

pub async fn the_next_action_begins_with_its_first_attempt<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let delivery = leased(&subject, pending("deploy", &[])).await;
    subject.settle(delivery, retry(0)).await;
    assert_eq!(subject.lease_all(after(0)).await, [delivery]);
    let next = Settlement::Next {
        action: 1,
        due: after(7),
    };
    subject
        .store()
        .settle(settled(delivery, record(0, 2), next))
        .await
        .unwrap();
    let subject = subject.crash().await;
    assert_eq!(subject.lease_all(after(6)).await, []);
    let leases = subject.leases(after(7)).await;
    assert_eq!((leases[0].action, leases[0].attempt), (1, 1));
    assert_eq!(subject.store().attempts(delivery).await, Ok(vec![record(0, 2)]));
}

pub async fn the_outputs_are_those_of_the_last_attempts_that_are_done<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let delivery = leased(&subject, pending("deploy", &[])).await;
    let attempt = |action, number, outcome: &str| AttemptRecord {
        outcome: outcome.to_owned(),
        ..record(action, number)
    };
    let next = |action| Settlement::Next {
        action,
        due: after(0),
    };
    let steps = [
        (attempt(0, 1, "failed"), retry(0)),
        (attempt(0, 2, "done"), next(1)),
        (attempt(1, 1, "done"), next(0)),
        // As after a replay.
        (attempt(0, 3, "done"), next(1)),
        (attempt(1, 2, "failed"), retry(0)),
    ];
    for (attempt, settlement) in steps {
        let store = subject.store();
        store
            .settle(settled(delivery, attempt, settlement))
            .await
            .unwrap();
        subject.lease_all(after(0)).await;
    }
    let [first, second] = [attempt(0, 3, "done"), attempt(1, 1, "done")];
    let store = subject.store();
    assert_eq!(store.outputs(delivery, 0).await, Ok(vec![]));
    assert_eq!(store.outputs(delivery, 1).await, Ok(vec![first.clone()]));
    assert_eq!(store.outputs(delivery, 2).await, Ok(vec![first, second]));
}

pub async fn a_retry_keeps_the_action_and_raises_the_attempt<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let delivery = leased(&subject, pending("deploy", &[])).await;
    let next = Settlement::Next {
        action: 2,
        due: after(0),
    };
    subject.settle(delivery, next).await;
    for attempt in 1..4 {
        let leases = subject.leases(after(0)).await;
        assert_eq!((leases[0].action, leases[0].attempt), (2, attempt));
        subject.settle(delivery, retry(0)).await;
    }
    let subject = subject.crash().await;
    let leases = subject.leases(after(0)).await;
    assert_eq!((leases[0].action, leases[0].attempt), (2, 4));
}

pub async fn a_postponed_delivery_keeps_its_attempt_after_a_crash<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let delivery = leased(&subject, pending("deploy", &[])).await;
    let next = Settlement::Next {
        action: 1,
        due: after(0),
    };
    subject.settle(delivery, next).await;
    assert_eq!(subject.lease_all(after(0)).await, [delivery]);
    subject.settle(delivery, retry(0)).await;
    for due in [5, 9] {
        assert_eq!(subject.lease_all(after(due - 1)).await, [delivery]);
        subject
            .settle(delivery, Settlement::Wait { due: after(due) })
            .await;
        assert_eq!(subject.lease_all(after(due - 1)).await, []);
        assert_eq!(
            subject.store().next_due(UNLIMITED.into()).await,
            Ok(Some(after(due)))
        );
    }
    let subject = subject.crash().await;
    assert_eq!(subject.lease_all(after(8)).await, []);
    let leases = subject.leases(after(9)).await;
    assert_eq!((leases[0].action, leases[0].attempt), (1, 2));
}

pub async fn a_done_delivery_stays_done<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let given = arrival(0);
    let delivery = subject.enqueue_new(&given, pending("deploy", &["a"])).await;
    subject.lease_all(after(0)).await;
    subject
        .store()
        .settle(settled(delivery, record(0, 1), done(9)))
        .await
        .unwrap();
    let subject = subject.crash().await;
    assert_eq!(subject.lease_all(after(i64::from(u32::MAX))).await, []);
    assert_eq!(subject.store().next_due(UNLIMITED.into()).await, Ok(None));
    let listed = subject.store().deliveries(given.id).await.unwrap();
    assert_eq!(
        (listed.len(), &listed[0].state),
        (1, &DeliveryState::Done { at: after(9) })
    );
    // Its dedup key is still remembered.
    let again = subject
        .enqueue(&arrival(0), &[pending("deploy", &["a"])])
        .await
        .unwrap();
    assert_eq!(again, [Enqueued::Duplicate { of: given.id }]);
}

pub async fn a_dead_delivery_stays_listed<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let given = arrival(0);
    let both = [pending("deploy", &["a"]), pending("record", &["a"])];
    subject.enqueue(&given, &both).await.unwrap();
    let leased = subject.lease_all(after(0)).await;
    subject
        .store()
        .settle(settled(leased[0], record(0, 1), dead(4, false)))
        .await
        .unwrap();
    let listed = subject.store().deliveries(given.id).await.unwrap();
    assert_eq!(listed[1].state, DeliveryState::Running);
    let subject = subject.crash().await;
    let listed = subject.store().deliveries(given.id).await.unwrap();
    let reason = "exit 3".to_owned();
    assert_eq!(listed[0].state, DeliveryState::Dead { at: after(4), reason });
    assert_eq!(listed[1].state, DeliveryState::Ready { due: after(0) });
    assert_eq!(
        (listed[0].id, &*listed[0].rule, listed[0].event),
        (leased[0], "deploy", given.id)
    );
    let again = subject
        .enqueue(&arrival(0), &[pending("deploy", &["a"])])
        .await
        .unwrap();
    assert_eq!(again, [Enqueued::Duplicate { of: given.id }]);
}

pub async fn attempts_are_listed_oldest_first_and_the_latest_of_many<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let delivery = leased(&subject, pending("deploy", &[])).await;
    let listed = u32::try_from(ATTEMPTS_LISTED).unwrap();
    for number in 1..=listed + 5 {
        let attempt = record(0, number);
        subject
            .store()
            .settle(settled(delivery, attempt, retry(0)))
            .await
            .unwrap();
        subject.lease_all(after(0)).await;
    }
    let attempts = subject.store().attempts(delivery).await.unwrap();
    let expected: Vec<_> = (6..=listed + 5).map(|number| record(0, number)).collect();
    assert_eq!(attempts, expected);
}

pub async fn a_delivery_that_is_not_leased_is_not_settled<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let given = arrival(0);
    let delivery = subject.enqueue_new(&given, pending("deploy", &[])).await;
    let not_leased = Err(StoreError::NotLeased { delivery });
    let attempt = || settled(delivery, record(0, 1), done(0));
    assert_eq!(subject.store().settle(attempt()).await, not_leased);
    subject.lease_all(after(0)).await;
    let store = subject.store();
    let twice = tokio::join!(store.settle(attempt()), store.settle(attempt()));
    assert!(matches!(twice, (Ok(()), Err(_)) | (Err(_), Ok(()))), "{twice:?}");
    assert_eq!(subject.store().settle(attempt()).await, not_leased);
    assert_eq!(subject.store().attempts(delivery).await, Ok(vec![record(0, 1)]));
    assert_eq!(subject.store().counts().await.unwrap().done, 1);
}

pub async fn forgetting_the_dedup_keys_accepts_the_same_event_again<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let delivery = leased(&subject, pending("deploy", &["a", "b"])).await;
    subject.settle(delivery, dead(0, true)).await;
    let subject = subject.crash().await;
    assert_eq!(subject.store().counts().await.unwrap().dedup_keys, 0);
    subject
        .enqueue_new(&arrival(1), pending("deploy", &["b", "a"]))
        .await;
}

pub async fn only_the_dedup_keys_of_this_event_and_rule_are_forgotten<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = arrival(0);
    let both = [pending("deploy", &["a"]), pending("record", &["a"])];
    subject.enqueue(&first, &both).await.unwrap();
    let again = NewDelivery {
        run_duplicates: true,
        ..pending("deploy", &["a", "b"])
    };
    let second = subject.enqueue_new(&arrival(1), again).await;
    subject.lease_all(after(1)).await;
    subject.settle(second, dead(2, true)).await;
    // `a` came with the first event, and only `b` with the second.
    subject.enqueue_new(&arrival(3), pending("deploy", &["b"])).await;
    for rule in ["deploy", "record"] {
        let enqueued = subject
            .enqueue(&arrival(3), &[pending(rule, &["a"])])
            .await
            .unwrap();
        assert_eq!(enqueued, [Enqueued::Duplicate { of: first.id }], "{rule}");
    }
}

pub async fn everything_is_counted<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    for number in 0..5 {
        let dedup_key = number.to_string();
        let both = [pending("deploy", &[&dedup_key]), pending("record", &[&dedup_key])];
        subject.enqueue(&arrival(0), &both).await.unwrap();
    }
    let limits = Concurrency {
        per_rule: 3,
        ..UNLIMITED
    };
    let leases = subject
        .store()
        .lease(limits.into(), after(0))
        .await
        .unwrap()
        .leases;
    for lease in &leases[..2] {
        subject.settle(lease.delivery, done(0)).await;
    }
    subject.settle(leases[2].delivery, dead(0, true)).await;
    subject.settle(leases[3].delivery, retry(5)).await;
    let mut expected = Counts {
        waiting: 5,
        leased: 2,
        done: 2,
        dead: 1,
        events: 5,
        dedup_keys: 9,
        ..Counts::default()
    };
    assert_eq!(subject.store().counts().await, Ok(expected));
    let subject = subject.crash().await;
    expected.waiting += std::mem::take(&mut expected.leased);
    assert_eq!(subject.store().counts().await, Ok(expected));
}
