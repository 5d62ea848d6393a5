//! Who is next, and that it is nobody else's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Subject, after, arrival, done, owed, retry};
use crate::clock::Clock;
use crate::store::{NewDelivery, Settings, Settlement, State};

fn due_at(millis: i64) -> NewDelivery {
    NewDelivery {
        due: after(millis),
        ..owed("deploy", &[])
    }
}

pub async fn due_deliveries_are_leased_by_due_time_then_by_arrival<S: Subject>() {
    let subject = S::open(Settings::default());
    let mut taken = Vec::new();
    for due in [20, 10, 20, 10, 0, 30] {
        taken.push(subject.take_new(&arrival(0), due_at(due)).await);
    }
    let order = [4, 1, 3, 0, 2].map(|index| taken[index]);
    let subject = subject.crash();
    let first = subject.store().lease(2, after(20)).await.unwrap();
    let mut leased: Vec<_> = first.iter().map(|lease| lease.delivery).collect();
    leased.extend(subject.lease_all(after(20)).await);
    assert_eq!(leased, order);
    // One that is tried again is behind those that were due before it, and before those that come after it.
    subject.settle(taken[4], retry(25)).await;
    let later = subject.take_new(&arrival(0), due_at(25)).await;
    assert_eq!(subject.lease_all(after(30)).await, [taken[4], later, taken[5]]);
}

pub async fn nobody_leases_what_is_leased_or_not_due<S: Subject>() {
    let subject = S::open(Settings::default());
    let delivery = subject.take_new(&arrival(0), due_at(10)).await;
    assert_eq!(subject.lease_all(after(9)).await, []);
    assert!(subject.store().lease(0, after(10)).await.unwrap().is_empty());
    assert_eq!(subject.lease_all(after(10)).await, [delivery]);
    assert_eq!(subject.lease_all(after(10)).await, []);
}

pub async fn many_callers_lease_everything_once<S: Subject>() {
    let subject = S::open(Settings::default());
    let mut all = BTreeSet::new();
    for _ in 0..200 {
        all.insert(subject.take_new(&arrival(0), due_at(0)).await);
    }
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let store = subject.shared();
        callers.spawn(async move { store.lease(15, after(0)).await.unwrap() });
    }
    let leased: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    assert_eq!(leased.len(), 200);
    assert_eq!(
        leased.iter().map(|lease| lease.delivery).collect::<BTreeSet<_>>(),
        all
    );
}

pub async fn a_released_delivery_waits_as_it_did<S: Subject>() {
    let subject = S::open(Settings::default());
    let given = arrival(0);
    let first = subject.take_new(&given, due_at(5)).await;
    let second = subject.take_new(&arrival(0), due_at(5)).await;
    assert_eq!(subject.lease_all(after(5)).await, [first, second]);
    subject.store().release(first).await.unwrap();
    subject.store().release(first).await.unwrap();
    let listed = subject.store().deliveries(given.id).await.unwrap();
    assert_eq!(
        (listed[0].attempt, &listed[0].state),
        (1, &State::Waiting { due: after(5) })
    );
    assert_eq!(subject.lease_all(after(5)).await, [first]);
    assert_eq!(subject.store().attempts(first).await, Ok(Vec::new()));
}

pub async fn leases_end_with_a_crash<S: Subject>() {
    let subject = S::open(Settings::default());
    let tried = subject.take_new(&arrival(0), due_at(0)).await;
    let ended = subject.take_new(&arrival(0), due_at(0)).await;
    subject.lease_all(after(0)).await;
    subject.settle(tried, retry(1)).await;
    subject.settle(ended, done(0)).await;
    assert_eq!(subject.lease_all(after(1)).await, [tried]);
    let subject = subject.crash();
    let leases = subject.store().lease(9, after(1)).await.unwrap();
    assert_eq!(
        (leases.len(), leases[0].delivery, leases[0].attempt),
        (1, tried, 2)
    );
}

pub async fn the_next_due_time_is_that_of_the_first_unleased_delivery<S: Subject>() {
    let subject = S::open(Settings::default());
    let store = subject.store();
    assert_eq!(store.next_due().await, Ok(None));
    subject.take_new(&arrival(0), due_at(50)).await;
    let first = subject.take_new(&arrival(0), due_at(40)).await;
    assert_eq!(store.next_due().await, Ok(Some(after(40))));
    assert_eq!(subject.lease_all(after(40)).await, [first]);
    assert_eq!(store.next_due().await, Ok(Some(after(50))));
    subject.settle(first, retry(45)).await;
    assert_eq!(store.next_due().await, Ok(Some(after(45))));
    subject.lease_all(after(50)).await;
    assert_eq!(store.next_due().await, Ok(None));
    let subject = subject.crash();
    assert_eq!(subject.store().next_due().await, Ok(Some(after(45))));
}

pub async fn deliveries_of_one_event_share_it<S: Subject>() {
    let subject = S::open(Settings::default());
    let both = [owed("deploy", &["a"]), owed("record", &["a"])];
    subject.take(&arrival(0), &both).await.unwrap();
    let leases = subject.store().lease(9, after(0)).await.unwrap();
    assert_eq!(
        leases.iter().map(|lease| &*lease.rule).collect::<Vec<_>>(),
        ["deploy", "record"]
    );
    assert!(Arc::ptr_eq(&leases[0].received, &leases[1].received));
}

pub async fn why_a_delivery_is_not_verified_comes_back_with_it<S: Subject>() {
    let subject = S::open(Settings::default());
    let why: Option<Arc<str>> = Some("the header `x` is missing".into());
    let unverified = NewDelivery {
        unverified: why.clone(),
        ..owed("observing", &[])
    };
    let received = arrival(0);
    subject
        .take(&received, &[unverified, owed("enforcing", &[])])
        .await
        .unwrap();
    // Leased from memory, and read back from the disk.
    let leases = subject.store().lease(2, after(0)).await.unwrap();
    let marks: Vec<_> = leases.iter().map(|lease| lease.unverified.clone()).collect();
    assert_eq!(marks, [why.clone(), None]);
    let subject = subject.crash();
    let leases = subject.store().lease(2, after(0)).await.unwrap();
    let marks: Vec<_> = leases.iter().map(|lease| lease.unverified.clone()).collect();
    assert_eq!(marks, [why.clone(), None]);
    let listed = subject.store().deliveries(received.id).await.unwrap();
    let marks: Vec<_> = listed.into_iter().map(|delivery| delivery.unverified).collect();
    assert_eq!(marks, [why, None]);
}

pub async fn by_a_steady_clock_nothing_waits_longer_because_the_machines_is_set_back<S: Subject>() {
    let subject = S::open(Settings::default());
    let machine = Clock::manual(after(0));
    let steady = Clock::steady(machine.clone());
    let delivery = subject.take_new(&arrival(0), owed("deploy", &[])).await;
    assert_eq!(subject.lease_all(steady.now()).await, [delivery]);
    let due = steady.now().plus(Duration::from_millis(100));
    subject.settle(delivery, Settlement::Retry { due }).await;
    machine.set(after(-3_600_000));
    assert_eq!(subject.lease_all(steady.now()).await, []);
    let waited = async {
        while subject.lease_all(steady.now()).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // Twice as long as it was to wait, and ample time for a busy machine.
    tokio::time::timeout(Duration::from_secs(20), waited)
        .await
        .unwrap();
    // What comes now comes by the machine's clock, and is due at once.
    let new = subject.take_new(&arrival(-3_600_000), due_at(-3_600_000)).await;
    assert_eq!(subject.lease_all(steady.now()).await, [new]);
}
