//! Sweeps: expired data is deleted in small steps, so that no step delays new events for long. What
//! has expired is decided in `decide/retention.rs`.

use rusqlite::{Connection, params};

use super::arrivals;
use super::columns::integer;
use super::counters::Counters;
use super::sightings;
use super::write_op::{Batch, WriteError, WriteOp};
use crate::base::clock::Timestamp;
use crate::store::decide::retention::{Expiry, STEP_ROWS, StepBudget};

/// Maximum free pages that one step returns to the filesystem.
const PAGES: i64 = 256;

const EXPIRED_DEDUP_KEYS: &str = "DELETE FROM dedup_keys WHERE seq IN \
     (SELECT seq FROM dedup_keys INDEXED BY dedup_keys_until WHERE remember_until < ?1 LIMIT ?2)";

const PAST_EVENTS: &str = "SELECT seq, size FROM events INDEXED BY events_ended \
     WHERE pending = 0 AND dead = ?1 AND ended_at < ?2 ORDER BY ended_at LIMIT ?3";

const DELIVERIES_OF: &str = "SELECT count(*) FILTER (WHERE state IN ('done', 'superseded') OR failure_of IS NOT NULL), \
     count(*) FILTER (WHERE state IN ('dead', 'dropped') AND failure_of IS NULL) FROM deliveries WHERE event = ?1";

/// Also deletes the body, the deliveries and their attempts.
const DELETE_EVENT: &str = "DELETE FROM events WHERE seq = ?1";

/// A step of a sweep, with the current time.
pub(super) struct Sweep(pub Timestamp);

impl WriteOp for Sweep {
    type Output = usize;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<usize, WriteError> {
        let expiry = Expiry::at(self.0, &batch.settings.keep);
        let before = expiry.remembered.as_millis();
        let mut expired = batch.connection.prepare_cached(EXPIRED_DEDUP_KEYS)?;
        let dedup_keys = expired.execute(params![before, integer(STEP_ROWS)])?;
        batch.effects.counters.dedup_keys -= integer(dedup_keys);
        let sightings = sightings::sweep(batch, expiry.remembered, integer(STEP_ROWS))?;
        let (mut budget, mut events) = (StepBudget::default(), 0);
        for dead in [false, true] {
            events += forget_events(batch, dead, expiry.ended(dead), &mut budget)?;
        }
        arrivals::trim(batch)?;
        if dedup_keys + sightings + events == 0 {
            release_pages(batch.connection)?;
        }
        Ok(dedup_keys + sightings + events)
    }
}

/// Deletes events that ended before a moment. Returns their number.
fn forget_events(
    batch: &mut Batch<'_>,
    dead: bool,
    before: Timestamp,
    budget: &mut StepBudget,
) -> rusqlite::Result<usize> {
    let mut past = batch.connection.prepare_cached(PAST_EVENTS)?;
    let mut rows = past.query(params![dead, before.as_millis(), integer(budget.rows())])?;
    let mut forgotten = 0;
    let mut events: Vec<i64> = Vec::new();
    while let Some(row) = rows.next()? {
        if !budget.is_left() {
            break;
        }
        let event: i64 = row.get(0)?;
        let (done, dead): (i64, i64) = batch
            .connection
            .prepare_cached(DELIVERIES_OF)?
            .query_row([event], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let deliveries = usize::try_from(done + dead).unwrap_or(STEP_ROWS);
        budget.spend(deliveries, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0));
        batch.effects.counters.change(Counters {
            events: -1,
            done: -done,
            dead: -dead,
            ..Counters::default()
        });
        events.push(event);
    }
    for event in events {
        forgotten += batch.connection.prepare_cached(DELETE_EVENT)?.execute([event])?;
    }
    Ok(forgotten)
}

/// Returns free pages to the filesystem if they are more than a quarter of the file. Fewer will be
/// used again.
fn release_pages(connection: &Connection) -> rusqlite::Result<()> {
    let pragma = |sql: &str| {
        connection
            .prepare_cached(sql)?
            .query_row([], |row| row.get::<_, i64>(0))
    };
    let free = pragma("PRAGMA freelist_count")?;
    if free > PAGES && free > pragma("PRAGMA page_count")? / 4 {
        connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    }
    Ok(())
}
