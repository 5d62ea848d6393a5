//! Access to the files of a store: their names, opening without waiting, and errors.
//!
//! Shared by all that open a store. A store is locked and created in `file.rs`, and checked in
//! `validate.rs`.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::ErrorCode;

use crate::base::file;
use crate::store::StoreError;

/// Maximum time that a writer waits for the write of another program, such as `sqlite3`.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The file beside `path` whose name ends in `suffix`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens a file for reading. Fails if it is something else: a named pipe would be waited for.
pub(super) fn open_now(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(file::never_waiting())
        .open(path)?;
    match file::kind_of_no_file(&opened.metadata()?) {
        Some(kind) => Err(io::Error::other(format!("it is {kind}, not a file"))),
        None => Ok(opened),
    }
}

/// Device and inode, which name a file whatever its path is.
pub(super) fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Syncs the folder, so that the name of a new file survives the loss of power.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Maps an error of `SQLite` to an error of the store.
pub(super) fn map_error(path: &Path, error: &rusqlite::Error) -> StoreError {
    let detail = error.to_string();
    let path = path.to_path_buf();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { detail },
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged { path, detail },
        Some(ErrorCode::NotADatabase) => StoreError::NotAStore { path, detail },
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OutOfMemory,
        ) => StoreError::Unavailable { detail },
        _ => StoreError::Unexpected { detail },
    }
}

/// Maps an error of the filesystem to an error of opening a store.
pub(super) fn unopenable(path: &Path, error: &dyn std::error::Error) -> StoreError {
    StoreError::Unopenable {
        path: path.to_path_buf(),
        detail: error.to_string(),
    }
}
