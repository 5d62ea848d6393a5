//! Space for new events: the size limit of the store, and the free space of its disk.

use std::path::Path;

use rusqlite::Connection;

use crate::store::{Settings, StoreError};

/// The reason why no new event may be written: the store has reached its maximum size, or its disk
/// is full.
pub(super) fn check_space(
    connection: &Connection,
    path: &Path,
    settings: Settings,
) -> rusqlite::Result<Option<StoreError>> {
    let grown = too_large(connection, settings.max_size)?;
    Ok(grown.or_else(|| too_little_free(path, settings.min_free)))
}

/// Checks that the disk has as many bytes free as it must keep. Runs before each transaction: two
/// microseconds, compared with a sync that takes a hundred times as long.
fn too_little_free(path: &Path, min_free: u64) -> Option<StoreError> {
    if min_free == 0 {
        return None;
    }
    // If this fails, the write itself reports the error.
    let disk = rustix::fs::statvfs(path).ok()?;
    // Blocks reserved for root are not counted, even if the daemon runs as root.
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    (free < min_free).then(|| StoreError::Full {
        detail: format!("its disk has {free} bytes free, and {min_free} are to stay free"),
    })
}

fn too_large(connection: &Connection, max_size: Option<u64>) -> rusqlite::Result<Option<StoreError>> {
    let Some(max_size) = max_size else {
        return Ok(None);
    };
    let size = used_bytes(connection)?;
    Ok((size >= max_size).then(|| StoreError::Full {
        detail: format!("it holds {size} bytes, and its limit is {max_size}"),
    }))
}

/// Bytes in use.
pub(super) fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let pages = pragma(connection, "PRAGMA page_count")? - pragma(connection, "PRAGMA freelist_count")?;
    let size = pages.saturating_mul(pragma(connection, "PRAGMA page_size")?);
    Ok(u64::try_from(size).unwrap_or(0))
}

/// Reads a number that a pragma answers.
pub(super) fn pragma(connection: &Connection, sql: &str) -> rusqlite::Result<i64> {
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}
