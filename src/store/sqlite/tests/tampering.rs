//! Files that another program truncates or overwrites while the store is open, and programs that
//! write to it as they may.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::super::SqliteStore;
use crate::store::contract::{Sqlite, Subject, UNLIMITED, after, arrival, new_event_of, pending};
use crate::store::{Settings, Store, StoreError};

/// Events that are in the log when a file is altered.
const EVENTS: u64 = 30;

/// A store with events in its log, and copies of its files from an earlier time.
struct Scene {
    subject: Sqlite,
    earlier: Vec<(PathBuf, Vec<u8>)>,
}

impl Scene {
    fn path(&self, suffix: &str) -> PathBuf {
        self.subject.path().with_file_name(format!("hookyard.db{suffix}"))
    }

    async fn enqueue(&self, number: u64) -> Result<(), StoreError> {
        enqueue(self.subject.sqlite(), number).await
    }

    /// Changes a file between two rounds of the writer. `change` gets the path and the content of
    /// an earlier time.
    async fn alter(&self, suffix: &str, change: impl FnOnce(&Path, &[u8]) + Send + 'static) {
        let path = self.path(suffix);
        let earlier = self.earlier.iter().find(|(earlier, _)| *earlier == path);
        let earlier = earlier.unwrap().1.clone();
        let changed = self.subject.sqlite().read_unchecked(move |_| {
            change(&path, &earlier);
            Ok(())
        });
        changed.await.unwrap();
    }
}

async fn enqueue(store: &SqliteStore, number: u64) -> Result<(), StoreError> {
    let dedup_key = number.to_string();
    let taken = store
        .enqueue(new_event_of(&arrival(0), &[pending("deploy", &[&dedup_key])]))
        .await;
    taken.map(drop)
}

async fn scene() -> Scene {
    let mut scene = Scene {
        subject: Sqlite::open(Settings::default()).await,
        earlier: Vec::new(),
    };
    for number in 0..EVENTS {
        scene.enqueue(number).await.unwrap();
        if number == EVENTS / 2 {
            let files = ["", "-wal", "-shm"].map(|suffix| scene.path(suffix));
            let store = scene.subject.sqlite();
            let copied = store.read(move |_| {
                let read = |path: &PathBuf| (path.clone(), fs::read(path).unwrap());
                Ok(files.iter().map(read).collect())
            });
            scene.earlier = copied.await.unwrap();
        }
    }
    scene
}

/// Sets the length of a file.
fn cut(path: &Path, length: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

/// Overwrites a part of a file.
fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

#[tokio::test]
async fn a_file_that_is_truncated_or_overwritten_takes_nothing_and_is_told() {
    type Change = fn(&Path, &[u8]);
    let empty: Change = |path, _| cut(path, 0);
    let half: Change = |path, _| cut(path, fs::metadata(path).unwrap().len() / 2);
    let zeroed: Change = |path, _| fs::write(path, vec![0; fs::read(path).unwrap().len()]).unwrap();
    let earlier: Change = |path, earlier| fs::write(path, earlier).unwrap();
    let headless: Change = |path, _| overwrite(path, 0, &[0xa5; 32]);
    let last_frame: Change = |path, _| {
        let frame = [0xa5; 8192 + 24];
        overwrite(
            path,
            fs::metadata(path).unwrap().len() - frame.len() as u64,
            &frame,
        );
    };
    let cases = [
        ("", "emptied", empty, "truncated"),
        ("", "halved", half, "truncated"),
        ("", "zeroed", zeroed, "overwritten"),
        ("", "its header", headless, "overwritten"),
        ("-wal", "emptied", empty, "truncated"),
        ("-wal", "halved", half, "truncated"),
        ("-wal", "restored", earlier, "truncated"),
        ("-wal", "zeroed", zeroed, "overwritten"),
        ("-wal", "its header", headless, "overwritten"),
        ("-wal", "its end", last_frame, "overwritten"),
        ("-shm", "zeroed", zeroed, "overwritten"),
        ("-shm", "restored", earlier, "overwritten"),
    ];
    for (suffix, what, change, how) in cases {
        let scene = scene().await;
        scene.alter(suffix, change).await;
        let path = scene.subject.path().canonicalize().unwrap();
        let message = format!("`{}` was {how} by another program", scene.path(suffix).display());
        for _ in 0..2 {
            let error = scene.enqueue(99).await.unwrap_err();
            assert!(
                matches!(&error, StoreError::Altered { path: of, detail } if *of == path && detail.contains(&message)),
                "{suffix} {what}: {error}"
            );
            assert!(error.may_pass());
        }
        let store = scene.subject.store();
        let full = store.health().await.unwrap().full.unwrap();
        assert!(full.contains(&message), "{suffix} {what}: {full}");
        let error = store.lease(UNLIMITED.into(), after(0)).await.unwrap_err();
        assert!(error.to_string().contains(&message), "{suffix} {what}: {error}");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_truncated_index_costs_nothing_but_a_restart() {
    for length in [0, 100, (32 << 10) - 1] {
        let scene = scene().await;
        scene.alter("-shm", move |path, _| cut(path, length)).await;
        let store = scene.subject.store();
        let error = scene.enqueue(99).await.unwrap_err();
        assert!(error.to_string().contains("nothing is lost"), "{error}");
        assert!(store.counts().await.is_err());
        assert!(store.health().await.unwrap().full.is_some());
        store.close().await.unwrap();
        let again = SqliteStore::open(&scene.subject.path(), Settings::default()).unwrap();
        assert_eq!(again.counts().await.unwrap().waiting, EVENTS);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_use_the_store_as_sqlite_does_alarm_nobody() {
    let subject = Sqlite::open(Settings::default()).await;
    let path = subject.path();
    let other = std::thread::spawn(move || {
        let other = Connection::open(&path).unwrap();
        other.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        other
            .execute_batch("CREATE TABLE much (x); PRAGMA wal_autocheckpoint = 3")
            .unwrap();
        for round in 0..60 {
            let checkpoint = ["PASSIVE", "TRUNCATE", "RESTART", "FULL"][round % 4];
            let sql = format!(
                "INSERT INTO much VALUES (zeroblob(100000)), (zeroblob(100000)); PRAGMA wal_checkpoint({checkpoint}); \
                 DELETE FROM much WHERE rowid % 2; PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(PASSIVE)"
            );
            other.execute_batch(&sql).unwrap();
        }
        other.execute_batch("VACUUM").unwrap();
    });
    let mut number = 0;
    while !other.is_finished() || number < EVENTS {
        number += 1;
        enqueue(subject.sqlite(), number).await.unwrap();
        let leased = subject.store().lease(UNLIMITED.into(), after(0)).await.unwrap();
        drop(leased);
        assert_eq!(subject.store().health().await.unwrap().full, None);
    }
    other.join().unwrap();
    // A file that is touched is not another one.
    let database = OpenOptions::new().write(true).open(subject.path()).unwrap();
    database.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    enqueue(subject.sqlite(), 0).await.unwrap();
}
