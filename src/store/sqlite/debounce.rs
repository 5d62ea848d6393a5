//! Debouncing: of the deliveries of a rule and group that wait for quiet, only the newest is kept.
//!
//! The wait is recorded on disk and ends before the lease. A delivery that has begun is therefore
//! never superseded by a later one.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::groups::{self, Admission, Member, supersede};
use super::queue::{QueueKey, ReadyEntry};
use super::write_op::{Batch, WriteError, WriteOp};
use crate::base::clock::Timestamp;
use crate::store::group::reason;
use crate::store::{Debounce, Displaced, Group, NewDelivery, Overlap};

/// Deliveries of a rule and group that wait for quiet.
const DEBOUNCED: &str = "SELECT seq, due, debounced_since, id, (SELECT e.id FROM events e WHERE e.seq = event) FROM deliveries \
     WHERE rule = ?1 AND group_key IS ?2 AND state = 'waiting' AND debounced_since IS NOT NULL ORDER BY seq";

const ELAPSED: &str = "SELECT group_key, group_limit, group_overlap, id, (SELECT e.id FROM events e WHERE e.seq = event) FROM deliveries \
     WHERE seq = ?1 AND due = ?2 AND state = 'waiting' AND debounced_since IS NOT NULL";

const BEGIN: &str = "UPDATE deliveries SET debounced_since = NULL, held = ?2 WHERE seq = ?1";

/// Ends the deliveries that wait for quiet and that a new one at `at` supersedes. Returns the
/// arrival of the first of them.
pub(super) fn supersede_debounced(
    batch: &mut Batch<'_>,
    delivery: &NewDelivery,
    at: Timestamp,
    displaced: &mut Displaced,
) -> rusqlite::Result<Timestamp> {
    let mut since = at;
    let group = delivery.group.as_ref().map(|group| &group.name);
    let waiting: Vec<(Member, i64)> = {
        let mut debounced = batch.connection.prepare_cached(DEBOUNCED)?;
        let read = debounced.query_map(params![delivery.rule, group], |row| {
            let (seq, due) = (row.get(0)?, row.get(1)?);
            let entry = ReadyEntry {
                rule: Arc::clone(&delivery.rule),
                key: QueueKey { due, seq },
            };
            let member = Member {
                entry,
                id: row.get(3)?,
                event: row.get(4)?,
                held: false,
            };
            Ok((member, row.get(2)?))
        })?;
        read.collect::<rusqlite::Result<_>>()?
    };
    for (member, first) in waiting {
        since = since.min(Timestamp::from_millis(first));
        batch.counters.debounced -= 1;
        supersede(batch, member, at, reason::DEBOUNCED, displaced)?;
    }
    Ok(since)
}

/// Returns the due time of a new delivery, and the start of its wait for quiet if it has one.
pub(super) fn due(
    batch: &mut Batch<'_>,
    delivery: &NewDelivery,
    at: Timestamp,
    displaced: &mut Displaced,
) -> rusqlite::Result<(Timestamp, Option<Timestamp>)> {
    // A delivery without a debounce supersedes too, because the rules may have changed in between.
    // An older one must never run after it.
    let since = if batch.debounced() > 0 {
        supersede_debounced(batch, delivery, at, displaced)?
    } else {
        at
    };
    let Some(debounce): Option<Debounce> = delivery.debounce else {
        return Ok((delivery.due, None));
    };
    batch.counters.debounced += 1;
    Ok((debounce.due(at, since), Some(since)))
}

/// The end of a delivery's wait for quiet. The delivery enters its group. Answers with the
/// deliveries that it supersedes.
pub(super) struct DebounceElapsed {
    /// Entry of the delivery.
    pub entry: ReadyEntry,
    /// Time at which the wait was over.
    pub at: Timestamp,
}

impl WriteOp for DebounceElapsed {
    type Output = Displaced;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Displaced, WriteError> {
        let QueueKey { due, seq } = self.entry.key;
        let found = batch
            .connection
            .prepare_cached(ELAPSED)?
            .query_row(params![seq, due], |row| {
                let group: Option<Arc<str>> = row.get(0)?;
                let overlap: Option<String> = row.get(2)?;
                let ids: (String, String) = (row.get(3)?, row.get(4)?);
                let limit: i64 = row.get(1)?;
                Ok((group, u32::try_from(limit).unwrap_or(1).max(1), overlap, ids))
            })
            .optional()?;
        let Some((name, limit, overlap, (id, event))) = found else {
            return Ok(Displaced::default());
        };
        batch.counters.debounced -= 1;
        let mut displaced = Displaced::default();
        let overlap = Overlap::from_name(&overlap.unwrap_or_default());
        let group = name.map(|name| Group { name, limit, overlap });
        let turn = match &group {
            Some(group) => groups::enter(batch, group, self.at, &mut displaced)?,
            None => Admission::Run,
        };
        let held = matches!(turn, Admission::Queue);
        batch
            .connection
            .prepare_cached(BEGIN)?
            .execute(params![seq, held])?;
        match turn {
            Admission::Run => {}
            Admission::Queue => {
                // The delivery may be older than the held ones, and have a wider limit.
                if let Some(group) = &group {
                    groups::leave(batch, &group.name)?;
                }
                if !batch.waiting.contains(&self.entry) {
                    batch.removed.push(self.entry.clone());
                }
            }
            Admission::Skip => {
                let member = Member {
                    entry: self.entry.clone(),
                    id,
                    event,
                    held: false,
                };
                supersede(batch, member, self.at, reason::SKIPPED, &mut displaced)?;
            }
        }
        Ok(displaced)
    }
}
