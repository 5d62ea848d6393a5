//! Deliveries that are made for the failure of another, and the failure that they are told.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::queue_key::{QueueKey, ReadyEntry};
use super::write_op::Batch;
use crate::base::clock::Timestamp;
use crate::store::{DeliveryFailure, DeliveryId};

const MAKE: &str = "INSERT INTO deliveries (id, event, rule, item, state, action, attempt, due, unverified, failure_of) \
     SELECT ?2, event, rule, item, 'ready', 0, 1, ?3, unverified, id FROM deliveries WHERE seq = ?1";

const RECORD_FAILURE: &str =
    "INSERT INTO failures (delivery, action, reason, output) VALUES (?1, ?2, ?3, ?4)";

const EVENT_DELIVERY_ADDED: &str =
    "UPDATE events SET pending = pending + 1 WHERE seq = (SELECT event FROM deliveries WHERE seq = ?1)";

const FAILURE: &str = "SELECT action, reason, output FROM failures WHERE delivery = ?1";

/// Makes a delivery with this due time for the one of row `failed`, which failed at `at`.
pub(super) fn apply(
    batch: &mut Batch<'_>,
    failed: i64,
    rule: &Arc<str>,
    failure: &DeliveryFailure,
    due: Timestamp,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let (id, due) = (DeliveryId::new(at).to_string(), due.as_millis());
    let mut make = batch.connection.prepare_cached(MAKE)?;
    make.execute(params![failed, id, due])?;
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
    batch.effects.counters.pending += 1;
    batch.effects.waiting.push(ReadyEntry {
        rule: Arc::clone(rule),
        key: QueueKey { due, seq },
    });
    Ok(())
}

/// Reads the failure for the delivery at row `seq`.
pub(super) fn failure_of_row(connection: &Connection, seq: i64) -> rusqlite::Result<DeliveryFailure> {
    let mut failure = connection.prepare_cached(FAILURE)?;
    let failure = failure.query_row([seq], |row| {
        Ok(DeliveryFailure {
            action: row.get(0)?,
            reason: row.get(1)?,
            output: row.get(2)?,
        })
    });
    // If another program has deleted the row, the delivery runs with an empty failure.
    Ok(failure.optional()?.unwrap_or_default())
}
