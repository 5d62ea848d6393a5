//! The order of leases, and their exclusiveness.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Subject, UNLIMITED, after, arrival, done, pending, retry};
use crate::base::clock::Clock;
use crate::store::{Concurrency, DeliveryState, Group, NewDelivery, Overlap, Settings, Settlement};

fn due_at(millis: i64) -> NewDelivery {
    NewDelivery {
        due: after(millis),
        ..pending("deploy", &[])
    }
}

pub async fn due_deliveries_are_leased_by_due_time_then_by_arrival<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let mut enqueued = Vec::new();
    for due in [20, 10, 20, 10, 0, 30] {
        enqueued.push(subject.enqueue_new(&arrival(0), due_at(due)).await);
    }
    let order = [4, 1, 3, 0, 2].map(|index| enqueued[index]);
    let subject = subject.crash().await;
    let mut leased = Vec::new();
    for slots in [1, 3] {
        let limits = Concurrency { slots, ..UNLIMITED };
        let first = subject.store().lease(limits.into(), after(20)).await.unwrap();
        leased.extend(first.leases.iter().map(|lease| lease.delivery));
        assert!(first.held_back);
    }
    assert_eq!(leased.len(), 2);
    leased.extend(subject.lease_all(after(20)).await);
    assert_eq!(leased, order);
    // A retry comes after deliveries that were due before it, and before later ones.
    subject.settle(enqueued[4], retry(25)).await;
    let later = subject.enqueue_new(&arrival(0), due_at(25)).await;
    assert_eq!(
        subject.lease_all(after(30)).await,
        [enqueued[4], later, enqueued[5]]
    );
}

pub async fn a_delivery_that_is_leased_or_not_due_is_not_leased<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let delivery = subject.enqueue_new(&arrival(0), due_at(10)).await;
    assert_eq!(subject.lease_all(after(9)).await, []);
    let none = Concurrency {
        slots: 0,
        ..UNLIMITED
    };
    let leased = subject.store().lease(none.into(), after(10)).await.unwrap();
    assert!(leased.leases.is_empty() && leased.held_back);
    assert_eq!(subject.lease_all(after(10)).await, [delivery]);
    assert_eq!(subject.lease_all(after(10)).await, []);
}

pub async fn many_callers_lease_everything_once<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let mut all = BTreeSet::new();
    for _ in 0..200 {
        all.insert(subject.enqueue_new(&arrival(0), due_at(0)).await);
    }
    let mut callers = JoinSet::new();
    for slots in (0..=200).step_by(10) {
        let store = subject.shared();
        let limits = Concurrency {
            per_rule: slots,
            ..UNLIMITED
        };
        callers.spawn(async move { store.lease(limits.into(), after(0)).await.unwrap().leases });
    }
    let leased: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    assert_eq!(leased.len(), 200);
    assert_eq!(
        leased.iter().map(|lease| lease.delivery).collect::<BTreeSet<_>>(),
        all
    );
}

pub async fn a_released_delivery_waits_as_it_did<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let given = arrival(0);
    let first = subject.enqueue_new(&given, due_at(5)).await;
    let second = subject.enqueue_new(&arrival(0), due_at(5)).await;
    assert_eq!(subject.lease_all(after(5)).await, [first, second]);
    subject.store().release(first).await.unwrap();
    subject.store().release(first).await.unwrap();
    let listed = subject.store().deliveries(given.id).await.unwrap();
    assert_eq!(
        (listed[0].attempt, &listed[0].state),
        (1, &DeliveryState::Ready { due: after(5) })
    );
    assert_eq!(subject.lease_all(after(5)).await, [first]);
    assert_eq!(subject.store().attempts(first).await, Ok(Vec::new()));
}

pub async fn leases_end_with_a_crash<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let tried = subject.enqueue_new(&arrival(0), due_at(0)).await;
    let ended = subject.enqueue_new(&arrival(0), due_at(0)).await;
    subject.lease_all(after(0)).await;
    subject.settle(tried, retry(1)).await;
    subject.settle(ended, done(0)).await;
    assert_eq!(subject.lease_all(after(1)).await, [tried]);
    let subject = subject.crash().await;
    let leases = subject.leases(after(1)).await;
    assert_eq!(
        (leases.len(), leases[0].delivery, leases[0].attempt),
        (1, tried, 2)
    );
}

