//! End of a delivery: its last state, and the totals of its event.
//!
//! The state is decided elsewhere: for a settlement in `decide/settlement.rs`, for a superseded
//! delivery in `groups.rs`. Its group goes on in `groups.rs`.

use rusqlite::{OptionalExtension, params};

use super::write_op::Batch;
use crate::base::clock::Timestamp;
use crate::store::DeliveryState;
use crate::store::decide::retention::is_dead_letter;

/// A delivery that is not leased has no epoch to be compared. `state IN (…)` would fill a temporary
/// table each time.
const END: &str = "UPDATE deliveries SET state = ?2, ended_at = ?3, reason = ?4, begun_at = NULL \
     WHERE seq = ?1 AND (state = 'ready' OR state = 'queued' OR state = 'debounced') AND replays = coalesce(?5, replays) \
     RETURNING event, group_key, failure_of IS NOT NULL";

/// As [`END`], for a leased delivery without a group, of which the rest of the row is known.
/// `RETURNING` would fill a temporary table each time.
const END_LEASED: &str = "UPDATE deliveries SET state = ?2, ended_at = ?3, reason = ?4, begun_at = NULL \
     WHERE seq = ?1 AND state = 'ready' AND replays = ?5";

const EVENT_DELIVERY_ENDED: &str = "UPDATE events SET pending = pending - 1, dead = max(dead, ?2), \
     ended_at = max(coalesce(ended_at, ?3), ?3) WHERE seq = ?1";

/// A delivery that has ended.
pub(super) struct EndedDelivery {
    pub group: Option<String>,
}

/// Ends a delivery, and updates the totals of its event. Returns `None` if the delivery
/// is no longer pending in this epoch.
pub(super) fn end(
    batch: &mut Batch<'_>,
    seq: i64,
    state: &DeliveryState,
    epoch: Option<u32>,
) -> rusqlite::Result<Option<EndedDelivery>> {
    let at = state.ended_at().map(Timestamp::as_millis);
    let mut end = batch.connection.prepare_cached(END)?;
    let found = end.query_row(params![seq, state.name(), at, state.reason(), epoch], |row| {
        Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, bool>(2)?))
    });
    let Some((event, group, for_failure)) = found.optional()? else {
        return Ok(None);
    };
    end_of_event(batch, event, state, for_failure)?;
    Ok(Some(EndedDelivery { group }))
}

/// Ends a leased delivery without a group, as [`end`] does.
pub(super) fn end_leased(
    batch: &mut Batch<'_>,
    (seq, epoch): (i64, u32),
    event: i64,
    state: &DeliveryState,
    for_failure: bool,
) -> rusqlite::Result<Option<EndedDelivery>> {
    let at = state.ended_at().map(Timestamp::as_millis);
    let mut end = batch.connection.prepare_cached(END_LEASED)?;
    if end.execute(params![seq, state.name(), at, state.reason(), epoch])? == 0 {
        return Ok(None);
    }
    end_of_event(batch, event, state, for_failure)?;
    Ok(Some(EndedDelivery { group: None }))
}

/// Updates the totals of an event of which a delivery has ended.
fn end_of_event(
    batch: &mut Batch<'_>,
    event: i64,
    state: &DeliveryState,
    for_failure: bool,
) -> rusqlite::Result<()> {
    let at = state.ended_at().map(Timestamp::as_millis);
    let dead = is_dead_letter(state, for_failure);
    let mut update = batch.connection.prepare_cached(EVENT_DELIVERY_ENDED)?;
    update.execute(params![event, dead, at])?;
    batch.effects.counters.pending -= 1;
    if dead {
        batch.effects.counters.dead += 1;
    } else {
        batch.effects.counters.done += 1;
    }
    Ok(())
}
