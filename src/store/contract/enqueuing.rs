//! New events: accepted once only, and never lost.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{Subject, after, arrival, done, pending, taking_of};
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

pub async fn what_was_taken_comes_back_byte_for_byte_after_a_crash<S: Subject>() {
    let subject = S::open(Settings::default());
    let given = arrival(0);
    subject.take_new(&given, pending("deploy", &["a"])).await;
    comes_back(subject.crash().crash(), &given).await;
}

pub async fn what_was_taken_comes_back_after_a_clean_end<S: Subject>() {
    let subject = S::open(Settings::default());
    let given = Received {
        client: None,
        certificate: None,
        parameters: Vec::new(),
        body: Bytes::new(),
        ..arrival(0)
    };
    subject.take_new(&given, pending("deploy", &[])).await;
    comes_back(subject.restart().await.restart().await, &given).await;
}

pub async fn a_duplicate_is_recognised_also_after_a_crash<S: Subject>() {
    let subject = S::open(Settings::default());
    let first = arrival(0);
    subject.take_new(&first, pending("deploy", &["a"])).await;
    let duplicate = Ok(vec![Enqueued::Duplicate { of: first.id }]);
    assert_eq!(
        subject.take(&arrival(1), &[pending("deploy", &["a"])]).await,
        duplicate
    );
    let subject = subject.crash();
    assert_eq!(
        subject.take(&arrival(2), &[pending("deploy", &["a"])]).await,
        duplicate
    );
    let subject = subject.restart().await;
    assert_eq!(
        subject.take(&arrival(3), &[pending("deploy", &["a"])]).await,
        duplicate
    );
}

pub async fn nonces_are_remembered_for_each_rule<S: Subject>() {
    let subject = S::open(Settings::default());
    let first = arrival(0);
    subject.take_new(&first, pending("deploy", &["a"])).await;
    let both = [pending("record", &["a"]), pending("deploy", &["a"])];
    let taken = subject.take(&arrival(1), &both).await.unwrap();
    assert!(matches!(taken[..], [Enqueued::New(_), Enqueued::Duplicate { of }] if of == first.id));
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.events, counts.waiting, counts.dedup_keys), (2, 2, 2));
}

pub async fn any_nonce_of_several_is_enough<S: Subject>() {
    let subject = S::open(Settings::default());
    let first = arrival(0);
    subject.take_new(&first, pending("deploy", &["old", "new"])).await;
    for known in [&["new", "newest"][..], &["oldest", "old"], &["new"]] {
        let taken = subject
            .take(&arrival(1), &[pending("deploy", known)])
            .await
            .unwrap();
        assert_eq!(taken, [Enqueued::Duplicate { of: first.id }], "{known:?}");
    }
    subject
        .take_new(&arrival(2), pending("deploy", &["newest"]))
        .await;
}

pub async fn a_nonce_is_remembered_up_to_its_last_moment_and_then_taken_again<S: Subject>() {
    let subject = S::open(Settings::default());
    let first = arrival(0);
    let second = arrival(1001);
    subject.take_new(&first, pending("deploy", &["a"])).await;
    let taken = subject
        .take(&arrival(1000), &[pending("deploy", &["a"])])
        .await
        .unwrap();
    assert_eq!(taken, [Enqueued::Duplicate { of: first.id }]);
    let longer = NewDelivery {
        remember_until: after(2001),
        ..pending("deploy", &["a"])
    };
    subject.take_new(&second, longer).await;
    let subject = subject.crash();
    let taken = subject
        .take(&arrival(2001), &[pending("deploy", &["a"])])
        .await
        .unwrap();
    assert_eq!(taken, [Enqueued::Duplicate { of: second.id }]);
    assert_eq!(subject.store().counts().await.unwrap().dedup_keys, 1);
}

pub async fn a_delivery_that_runs_duplicates_is_new_and_its_nonce_stays_the_first_events<S: Subject>() {
    let subject = S::open(Settings::default());
    let first = arrival(0);
    subject.take_new(&first, pending("deploy", &["a"])).await;
    let again = NewDelivery {
        run_duplicates: true,
        remember_until: after(3000),
        ..pending("deploy", &["a"])
    };
    subject.take_new(&arrival(1), again).await;
    let taken = subject
        .take(&arrival(3000), &[pending("deploy", &["a"])])
        .await
        .unwrap();
    assert_eq!(taken, [Enqueued::Duplicate { of: first.id }]);
}

pub async fn a_remembered_nonce_is_never_shortened<S: Subject>() {
    let subject = S::open(Settings::default());
    let first = arrival(0);
    subject.take_new(&first, pending("deploy", &["a"])).await;
    let shorter = NewDelivery {
        run_duplicates: true,
        remember_until: after(10),
        ..pending("deploy", &["a"])
    };
    subject.take_new(&arrival(1), shorter).await;
    let taken = subject
        .take(&arrival(1000), &[pending("deploy", &["a"])])
        .await
        .unwrap();
    assert_eq!(taken, [Enqueued::Duplicate { of: first.id }]);
}

