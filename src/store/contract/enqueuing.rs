//! New events: accepted once only, and never lost.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{Subject, after, arrival, done, new_event_of, noise, pending};
use crate::event::Received;
use crate::store::{Enqueued, NewDelivery, Settings, StoreError};

async fn comes_back<S: Subject>(subject: S, given: &Received) {
    let leases = subject.leases(after(0)).await;
    let [lease] = &leases[..] else {
        panic!("{leases:?}");
    };
    assert_eq!((&*lease.rule, lease.action, lease.attempt), ("deploy", 0, 1));
    assert_eq!(lease.decode, "json");
    let names = |received: &Received| {
        let pairs = received.headers.iter();
        pairs
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&lease.received), names(given));
    // The debug output covers fields that are added later.
    assert_eq!(format!("{:?}", lease.received), format!("{given:?}"));
}

pub async fn an_event_is_read_back_byte_for_byte_after_a_crash<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let given = arrival(0);
    subject.enqueue_new(&given, pending("deploy", &["a"])).await;
    comes_back(subject.crash().await.crash().await, &given).await;
}

pub async fn an_event_is_read_back_after_a_clean_stop<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let given = Received {
        client: None,
        certificate: None,
        parameters: Vec::new(),
        body: Bytes::new(),
        ..arrival(0)
    };
    subject.enqueue_new(&given, pending("deploy", &[])).await;
    comes_back(subject.restart().await.restart().await, &given).await;
}

pub async fn a_duplicate_is_recognised_also_after_a_crash<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = arrival(0);
    subject.enqueue_new(&first, pending("deploy", &["a"])).await;
    let duplicate = Ok(vec![Enqueued::Duplicate { of: first.id }]);
    assert_eq!(
        subject.enqueue(&arrival(1), &[pending("deploy", &["a"])]).await,
        duplicate
    );
    let subject = subject.crash().await;
    assert_eq!(
        subject.enqueue(&arrival(2), &[pending("deploy", &["a"])]).await,
        duplicate
    );
    let subject = subject.restart().await;
    assert_eq!(
        subject.enqueue(&arrival(3), &[pending("deploy", &["a"])]).await,
        duplicate
    );
}

pub async fn dedup_keys_are_remembered_per_rule<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = arrival(0);
    subject.enqueue_new(&first, pending("deploy", &["a"])).await;
    let both = [pending("record", &["a"]), pending("deploy", &["a"])];
    let enqueued = subject.enqueue(&arrival(1), &both).await.unwrap();
    assert!(matches!(enqueued[..], [Enqueued::New(_), Enqueued::Duplicate { of }] if of == first.id));
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.events, counts.waiting, counts.dedup_keys), (2, 2, 2));
}

pub async fn any_dedup_key_of_several_is_enough<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = arrival(0);
    subject
        .enqueue_new(&first, pending("deploy", &["old", "new"]))
        .await;
    for known in [&["new", "newest"][..], &["oldest", "old"], &["new"]] {
        let enqueued = subject
            .enqueue(&arrival(1), &[pending("deploy", known)])
            .await
            .unwrap();
        assert_eq!(enqueued, [Enqueued::Duplicate { of: first.id }], "{known:?}");
    }
    subject
        .enqueue_new(&arrival(2), pending("deploy", &["newest"]))
        .await;
}

pub async fn a_dedup_key_is_remembered_up_to_its_last_moment<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = arrival(0);
    let second = arrival(1001);
    subject.enqueue_new(&first, pending("deploy", &["a"])).await;
    let enqueued = subject
        .enqueue(&arrival(1000), &[pending("deploy", &["a"])])
        .await
        .unwrap();
    assert_eq!(enqueued, [Enqueued::Duplicate { of: first.id }]);
    let longer = NewDelivery {
        remember_until: after(2001),
        ..pending("deploy", &["a"])
    };
    subject.enqueue_new(&second, longer).await;
    let subject = subject.crash().await;
    let enqueued = subject
        .enqueue(&arrival(2001), &[pending("deploy", &["a"])])
        .await
        .unwrap();
    assert_eq!(enqueued, [Enqueued::Duplicate { of: second.id }]);
    assert_eq!(subject.store().counts().await.unwrap().dedup_keys, 1);
}

pub async fn a_delivery_that_runs_duplicates_is_new_and_its_key_keeps_its_first_event<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = arrival(0);
    subject.enqueue_new(&first, pending("deploy", &["a"])).await;
    let again = NewDelivery {
        run_duplicates: true,
        remember_until: after(3000),
        ..pending("deploy", &["a"])
    };
    subject.enqueue_new(&arrival(1), again).await;
    let enqueued = subject
        .enqueue(&arrival(3000), &[pending("deploy", &["a"])])
        .await
        .unwrap();
    assert_eq!(enqueued, [Enqueued::Duplicate { of: first.id }]);
}

pub async fn a_remembered_dedup_key_is_never_shortened<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = arrival(0);
    subject.enqueue_new(&first, pending("deploy", &["a"])).await;
    let shorter = NewDelivery {
        run_duplicates: true,
        remember_until: after(10),
        ..pending("deploy", &["a"])
    };
    subject.enqueue_new(&arrival(1), shorter).await;
    let enqueued = subject
        .enqueue(&arrival(1000), &[pending("deploy", &["a"])])
        .await
        .unwrap();
    assert_eq!(enqueued, [Enqueued::Duplicate { of: first.id }]);
}

