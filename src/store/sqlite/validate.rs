//! Checks of a store file before anything is written: is it a hookyard store of a known version,
//! and is it sound?
//!
//! The checks write nothing. The file is locked and opened for writing in `file.rs`.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::access::{BUSY_TIMEOUT, beside, map_error, open_now, unopenable};
use super::schema::{self, APPLICATION_ID, STEPS};
use crate::base::file;
use crate::store::StoreError;

/// Maximum bytes of a file that is checked completely when it is opened. A larger file would delay
/// the start.
const FULL_CHECK_BYTES: u64 = 64 << 20;

/// Checks the first bytes. Anything more would let `SQLite` write files beside the store.
pub(super) fn check_header(path: &Path) -> Result<(), StoreError> {
    let mut head = Vec::with_capacity(100);
    match open_now(path) {
        Ok(file) => file
            .take(100)
            .read_to_end(&mut head)
            .map_err(|error| unopenable(path, &error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return check_orphaned_log(path),
        Err(error) => return Err(unopenable(path, &error)),
    };
    if head.is_empty() {
        return Err(damaged(path, "it is empty".to_owned()));
    }
    let field = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
    // Offsets of the user version and the application id:
    // https://www.sqlite.org/fileformat2.html#the_database_header.
    let (Some(version), Some(application), true) =
        (field(60), field(68), head.starts_with(b"SQLite format 3\0"))
    else {
        return Err(not_a_store(path, "it does not begin as an SQLite database does"));
    };
    trusted(path, i64::from(application), i64::from(version))
}

/// Rejects a log without its database: these are the remains of a store, and no new one must be
/// created there.
pub(super) fn check_orphaned_log(path: &Path) -> Result<(), StoreError> {
    let log = beside(path, "-wal");
    if log.metadata().is_ok_and(|log| log.len() > 0) {
        return Err(damaged(
            path,
            format!(
                "it is missing, but its write-ahead log `{}` is there",
                log.display()
            ),
        ));
    }
    Ok(())
}

fn damaged(path: &Path, detail: String) -> StoreError {
    StoreError::Damaged {
        path: path.to_path_buf(),
        detail,
    }
}

fn not_a_store(path: &Path, detail: &str) -> StoreError {
    StoreError::NotAStore {
        path: path.to_path_buf(),
        detail: detail.to_owned(),
    }
}

/// Checks that a database of this application id and version may be opened.
fn trusted(path: &Path, application: i64, version: i64) -> Result<(), StoreError> {
    if application != i64::from(APPLICATION_ID) {
        return Err(not_a_store(path, "it is a database of another program"));
    }
    let known = schema::version(STEPS);
    if version > known {
        return Err(StoreError::Newer {
            path: path.to_path_buf(),
            found: version,
            known,
        });
    }
    Ok(())
}

/// Checks that the database is sound and of a known version, through a connection that writes
/// nothing.
pub(super) fn check_store(path: &Path) -> Result<(), StoreError> {
    let connection = read_only(path)?;
    let number = |name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(|error| map_error(path, &error))
    };
    trusted(path, number("application_id")?, number("user_version")?)?;
    check(path, &connection)
}

/// Opens a connection that writes nothing and leaves nothing beside the file.
pub(super) fn read_only(path: &Path) -> Result<Connection, StoreError> {
    let store_error = |error: rusqlite::Error| map_error(path, &error);
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    only_files_beside(path)?;
    let has_log = beside(path, "-wal")
        .try_exists()
        .map_err(|error| unopenable(path, &error))?;
    let connection = if has_log {
        Connection::open_with_flags(path, read_only)
    } else {
        // Otherwise `SQLite` would create a log, and leave it there if the file turns out to be
        // foreign.
        Connection::open_with_flags(immutable(path), read_only | OpenFlags::SQLITE_OPEN_URI)
    }
    .map_err(store_error)?;
    // Closing it must not checkpoint the log.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(store_error)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(store_error)?;
    Ok(connection)
}

/// Rejects anything but a file at the paths that `SQLite` opens beside the database. Its own errors
/// do not name them, and a named pipe could be waited for.
fn only_files_beside(path: &Path) -> Result<(), StoreError> {
    for suffix in ["-wal", "-shm", "-journal"] {
        let path = beside(path, suffix);
        if let Ok(metadata) = path.metadata()
            && let Some(kind) = file::kind_of_no_file(&metadata)
        {
            let error = io::Error::other(format!("it is {kind}, not a file"));
            return Err(unopenable(&path, &error));
        }
    }
    Ok(())
}

/// The path as a URI with `immutable=1`. The lock ensures that no other process writes to the file.
fn immutable(path: &Path) -> OsString {
    let mut uri = b"file:".to_vec();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend_from_slice(format!("%{byte:02x}").as_bytes()),
            _ => uri.push(*byte),
        }
    }
    uri.extend_from_slice(b"?immutable=1");
    OsString::from_vec(uri)
}

/// Checks a small file completely. Pages of a larger file are checked when they are read.
fn check(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let size = path.metadata().map_err(|error| unopenable(path, &error))?.len();
    if size > FULL_CHECK_BYTES {
        return Ok(());
    }
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| map_error(path, &error))?;
    if found == "ok" {
        return Ok(());
    }
    Err(damaged(path, found.replace('\n', " ")))
}
