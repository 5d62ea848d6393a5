//! Queries: the ready queues, the deliveries to be leased, and the lists.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{self, RECEIVED, Unreadable, parsed};
use super::failures;
use super::queue_key::QueueKey;
use crate::base::clock::Timestamp;
use crate::event::{EventId, Received};
use crate::store::decide::settlement::LeaseSnapshot;
use crate::store::{
    ATTEMPTS_LISTED, AttemptRecord, DELIVERIES_LISTED, Delivery, DeliveryFailure, DeliveryId, DeliveryState,
    Interruption,
};

/// Name of a delivery's state for the operator. `d` is the delivery.
pub(super) const STATE_NAME: &str = "CASE WHEN d.state IN ('debounced', 'queued', 'ready') THEN 'waiting' \
     WHEN d.state = 'dropped' THEN 'dead' ELSE d.state END";

/// Later rows of a rule with the same due time. Together with [`LATER`] this is `(due, seq) > (?2,
/// ?3)`. For that condition `SQLite` would use the index by `due` alone, and scan all rows of that
/// due time each time.
pub(super) const SAME_DUE: &str = "SELECT due, seq FROM deliveries \
     WHERE (state = 'ready' OR state = 'debounced') AND rule = ?1 AND due = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4";

/// Rows of a rule with later due times.
pub(super) const LATER: &str = "SELECT due, seq FROM deliveries \
     WHERE (state = 'ready' OR state = 'debounced') AND rule = ?1 AND due > ?2 ORDER BY due, seq LIMIT ?3";

/// The next rule, by name, that has waiting deliveries.
pub(super) const NEXT_RULE: &str = "SELECT rule FROM deliveries \
     WHERE (state = 'ready' OR state = 'debounced') AND rule > ?1 ORDER BY rule LIMIT 1";

const WAITING: &str = "SELECT id, action, attempt, event, unverified, reason, group_key IS NOT NULL, replays, \
     state = 'debounced', failure_of IS NOT NULL, interruptions, interrupted_at, item \
     FROM deliveries WHERE seq = ?1 AND due = ?2 AND (state = 'ready' OR state = 'debounced')";

const DELIVERIES: &str = "SELECT id, rule, action, attempt, unverified, failure_of, state, due, debounced_since, ended_at, reason, item FROM deliveries \
     WHERE event = (SELECT seq FROM events WHERE id = ?1) ORDER BY seq LIMIT ?2";

const ATTEMPTS: &str = "SELECT action, number, started_at, duration, outcome, detail, stdout, stderr FROM attempts \
     WHERE delivery = (SELECT seq FROM deliveries WHERE id = ?1) ORDER BY seq DESC LIMIT ?2";

/// With `MAX` over one group, the other columns are those of its row.
const OUTPUTS: &str = "SELECT action, number, started_at, duration, outcome, detail, stdout, stderr, MAX(seq) \
     FROM attempts WHERE delivery = (SELECT seq FROM deliveries WHERE id = ?1) AND outcome = 'done' AND action < ?2 \
     GROUP BY action ORDER BY action";

/// The rules that have waiting deliveries. Each is found by one step in the index, without scanning
/// the deliveries.
pub(super) fn rules_that_wait(connection: &Connection) -> rusqlite::Result<Vec<Arc<str>>> {
    let mut next = connection.prepare_cached(NEXT_RULE)?;
    let mut rules: Vec<Arc<str>> = Vec::new();
    loop {
        // No rule has an empty name, so the first step finds the first rule.
        let last = rules.last().map_or("", |rule| &**rule);
        match next
            .query_row([last], |row| row.get::<_, Arc<str>>(0))
            .optional()?
        {
            Some(rule) => rules.push(rule),
            None => return Ok(rules),
        }
    }
}

