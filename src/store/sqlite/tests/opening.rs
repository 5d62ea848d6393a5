//! Opening a file: which files are accepted, and which are refused unchanged.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::super::{SqliteStore, schema};
use crate::store::contract::{Sqlite, Subject, UNLIMITED, after, arrival, new_event_of, pending};
use crate::store::{Settings, Store, StoreError};

/// A sound store of some pages, closed.
async fn sound() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    // A name with characters that a URI must escape.
    let path = folder.path().join("100% hook#yard?.db");
    let store = SqliteStore::open(&path, Settings::default()).unwrap();
    for number in 0..50 {
        let dedup_key = number.to_string();
        store
            .enqueue(new_event_of(
                &arrival(number),
                &[pending("deploy", &[&dedup_key])],
            ))
            .await
            .unwrap();
    }
    store.close().await.unwrap();
    (folder, path)
}

/// Checks that opening fails and leaves the file and its folder unchanged.
fn refused(path: &Path) -> StoreError {
    let names = || {
        let folder = fs::read_dir(path.parent().unwrap()).unwrap();
        let mut names: Vec<_> = folder.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let (bytes, before) = (fs::read(path).ok(), names());
    let error = SqliteStore::open(path, Settings::default()).unwrap_err();
    assert_eq!(fs::read(path).ok(), bytes);
    assert_eq!(names(), before, "{error}");
    error
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let (_folder, path) = sound().await;
    let sound = fs::read(&path).unwrap();
    let page = 8192;
    for damage in [page + 3, 5 * page, 9 * page + 1] {
        let mut bytes = sound.clone();
        bytes[damage..damage + 64].fill(0xa5);
        fs::write(&path, &bytes).unwrap();
        let error = refused(&path);
        assert!(
            matches!(error, StoreError::Damaged { .. }),
            "at {damage}: {error}"
        );
    }
    fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    let error = refused(&path);
    assert!(
        matches!(error, StoreError::Damaged { .. }),
        "cut in half: {error}"
    );
    fs::write(&path, b"").unwrap();
    let error = refused(&path);
    let message = format!(
        "the store `{}` is damaged: it is empty; it was left as it is: restore it from a backup, or move it away \
         (with the files `-wal` and `-shm` beside it) to start with an empty one",
        path.canonicalize().unwrap().display()
    );
    assert_eq!(error.to_string(), message);
    fs::write(&path, &sound).unwrap();
    SqliteStore::open(&path, Settings::default()).unwrap();
}

#[tokio::test]
async fn a_log_without_its_database_is_damage_and_no_beginning() {
    let (_folder, path) = sound().await;
    fs::rename(&path, path.with_extension("db-wal")).unwrap();
    let error = refused(&path);
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_is_something_else_is_refused() {
    let (_folder, path) = sound().await;
    let sound = fs::read(&path).unwrap();
    let mut zeroed = sound.clone();
    zeroed[..8192].fill(0);
    for bytes in [&b"hello"[..], &[0; 5000], &zeroed, b"SQLite format 3\0"] {
        fs::write(&path, bytes).unwrap();
        let error = refused(&path);
        assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
    }
    let other = path.with_file_name("other.db");
    let connection = Connection::open(&other).unwrap();
    connection.execute_batch("CREATE TABLE songs (title)").unwrap();
    connection.close().unwrap();
    let error = refused(&other);
    let message = format!(
        "`{}` is not a hookyard store: it is a database of another program; it was left as it is: name another path",
        other.canonicalize().unwrap().display()
    );
    assert_eq!(error.to_string(), message);
}

#[tokio::test]
async fn a_newer_version_is_refused_also_while_it_is_only_in_the_log() {
    let (_folder, path) = sound().await;
    let connection = Connection::open(&path).unwrap();
    let known = schema::version(schema::STEPS);
    let found = known + 1;
    connection.pragma_update(None, "user_version", found).unwrap();
    // A copy of the state that a killed process leaves. The version is in the log and not yet in
    // the file.
    let killed = tempfile::tempdir().unwrap();
    let copy = killed.path().join("hookyard.db");
    fs::copy(&path, &copy).unwrap();
    let log = |path: &Path| path.with_extension("db-wal");
    fs::copy(log(&path), log(&copy)).unwrap();
    connection.close().unwrap();
    let newer = |path: &Path| StoreError::Newer {
        path: path.canonicalize().unwrap(),
        found,
        known,
    };
    assert_eq!(refused(&path), newer(&path));
    let before = (fs::read(&copy).unwrap(), fs::read(log(&copy)).unwrap());
    let error = SqliteStore::open(&copy, Settings::default()).unwrap_err();
    assert_eq!(error, newer(&copy));
    assert_eq!((fs::read(&copy).unwrap(), fs::read(log(&copy)).unwrap()), before);
}

#[test]
fn a_lock_that_is_about_to_be_let_go_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(SqliteStore::open(&path, Settings::default()).unwrap());
    let lock = fs::File::open(&path).unwrap();
    lock.lock().unwrap();
    let holder = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(lock);
    });
    drop(SqliteStore::open(&path, Settings::default()).unwrap());
    holder.join().unwrap();
}

