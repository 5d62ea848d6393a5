//! Maintenance of the file: a check, a backup, and a vacuum.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;

use super::access::{beside, map_error, sync_folder, unopenable};
use super::consistency;
use super::counters::Counters;
use super::file;
use super::history;
use crate::store::{CheckReport, StoreError, Vacuumed};

/// Maximum faults reported.
const FAULTS: i64 = 20;

/// Checks the whole file. A daemon may have it open.
pub fn check(path: &Path) -> Result<CheckReport, StoreError> {
    let connection = history::open(path)?;
    let store_error = |error: rusqlite::Error| map_error(path, &error);
    let mut faults = faults(&connection).map_err(store_error)?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    if faults.is_empty() {
        faults = consistency::faults(&connection).map_err(store_error)?;
    }
    let counters = match Counters::count(&connection) {
        Ok(counters) => counters,
        // The counts are unreadable because of the faults that are reported.
        Err(_) if !faults.is_empty() => Counters::default(),
        Err(error) => return Err(store_error(error)),
    };
    let bytes = |pages: &str| {
        let size = number(pages)?.saturating_mul(number("PRAGMA page_size")?);
        Ok(u64::try_from(size).unwrap_or(0))
    };
    Ok(CheckReport {
        faults,
        counts: counters.counts(),
        size: bytes("PRAGMA page_count").map_err(store_error)?,
        free: bytes("PRAGMA freelist_count").map_err(store_error)?,
    })
}

/// Faults in the structure of the file.
fn faults(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = format!("PRAGMA integrity_check({FAULTS})");
    let mut check = connection.prepare(&sql)?;
    let reports = check.query_map([], |row| row.get::<_, String>(0))?;
    let mut faults: Vec<String> = reports.collect::<rusqlite::Result<_>>()?;
    faults.retain(|fault| fault != "ok");
    Ok(faults)
}

/// Copies a snapshot of the store into a new file, completely or not at all. A daemon may go on
/// writing.
pub fn back_up(path: &Path, target: &Path) -> Result<(), StoreError> {
    let connection = history::open(path)?;
    let target = std::path::absolute(target).map_err(|error| unopenable(target, &error))?;
    // The copy holds events, so no other user may read it. An existing file is never overwritten.
    let claim = private(&target)?;
    let draft = beside(&target, ".part");
    let copied = copy(&connection, path, &draft).and_then(|()| {
        fs::rename(&draft, &target)
            .and_then(|()| sync_folder(&target))
            .map_err(|error| unopenable(&target, &error))
    });
    drop(claim);
    if copied.is_err() {
        for leftover in [&draft, &target] {
            // The first error is reported, not one of the clean-up.
            drop(fs::remove_file(leftover));
        }
    }
    copied
}

/// Writes the copy and syncs it.
fn copy(connection: &Connection, path: &Path, draft: &Path) -> Result<(), StoreError> {
    let Some(name) = draft.to_str() else {
        return Err(unopenable(draft, &io::Error::other("its name is not UTF-8")));
    };
    let file = private(draft)?;
    connection
        .execute("VACUUM INTO ?1", [name])
        .map_err(|error| map_error(path, &error))?;
    file.sync_all().map_err(|error| unopenable(draft, &error))
}

/// Creates a new file that no other user may read.
fn private(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| unopenable(path, &error))
}

/// Rewrites the file at its minimum size. Fails if a daemon has it open.
pub fn vacuum(path: &Path) -> Result<Vacuumed, StoreError> {
    // The file must exist, because opening it as a daemon does would create it.
    drop(history::open(path)?);
    let store = file::open(path)?;
    let size = || Ok(fs::metadata(&store.path)?.len());
    let size = || size().map_err(|error: io::Error| unopenable(path, &error));
    let before = size()?;
    store
        .connection
        .execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
        .map_err(|error| map_error(path, &error))?;
    let after = size()?;
    Ok(Vacuumed { before, after })
}
