//! Deliveries that are made for the failure of another, and the failure that they are told.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::queue::{QueueKey, ReadyEntry};
use super::write_op::Batch;
use crate::base::clock::Timestamp;
use crate::store::{DeliveryFailure, DeliveryId};

/// A delivery that was itself made for a failure gets none.
const MAKE: &str = "INSERT INTO deliveries (id, event, rule, state, action, attempt, due, unverified, failure_of) \
     SELECT ?2, event, rule, 'waiting', 0, 1, ?3, unverified, id FROM deliveries WHERE seq = ?1 AND failure_of IS NULL";

const RECORD_FAILURE: &str =
    "INSERT INTO failures (delivery, action, reason, output) VALUES (?1, ?2, ?3, ?4)";

const EVENT_DELIVERY_ADDED: &str =
    "UPDATE events SET pending = pending + 1 WHERE seq = (SELECT event FROM deliveries WHERE seq = ?1)";

const FAILURE: &str = "SELECT action, reason, output FROM failures WHERE delivery = ?1";

/// Makes a delivery for the one that failed at `at`. The new delivery gets the due time of the
/// entry `of`.
pub(super) fn apply(
    batch: &mut Batch<'_>,
    of: &ReadyEntry,
    failure: &DeliveryFailure,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let QueueKey { due, seq } = of.key;
    let id = DeliveryId::new(at).to_string();
    let mut apply = batch.connection.prepare_cached(MAKE)?;
    if apply.execute(params![seq, id, due])? == 0 {
        return Ok(());
    }
    let seq = batch.connection.last_insert_rowid();
    batch.note_new(seq);
    batch.connection.prepare_cached(RECORD_FAILURE)?.execute(params![
        seq,
        failure.action,
        failure.reason,
        failure.output
    ])?;
    batch
        .connection
        .prepare_cached(EVENT_DELIVERY_ADDED)?
        .execute([seq])?;
    batch.counters.pending += 1;
    batch.waiting.push(ReadyEntry {
        rule: Arc::clone(&of.rule),
        key: QueueKey { due, seq },
    });
    Ok(())
}

/// Reads the failure for the delivery at row `seq`.
pub(super) fn failure_of_row(connection: &Connection, seq: i64) -> rusqlite::Result<DeliveryFailure> {
    let mut failure_of_row = connection.prepare_cached(FAILURE)?;
    let failure_of_row = failure_of_row.query_row([seq], |row| {
        Ok(DeliveryFailure {
            action: row.get(0)?,
            reason: row.get(1)?,
            output: row.get(2)?,
        })
    });
    // If another program has deleted the row, the delivery runs with an empty failure.
    Ok(failure_of_row.optional()?.unwrap_or_default())
}
