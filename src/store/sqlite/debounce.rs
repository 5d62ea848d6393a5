//! Debouncing: of the deliveries of a rule and group that wait for quiet, only the newest is kept.
//!
//! The wait is recorded on disk and ends before the lease. A delivery that has begun is therefore
//! never superseded by a later one.

use std::sync::Arc;

use rusqlite::{OptionalExtension, Row, params};

use super::groups::{self, Member, supersede};
use super::queue_key::{QueueKey, ReadyEntry};
use super::write_op::{Batch, WriteError, WriteOp};
use crate::base::clock::Timestamp;
use crate::store::decide::admission::Admission;
use crate::store::group::reason;
use crate::store::{Displaced, Group, NewDelivery, Overlap};

/// Debounced deliveries of a rule and group.
const DEBOUNCED: &str = "SELECT seq, due, debounced_since, id, (SELECT e.id FROM events e WHERE e.seq = event) FROM deliveries \
     WHERE rule = ?1 AND group_key IS ?2 AND state = 'debounced' ORDER BY seq";

const ELAPSED: &str = "SELECT group_key, group_limit, group_overlap, id, (SELECT e.id FROM events e WHERE e.seq = event) FROM deliveries \
     WHERE seq = ?1 AND due = ?2 AND state = 'debounced'";

const ENTER_GROUP: &str = "UPDATE deliveries SET state = ?2, debounced_since = NULL WHERE seq = ?1";

/// Ends the debounced deliveries that a new one at `at` supersedes. Returns the arrival of the
/// first delivery that they superseded themselves.
///
/// A delivery without a debounce supersedes too, because the rules may have changed in between. An
/// older one must never run after it.
pub(super) fn supersede_debounced(
    batch: &mut Batch<'_>,
    delivery: &NewDelivery,
    at: Timestamp,
    displaced: &mut Displaced,
) -> rusqlite::Result<Option<Timestamp>> {
    if batch.debounced() == 0 {
        return Ok(None);
    }
    let group = delivery.group.as_ref().map(|group| &group.name);
    let waiting: Vec<(Member, i64)> = {
        let mut debounced = batch.connection.prepare_cached(DEBOUNCED)?;
        let read = debounced.query_map(params![delivery.rule, group], |row| {
            let (seq, due) = (row.get(0)?, row.get(1)?);
            let entry = ReadyEntry {
                rule: Arc::clone(&delivery.rule),
                key: QueueKey { due, seq },
            };
            let (id, event): (String, String) = (row.get(3)?, row.get(4)?);
            Ok((Member::new(entry, &id, &event), row.get(2)?))
        })?;
        read.collect::<rusqlite::Result<_>>()?
    };
    let first = waiting.iter().map(|(_, since)| *since).min();
    for (member, _) in waiting {
        batch.effects.counters.debounced -= 1;
        supersede(batch, member, at, reason::DEBOUNCED, displaced)?;
    }
    Ok(first.map(Timestamp::from_millis))
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
        let mut displaced = Displaced::default();
        let QueueKey { due, seq } = self.entry.key;
        let mut elapsed = batch.connection.prepare_cached(ELAPSED)?;
        let found = elapsed.query_row(params![seq, due], |row| {
            let (id, event): (String, String) = (row.get(3)?, row.get(4)?);
            Ok((group(row)?, Member::new(self.entry.clone(), &id, &event)))
        });
        let Some((group, member)) = found.optional()? else {
            return Ok(displaced);
        };
        batch.effects.counters.debounced -= 1;
        let admission = match &group {
            Some(group) => groups::enter(batch, group, self.at, &mut displaced)?,
            None => Admission::Run,
        };
        let mut enter_group = batch.connection.prepare_cached(ENTER_GROUP)?;
        match admission {
            Admission::Run => {
                enter_group.execute(params![seq, "ready"])?;
            }
            Admission::Queue => {
                enter_group.execute(params![seq, "queued"])?;
                // The delivery may be older than the queued ones, and have a wider limit.
                if let Some(group) = &group {
                    groups::leave(batch, &group.name)?;
                }
                if !batch.effects.waiting.contains(&self.entry) {
                    batch.effects.removed.push(self.entry.clone());
                }
            }
            Admission::Skip => supersede(batch, member, self.at, reason::SKIPPED, &mut displaced)?,
        }
        Ok(displaced)
    }
}

/// The group of a delivery in a row of [`ELAPSED`].
fn group(row: &Row<'_>) -> rusqlite::Result<Option<Group>> {
    let (name, limit): (Option<Arc<str>>, u32) = (row.get(0)?, row.get(1)?);
    let overlap: Option<String> = row.get(2)?;
    let overlap = Overlap::from_name(&overlap.unwrap_or_default());
    Ok(name.map(|name| Group { name, limit, overlap }))
}
