//! Is it ours, and is it sound? Looked at before anything is written, and without writing anything.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::file::{BUSY_TIMEOUT, beside, meaning, unopenable};
use super::schema::{self, APPLICATION_ID, STEPS};
use crate::store::StoreError;

/// The size up to which a file is checked from end to end when it is opened. A larger one would hold up the start.
const CHECKED_WHOLE: u64 = 64 << 20;

/// Looks at the first bytes, which is all that can be done without `SQLite` writing beside the file.
pub(super) fn inspect(path: &Path) -> Result<(), StoreError> {
    let mut head = Vec::with_capacity(100);
    match File::open(path) {
        Ok(file) => file
            .take(100)
            .read_to_end(&mut head)
            .map_err(|error| unopenable(path, &error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return look_for_orphans(path),
        Err(error) => return Err(unopenable(path, &error)),
    };
    if head.is_empty() {
        return Err(damaged(path, "it is empty".to_owned()));
    }
    let word = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
    // Offsets of the user version and the application id (https://www.sqlite.org/fileformat2.html#the_database_header).
    let (Some(version), Some(application), true) =
        (word(60), word(68), head.starts_with(b"SQLite format 3\0"))
    else {
        return Err(not_a_store(path, "it does not begin as an SQLite database does"));
    };
    trusted(path, i64::from(application), i64::from(version))
}

/// A log without its database is what is left of a store, not a place for a new one.
pub(super) fn look_for_orphans(path: &Path) -> Result<(), StoreError> {
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

/// Whether a database of this application id and version is ours to open.
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

/// Looks whether the database is sound and ours, through a connection that writes nothing.
pub(super) fn examine(path: &Path) -> Result<(), StoreError> {
    let connection = read_only(path)?;
    let number = |name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(|error| meaning(path, &error))
    };
    trusted(path, number("application_id")?, number("user_version")?)?;
    check(path, &connection)
}

/// A connection that writes nothing, and leaves nothing beside the file.
pub(super) fn read_only(path: &Path) -> Result<Connection, StoreError> {
    let said = |error: rusqlite::Error| meaning(path, &error);
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let has_log = beside(path, "-wal")
        .try_exists()
        .map_err(|error| unopenable(path, &error))?;
    let connection = if has_log {
        Connection::open_with_flags(path, read_only)
    } else {
        // Else SQLite would put a log beside it, to leave it there when the file turns out not to be ours.
        Connection::open_with_flags(immutable(path), read_only | OpenFlags::SQLITE_OPEN_URI)
    }
    .map_err(said)?;
    // Closing it must not write the log back.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(said)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(said)?;
    Ok(connection)
}

/// The path as a URI that says that nobody else writes to the file, which the lock has made sure of.
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

/// Reads a small file from end to end; of a large one `SQLite` checks what it reads.
fn check(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let size = path.metadata().map_err(|error| unopenable(path, &error))?.len();
    if size > CHECKED_WHOLE {
        return Ok(());
    }
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| meaning(path, &error))?;
    if found == "ok" {
        return Ok(());
    }
    Err(damaged(path, found.replace('\n', " ")))
}
