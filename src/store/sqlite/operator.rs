//! Changes that the operator makes to deliveries, in a process of its own, whether a daemon runs or
//! not.
//!
//! Each step is one short transaction. A running daemon notices the foreign write and rereads its
//! queue. A delivery that the daemon works on counts as waiting in the file, so it is never
//! replayed. It may be dropped: the attempt runs to its end, but its settlement fails because the
//! delivery no longer waits.
//!
//! Replays and drops are recorded among the attempts, with the outcome `replayed` or `dropped`.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::access::{BUSY_TIMEOUT, map_error};
use super::history;
use super::validate::check_store;
use crate::base::clock::Timestamp;
use crate::store::{DeliveryId, Dropped, StoreError};

/// Maximum deliveries that one transaction changes. Other writers wait for it, including the
/// daemon's new events.
const CHUNK: usize = 200;

const FIND: &str =
    "SELECT seq, event, state IN ('debounced', 'queued', 'ready') FROM deliveries WHERE id = ?1";

const RECORD: &str = "INSERT INTO attempts \
     (delivery, action, number, started_at, duration, outcome, detail, stdout, stderr) \
     SELECT seq, action, attempt, ?2, 0, ?3, 'by ' || ?4 || '; it was ' || \
     iif(state = 'superseded', coalesce(reason, state), state || coalesce(': ' || reason, '')), \
     x'', x'' FROM deliveries WHERE seq = ?1";

/// In a group the delivery waits for its turn, which the daemon grants. A replay begins another
/// epoch, so that an attempt that is still running cannot settle it.
const REPLAY: &str = "UPDATE deliveries SET state = iif(group_key IS NULL, 'ready', 'queued'), action = 0, attempt = 1, \
     due = ?2, ended_at = NULL, reason = NULL, replays = replays + 1, debounced_since = NULL, begun_at = NULL, \
     interruptions = 0 WHERE seq = ?1";

/// The delivery may be running. In that case it occupies its group until the daemon finds that the
/// attempt is over.
const GIVE_UP: &str = "UPDATE deliveries SET state = iif(group_key IS NOT NULL AND state = 'ready', 'dropped', 'dead'), \
     ended_at = ?2, reason = ?3, begun_at = NULL WHERE seq = ?1";

/// Also deletes its attempts, and an ended delivery that was made for its failure.
const DELETE: &str = "DELETE FROM deliveries WHERE seq = ?1 OR (event = ?2 AND state NOT IN ('debounced', 'queued', 'ready') \
     AND failure_of = (SELECT id FROM deliveries WHERE seq = ?1))";

/// Also deletes the body.
const DELETE_EVENT: &str = "DELETE FROM events WHERE seq = ?1 \
     AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = ?1)";

const RECOUNT: &str = "UPDATE events SET \
     pending = (SELECT count(*) FROM deliveries WHERE event = ?1 AND state IN ('debounced', 'queued', 'ready')), \
     dead = EXISTS (SELECT 1 FROM deliveries WHERE event = ?1 AND state IN ('dead', 'dropped') AND failure_of IS NULL), \
     ended_at = (SELECT max(ended_at) FROM deliveries WHERE event = ?1) WHERE seq = ?1";

/// Replays deliveries that have ended, from their first action. Returns their number. Waiting and
/// missing ones are skipped. `by` is the name of the operator.
pub fn replay(path: &Path, deliveries: &[DeliveryId], now: Timestamp, by: &str) -> Result<usize, StoreError> {
    let mut replayed = 0;
    change_each(path, deliveries, |connection, delivery| {
        if delivery.waits {
            return Ok(());
        }
        let (seq, now) = (delivery.seq, now.as_millis());
        connection
            .prepare_cached(RECORD)?
            .execute(params![seq, now, "replayed", by])?;
        replayed += connection.prepare_cached(REPLAY)?.execute(params![seq, now])?;
        Ok(())
    })?;
    Ok(replayed)
}

/// Gives up waiting deliveries, and deletes ended ones. An event without deliveries is deleted too.
/// Its dedup keys stay. `by` is the name of the operator.
pub fn drop_deliveries(
    path: &Path,
    deliveries: &[DeliveryId],
    now: Timestamp,
    by: &str,
) -> Result<Dropped, StoreError> {
    let mut dropped = Dropped::default();
    let reason = format!("dropped by {by}");
    change_each(path, deliveries, |connection, delivery| {
        let (seq, now) = (delivery.seq, now.as_millis());
        if delivery.waits {
            connection
                .prepare_cached(RECORD)?
                .execute(params![seq, now, "dropped", by])?;
            dropped.given_up += connection
                .prepare_cached(GIVE_UP)?
                .execute(params![seq, now, reason])?;
        } else {
            let mut forget = connection.prepare_cached(DELETE)?;
            dropped.forgotten += forget.execute([seq, delivery.event])?;
            connection
                .prepare_cached(DELETE_EVENT)?
                .execute([delivery.event])?;
        }
        Ok(())
    })?;
    Ok(dropped)
}

/// A delivery to be changed.
struct Target {
    seq: i64,
    event: i64,
    waits: bool,
}

/// Changes deliveries in chunks of one transaction each, and updates the totals of their events.
fn change_each(
    path: &Path,
    deliveries: &[DeliveryId],
    mut change: impl FnMut(&Connection, &Target) -> rusqlite::Result<()>,
) -> Result<(), StoreError> {
    let store_error = |error: rusqlite::Error| map_error(path, &error);
    let mut connection = open(path)?;
    for chunk in deliveries.chunks(CHUNK) {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(store_error)?;
        // The schema is checked inside the transaction, because a daemon may have started and
        // migrated the file.
        history::current(path, &transaction)?;
        let changed = || {
            for delivery in chunk {
                let found = transaction
                    .prepare_cached(FIND)?
                    .query_row([delivery.to_string()], |row| {
                        let waits = row.get(2)?;
                        Ok(Target {
                            seq: row.get(0)?,
                            event: row.get(1)?,
                            waits,
                        })
                    });
                let Some(found) = found.optional()? else {
                    continue;
                };
                change(&transaction, &found)?;
                transaction.prepare_cached(RECOUNT)?.execute([found.event])?;
            }
            Ok(())
        };
        let mut changed = changed;
        changed().map_err(store_error)?;
        transaction.commit().map_err(store_error)?;
    }
    Ok(())
}

/// Opens a connection that writes, after the file has passed the checks of a daemon's start.
fn open(path: &Path) -> Result<Connection, StoreError> {
    // The checks use a connection that writes nothing.
    drop(history::open(path)?);
    check_store(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        // The daemon checkpoints the log itself. Otherwise the last connection does so when it
        // closes.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(connection)
    };
    opened().map_err(|error: rusqlite::Error| map_error(path, &error))
}
