//! The operator's changes to the file, while the store is open and when it is closed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;

use super::super::{History, SqliteStore, back_up, check, drop_deliveries, replay, vacuum};
use crate::store::contract::{Sqlite, Subject, UNLIMITED, after, arrival, done, pending, record};
use crate::store::{
    DeliveryFilter, DeliveryState, Dropped, Group, Lookup, Named, NewDelivery, Overlap, Settings, Settled,
    Settlement, Store, StoreError,
};

fn dead(millis: i64) -> Settlement {
    Settlement::Dead {
        at: after(millis),
        reason: "exit 3".to_owned(),
        forget_dedup_keys: false,
        failure: None,
    }
}

#[tokio::test]
async fn a_dead_delivery_is_replayed_from_its_first_action_and_that_is_recorded() {
    let subject = Sqlite::open(Settings::default()).await;
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
    assert_eq!(replay(&subject.path(), &[id], after(10), "lea"), Ok(1));
    // Only once: the delivery waits now.
    assert_eq!(replay(&subject.path(), &[id], after(11), "lea"), Ok(0));
    assert_eq!(
        drop_deliveries(&subject.path(), &[], after(11), "lea"),
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
    let history = History::open(&subject.path()).unwrap();
    let listed = history.before(&DeliveryFilter::default(), i64::MAX, 9).unwrap();
    assert_eq!(
        (listed[0].delivery.state.clone(), listed[0].replays),
        (DeliveryState::Done { at: after(20) }, 1)
    );
    assert!(check(&subject.path()).unwrap().faults.is_empty());
}

#[tokio::test]
async fn a_running_delivery_that_is_dropped_can_be_replayed_at_once() {
    let subject = Sqlite::open(Settings::default()).await;
    let id = subject.enqueue_new(&arrival(0), pending("deploy", &["n"])).await;
    subject.lease_all(after(1)).await;
    let dropped = drop_deliveries(&subject.path(), &[id], after(0), "lea").unwrap();
    assert_eq!(dropped.given_up, 1);
    // With the same due time as before.
    assert_eq!(replay(&subject.path(), &[id], after(0), "lea"), Ok(1));
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

#[tokio::test]
async fn a_dropped_delivery_occupies_its_group_until_its_attempt_is_over() {
    let subject = Sqlite::open(Settings::default()).await;
    let in_group = || NewDelivery {
        group: Some(Group {
            name: "site".into(),
            limit: 1,
            overlap: Overlap::Queue,
        }),
        ..pending("deploy", &[])
    };
    let first = subject.enqueue_new(&arrival(0), in_group()).await;
    let second = subject.enqueue_new(&arrival(0), in_group()).await;
    assert_eq!(subject.lease_all(after(1)).await, [first]);
    let dropped = drop_deliveries(&subject.path(), &[first], after(2), "lea").unwrap();
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
    assert!(check(&subject.path()).unwrap().faults.is_empty());
}

#[tokio::test]
async fn an_ended_delivery_is_deleted_with_its_event_but_not_its_dedup_keys() {
    let subject = Sqlite::open(Settings::default()).await;
    let received = arrival(0);
    let two = [pending("deploy", &["n"]), pending("record", &["n"])];
    subject.enqueue(&received, &two).await.unwrap();
    let ids = subject.lease_all(after(1)).await;
    subject.settle(ids[0], dead(2)).await;
    subject.settle(ids[1], done(2)).await;
    let drop_one = |id| drop_deliveries(&subject.path(), &[id], after(3), "lea").unwrap();
    let one = Dropped {
        forgotten: 1,
        ..Dropped::default()
    };
    assert_eq!(drop_one(ids[0]), one);
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.dead, counts.done, counts.events), (0, 1, 1));
    // The event is swept as one without a dead delivery.
    assert!(check(&subject.path()).unwrap().faults.is_empty());
    assert_eq!(drop_one(ids[1]), one);
    assert_eq!(drop_one(ids[1]), Dropped::default());
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.done, counts.events, counts.dedup_keys), (0, 0, 2));
}

