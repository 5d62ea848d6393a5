//! Copies of the file, its size, and files that are no store of this version.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;

use super::super::{History, SqliteStore, back_up, check, drop_deliveries, replay, vacuum};
use crate::store::contract::{Sqlite, Subject, UNLIMITED, after, arrival, pending};
use crate::store::{DeliveryFilter, Settings, Store, StoreError};

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