pub async fn the_next_due_time_is_that_of_the_first_unleased_delivery<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let store = subject.store();
    assert_eq!(store.next_due(UNLIMITED.into()).await, Ok(None));
    subject.enqueue_new(&arrival(0), due_at(50)).await;
    let first = subject.enqueue_new(&arrival(0), due_at(40)).await;
    assert_eq!(store.next_due(UNLIMITED.into()).await, Ok(Some(after(40))));
    assert_eq!(subject.lease_all(after(40)).await, [first]);
    assert_eq!(store.next_due(UNLIMITED.into()).await, Ok(Some(after(50))));
    subject.settle(first, retry(45)).await;
    assert_eq!(store.next_due(UNLIMITED.into()).await, Ok(Some(after(45))));
    subject.lease_all(after(50)).await;
    assert_eq!(store.next_due(UNLIMITED.into()).await, Ok(None));
    let subject = subject.crash().await;
    assert_eq!(
        subject.store().next_due(UNLIMITED.into()).await,
        Ok(Some(after(45)))
    );
}

pub async fn deliveries_of_one_event_share_it<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let both = [pending("deploy", &["a"]), pending("record", &["a"])];
    subject.enqueue(&arrival(0), &both).await.unwrap();
    let leases = subject.leases(after(0)).await;
    assert_eq!(
        leases.iter().map(|lease| &*lease.rule).collect::<Vec<_>>(),
        ["deploy", "record"]
    );
    assert!(Arc::ptr_eq(&leases[0].received, &leases[1].received));
}

pub async fn the_reason_of_an_unverified_delivery_is_read_back<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let why: Option<Arc<str>> = Some("the header `x` is missing".into());
    let unverified = NewDelivery {
        unverified: why.clone(),
        ..pending("observing", &[])
    };
    let received = arrival(0);
    subject
        .enqueue(&received, &[unverified, pending("enforcing", &[])])
        .await
        .unwrap();
    // Leased from memory, then read back from disk.
    let leases = subject.leases(after(0)).await;
    let marks: Vec<_> = leases.iter().map(|lease| lease.unverified.clone()).collect();
    assert_eq!(marks, [why.clone(), None]);
    let subject = subject.crash().await;
    let leases = subject.leases(after(0)).await;
    let marks: Vec<_> = leases.iter().map(|lease| lease.unverified.clone()).collect();
    assert_eq!(marks, [why.clone(), None]);
    let listed = subject.store().deliveries(received.id).await.unwrap();
    let marks: Vec<_> = listed.into_iter().map(|delivery| delivery.unverified).collect();
    assert_eq!(marks, [why, None]);
}

pub async fn a_slow_rule_with_many_deliveries_does_not_delay_another<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    for _ in 0..300 {
        subject.enqueue_new(&arrival(0), pending("slow", &[])).await;
    }
    let limits = Concurrency {
        slots: 8,
        per_rule: 64,
    };
    let store = subject.store();
    let leased = store.lease(limits.into(), after(0)).await.unwrap();
    assert_eq!((leased.leases.len(), leased.held_back), (4, true));
    let again = store.lease(limits.into(), after(0)).await.unwrap();
    assert!(again.leases.is_empty() && again.held_back);
    // No waiting delivery is within the limits. A later delivery of another rule is therefore the
    // next one due.
    assert_eq!(store.next_due(limits.into()).await, Ok(None));
    subject
        .enqueue_new(
            &arrival(0),
            NewDelivery {
                due: after(9),
                ..pending("other", &[])
            },
        )
        .await;
    assert_eq!(store.next_due(limits.into()).await, Ok(Some(after(9))));
    let other = store.lease(limits.into(), after(9)).await.unwrap();
    let rules: Vec<&str> = other.leases.iter().map(|lease| &*lease.rule).collect();
    assert_eq!((rules, other.held_back), (vec!["other"], true));
    // The end of a lease lets the next delivery of the slow rule start, in order.
    subject.settle(leased.leases[0].delivery, done(9)).await;
    let next = store.lease(limits.into(), after(9)).await.unwrap();
    assert_eq!((next.leases.len(), next.held_back), (0, true));
    subject.settle(other.leases[0].delivery, done(9)).await;
    let next = store.lease(limits.into(), after(9)).await.unwrap();
    assert_eq!((next.leases.len(), next.held_back), (1, true));
    let subject = subject.crash().await;
    let leased = subject.store().lease(limits.into(), after(9)).await.unwrap();
    assert_eq!((leased.leases.len(), leased.held_back), (4, true));
}

pub async fn slots_are_shared_and_a_new_rule_finds_a_free_one<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let limits = Concurrency {
        slots: 12,
        per_rule: 64,
    };
    let mut found = Vec::new();
    for rule in ["a", "b", "c", "d", "e", "f"] {
        for _ in 0..20 {
            subject.enqueue_new(&arrival(0), pending(rule, &[])).await;
        }
        found.push(
            subject
                .store()
                .lease(limits.into(), after(0))
                .await
                .unwrap()
                .leases
                .len(),
        );
    }
    // Each rule gets half of the slots that are free beside the reserve of one, rounded up. Later
    // rules get one each, and the last has to wait.
    assert_eq!(found, [6, 3, 1, 1, 1, 0]);
    assert_eq!(found.iter().sum::<usize>(), 12);
}