#[tokio::test]
async fn a_prefix_finds_an_id_if_it_fits_one_event_only() {
    let subject = Sqlite::open(Settings::default()).await;
    let (first, second) = (arrival(0), arrival(86_400_000));
    let ids = [
        subject.enqueue_new(&first, pending("deploy", &["a"])).await,
        subject.enqueue_new(&second, pending("deploy", &["b"])).await,
    ];
    let history = History::open(&subject.path()).unwrap();
    let find = |prefix: &str| history.find(prefix).unwrap();
    let event = Lookup::Found(Named::Event(first.id));
    assert_eq!(find(&first.id.to_string()), event);
    assert_eq!(find(first.id.to_string().get(..13).unwrap()), event);
    assert_eq!(find(&first.id.to_string().to_uppercase()), event);
    let delivery = Named::Delivery {
        id: ids[1],
        event: second.id,
    };
    assert_eq!(find(&ids[1].to_string()), Lookup::Found(delivery));
    for nothing in ["", "zz", "%", "ffffffff", "0' OR 1"] {
        assert_eq!(find(nothing), Lookup::Nothing, "{nothing}");
    }
    assert!(matches!(find("0"), Lookup::Several(ids) if ids.len() == 4));
}

#[tokio::test]
async fn a_backup_is_a_store_and_overwrites_nothing() {
    let subject = Sqlite::open(Settings::default()).await;
    let id = subject.enqueue_new(&arrival(0), pending("deploy", &["n"])).await;
    let target = subject.path().with_file_name("copy.db");
    back_up(&subject.path(), &target).unwrap();
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    let again = back_up(&subject.path(), &target).unwrap_err();
    assert!(matches!(again, StoreError::Unopenable { .. }), "{again}");
    assert!(!target.with_file_name("copy.db.part").exists());
    let copy = SqliteStore::open(&target, Settings::default()).unwrap();
    let leases = copy.lease(UNLIMITED.into(), after(1)).await.unwrap().leases;
    assert_eq!(leases[0].delivery, id);
}

#[tokio::test]
async fn only_a_closed_store_is_vacuumed() {
    let subject = Sqlite::open(Settings::default()).await;
    for number in 0..200 {
        subject
            .enqueue_new(&arrival(number), pending("deploy", &[]))
            .await;
    }
    let path = subject.path();
    assert!(matches!(vacuum(&path), Err(StoreError::InUse { .. })));
    subject.store().close().await.unwrap();
    let ids: Vec<_> = {
        let history = History::open(&path).unwrap();
        let listed = history.before(&DeliveryFilter::default(), i64::MAX, 999).unwrap();
        listed.iter().map(|entry| entry.delivery.id).collect()
    };
    let both = [
        drop_deliveries(&path, &ids, after(9), "lea").unwrap(),
        drop_deliveries(&path, &ids, after(9), "lea").unwrap(),
    ];
    assert_eq!((both[0].given_up, both[1].forgotten), (200, 200));
    let vacuumed = vacuum(&path).unwrap();
    assert!(vacuumed.after < vacuumed.before, "{vacuumed:?}");
    assert!(check(&path).unwrap().faults.is_empty());
}

#[tokio::test]
async fn a_foreign_file_or_another_version_is_left_alone() {
    let subject = Sqlite::open(Settings::default()).await;
    let path = subject.path();
    let missing = path.with_file_name("missing.db");
    assert!(matches!(
        History::open(&missing),
        Err(StoreError::Unopenable { .. })
    ));
    assert!(matches!(vacuum(&missing), Err(StoreError::Unopenable { .. })));
    assert!(!missing.exists());
    fs::write(&missing, "something else").unwrap();
    assert!(matches!(
        replay(&missing, &[], after(0), "lea"),
        Err(StoreError::NotAStore { .. })
    ));
    subject.store().close().await.unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 0).unwrap();
    drop(connection);
    assert!(matches!(
        History::open(&path),
        Err(StoreError::Older { found: 0, .. })
    ));
    assert!(matches!(
        replay(&path, &[], after(0), "lea"),
        Err(StoreError::Older { .. })
    ));
}
