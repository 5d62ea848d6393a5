//! The file itself: is it sound, a copy of it, and a smaller one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;

use super::counters::Counters;
use super::file::{self, beside, meaning, sync_folder, unopenable};
use super::history;
use crate::store::{Counts, StoreError};

/// How many faults are told.
const FAULTS: i64 = 20;

/// Events whose sums do not agree with their deliveries.
const MISCOUNTED: &str = "SELECT count(*) FROM events e WHERE \
     owed <> (SELECT count(*) FROM deliveries WHERE event = e.seq AND state = 'waiting') \
     OR (dead = 0 AND EXISTS (SELECT 1 FROM deliveries WHERE event = e.seq AND state = 'dead' AND failure_of IS NULL))";

/// What a look at the whole file has found.
#[derive(Clone, Debug)]
pub struct Soundness {
    /// What is wrong; nothing if it is sound.
    pub faults: Vec<String>,
    /// How much of everything there is, as far as it can be counted; leased deliveries wait.
    pub counts: Counts,
    /// The size of the file, in bytes.
    pub size: u64,
    /// How many of them are free.
    pub free: u64,
}

/// What a [`vacuum`] has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vacuumed {
    /// The size of the file before, in bytes.
    pub before: u64,
    /// And after.
    pub after: u64,
}

/// Reads the whole file; a daemon may be running on it.
pub fn check(path: &Path) -> Result<Soundness, StoreError> {
    let connection = history::open(path)?;
    let said = |error: rusqlite::Error| meaning(path, &error);
    let mut faults = faults(&connection).map_err(said)?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    if faults.is_empty() {
        let astray = number("SELECT count(*) FROM pragma_foreign_key_check").map_err(said)?;
        if astray > 0 {
            faults.push(format!("{astray} rows belong to something that is gone"));
        }
        let miscounted = number(MISCOUNTED).map_err(said)?;
        if miscounted > 0 {
            faults.push(format!("{miscounted} events do not agree with their deliveries"));
        }
    }
    let counters = match Counters::count(&connection) {
        Ok(counters) => counters,
        // It has been said what is wrong.
        Err(_) if !faults.is_empty() => Counters::default(),
        Err(error) => return Err(said(error)),
    };
    let whole = |count: i64| u64::try_from(count).unwrap_or(0);
    let page = number("PRAGMA page_size").map_err(said)?;
    Ok(Soundness {
        faults,
        counts: Counts {
            waiting: whole(counters.pending),
            done: whole(counters.done),
            dead: whole(counters.dead),
            events: whole(counters.events),
            dedup_keys: whole(counters.dedup_keys),
            sightings: whole(counters.sightings),
            refused: whole(counters.refused),
            ..Counts::default()
        },
        size: whole(number("PRAGMA page_count").map_err(said)?.saturating_mul(page)),
        free: whole(
            number("PRAGMA freelist_count")
                .map_err(said)?
                .saturating_mul(page),
        ),
    })
}

/// What is wrong with the file's structure.
fn faults(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = format!("PRAGMA integrity_check({FAULTS})");
    let mut check = connection.prepare(&sql)?;
    let said = check.query_map([], |row| row.get::<_, String>(0))?;
    let mut faults: Vec<String> = said.collect::<rusqlite::Result<_>>()?;
    faults.retain(|fault| fault != "ok");
    Ok(faults)
}

/// Copies one moment of the store into a new file, whole or not at all; a daemon may go on writing meanwhile.
pub fn back_up(path: &Path, target: &Path) -> Result<(), StoreError> {
    let connection = history::open(path)?;
    let target = std::path::absolute(target).map_err(|error| unopenable(target, &error))?;
    // It holds what arrived: nobody else's to read, as the store itself. And nothing is written over.
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
            // The error that is told is the one that led here.
            drop(fs::remove_file(leftover));
        }
    }
    copied
}

/// Writes the copy, down to the disk.
fn copy(connection: &Connection, path: &Path, draft: &Path) -> Result<(), StoreError> {
    let Some(name) = draft.to_str() else {
        return Err(unopenable(draft, &io::Error::other("its name is not UTF-8")));
    };
    let file = private(draft)?;
    connection
        .execute("VACUUM INTO ?1", [name])
        .map_err(|error| meaning(path, &error))?;
    file.sync_all().map_err(|error| unopenable(draft, &error))
}

/// A new file that nobody else may read.
fn private(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| unopenable(path, &error))
}

/// Writes the file anew, as small as it can be. Nobody else may have it open: an error says so of a daemon.
pub fn vacuum(path: &Path) -> Result<Vacuumed, StoreError> {
    // It must be there: opening it as a daemon does would create it.
    drop(history::open(path)?);
    let store = file::open(path)?;
    let size = || Ok(fs::metadata(&store.path)?.len());
    let size = || size().map_err(|error: io::Error| unopenable(path, &error));
    let before = size()?;
    store
        .connection
        .execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
        .map_err(|error| meaning(path, &error))?;
    let after = size()?;
    Ok(Vacuumed { before, after })
}