pub async fn two_deliveries_to_one_rule_in_one_taking_are_one_and_its_duplicate<S: Subject>() {
    let subject = S::open(Settings::default());
    let given = arrival(0);
    let twice = [pending("deploy", &["a", "a"]), pending("deploy", &["b", "a"])];
    let taken = subject.take(&given, &twice).await.unwrap();
    assert!(matches!(taken[..], [Enqueued::New(_), Enqueued::Duplicate { of }] if of == given.id));
}

pub async fn a_taking_of_duplicates_alone_leaves_no_trace<S: Subject>() {
    let subject = S::open(Settings::default());
    subject.take_new(&arrival(0), pending("deploy", &["a"])).await;
    let before = subject.store().counts().await.unwrap();
    let duplicate = arrival(1);
    subject
        .take(&duplicate, &[pending("deploy", &["b", "a"])])
        .await
        .unwrap();
    subject.take(&arrival(2), &[]).await.unwrap();
    assert_eq!(subject.store().counts().await.unwrap(), before);
    assert_eq!(subject.store().deliveries(duplicate.id).await, Ok(Vec::new()));
    // Its other dedup key is not remembered either.
    subject.take_new(&arrival(3), pending("deploy", &["b"])).await;
}

pub async fn an_id_is_taken_once<S: Subject>() {
    let subject = S::open(Settings::default());
    let given = arrival(0);
    subject.take_new(&given, pending("deploy", &["a"])).await;
    let before = subject.store().counts().await.unwrap();
    let again = subject.take(&given, &[pending("deploy", &["b"])]).await;
    assert_eq!(again, Err(StoreError::IdTaken { event: given.id }));
    assert_eq!(subject.store().counts().await.unwrap(), before);
    subject.take_new(&arrival(1), pending("deploy", &["b"])).await;
}

pub async fn of_64_callers_with_one_nonce_one_is_new<S: Subject>() {
    let subject = S::open(Settings::default());
    let mut callers = JoinSet::new();
    for caller in 0..64 {
        let store = subject.shared();
        callers.spawn(async move {
            store
                .take(taking_of(&arrival(caller), &[pending("deploy", &["a"])]))
                .await
        });
    }
    let taken: Vec<_> = callers
        .join_all()
        .await
        .into_iter()
        .flat_map(Result::unwrap)
        .collect();
    let new = taken
        .iter()
        .filter(|taken| matches!(taken, Enqueued::New(_)))
        .count();
    assert_eq!((new, taken.len()), (1, 64));
    let of: Vec<_> = taken
        .iter()
        .filter(|taken| matches!(taken, Enqueued::Duplicate { .. }))
        .collect();
    assert!(
        of.windows(2).all(|pair| pair[0] == pair[1]),
        "all are duplicates of the one"
    );
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.events, counts.waiting, counts.dedup_keys), (1, 1, 1));
}

pub async fn past_its_size_no_event_is_taken_and_everything_else_goes_on<S: Subject>() {
    let mut settings = Settings {
        max_size: Some(400_000),
        ..Settings::default()
    };
    settings.keep.done = Duration::ZERO;
    let subject = S::open(settings);
    let large = |millis| Received {
        body: Bytes::from(vec![b'x'; 50_000]),
        ..arrival(millis)
    };
    let mut taken = 0;
    let error = loop {
        match subject
            .take(&large(taken), &[pending("deploy", &[&taken.to_string()])])
            .await
        {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 20, "it is never full");
    };
    assert!(
        matches!(error, StoreError::Full { .. }) && error.may_pass(),
        "{error}"
    );
    let duplicate = subject
        .take(&large(0), &[pending("deploy", &["0"])])
        .await
        .unwrap();
    assert!(matches!(duplicate[..], [Enqueued::Duplicate { .. }]));
    for delivery in subject.lease_all(after(0)).await {
        subject.settle(delivery, done(1)).await;
    }
    subject.sweep_all(after(2)).await;
    subject.take_new(&large(3), pending("deploy", &["again"])).await;
}

pub async fn where_too_little_is_free_no_event_is_taken_and_everything_else_goes_on<S: Subject>() {
    let subject = S::open(Settings::default());
    let known = arrival(0);
    let delivery = subject.take_new(&known, pending("deploy", &["a"])).await;
    // More than any disk has.
    subject.store().adopt(Settings {
        min_free: u64::MAX,
        ..Settings::default()
    });
    let taken = subject.take(&arrival(1), &[pending("deploy", &["b"])]).await;
    let error = taken.unwrap_err();
    assert!(
        matches!(error, StoreError::Full { .. }) && error.may_pass(),
        "{error}"
    );
    let duplicate = subject.take(&arrival(2), &[pending("deploy", &["a"])]).await;
    assert_eq!(duplicate, Ok(vec![Enqueued::Duplicate { of: known.id }]));
    assert_eq!(subject.lease_all(after(0)).await, [delivery]);
    subject.settle(delivery, done(1)).await;
    subject.store().adopt(Settings {
        min_free: 0,
        ..Settings::default()
    });
    // Its dedup key was not remembered.
    subject.take_new(&arrival(3), pending("deploy", &["b"])).await;
}
