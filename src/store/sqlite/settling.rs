//! Settlements: writes an attempt and the new state of its delivery in one transaction.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::failures;
use super::groups::leave;
use super::queue::{QueueKey, ReadyEntry};
use super::write_op::{Batch, WriteError, WriteOp};
use crate::base::clock::Timestamp;
use crate::store::{AttemptRecord, Settled, Settlement, StoreError};

// Each statement requires that the delivery still waits with the due time of its lease. The
// operator may have dropped and even replayed it since.

const NEXT: &str = "UPDATE deliveries SET action = ?2, attempt = 1, due = ?3, begun_at = NULL, interruptions = 0 \
     WHERE seq = ?1 AND state = 'waiting' AND due = ?4";

const RETRY: &str = "UPDATE deliveries SET attempt = attempt + 1, due = ?2, begun_at = NULL, interruptions = 0 \
     WHERE seq = ?1 AND state = 'waiting' AND due = ?3";

const WAIT: &str =
    "UPDATE deliveries SET due = ?2, begun_at = NULL WHERE seq = ?1 AND state = 'waiting' AND due = ?3";

const INTERRUPT: &str = "UPDATE deliveries SET attempt = attempt + ?2, due = ?3, begun_at = NULL, \
     interruptions = interruptions + 1, interrupted_at = ?4 WHERE seq = ?1 AND state = 'waiting' AND due = ?5";

const END: &str = "UPDATE deliveries SET state = ?2, ended_at = ?3, reason = ?4, held = 0, begun_at = NULL \
     WHERE seq = ?1 AND state = 'waiting' AND due = ?5 RETURNING group_key, failure_of IS NOT NULL";

/// A delivery that was made for the failure of another does not make the event dead.
const EVENT_DELIVERY_ENDED: &str = "UPDATE events SET pending = pending - 1, \
     dead = max(dead, ?2 AND (SELECT failure_of IS NULL FROM deliveries WHERE seq = ?1)), \
     ended_at = max(coalesce(ended_at, ?3), ?3) WHERE seq = (SELECT event FROM deliveries WHERE seq = ?1)";

pub(super) const FORGET_DEDUP_KEYS: &str = "DELETE FROM dedup_keys WHERE (event, rule) = \
     (SELECT e.id, d.rule FROM deliveries d JOIN events e ON e.seq = d.event WHERE d.seq = ?1)";

const ATTEMPT: &str = "INSERT INTO attempts \
     (delivery, action, number, started_at, duration, outcome, detail, stdout, stderr) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// A write of a settlement.
pub(super) struct Settle(pub Settled);

impl WriteOp for Settle {
    type Output = ();

