//! Deliveries of the elements of an event, for rules with `for_each`.

use super::{Subject, after, arrival, done, pending};
use crate::event::Received;
use crate::store::{
    DeliveryFailure, DeliveryId, DeliveryState, Enqueued, Expansion, Group, NewDelivery, Overlap, Settings,
    Settlement, StoreError,
};

/// Deliveries of elements to one rule. The first has the dedup keys.
fn elements(items: &[u32], dedup_keys: &[&str]) -> Vec<NewDelivery> {
    let element = |(at, item): (usize, &u32)| NewDelivery {
        item: Some(*item),
        ..pending("alerts", if at == 0 { dedup_keys } else { &[] })
    };
    items.iter().enumerate().map(element).collect()
}

/// Ids of the deliveries in the order of the answer.
fn ids(enqueued: &[Enqueued]) -> Vec<DeliveryId> {
    let id = |one: &Enqueued| match one {
        Enqueued::New(id) | Enqueued::InPlaceOf(id, _) | Enqueued::Skipped(id) => *id,
        other => panic!("not new: {other:?}"),
    };
    enqueued.iter().map(id).collect()
}

fn expansion(delivery: DeliveryId, of: &Received, items: &[u32]) -> Expansion {
    Expansion {
        delivery,
        event: of.id,
        reason: "expanded".to_owned(),
        deliveries: elements(items, &[]),
        at: after(5),
    }
}

async fn states<S: Subject>(subject: &S, of: &Received) -> Vec<(Option<u32>, DeliveryState)> {
    let listed = subject.store().deliveries(of.id).await.unwrap();
    listed.into_iter().map(|one| (one.item, one.state)).collect()
}

pub async fn elements_are_new_together_and_duplicates_together<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let first = arrival(0);
    let mut deliveries = elements(&[0, 2, 7], &["a"]);
    deliveries.push(pending("other", &["a"]));
    let enqueued = subject.enqueue(&first, &deliveries).await.unwrap();
    assert_eq!(ids(&enqueued).len(), 4);
    // Another selection of the same event is a duplicate as a whole.
    let again = subject
        .enqueue(&arrival(1), &elements(&[0, 1, 2, 3], &["a"]))
        .await;
    assert_eq!(again, Ok(vec![Enqueued::Duplicate { of: first.id }; 4]));
    // Elements of two rules are decided apart.
    let other = |rule: &str, key: &str| NewDelivery {
        item: Some(0),
        ..pending(rule, &[key])
    };
    let two = [other("alerts", "a"), other("more", "a")];
    let enqueued = subject.enqueue(&arrival(2), &two).await.unwrap();
    assert_eq!(enqueued[0], Enqueued::Duplicate { of: first.id });
    assert!(enqueued[1].is_new());
}

pub async fn a_lease_tells_its_element_also_after_a_crash<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let received = arrival(0);
    let enqueued = subject.enqueue(&received, &elements(&[1, 4], &[])).await.unwrap();
    let ids = ids(&enqueued);
    let told = |leases: Vec<crate::store::Lease>| -> Vec<_> {
        leases
            .into_iter()
            .map(|lease| (lease.delivery, lease.item))
            .collect()
    };
    let expected = [(ids[0], Some(1)), (ids[1], Some(4))];
    assert_eq!(told(subject.leases(after(0)).await), expected);
    subject.settle(ids[0], done(0)).await;
    let subject = subject.crash().await;
    assert_eq!(told(subject.leases(after(0)).await), expected[1..]);
    // The ids are those of the event, the rule and the element.
    let other = S::open(Settings::default()).await;
    let again = other.enqueue(&received, &elements(&[4], &[])).await.unwrap();
    assert_eq!(again, [Enqueued::New(ids[1])]);
}

pub async fn each_element_is_in_its_own_group_and_has_its_own_failure<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let received = arrival(0);
    let mut deliveries = elements(&[0, 1, 2], &[]);
    for (delivery, name) in deliveries.iter_mut().zip(["x", "y", "x"]) {
        delivery.group = Some(Group {
            name: name.into(),
            limit: 1,
            overlap: Overlap::Queue,
        });
    }
    let ids = ids(&subject.enqueue(&received, &deliveries).await.unwrap());
    assert_eq!(subject.lease_all(after(0)).await, ids[..2]);
    let dead = Settlement::Dead {
        at: after(1),
        reason: "exit 3".to_owned(),
        forget_dedup_keys: false,
        failure: Some(Box::new(DeliveryFailure::default())),
    };
    subject.settle(ids[0], dead).await;
    let leases = subject.leases(after(1)).await;
    let told: Vec<_> = leases
        .iter()
        .map(|lease| (lease.item, lease.failure.is_some()))
        .collect();
    assert_eq!(told, [(Some(2), false), (Some(0), true)]);
}

pub async fn an_expansion_replaces_a_delivery_in_one_write<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let received = arrival(0);
    let whole = subject.enqueue_new(&received, pending("alerts", &["a"])).await;
    subject.lease_all(after(0)).await;
    let expanded = subject.store().expand(expansion(whole, &received, &[0, 1])).await;
    let ids = ids(&expanded.unwrap());
    let subject = subject.crash().await;
    let (at, reason) = (after(5), "expanded".to_owned());
    let ready = |item| (Some(item), DeliveryState::Ready { due: after(0) });
    let superseded = (None, DeliveryState::Superseded { at, reason });
    assert_eq!(
        states(&subject, &received).await,
        [superseded, ready(0), ready(1)]
    );
    assert_eq!(subject.lease_all(after(5)).await, ids);
    for id in ids {
        subject.settle(id, done(6)).await;
    }
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.dead, counts.waiting, counts.done), (0, 0, 3));
}

pub async fn an_expansion_leaves_what_there_is_already<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let received = arrival(0);
    let mut deliveries = vec![pending("alerts", &[])];
    deliveries.extend(elements(&[1], &[]));
    let enqueued = subject.enqueue(&received, &deliveries).await.unwrap();
    let [whole, known] = ids(&enqueued)[..] else {
        panic!("{enqueued:?}");
    };
    subject.lease_all(after(0)).await;
    let expanded = subject
        .store()
        .expand(expansion(whole, &received, &[0, 1]))
        .await
        .unwrap();
    assert!(expanded[0].is_new());
    assert_eq!(expanded[1], Enqueued::Duplicate { of: received.id });
    subject.settle(known, done(6)).await;
    assert_eq!(states(&subject, &received).await.len(), 3);
}

pub async fn an_expansion_needs_a_lease<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let received = arrival(0);
    let delivery = subject.enqueue_new(&received, pending("alerts", &[])).await;
    let expanded = subject.store().expand(expansion(delivery, &received, &[0])).await;
    assert_eq!(expanded, Err(StoreError::NotLeased { delivery }));
    assert_eq!(states(&subject, &received).await.len(), 1);
}