/// Reads the next entries in the queue of a rule, at most `count`.
pub(super) fn keys_after(
    connection: &Connection,
    rule: &str,
    after: QueueKey,
    count: usize,
) -> rusqlite::Result<Vec<QueueKey>> {
    let key = |row: &Row<'_>| {
        let (due, seq) = (row.get(0)?, row.get(1)?);
        Ok(QueueKey { due, seq })
    };
    let mut same_due = connection.prepare_cached(SAME_DUE)?;
    let read = same_due.query_map(params![rule, after.due, after.seq, columns::integer(count)], key)?;
    let mut keys = read.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut later = connection.prepare_cached(LATER)?;
    let left = columns::integer(count.saturating_sub(keys.len()));
    for key in later.query_map(params![rule, after.due, left], key)? {
        keys.push(key?);
    }
    Ok(keys)
}

/// A waiting delivery as its row has it.
pub(super) struct WaitingRow {
    pub id: String,
    /// Index of the element that the delivery is about.
    pub item: Option<u32>,
    /// Index of the action that the delivery has reached.
    pub action: usize,
    /// Number of the next attempt at it.
    pub attempt: u32,
    /// Row of the event.
    pub event: i64,
    /// The reason why an unverified event is delivered.
    pub unverified: Option<String>,
    /// True if the delivery belongs to a concurrency group.
    pub in_group: bool,
    /// The reason why the delivery is no longer to be performed.
    pub superseded: Option<String>,
    /// Number of replays.
    pub replays: u32,
    /// True if the delivery waits for quiet and is not in its group yet.
    pub debounced: bool,
    /// The failure for which the delivery was made.
    pub failure: Option<DeliveryFailure>,
    /// Set if the latest attempt was interrupted.
    pub interrupted: Option<Interruption>,
}

impl WaitingRow {
    /// The delivery as it is leased by its entry.
    pub fn snapshot(&self, key: QueueKey) -> LeaseSnapshot {
        LeaseSnapshot {
            action: self.action,
            attempt: self.attempt,
            due: Timestamp::from_millis(key.due),
            interrupted: self.interrupted,
            for_failure: self.failure.is_some(),
        }
    }
}

/// The waiting delivery of a queue entry; `None` if another program has changed it.
pub(super) fn waiting(connection: &Connection, key: QueueKey) -> rusqlite::Result<Option<WaitingRow>> {
    let mut waiting = connection.prepare_cached(WAITING)?;
    let row = waiting.query_row(params![key.seq, key.due], |row| {
        let failed: bool = row.get(9)?;
        let failure = failed.then(|| failures::failure_of_row(connection, key.seq));
        let failure = failure.transpose()?;
        Ok(WaitingRow {
            id: row.get(0)?,
            item: row.get(12)?,
            action: columns::action(row, 1)?,
            attempt: row.get(2)?,
            event: row.get(3)?,
            unverified: row.get(4)?,
            superseded: row.get(5)?,
            in_group: row.get(6)?,
            replays: row.get(7)?,
            debounced: row.get(8)?,
            failure,
            interrupted: interruption(row.get(10)?, row.get(11)?),
        })
    });
    row.optional()
}

/// Makes the interruption of the columns `interruptions` and `interrupted_at`.
pub(super) fn interruption(in_a_row: u32, since: Option<i64>) -> Option<Interruption> {
    let since = Timestamp::from_millis(since.unwrap_or_default());
    (in_a_row > 0).then_some(Interruption { in_a_row, since })
}

/// A stored request, with all that its deliveries need.
#[derive(Clone, Debug)]
pub(super) struct StoredRequest {
    pub received: Arc<Received>,
    /// The decoding of the body.
    pub decode: String,
    /// Name of the operator who made the event. `None` if it arrived, also if it was replayed.
    pub fired_by: Option<Arc<str>>,
}

/// Reads an event with its body. The outer error is one of the disk.
pub(super) fn event(
    connection: &Connection,
    event: i64,
) -> rusqlite::Result<Result<StoredRequest, Unreadable>> {
    let sql = format!(
        "SELECT {RECEIVED}, e.decode, CASE WHEN NOT e.is_replay THEN e.fired_by END FROM events e \
         JOIN bodies b ON b.event = e.seq WHERE e.seq = ?1"
    );
    connection.prepare_cached(&sql)?.query_row([event], |row| {
        let decode: String = row.get(11)?;
        let fired_by: Option<String> = row.get(12)?;
        Ok(columns::received(row).map(|received| StoredRequest {
            received: Arc::new(received),
            decode,
            fired_by: fired_by.map(Arc::from),
        }))
    })
}