pub async fn rules_take_turns_when_all_slots_are_in_use<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    for rule in ["a", "b", "c"] {
        for _ in 0..20 {
            subject.enqueue_new(&arrival(0), pending(rule, &[])).await;
        }
    }
    let limits = Concurrency {
        slots: 3,
        per_rule: 64,
    };
    let under_way = subject
        .store()
        .lease(limits.into(), after(0))
        .await
        .unwrap()
        .leases;
    let rules: Vec<&str> = under_way.iter().map(|lease| &*lease.rule).collect();
    assert_eq!(rules, ["a", "b", "c"]);
    // The latest delivery is leased next, because its rule has no lease.
    let late = NewDelivery {
        due: after(9),
        ..pending("late", &[])
    };
    subject.enqueue_new(&arrival(9), late).await;
    let mut turns = Vec::new();
    let mut ends: std::collections::VecDeque<_> = under_way.into_iter().collect();
    while turns.len() < 7 {
        let ended = ends.pop_front().unwrap();
        subject.settle(ended.delivery, done(9)).await;
        for lease in subject
            .store()
            .lease(limits.into(), after(9))
            .await
            .unwrap()
            .leases
        {
            turns.push(lease.rule.to_string());
            ends.push_back(lease);
        }
    }
    assert_eq!(turns, ["late", "a", "b", "c", "a", "b", "c"]);
}

pub async fn a_rule_never_exceeds_its_limit<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(subject.enqueue_new(&arrival(0), pending("deploy", &[])).await);
    }
    let limits = Concurrency {
        slots: 64,
        per_rule: 2,
    };
    let two = subject.store().lease(limits.into(), after(0)).await.unwrap();
    assert_eq!((two.leases.len(), two.held_back), (2, true));
    // A rule that waits for another attempt has released its slot.
    subject.settle(all[0], retry(50)).await;
    let third = subject.store().lease(limits.into(), after(0)).await.unwrap();
    assert_eq!(third.leases.len(), 1);
    assert_eq!(third.leases[0].delivery, all[2]);
}

pub async fn a_machine_clock_that_is_set_back_delays_nothing<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let machine = Clock::manual(after(0));
    let steady = Clock::steady(machine.clone());
    let delivery = subject.enqueue_new(&arrival(0), pending("deploy", &[])).await;
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
    // Longer than the wait by far, for a busy machine.
    tokio::time::timeout(Duration::from_secs(20), waited)
        .await
        .unwrap();
    // A new event has the machine's time, and is due at once.
    let new = subject
        .enqueue_new(&arrival(-3_600_000), due_at(-3_600_000))
        .await;
    assert_eq!(subject.lease_all(steady.now()).await, [new]);
}

pub async fn what_is_put_into_the_queue_is_announced<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let news = subject.store().news();
    // Announcements come before the answers, so none of these waits takes time.
    let look = || tokio::time::timeout(Duration::ZERO, news.look());
    assert!(look().await.is_err(), "an empty store has no news");
    let delivery = subject.enqueue_new(&arrival(0), due_at(10)).await;
    assert!(look().await.is_ok(), "a new delivery");
    assert_eq!(subject.lease_all(after(10)).await, [delivery]);
    assert!(look().await.is_err(), "a lease is no news");
    subject.store().release(delivery).await.unwrap();
    assert!(look().await.is_ok(), "a released delivery");
    for settlement in [
        retry(20),
        Settlement::Next {
            action: 1,
            due: after(20),
        },
    ] {
        assert_eq!(subject.lease_all(after(20)).await, [delivery]);
        subject.settle(delivery, settlement).await;
        assert!(look().await.is_ok(), "a delivery that goes on");
    }
    let (first, second) = (in_group(), in_group());
    let first = subject.enqueue_new(&arrival(1), first).await;
    subject.enqueue_new(&arrival(2), second).await;
    assert!(look().await.is_ok());
    assert!(subject.lease_all(after(10)).await.contains(&first));
    subject.settle(first, done(11)).await;
    assert!(look().await.is_ok(), "the next of its group");
}

fn in_group() -> NewDelivery {
    NewDelivery {
        group: Some(Group {
            name: Arc::from("g"),
            limit: 1,
            overlap: Overlap::Queue,
        }),
        ..due_at(10)
    }
}
