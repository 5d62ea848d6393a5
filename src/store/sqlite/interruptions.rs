//! Marks of attempts that have begun, and the recovery of those that were not settled.
//!
//! A mark is a column of the delivery, which every settlement clears. Short attempts are never
//! marked and cost nothing. Marks are written in the same transactions as everything else, so that
//! they share a sync.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::columns::{self, parsed};
use super::leases::AttemptStart;
use super::reading::interruption;
use super::settling::write_attempt;
use super::write_op::{Batch, WriteError, WriteOp};
use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::decide::interruption::record;
use crate::store::decide::settlement::LeaseSnapshot;
use crate::store::{DeliveryId, Interrupted};

/// Maximum interrupted attempts that a start can name. There can be more only if more deliveries
/// were running at a crash.
const LISTED: usize = 1000;

const MARK: &str = "UPDATE deliveries SET begun_at = ?2 WHERE seq = ?1 AND state = 'ready' AND replays = ?3";

const UNMARK_ENDED: &str =
    "UPDATE deliveries SET begun_at = NULL WHERE begun_at IS NOT NULL AND state <> 'ready'";

const MARKED: &str = "SELECT d.seq, d.id, e.id, d.rule, d.action, d.attempt, d.due, d.begun_at, d.failure_of IS NOT NULL, \
     d.interruptions, d.interrupted_at \
     FROM deliveries d JOIN events e ON e.seq = d.event WHERE d.begun_at IS NOT NULL ORDER BY d.seq";

const RECORD: &str = "UPDATE deliveries SET attempt = ?2, interruptions = ?3, interrupted_at = ?4, begun_at = NULL \
     WHERE seq = ?1";

const LAST: &str = "SELECT coalesce(max(seq), 0) FROM deliveries";

const CLEAN: &str = "SELECT value = '1' FROM meta WHERE key = 'clean'";

const SET_CLEAN: &str = "INSERT INTO meta (key, value) VALUES ('clean', ?1) \
     ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// The result of a recovery.
#[derive(Debug, Default)]
pub(super) struct RecoveredAttempts {
    /// The interrupted attempts, at most [`LISTED`] of them.
    pub interrupted: Vec<Interrupted>,
    /// True if the last daemon stopped cleanly.
    pub after_clean_stop: bool,
    /// Last row of suspect deliveries. 0 if the last daemon stopped cleanly.
    pub suspect_up_to: i64,
}

/// Records the interrupted attempts, and that the store is in use from now on.
pub(super) fn recover(connection: &mut Connection) -> rusqlite::Result<RecoveredAttempts> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let clean: Option<bool> = transaction.query_row(CLEAN, [], |row| row.get(0)).optional()?;
    let last: i64 = transaction.query_row(LAST, [], |row| row.get(0))?;
    let clean = clean.unwrap_or(last == 0);
    transaction.execute(UNMARK_ENDED, [])?;
    let marked: Vec<BegunAttempt> = {
        let mut marked = transaction.prepare(MARKED)?;
        let read = marked.query_map([], begun_attempt)?;
        read.collect::<rusqlite::Result<_>>()?
    };
    let mut interrupted = Vec::new();
    for mut begun in marked {
        let LeaseSnapshot { action, attempt, .. } = begun.snapshot;
        let record = record(action, attempt, begun.since, clean);
        write_attempt(&transaction, begun.seq, &record)?;
        begun.snapshot.interrupt(begun.since, !clean);
        let in_a_row = begun.snapshot.interrupted.map_or(0, |last| last.in_a_row);
        transaction.prepare_cached(RECORD)?.execute(params![
            begun.seq,
            begun.snapshot.attempt,
            in_a_row,
            begun.since.as_millis()
        ])?;
        let named = begun.ids.map(|(delivery, event)| Interrupted {
            delivery,
            event,
            rule: begun.rule,
            action,
            attempt,
            since: begun.since,
            for_failure: begun.snapshot.for_failure,
        });
        interrupted.extend(named.filter(|_| interrupted.len() < LISTED));
    }
    transaction.execute(SET_CLEAN, ["0"])?;
    transaction.commit()?;
    Ok(RecoveredAttempts {
        interrupted,
        after_clean_stop: clean,
        suspect_up_to: if clean { 0 } else { last },
    })
}

/// An attempt that began and was not settled.
struct BegunAttempt {
    seq: i64,
    /// Ids of the delivery and of its event; `None` if another program has damaged them.
    ids: Option<(DeliveryId, EventId)>,
    rule: Arc<str>,
    snapshot: LeaseSnapshot,
    since: Timestamp,
}

/// Reads a row of [`MARKED`].
fn begun_attempt(row: &Row<'_>) -> rusqlite::Result<BegunAttempt> {
    let ids: (String, String) = (row.get(1)?, row.get(2)?);
    Ok(BegunAttempt {
        seq: row.get(0)?,
        ids: parsed("id", &ids.0).ok().zip(parsed("id", &ids.1).ok()),
        rule: row.get(3)?,
        snapshot: LeaseSnapshot {
            action: columns::action(row, 4)?,
            attempt: row.get(5)?,
            due: Timestamp::from_millis(row.get(6)?),
            interrupted: interruption(row.get(9)?, row.get(10)?),
            for_failure: row.get(8)?,
        },
        since: Timestamp::from_millis(row.get(7)?),
    })
}

/// The leases to be marked as begun.
pub(super) enum MarkBegun {
    /// Leases made up to this time.
    LeasedBy(Timestamp),
    /// The lease of this delivery.
    This(DeliveryId),
    /// All leases. Also records that the daemon stops cleanly.
    AllAtTheEnd,
}

impl WriteOp for MarkBegun {
    type Output = ();

    fn apply(&self, batch: &mut Batch<'_>) -> Result<(), WriteError> {
        let begun: Vec<DeliveryId> = match self {
            Self::LeasedBy(at) => batch.queue.leases.unrecorded(at.as_millis()).collect(),
            Self::This(delivery) => vec![*delivery],
            Self::AllAtTheEnd => batch.queue.leases.unrecorded(i64::MAX).collect(),
        };
        for delivery in begun {
            let leased = batch.leased(delivery);
            let Some(leased) = leased.filter(|leased| leased.start != AttemptStart::Recorded) else {
                continue;
            };
            let mut mark = batch.connection.prepare_cached(MARK)?;
            mark.execute(params![leased.entry.key.seq, leased.since, leased.epoch])?;
            batch.effects.marked.push(delivery);
        }
        if matches!(self, Self::AllAtTheEnd) {
            batch.connection.execute(SET_CLEAN, ["1"])?;
        }
        Ok(())
    }
}
