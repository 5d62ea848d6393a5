//! No answered write is lost, however the process ends.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::super::SqliteStore;
use crate::event::EventId;
use crate::store::contract::{Sqlite, Subject, UNLIMITED, after, arrival, done, new_event_of, pending};
use crate::store::{Enqueued, Settings, Store};

/// Copies the files between two rounds of the writer.
async fn killed(subject: &Sqlite) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (subject.path(), folder.path().join("hookyard.db"));
    let copy = to.clone();
    let copied = subject.sqlite().read(move |_| {
        fs::copy(&from, &copy).unwrap();
        fs::copy(from.with_extension("db-wal"), copy.with_extension("db-wal")).unwrap();
        Ok(())
    });
    copied.await.unwrap();
    (folder, to)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_answered_is_there_after_a_kill_in_the_midst_of_work() {
    let subject = Sqlite::open(Settings::default()).await;
    let answered: Arc<Mutex<HashSet<EventId>>> = Arc::default();
    let mut senders = JoinSet::new();
    for sender in 0..8 {
        let (store, answered) = (subject.shared(), Arc::clone(&answered));
        senders.spawn(async move {
            for number in 0..50 {
                let received = arrival(number);
                let dedup_key = format!("{sender} {number}");
                let taken = store
                    .enqueue(new_event_of(&received, &[pending("deploy", &[&dedup_key])]))
                    .await
                    .unwrap();
                assert!(matches!(taken[..], [Enqueued::New(_)]));
                answered.lock().insert(received.id);
            }
        });
    }
    for _ in 0..10 {
        let before: Vec<_> = answered.lock().iter().copied().collect();
        let (_folder, path) = killed(&subject).await;
        let store = SqliteStore::open(&path, Settings::default()).unwrap();
        let leases = store.lease(UNLIMITED.into(), after(0)).await.unwrap().leases;
        let found: HashSet<_> = leases.iter().map(|lease| lease.received.id).collect();
        assert!(before.iter().all(|event| found.contains(event)));
        assert_eq!(found.len(), leases.len());
        tokio::task::yield_now().await;
    }
    senders.join_all().await;
}

#[tokio::test]
async fn a_log_cut_anywhere_holds_whole_events_and_no_half_ones() {
    let subject = Sqlite::open(Settings::default()).await;
    let mut order = BTreeMap::new();
    for number in 0_u32..40 {
        let received = arrival(0);
        let dedup_key = number.to_string();
        order.insert(received.id.to_string(), number);
        let both = [pending("deploy", &[&dedup_key]), pending("record", &[&dedup_key])];
        subject.enqueue(&received, &both).await.unwrap();
        let leases = subject.leases(after(0)).await;
        subject.settle(leases[0].delivery, done(0)).await;
    }
    let (_folder, path) = killed(&subject).await;
    let log = path.with_extension("db-wal");
    let whole = (fs::read(&path).unwrap(), fs::read(&log).unwrap());
    let mut most = 0;
    for cut in (0..=whole.1.len()).step_by(whole.1.len() / 30) {
        fs::write(&path, &whole.0).unwrap();
        fs::write(&log, &whole.1[..cut]).unwrap();
        SqliteStore::open(&path, Settings::default())
            .unwrap()
            .close()
            .await
            .unwrap();
        let connection = Connection::open(&path).unwrap();
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
        let events = number("SELECT count(*) FROM events");
        let mut ids = connection.prepare("SELECT id FROM events ORDER BY seq").unwrap();
        let ids = ids.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let numbers: Vec<_> = ids.map(|id| order[&id.unwrap()]).collect();
        assert_eq!(numbers, (0..events).collect::<Vec<_>>(), "the first so many");
        for table in ["deliveries", "dedup_keys"] {
            assert_eq!(
                number(&format!("SELECT count(*) FROM {table}")),
                2 * events,
                "{table}"
            );
        }
        let pending = number("SELECT coalesce(sum(pending), 0) FROM events");
        assert_eq!(
            pending,
            number("SELECT count(*) FROM deliveries WHERE state IN ('debounced', 'queued', 'ready')")
        );
        assert!(events >= most);
        most = events;
    }
    assert!(most >= 39, "{most}");
}

#[tokio::test]
async fn a_store_dropped_without_being_closed_has_carried_out_what_was_called() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hookyard.db");
    for number in 0..5 {
        let store = SqliteStore::open(&path, Settings::default()).unwrap();
        assert_eq!(store.counts().await.unwrap().waiting, number);
        let dedup_key = number.to_string();
        store
            .enqueue(new_event_of(&arrival(0), &[pending("deploy", &[&dedup_key])]))
            .await
            .unwrap();
        drop(store);
    }
}