    fn apply(&self, batch: &mut Batch<'_>) -> Result<(), WriteError> {
        let delivery = self.0.delivery;
        let leased = batch
            .queue
            .leased(delivery)
            .filter(|_| !batch.ended.contains(&delivery));
        let Some(ReadyEntry { rule, key }) = leased else {
            return Err(WriteError::Own(StoreError::NotLeased { delivery }));
        };
        let (key, seq) = (*key, key.seq);
        let again = |due: Timestamp| ReadyEntry {
            rule: Arc::clone(rule),
            key: QueueKey {
                due: due.as_millis(),
                seq,
            },
        };
        let found = match &self.0.settlement {
            Settlement::Next { action, due } => {
                batch.waiting.push(again(*due));
                let due = due.as_millis();
                batch
                    .connection
                    .prepare_cached(NEXT)?
                    .execute(params![seq, number(*action), due, key.due])?
            }
            Settlement::Retry { due } => {
                batch.waiting.push(again(*due));
                let due = due.as_millis();
                batch
                    .connection
                    .prepare_cached(RETRY)?
                    .execute(params![seq, due, key.due])?
            }
            Settlement::Wait { due } => {
                batch.waiting.push(again(*due));
                let due = due.as_millis();
                let mut wait = batch.connection.prepare_cached(WAIT)?;
                wait.execute(params![seq, due, key.due])?
            }
            Settlement::Interrupted { since, due, counts } => {
                let entry = again(due.unwrap_or(Timestamp::from_millis(key.due)));
                let due = entry.key.due;
                batch.waiting.push(entry);
                let mut interrupt = batch.connection.prepare_cached(INTERRUPT)?;
                interrupt.execute(params![seq, counts, due, since.as_millis(), key.due])?
            }
            Settlement::Done { at } => settle_end(batch, key, "done", at.as_millis(), None)?,
            Settlement::Superseded { at, reason } => {
                settle_end(batch, key, "done", at.as_millis(), Some(reason))?
            }
            Settlement::Dead {
                at,
                reason,
                forget_dedup_keys,
                failure,
            } => {
                if *forget_dedup_keys {
                    let mut forget = batch.connection.prepare_cached(FORGET_DEDUP_KEYS)?;
                    batch.counters.dedup_keys -= number(forget.execute([seq])?);
                }
                let ended = settle_end(batch, key, "dead", at.as_millis(), Some(reason))?;
                if let Some(failure) = failure.as_deref().filter(|_| ended > 0) {
                    failures::apply(
                        batch,
                        &again(Timestamp::from_millis(key.due).min(*at)),
                        failure,
                        *at,
                    )?;
                }
                ended
            }
        };
        if found == 0 {
            // Another program has changed the delivery. The error rolls back earlier statements of
            // the change.
            return Err(WriteError::Statement(rusqlite::Error::StatementChangedRows(0)));
        }
        if let Some(attempt) = &self.0.attempt {
            write_attempt(batch.connection, seq, attempt)?;
        }
        batch.ended.insert(delivery);
        Ok(())
    }

    fn map_error(&self, error: &rusqlite::Error) -> Option<StoreError> {
        let delivery = self.0.delivery;
        let gone = matches!(error, rusqlite::Error::StatementChangedRows(_));
        gone.then_some(StoreError::NotLeased { delivery })
    }

    fn size(&self) -> usize {
        let attempt = self.0.attempt.as_ref();
        attempt.map_or(0, |attempt| attempt.stdout.len() + attempt.stderr.len())
    }
}

/// Ends a delivery, and lets the next of its group begin. Returns the number of deliveries ended.
fn settle_end(
    batch: &mut Batch<'_>,
    key: QueueKey,
    state: &str,
    at: i64,
    reason: Option<&str>,
) -> rusqlite::Result<usize> {
    let Some(EndedDelivery { group }) = end(batch, key, state, at, reason)? else {
        return Ok(0);
    };
    if let Some(group) = group {
        leave(batch, &group)?;
    }
    Ok(1)
}

/// A delivery that has ended.
pub(super) struct EndedDelivery {
    group: Option<String>,
}

/// Ends a delivery, and updates the totals of its event. Returns `None` if the delivery no longer
/// waits.
pub(super) fn end(
    batch: &mut Batch<'_>,
    QueueKey { due, seq }: QueueKey,
    state: &str,
    at: i64,
    reason: Option<&str>,
) -> rusqlite::Result<Option<EndedDelivery>> {
    let dead = state == "dead";
    batch
        .connection
        .prepare_cached(EVENT_DELIVERY_ENDED)?
        .execute(params![seq, dead, at])?;
    let mut end = batch.connection.prepare_cached(END)?;
    let found = end.query_row(params![seq, state, at, reason, due], |row| {
        Ok((row.get(0)?, row.get::<_, bool>(1)?))
    });
    let Some((group, made_for_failure)) = found.optional()? else {
        return Ok(None);
    };
    batch.counters.pending -= 1;
    if dead && !made_for_failure {
        batch.counters.dead += 1;
    } else {
        batch.counters.done += 1;
    }
    Ok(Some(EndedDelivery { group }))
}

/// Writes an attempt at the delivery of a row.
pub(super) fn write_attempt(
    connection: &Connection,
    seq: i64,
    attempt: &AttemptRecord,
) -> rusqlite::Result<usize> {
    connection.prepare_cached(ATTEMPT)?.execute(params![
        seq,
        number(attempt.action),
        attempt.number,
        attempt.started.as_millis(),
        i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX),
        attempt.outcome,
        attempt.detail,
        attempt.stdout,
        attempt.stderr,
    ])
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