#[tokio::test]
async fn a_second_daemon_is_turned_away_by_whatever_name_and_a_reader_is_not() {
    let subject = Sqlite::open(Settings::default()).await;
    subject.enqueue_new(&arrival(0), pending("deploy", &["a"])).await;
    let path = subject.path();
    let link = path.with_file_name("link.db");
    symlink(&path, &link).unwrap();
    for name in [&path, &link] {
        let by = Some(std::process::id());
        let path = path.canonicalize().unwrap();
        assert_eq!(
            SqliteStore::open(name, Settings::default()).unwrap_err(),
            StoreError::InUse { path, by }
        );
    }
    let reader = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let rule = reader.query_row("SELECT rule FROM deliveries", [], |row| row.get(0));
    assert_eq!(rule, Ok("deploy".to_owned()));
    subject.store().close().await.unwrap();
    SqliteStore::open(&path, Settings::default()).unwrap();
}

#[tokio::test]
async fn nobody_else_may_read_the_files() {
    let subject = Sqlite::open(Settings::default()).await;
    subject.enqueue_new(&arrival(0), pending("deploy", &["a"])).await;
    for suffix in ["", "-wal", "-shm"] {
        let file = subject.path().with_file_name(format!("hookyard.db{suffix}"));
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn a_folder_that_is_not_there_or_a_folder_in_its_place_is_an_error_with_the_path() {
    let folder = tempfile::tempdir().unwrap();
    for path in [
        folder.path().join("none/hookyard.db"),
        folder.path().to_path_buf(),
    ] {
        let error = SqliteStore::open(&path, Settings::default()).unwrap_err();
        assert!(matches!(error, StoreError::Unopenable { .. }), "{error}");
        assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    }
}

#[tokio::test]
async fn a_pipe_in_place_of_any_file_of_the_store_is_not_waited_for() {
    for suffix in ["", "-wal", "-shm", "-journal", ".new"] {
        let (_folder, path) = sound().await;
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let pipe = path.with_file_name(format!("{name}{suffix}"));
        if suffix == ".new" {
            fs::remove_file(&path).unwrap();
        }
        drop(fs::remove_file(&pipe));
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let error = SqliteStore::open(&path, Settings::default()).unwrap_err();
        let message = format!("{name}{suffix}` cannot be opened");
        assert!(error.to_string().contains(&message), "{suffix}: {error}");
        if suffix != ".new" {
            assert!(
                error.to_string().contains("it is a named pipe, not a file"),
                "{error}"
            );
            assert_eq!(
                super::super::check(&path).unwrap_err().to_string(),
                error.to_string()
            );
        }
    }
}

#[tokio::test]
async fn a_draft_that_a_crash_has_left_is_no_hindrance() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hookyard.db");
    fs::write(path.with_extension("db.new"), "half").unwrap();
    let store = SqliteStore::open(&path, Settings::default()).unwrap();
    assert_eq!(store.next_due(UNLIMITED.into()).await, Ok(None));
    assert!(!path.with_extension("db.new").exists());
    drop(store);
    let again = SqliteStore::open(&path, Settings::default()).unwrap();
    assert!(
        again
            .lease(UNLIMITED.into(), after(0))
            .await
            .unwrap()
            .leases
            .is_empty()
    );
}

#[test]
fn sqlite_is_built_to_sync_data_without_the_time_of_change() {
    // The build of SQLite had the same environment (`.cargo/config.toml`). No pragma shows this
    // flag.
    let flags = option_env!("LIBSQLITE3_FLAGS").unwrap_or_default();
    assert!(flags.starts_with("-DHAVE_FDATASYNC=1 "), "{flags}");
}
