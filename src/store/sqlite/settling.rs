//! Settlements: writes an attempt and the new state of its delivery in one transaction. The effects
//! are decided in `decide/settlement.rs`.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::integer;
use super::ending::{EndedDelivery, end, end_leased};
use super::failures;
use super::groups::{leave, release_dropped};
use super::leases::{AttemptStart, LeasedDelivery};
use super::queue_key::{QueueKey, ReadyEntry};
use super::write_op::{Batch, WriteError, WriteOp};
use crate::store::decide::settlement::{Effect, LeaseSnapshot, settle};
use crate::store::{AttemptRecord, DeliveryId, DeliveryState, Settled, StoreError};

const CONTINUE: &str = "UPDATE deliveries SET action = ?2, attempt = ?3, due = ?4, interruptions = ?5, interrupted_at = ?6, \
     begun_at = NULL WHERE seq = ?1 AND state = 'ready' AND replays = ?7";

pub(super) const FORGET_DEDUP_KEYS: &str = "DELETE FROM dedup_keys WHERE (event, rule) = \
     (SELECT e.id, d.rule FROM deliveries d JOIN events e ON e.seq = d.event WHERE d.seq = ?1)";

const ATTEMPT: &str = "INSERT INTO attempts \
     (delivery, action, number, started_at, duration, outcome, detail, stdout, stderr) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

const ROW: &str = "SELECT rule, due, state, group_key FROM deliveries WHERE seq = ?1";

const UNMARK: &str = "UPDATE deliveries SET begun_at = NULL WHERE seq = ?1 AND replays = ?2";

/// A write of a settlement.
pub(super) struct Settle(pub Settled);

impl WriteOp for Settle {
    type Output = ();

    fn apply(&self, batch: &mut Batch<'_>) -> Result<(), WriteError> {
        let delivery = self.0.delivery;
        // If the row is not in the epoch of the lease, the operator has dropped the delivery.
        let not_leased = || WriteError::Own(StoreError::NotLeased { delivery });
        let Some(leased) = batch.leased(delivery).cloned() else {
            return Err(not_leased());
        };
        let (seq, epoch) = (leased.entry.key.seq, leased.epoch);
        let rule = Arc::clone(&leased.entry.rule);
        match settle(leased.snapshot, &self.0.settlement) {
            Effect::Continue(next) => {
                if !continue_delivery(batch, seq, epoch, next)? {
                    return Err(not_leased());
                }
                let due = next.due.as_millis();
                let key = QueueKey { due, seq };
                batch.effects.waiting.push(ReadyEntry { rule, key });
            }
            Effect::End {
                state,
                forget_dedup_keys,
                failure,
            } => {
                let ended = end_lease(batch, &leased, &state)?;
                let Some(EndedDelivery { group }) = ended else {
                    return Err(not_leased());
                };
                if forget_dedup_keys {
                    let mut forget = batch.connection.prepare_cached(FORGET_DEDUP_KEYS)?;
                    batch.effects.counters.dedup_keys -= integer(forget.execute([seq])?);
                }
                if let Some(group) = group {
                    leave(batch, &group)?;
                }
                if let (Some((failure, due)), Some(at)) = (failure, state.ended_at()) {
                    failures::apply(batch, seq, &rule, failure, due, at)?;
                }
            }
        }
        if let Some(attempt) = &self.0.attempt {
            write_attempt(batch.connection, seq, attempt)?;
        }
        batch.effects.ended.insert(delivery);
        Ok(())
    }

    fn size(&self) -> usize {
        let attempt = self.0.attempt.as_ref();
        attempt.map_or(0, |attempt| attempt.stdout.len() + attempt.stderr.len())
    }
}

/// Ends a leased delivery. Returns `None` if another program has changed it.
pub(super) fn end_lease(
    batch: &mut Batch<'_>,
    leased: &LeasedDelivery,
    state: &DeliveryState,
) -> rusqlite::Result<Option<EndedDelivery>> {
    let (seq, epoch) = (leased.entry.key.seq, leased.epoch);
    if leased.in_group {
        end(batch, seq, state, Some(epoch))
    } else {
        end_leased(
            batch,
            (seq, epoch),
            leased.event,
            state,
            leased.snapshot.for_failure,
        )
    }
}

/// Writes a delivery that is ready again. Returns false if it is no longer leased.
fn continue_delivery(batch: &Batch<'_>, seq: i64, epoch: u32, next: LeaseSnapshot) -> rusqlite::Result<bool> {
    let interrupted = next.interrupted;
    let written = batch.connection.prepare_cached(CONTINUE)?.execute(params![
        seq,
        integer(next.action),
        next.attempt,
        next.due.as_millis(),
        interrupted.map_or(0, |interrupted| interrupted.in_a_row),
        interrupted.map(|interrupted| interrupted.since.as_millis()),
        epoch,
    ])?;
    Ok(written > 0)
}

/// The end of a lease without an attempt. The delivery waits as its row says, which another program
/// may have changed.
pub(super) struct Release(pub DeliveryId);

impl WriteOp for Release {
    type Output = ();

    fn apply(&self, batch: &mut Batch<'_>) -> Result<(), WriteError> {
        let Some(LeasedDelivery {
            entry, epoch, start, ..
        }) = batch.leased(self.0).cloned()
        else {
            return Ok(());
        };
        let seq = entry.key.seq;
        let mut row = batch.connection.prepare_cached(ROW)?;
        let found = row.query_row([seq], |row| {
            let (rule, due) = (row.get(0)?, row.get(1)?);
            let entry = ReadyEntry {
                rule,
                key: QueueKey { due, seq },
            };
            Ok((entry, row.get::<_, String>(2)?, row.get::<_, Option<String>>(3)?))
        });
        if let Some((entry, state, group)) = found.optional()? {
            if start == AttemptStart::Recorded {
                let mut unmark = batch.connection.prepare_cached(UNMARK)?;
                unmark.execute(params![seq, epoch])?;
            }
            match (state.as_str(), group) {
                ("ready" | "debounced", _) => batch.effects.waiting.push(entry),
                ("dropped", Some(group)) => {
                    release_dropped(batch.connection, seq)?;
                    leave(batch, &group)?;
                }
                _ => {}
            }
        }
        batch.effects.ended.insert(self.0);
        Ok(())
    }
}

/// Writes an attempt at the delivery of a row.
pub(super) fn write_attempt(
    connection: &Connection,
    seq: i64,
    attempt: &AttemptRecord,
) -> rusqlite::Result<usize> {
    connection.prepare_cached(ATTEMPT)?.execute(params![
        seq,
        integer(attempt.action),
        attempt.number,
        attempt.started.as_millis(),
        i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX),
        attempt.outcome,
        attempt.detail,
        attempt.stdout,
        attempt.stderr,
    ])
}
