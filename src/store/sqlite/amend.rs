//! What the operator does to deliveries by hand, in a process of his own, while a daemon runs or not.
//!
//! Each step is one short transaction. A daemon that runs notices that another has written and reads its queue anew.
//! What it works on right now waits, as the file has it, and is never replayed. It may be dropped: the attempt goes
//! on to its end, but nothing follows from it, for it finds a delivery that does not wait any more.
//!
//! Replays and drops are kept among the attempts, with the outcome `replayed` or `dropped`.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::examine::examine;
use super::file::{BUSY_TIMEOUT, meaning};
use super::history;
use crate::base::clock::Timestamp;
use crate::store::{DeliveryId, StoreError};

/// How many deliveries one transaction changes: others wait for it, intake among them.
const TOGETHER: usize = 200;

/// Why a delivery is dead that was dropped.
const DROPPED: &str = "dropped by the operator";

const FIND: &str = "SELECT seq, event, state FROM deliveries WHERE id = ?1";

const RECORD: &str = "INSERT INTO attempts \
     (delivery, action, number, started_at, duration, outcome, detail, stdout, stderr) \
     SELECT seq, action, attempt, ?2, 0, ?3, 'by the operator; it was ' || state || coalesce(': ' || reason, ''), \
     x'', x'' FROM deliveries WHERE seq = ?1";

/// In a lane it waits for its turn, which the daemon gives it. Never due when it was due before: an attempt that is still under way from then is told apart by that.
const REPLAY: &str = "UPDATE deliveries SET state = 'waiting', action = 0, attempt = 1, \
     due = iif(due = ?2, ?2 + 1, ?2), ended_at = NULL, reason = NULL, replays = replays + 1, held = lane IS NOT NULL, \
     debounced_since = NULL, begun_at = NULL, interruptions = 0 \
     WHERE seq = ?1";

/// It may be under way, and keeps its turn in its lane until the daemon knows better.
const GIVE_UP: &str = "UPDATE deliveries SET state = 'dead', ended_at = ?2, reason = ?3, begun_at = NULL, \
     held = iif(lane IS NOT NULL AND held = 0 AND debounced_since IS NULL, 2, 0) WHERE seq = ?1";

/// Takes its attempts with it, and what was made for its failure.
const FORGET: &str = "DELETE FROM deliveries WHERE seq = ?1 OR (event = ?2 AND state <> 'waiting' \
     AND failure_of = (SELECT id FROM deliveries WHERE seq = ?1))";

/// Takes its body with it.
const FORGET_EVENT: &str = "DELETE FROM events WHERE seq = ?1 \
     AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = ?1)";

const RECKON: &str = "UPDATE events SET \
     owed = (SELECT count(*) FROM deliveries WHERE event = ?1 AND state = 'waiting'), \
     dead = EXISTS (SELECT 1 FROM deliveries WHERE event = ?1 AND state = 'dead' AND failure_of IS NULL), \
     ended_at = (SELECT max(ended_at) FROM deliveries WHERE event = ?1) WHERE seq = ?1";

/// How many deliveries were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Those that waited, and are dead now.
    pub given_up: usize,
    /// Those that had ended, and are gone now.
    pub forgotten: usize,
}

/// Has deliveries that have ended done again, from their first action on; how many that were. The others are left
/// alone: they wait, or are gone.
pub fn replay(path: &Path, deliveries: &[DeliveryId], now: Timestamp) -> Result<usize, StoreError> {
    let mut replayed = 0;
    amend(path, deliveries, |connection, delivery| {
        if delivery.waits {
            return Ok(());
        }
        let (seq, now) = (delivery.seq, now.as_millis());
        connection
            .prepare_cached(RECORD)?
            .execute(params![seq, now, "replayed"])?;
        replayed += connection.prepare_cached(REPLAY)?.execute(params![seq, now])?;
        Ok(())
    })?;
    Ok(replayed)
}

/// Gives up deliveries that wait, and forgets those that have ended, with their events when nothing else is left of
/// them. What an event is recognised by again stays.
pub fn drop_deliveries(
    path: &Path,
    deliveries: &[DeliveryId],
    now: Timestamp,
) -> Result<Dropped, StoreError> {
    let mut dropped = Dropped::default();
    amend(path, deliveries, |connection, delivery| {
        let (seq, now) = (delivery.seq, now.as_millis());
        if delivery.waits {
            connection
                .prepare_cached(RECORD)?
                .execute(params![seq, now, "dropped"])?;
            dropped.given_up += connection
                .prepare_cached(GIVE_UP)?
                .execute(params![seq, now, DROPPED])?;
        } else {
            let mut forget = connection.prepare_cached(FORGET)?;
            dropped.forgotten += forget.execute([seq, delivery.event])?;
            connection
                .prepare_cached(FORGET_EVENT)?
                .execute([delivery.event])?;
        }
        Ok(())
    })?;
    Ok(dropped)
}

/// A delivery that is to be changed.
struct AmendTarget {
    seq: i64,
    event: i64,
    waits: bool,
}

/// Changes deliveries, some in each transaction, and the sums of their events with them.
fn amend(
    path: &Path,
    deliveries: &[DeliveryId],
    mut change: impl FnMut(&Connection, &AmendTarget) -> rusqlite::Result<()>,
) -> Result<(), StoreError> {
    let said = |error: rusqlite::Error| meaning(path, &error);
    let mut connection = open(path)?;
    for together in deliveries.chunks(TOGETHER) {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(said)?;
        // Not before: a daemon may have started meanwhile.
        history::current(path, &transaction)?;
        let changed = || {
            for delivery in together {
                let found = transaction
                    .prepare_cached(FIND)?
                    .query_row([delivery.to_string()], |row| {
                        let waits = row.get::<_, String>(2)? == "waiting";
                        Ok(AmendTarget {
                            seq: row.get(0)?,
                            event: row.get(1)?,
                            waits,
                        })
                    });
                let Some(found) = found.optional()? else {
                    continue;
                };
                change(&transaction, &found)?;
                transaction.prepare_cached(RECKON)?.execute([found.event])?;
            }
            Ok(())
        };
        let mut changed = changed;
        changed().map_err(said)?;
        transaction.commit().map_err(said)?;
    }
    Ok(())
}

/// A connection that writes, to a store that is there and sound as far as one can see.
fn open(path: &Path) -> Result<Connection, StoreError> {
    // It is looked at through a connection that writes nothing, as a daemon does that opens it.
    drop(history::open(path)?);
    examine(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        // The daemon writes its log back by itself; the last one to close the file does, too.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(connection)
    };
    opened().map_err(|error: rusqlite::Error| meaning(path, &error))
}