/// Lists the deliveries of an event. `is_leased` tells which of them are leased, because that is
/// not on disk.
pub(super) fn deliveries(
    connection: &Connection,
    event: EventId,
    is_leased: impl Fn(DeliveryId) -> bool,
) -> Result<Vec<Delivery>, Unreadable> {
    let mut listed = Vec::new();
    let mut deliveries = connection.prepare_cached(DELIVERIES)?;
    let limit = columns::integer(DELIVERIES_LISTED);
    let mut rows = deliveries.query(params![event.to_string(), limit])?;
    while let Some(row) = rows.next()? {
        let id = parsed("id", &row.get::<_, String>(0)?)?;
        listed.push(Delivery {
            id,
            event,
            rule: Arc::from(row.get::<_, String>(1)?),
            item: row.get(11)?,
            action: columns::action(row, 2)?,
            attempt: row.get(3)?,
            state: if is_leased(id) {
                DeliveryState::Running
            } else {
                state(row, 6)?
            },
            unverified: row.get::<_, Option<String>>(4)?.map(Arc::from),
            failure_of: failure_of(row.get(5)?)?,
        });
    }
    Ok(listed)
}

/// Parses the column that names the failed delivery.
pub(super) fn failure_of(column: Option<String>) -> Result<Option<DeliveryId>, Unreadable> {
    column.map(|id| parsed("failure_of", &id)).transpose()
}

/// Reads a state from the columns `state`, `due`, `debounced_since`, `ended_at` and `reason`, which
/// begin at `first`.
pub(super) fn state(row: &Row<'_>, first: usize) -> rusqlite::Result<DeliveryState> {
    let moment = |column: usize| {
        let millis: Option<i64> = row.get(first + column)?;
        Ok::<_, rusqlite::Error>(Timestamp::from_millis(millis.unwrap_or_default()))
    };
    let reason = || Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(first + 4)?.unwrap_or_default());
    let due = moment(1)?;
    Ok(match row.get::<_, String>(first)?.as_str() {
        "debounced" => {
            let since = moment(2)?;
            DeliveryState::Debounced { due, since }
        }
        "queued" => DeliveryState::Queued { due },
        "done" => DeliveryState::Done { at: moment(3)? },
        "superseded" => {
            let (at, reason) = (moment(3)?, reason()?);
            DeliveryState::Superseded { at, reason }
        }
        // A dropped delivery is dead, although its last attempt may still be running.
        "dead" | "dropped" => {
            let (at, reason) = (moment(3)?, reason()?);
            DeliveryState::Dead { at, reason }
        }
        _ => DeliveryState::Ready { due },
    })
}

/// Lists the latest attempts at a delivery, oldest first.
pub(super) fn attempts(
    connection: &Connection,
    delivery: DeliveryId,
) -> rusqlite::Result<Vec<AttemptRecord>> {
    let mut attempts = connection.prepare_cached(ATTEMPTS)?;
    let limit = columns::integer(ATTEMPTS_LISTED);
    let read = attempts.query_map(params![delivery.to_string(), limit], attempt)?;
    let mut listed = read.collect::<rusqlite::Result<Vec<_>>>()?;
    listed.reverse();
    Ok(listed)
}

/// Lists the last attempts that are done at each action before the action `before`.
pub(super) fn outputs(
    connection: &Connection,
    delivery: DeliveryId,
    before: usize,
) -> rusqlite::Result<Vec<AttemptRecord>> {
    let mut outputs = connection.prepare_cached(OUTPUTS)?;
    let read = outputs.query_map(params![delivery.to_string(), columns::integer(before)], attempt)?;
    read.collect()
}

/// Reads an attempt from its columns.
fn attempt(row: &Row<'_>) -> rusqlite::Result<AttemptRecord> {
    Ok(AttemptRecord {
        action: columns::action(row, 0)?,
        number: row.get(1)?,
        started: Timestamp::from_millis(row.get(2)?),
        duration: Duration::from_millis(u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0)),
        outcome: row.get(4)?,
        detail: row.get(5)?,
        stdout: row.get(6)?,
        stderr: row.get(7)?,
    })
}