pub async fn two_deliveries_of_one_event_to_one_rule_are_one_and_its_duplicate<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let given = arrival(0);
    let twice = [pending("deploy", &["a", "a"]), pending("deploy", &["b", "a"])];
    let enqueued = subject.enqueue(&given, &twice).await.unwrap();
    assert!(matches!(enqueued[..], [Enqueued::New(_), Enqueued::Duplicate { of }] if of == given.id));
}

pub async fn an_event_with_only_duplicates_leaves_no_trace<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    subject.enqueue_new(&arrival(0), pending("deploy", &["a"])).await;
    let before = subject.store().counts().await.unwrap();
    let duplicate = arrival(1);
    subject
        .enqueue(&duplicate, &[pending("deploy", &["b", "a"])])
        .await
        .unwrap();
    subject.enqueue(&arrival(2), &[]).await.unwrap();
    assert_eq!(subject.store().counts().await.unwrap(), before);
    assert_eq!(subject.store().deliveries(duplicate.id).await, Ok(Vec::new()));
    // Its other dedup key is not remembered either.
    subject.enqueue_new(&arrival(3), pending("deploy", &["b"])).await;
}

pub async fn an_event_id_is_accepted_once<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let given = arrival(0);
    subject.enqueue_new(&given, pending("deploy", &["a"])).await;
    let before = subject.store().counts().await.unwrap();
    let again = subject.enqueue(&given, &[pending("deploy", &["b"])]).await;
    assert_eq!(again, Err(StoreError::IdTaken { event: given.id }));
    assert_eq!(subject.store().counts().await.unwrap(), before);
    subject.enqueue_new(&arrival(1), pending("deploy", &["b"])).await;
}

pub async fn of_64_callers_with_one_dedup_key_one_is_new<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let mut callers = JoinSet::new();
    for caller in 0..64 {
        let store = subject.shared();
        callers.spawn(async move {
            store
                .enqueue(new_event_of(&arrival(caller), &[pending("deploy", &["a"])]))
                .await
        });
    }
    let enqueued: Vec<_> = callers
        .join_all()
        .await
        .into_iter()
        .flat_map(Result::unwrap)
        .collect();
    let new = enqueued
        .iter()
        .filter(|enqueued| matches!(enqueued, Enqueued::New(_)))
        .count();
    assert_eq!((new, enqueued.len()), (1, 64));
    let of: Vec<_> = enqueued
        .iter()
        .filter(|enqueued| matches!(enqueued, Enqueued::Duplicate { .. }))
        .collect();
    assert!(
        of.windows(2).all(|pair| pair[0] == pair[1]),
        "all are duplicates of the one"
    );
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.events, counts.waiting, counts.dedup_keys), (1, 1, 1));
}

pub async fn at_the_maximum_size_only_new_events_are_refused<S: Subject>() {
    let mut settings = Settings {
        max_size: Some(400_000),
        ..Settings::default()
    };
    settings.keep.done = Duration::ZERO;
    let subject = S::open(settings).await;
    let large = |millis| Received {
        body: Bytes::from(noise(50_000)),
        ..arrival(millis)
    };
    let mut enqueued = 0;
    let error = loop {
        match subject
            .enqueue(&large(enqueued), &[pending("deploy", &[&enqueued.to_string()])])
            .await
        {
            Ok(_) => enqueued += 1,
            Err(error) => break error,
        }
        assert!(enqueued < 20, "it is never full");
    };
    assert!(
        matches!(error, StoreError::Full { .. }) && error.may_pass(),
        "{error}"
    );
    let duplicate = subject
        .enqueue(&large(0), &[pending("deploy", &["0"])])
        .await
        .unwrap();
    assert!(matches!(duplicate[..], [Enqueued::Duplicate { .. }]));
    for delivery in subject.lease_all(after(0)).await {
        subject.settle(delivery, done(1)).await;
    }
    subject.sweep_all(after(2)).await;
    subject
        .enqueue_new(&large(3), pending("deploy", &["again"]))
        .await;
}

pub async fn with_too_little_free_space_only_new_events_are_refused<S: Subject>() {
    if !S::KNOWS_ITS_DISK {
        return;
    }
    let subject = S::open(Settings::default()).await;
    let known = arrival(0);
    let delivery = subject.enqueue_new(&known, pending("deploy", &["a"])).await;
    // More than any disk has.
    subject.store().adopt(Settings {
        min_free: u64::MAX,
        ..Settings::default()
    });
    let enqueued = subject.enqueue(&arrival(1), &[pending("deploy", &["b"])]).await;
    let error = enqueued.unwrap_err();
    assert!(
        matches!(error, StoreError::Full { .. }) && error.may_pass(),
        "{error}"
    );
    let duplicate = subject.enqueue(&arrival(2), &[pending("deploy", &["a"])]).await;
    assert_eq!(duplicate, Ok(vec![Enqueued::Duplicate { of: known.id }]));
    assert_eq!(subject.lease_all(after(0)).await, [delivery]);
    subject.settle(delivery, done(1)).await;
    subject.store().adopt(Settings {
        min_free: 0,
        ..Settings::default()
    });
    // Its dedup key was not remembered.
    subject.enqueue_new(&arrival(3), pending("deploy", &["b"])).await;
}
