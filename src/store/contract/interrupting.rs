//! Attempts that began and did not end.

use super::{Subject, after, arrival, done, pending, retry};
use crate::store::{DeliveryId, INTERRUPTED, Interruption, Settings, Settled, Settlement, Store};

/// The attempts at a delivery, with number and outcome.
async fn attempts(store: &dyn Store, delivery: DeliveryId) -> Vec<(u32, String)> {
    let attempts = store.attempts(delivery).await.unwrap();
    attempts
        .into_iter()
        .map(|attempt| (attempt.number, attempt.outcome))
        .collect()
}

fn interrupted(number: u32) -> (u32, String) {
    (number, INTERRUPTED.to_owned())
}

pub async fn an_attempt_that_ends_with_a_crash_counts_and_is_recorded<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let long = subject.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    let quick = subject.enqueue_new(&arrival(0), pending("record", &[])).await;
    assert_eq!(subject.lease_all(after(5)).await.len(), 2);
    subject.settle(quick, done(5)).await;
    subject.store().mark_begun(after(5)).await.unwrap();
    let subject = subject.crash().await;
    assert_eq!(attempts(subject.store(), long).await, [interrupted(1)]);
    assert_eq!(attempts(subject.store(), quick).await, []);
    let leases = subject.leases(after(9)).await;
    assert_eq!((leases.len(), leases[0].delivery), (1, long));
    let since = after(5);
    let first = Interruption { in_a_row: 1, since };
    assert_eq!((leases[0].attempt, leases[0].interrupted), (2, Some(first)));
    // The next crash in a row: the delivery is suspect, and is recorded as begun before its
    // attempt.
    assert!(leases[0].suspect);
    subject.store().begin(long).await.unwrap();
    let subject = subject.crash().await;
    let leases = subject.leases(after(20)).await;
    let since = after(9);
    let second = Interruption { in_a_row: 2, since };
    assert_eq!((leases[0].attempt, leases[0].interrupted), (3, Some(second)));
    assert_eq!(
        attempts(subject.store(), long).await,
        [interrupted(1), interrupted(2)]
    );
    // An attempt that ends breaks the row.
    subject.store().begin(long).await.unwrap();
    subject.settle(long, retry(20)).await;
    let subject = subject.crash().await;
    let leases = subject.leases(after(20)).await;
    assert_eq!((leases[0].attempt, leases[0].interrupted), (4, None));
}

pub async fn a_short_unmarked_attempt_is_known_the_second_time<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let delivery = subject.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    subject.lease_all(after(0)).await;
    let subject = subject.crash().await;
    assert_eq!(attempts(subject.store(), delivery).await, []);
    // The delivery may have ended the daemon, so it must not begin unrecorded again. A later one
    // may.
    let leases = subject.leases(after(0)).await;
    assert_eq!((leases[0].attempt, leases[0].suspect), (1, true));
    subject.store().begin(delivery).await.unwrap();
    let later = subject.enqueue_new(&arrival(1), pending("deploy", &[])).await;
    let leases = subject.leases(after(1)).await;
    assert_eq!((leases[0].delivery, leases[0].suspect), (later, false));
    let subject = subject.crash().await;
    assert_eq!(attempts(subject.store(), delivery).await, [interrupted(1)]);
    assert_eq!(attempts(subject.store(), later).await, []);
}

pub async fn a_lease_after_an_interruption_that_does_not_begin_is_not_counted<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let delivery = subject.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    subject.lease_all(after(0)).await;
    subject.store().mark_begun(after(0)).await.unwrap();
    // Its attempt may be given up before it begins: also after a clean stop, and whatever else is
    // marked.
    let mut subject = subject.crash().await;
    for _ in 0..2 {
        let leases = subject.leases(after(5)).await;
        assert!(leases[0].begins_by_itself());
        subject.store().mark_begun(after(9)).await.unwrap();
        subject = subject.crash().await;
        subject.leases(after(5)).await;
        subject = subject.restart().await;
    }
    assert_eq!(attempts(subject.store(), delivery).await, [interrupted(1)]);
    assert_eq!(subject.leases(after(5)).await[0].attempt, 2);
}

pub async fn after_a_clean_stop_running_attempts_are_recorded_and_do_not_count<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let delivery = subject.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    subject.lease_all(after(3)).await;
    let subject = subject.restart().await;
    let leases = subject.leases(after(4)).await;
    let since = after(3);
    let first = Interruption { in_a_row: 1, since };
    assert_eq!((leases[0].attempt, leases[0].interrupted), (1, Some(first)));
    assert_eq!(attempts(subject.store(), delivery).await, [interrupted(1)]);
    // After a clean stop no delivery is suspect.
    assert!(!leases[0].suspect);
    let subject = subject.crash().await;
    assert_eq!(attempts(subject.store(), delivery).await, [interrupted(1)]);
}

pub async fn a_settled_interruption_counts_as_it_says<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let delivery = subject.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    for (counts, due, attempt, in_a_row) in [(true, None, 2, 1), (false, Some(after(50)), 2, 2)] {
        assert_eq!(subject.lease_all(after(10)).await, [delivery]);
        let since = after(7);
        let settlement = Settlement::Interrupted { since, due, counts };
        subject.settle(delivery, settlement).await;
        let at = due.unwrap_or(after(0));
        let listed = subject.store().next_due(super::UNLIMITED.into()).await.unwrap();
        assert_eq!(listed, Some(at));
        let leases = subject.leases(at).await;
        let expected = Interruption { in_a_row, since };
        assert_eq!(
            (leases[0].attempt, leases[0].interrupted),
            (attempt, Some(expected))
        );
        subject.store().release(delivery).await.unwrap();
    }
}

pub async fn a_released_or_postponed_attempt_has_not_begun<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let delivery = subject.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    for _ in 0..2 {
        subject.lease_all(after(0)).await;
        subject.store().mark_begun(after(0)).await.unwrap();
        subject.store().release(delivery).await.unwrap();
    }
    let subject = subject.crash().await;
    assert_eq!(attempts(subject.store(), delivery).await, []);
    subject.lease_all(after(0)).await;
    let put_off = Settlement::Wait { due: after(0) };
    let settled = Settled::unattempted(delivery, put_off);
    subject.store().settle(settled).await.unwrap();
    let subject = subject.crash().await;
    assert_eq!(attempts(subject.store(), delivery).await, []);
    assert_eq!(subject.leases(after(0)).await[0].attempt, 1);
}
