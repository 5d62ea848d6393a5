//! Sightings: signed contents that an endpoint remembers, whichever rules wanted the request.

use std::sync::Arc;

use super::{Subject, after, arrival, dedup_key, pending};
use crate::base::clock::Timestamp;
use crate::event::Received;
use crate::store::sighting::Headers;
use crate::store::{Enqueued, NewDelivery, Settings, Sighting};

/// A sighting of these keys and headers, remembered for a second.
pub fn sighting(received: &Received, keys: &[&str], headers: &str) -> Sighting {
    Sighting {
        endpoint: Arc::clone(&received.endpoint),
        event: received.id,
        at: received.at,
        keys: keys.iter().map(|key| dedup_key(key)).collect(),
        headers: Headers::parse(headers),
        remember_until: after(1000),
    }
}

/// A delivery with such a sighting.
fn seen(received: &Received, rule: &str, keys: &[&str], headers: &str) -> NewDelivery {
    NewDelivery {
        sighting: Some(Arc::new(sighting(received, keys, headers))),
        ..pending(rule, keys)
    }
}

fn altered(of: &Received, header: &str) -> Enqueued {
    Enqueued::Altered {
        of: of.id,
        header: header.into(),
    }
}

pub async fn the_same_content_with_another_header_is_refused_for_every_rule<S: Subject>() {
    let mut subject = S::open(Settings::default()).await;
    let first = arrival(0);
    subject
        .enqueue_new(&first, seen(&first, "deploy", &["a"], "x-event=1"))
        .await;
    for rule in ["deploy", "record"] {
        let second = arrival(10);
        let mut delivery = seen(&second, rule, &["a"], "x-event=2");
        for run_duplicates in [false, true] {
            delivery.run_duplicates = run_duplicates;
            let enqueued = subject.enqueue(&second, &[delivery.clone()]).await;
            assert_eq!(enqueued, Ok(vec![altered(&first, "x-event")]), "{rule}");
        }
        subject = subject.crash().await;
    }
    // Unchanged, another rule accepts it. On another endpoint its content is new.
    let again = arrival(20);
    subject
        .enqueue_new(&again, seen(&again, "record", &["a"], "x-event=1"))
        .await;
    let elsewhere = Received {
        endpoint: "/other".into(),
        ..arrival(30)
    };
    subject
        .enqueue_new(&elsewhere, seen(&elsewhere, "other", &["a"], "x-event=2"))
        .await;
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.events, counts.sightings), (3, 2));
}

pub async fn an_ignored_sighting_counts_at_once_and_after_a_restart<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let ignored = arrival(0);
    subject
        .store()
        .remember_sighting(sighting(&ignored, &["a"], "x-event=1"));
    let second = arrival(10);
    let delivery = seen(&second, "deploy", &["a"], "x-event=2");
    let expected = Ok(vec![altered(&ignored, "x-event")]);
    assert_eq!(
        subject.enqueue(&second, std::slice::from_ref(&delivery)).await,
        expected
    );
    let subject = subject.restart().await;
    assert_eq!(subject.enqueue(&second, &[delivery]).await, expected);
    // Byte for byte it is accepted, because the rules may have changed in between.
    let same = seen(&second, "deploy", &["a"], "x-event=1");
    subject.enqueue_new(&second, same).await;
}

pub async fn waiting_sightings_are_written_at_a_clean_stop<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let ignored = arrival(0);
    subject
        .store()
        .remember_sighting(sighting(&ignored, &["a"], "x-event=1"));
    let subject = subject.restart().await;
    assert_eq!(subject.store().counts().await.unwrap().sightings, 1);
}

pub async fn the_first_sighting_counts_and_later_ones_add_headers<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = arrival(0);
    let store = subject.store();
    store.remember_sighting(sighting(&first, &["a"], "x-event=1"));
    // An altering sighting changes nothing. One with more headers adds them.
    store.remember_sighting(sighting(&arrival(1), &["a"], "x-event=2"));
    store.remember_sighting(sighting(&arrival(2), &["a"], "x-more=3"));
    assert_eq!(store.counts().await.unwrap().sightings, 1);
    for (headers, header) in [
        ("x-event=2", Some("x-event")),
        ("x-more=4", Some("x-more")),
        ("x-event=1 x-more=3 x-new=5", None),
    ] {
        let next = arrival(10);
        let enqueued = subject
            .enqueue(&next, &[seen(&next, "deploy", &["a"], headers)])
            .await
            .unwrap();
        match header {
            Some(header) => assert_eq!(enqueued, [altered(&first, header)], "{headers}"),
            None => assert!(enqueued[0].is_new(), "{enqueued:?}"),
        }
    }
}

pub async fn any_key_of_several_is_enough_for_a_sighting<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = arrival(0);
    let both = seen(&first, "deploy", &["old", "new"], "x-event=1");
    subject.enqueue_new(&first, both).await;
    for keys in [&["new", "newest"][..], &["oldest", "old"]] {
        let next = arrival(1);
        let enqueued = subject
            .enqueue(&next, &[seen(&next, "deploy", keys, "x-event=2")])
            .await;
        assert_eq!(enqueued, Ok(vec![altered(&first, "x-event")]));
    }
}

pub async fn sightings_are_forgotten_like_dedup_keys<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = arrival(0);
    subject
        .store()
        .remember_sighting(sighting(&first, &["a"], "x-event=1"));
    let late = |millis: i64| {
        let next = arrival(millis);
        (next.clone(), seen(&next, "deploy", &["a"], "x-event=2"))
    };
    let (next, delivery) = late(1000);
    let enqueued = subject.enqueue(&next, &[delivery]).await;
    assert_eq!(enqueued, Ok(vec![altered(&first, "x-event")]));
    assert_eq!(subject.sweep_all(after(7_201_000)).await, 0);
    assert_eq!(subject.sweep_all(after(7_201_001)).await, 1);
    let (next, mut delivery) = late(1001);
    delivery.remember_until = Timestamp::from_millis(i64::MAX);
    subject.enqueue_new(&next, delivery).await;
}

pub async fn an_expired_sighting_is_replaced<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = arrival(0);
    subject
        .store()
        .remember_sighting(sighting(&first, &["a"], "x-event=1"));
    let second = arrival(1001);
    let longer = Sighting {
        remember_until: after(2001),
        ..sighting(&second, &["a"], "x-event=2")
    };
    subject.store().remember_sighting(longer);
    let third = arrival(2001);
    let enqueued = subject
        .enqueue(&third, &[seen(&third, "deploy", &["a"], "x-event=1")])
        .await;
    assert_eq!(enqueued, Ok(vec![altered(&second, "x-event")]));
    assert_eq!(subject.store().counts().await.unwrap().sightings, 1);
}
