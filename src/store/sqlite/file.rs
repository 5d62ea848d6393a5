//! The store file: found, locked, created, and checked before it is trusted.
//!
//! Nothing is written to a file unless it is a sound store of a known version. A new store is built
//! under another name and renamed when it is complete. An empty file at the path is therefore
//! damage, never a new store. The lock is in `lock.rs`, the checks are in `validate.rs`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::access::{BUSY_TIMEOUT, beside, map_error, sync_folder, unopenable};
use super::intact::OpenFiles;
use super::lock::{LOCK_PAUSE, LOCK_TRIES, lock, lock_draft};
use super::schema::{self, APPLICATION_ID, STEPS};
use super::validate::{check_header, check_orphaned_log, check_store};
use crate::store::StoreError;

/// Bytes to which the write-ahead log is truncated after it has grown, for example under a long
/// reader.
const LOG_KEPT: u32 = 64 << 20;

/// Bytes of a page. A usual push of 7 KiB fits one page, which costs the writer a quarter less time
/// than two of half the size.
const PAGE: u32 = 8192;

/// Page cache, in KiB.
const CACHE: i32 = 8 * 1024;

/// Maximum prepared statements kept, more than there are.
const STATEMENTS: usize = 64;

/// An open store file, locked against other daemons.
#[derive(Debug)]
pub(super) struct StoreFile {
    /// The connection that writes. Declared before the lock, so that it is closed before the lock
    /// is released.
    pub connection: Connection,
    pub path: PathBuf,
    /// Held until the value is dropped. The kernel releases it when the process dies.
    lock: File,
}

/// Opens the store at `path`, or creates it if the file is missing.
pub(super) fn open(path: &Path) -> Result<StoreFile, StoreError> {
    let path = resolve(path)?;
    check_header(&path)?;
    let lock = lock_or_create(&path)?;
    check_store(&path)?;
    let connection = connect(&path)?;
    Ok(StoreFile {
        connection,
        path,
        lock,
    })
}

impl StoreFile {
    /// Opens the files for checks. Called after the connection has opened all of them.
    pub fn open_files(&self) -> Result<OpenFiles, StoreError> {
        OpenFiles::of(&self.path, &self.lock).map_err(|error| unopenable(&self.path, &error))
    }

    /// Leaves the log as it is when the connection is closed, because the database at the path is
    /// another one.
    pub fn keep_log(&self) {
        let config = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        if let Err(error) = self.connection.set_db_config(config, true) {
            tracing::warn!(%error, "cannot leave the log of the store as it is");
        }
    }
}

/// Resolves links, so that two names of one file lead to the same lock.
fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    match path.canonicalize() {
        Ok(path) => return Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {}
        Err(error) => return Err(unopenable(path, &error)),
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(unopenable(path, &io::Error::from(io::ErrorKind::InvalidFilename)));
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    match folder.canonicalize() {
        Ok(folder) => Ok(folder.join(name)),
        Err(error) => Err(StoreError::Unopenable {
            path: path.to_path_buf(),
            detail: format!("its folder: {error}"),
        }),
    }
}

/// Locks the database at `path`, which is created if the file is missing.
fn lock_or_create(path: &Path) -> Result<File, StoreError> {
    for _ in 0..LOCK_TRIES {
        if let Some(lock) = lock(path)? {
            return Ok(lock);
        }
        if let Some(lock) = create(path)? {
            return Ok(lock);
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Err(StoreError::InUse {
        path: path.to_path_buf(),
        by: None,
    })
}

/// Builds an empty store under another name and renames it when it is complete and locked. Returns
/// `None` if another process does so.
fn create(path: &Path) -> Result<Option<File>, StoreError> {
    check_orphaned_log(path)?;
    let draft = beside(path, ".new");
    let lock = lock_draft(&draft).map_err(|error| unopenable(&draft, &error))?;
    let Some(lock) = lock else {
        return Ok(None);
    };
    // The lock of the draft decides which process creates the store. Its holder finds a store only
    // if it was there before.
    if path.try_exists().map_err(|error| unopenable(path, &error))? {
        discard(&draft);
        return Ok(None);
    }
    let built = build(&draft, &lock);
    let placed = built.and_then(|()| {
        fs::rename(&draft, path)
            .and_then(|()| sync_folder(path))
            .map_err(|error| unopenable(path, &error))
    });
    if placed.is_err() {
        discard(&draft);
    }
    placed.map(|()| Some(lock))
}

/// Builds an empty store in the empty file at `draft`.
fn build(draft: &Path, file: &File) -> Result<(), StoreError> {
    let journal = beside(draft, "-journal");
    if let Err(error) = fs::remove_file(&journal)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(unopenable(&journal, &error));
    }
    // `SQLite` gives the log the mode of the database, so no other user can read the events.
    let written = || {
        let mut connection = Connection::open_with_flags(draft, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "page_size", PAGE)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        schema::migrate(&mut connection, STEPS)?;
        connection.close().map_err(|(_, error)| error)
    };
    written().map_err(|error| map_error(draft, &error))?;
    file.sync_all().map_err(|error| unopenable(draft, &error))
}

/// Removes a draft and its journal.
fn discard(draft: &Path) {
    for suffix in ["", "-journal"] {
        let leftover = beside(draft, suffix);
        if let Err(error) = fs::remove_file(&leftover)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, file = %leftover.display(), "cannot remove a draft");
        }
    }
}

/// Opens a second connection to an open store, for the checkpoint thread.
pub(super) fn connect_second(path: &Path) -> Result<Connection, StoreError> {
    connect(path)
}

/// Opens the connection that writes.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let store_error = |error: rusqlite::Error| map_error(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(store_error)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(store_error)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(store_error)?;
    if mode != "wal" {
        return Err(StoreError::Unopenable {
            path: path.to_path_buf(),
            detail: "its filesystem cannot hold a write-ahead log".to_owned(),
        });
    }
    let settled = || {
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "cache_size", -CACHE)?;
        connection.pragma_update(None, "journal_size_limit", LOG_KEPT)?;
        // Plans must not depend on bound values. Otherwise each use would recompile any statement
        // with a parameter that could select a partial index, a join or a limit.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // The checkpoint thread and the writer do it, so that no commit waits for it
        // (`checkpoint.rs`).
        connection.pragma_update(None, "wal_autocheckpoint", 0)
    };
    settled().map_err(store_error)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    schema::migrate(&mut connection, STEPS).map_err(store_error)?;
    Ok(connection)
}
