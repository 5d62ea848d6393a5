//! Reads what is on disk: the queue, what is leased, and the lists.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::failures;
use super::queue::QueueKey;
use super::rows::{self, RECEIVED, Unreadable, parsed};
use crate::base::clock::Timestamp;
use crate::event::{EventId, Received};
use crate::store::{
    ATTEMPTS_LISTED, AttemptRecord, DELIVERIES_LISTED, Delivery, DeliveryFailure, DeliveryId, DeliveryState,
    Interruption, RefusedRequest,
};

/// Those of a rule and of one due time, after one of them. Together with [`LATER`] this is `(due, seq) > (?2, ?3)`, for which
/// `SQLite` would use the index by `due` alone, and walk over all of that due time again and again.
pub(super) const SAME_DUE: &str = "SELECT due, seq FROM deliveries \
     WHERE state = 'waiting' AND held = 0 AND rule = ?1 AND due = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4";

/// Those of a rule, of later due times.
pub(super) const LATER: &str = "SELECT due, seq FROM deliveries \
     WHERE state = 'waiting' AND held = 0 AND rule = ?1 AND due > ?2 ORDER BY due, seq LIMIT ?3";

/// The first rule, by name, for which something waits, of those after one.
pub(super) const NEXT_RULE: &str = "SELECT rule FROM deliveries \
     WHERE state = 'waiting' AND held = 0 AND rule > ?1 ORDER BY rule LIMIT 1";

const WAITING: &str = "SELECT id, action, attempt, event, unverified, reason, lane IS NOT NULL, replays, \
     debounced_since IS NOT NULL, failure_of IS NOT NULL, interruptions, interrupted_at \
     FROM deliveries WHERE seq = ?1 AND due = ?2 AND held = 0 AND state = 'waiting'";

const DELIVERIES: &str = "SELECT id, rule, action, attempt, state, due, ended_at, reason, unverified, failure_of FROM deliveries \
     WHERE event = (SELECT seq FROM events WHERE id = ?1) ORDER BY seq LIMIT ?2";

const ATTEMPTS: &str = "SELECT action, number, started_at, duration, outcome, detail, stdout, stderr FROM attempts \
     WHERE delivery = (SELECT seq FROM deliveries WHERE id = ?1) ORDER BY seq DESC LIMIT ?2";

pub(super) const REFUSED: &str =
    "SELECT at, endpoint, client, reason, headers FROM refused ORDER BY seq DESC LIMIT ?1";

/// The rules for which something waits. Each is found by a step in the index: what waits is not walked over.
pub(super) fn rules_that_wait(connection: &Connection) -> rusqlite::Result<Vec<Arc<str>>> {
    let mut next = connection.prepare_cached(NEXT_RULE)?;
    let mut rules: Vec<Arc<str>> = Vec::new();
    loop {
        // No rule's name is empty.
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

/// The next places in the queue of a rule, at most so many.
pub(super) fn places_after(
    connection: &Connection,
    rule: &str,
    after: QueueKey,
    count: usize,
) -> rusqlite::Result<Vec<QueueKey>> {
    let place = |row: &Row<'_>| {
        let (due, seq) = (row.get(0)?, row.get(1)?);
        Ok(QueueKey { due, seq })
    };
    let rows = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let mut same_due = connection.prepare_cached(SAME_DUE)?;
    let read = same_due.query_map(params![rule, after.due, after.seq, rows(count)], place)?;
    let mut places = read.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut later = connection.prepare_cached(LATER)?;
    let left = rows(count.saturating_sub(places.len()));
    for place in later.query_map(params![rule, after.due, left], place)? {
        places.push(place?);
    }
    Ok(places)
}

/// A delivery that waits, as its row has it.
pub(super) struct WaitingRow {
    /// Its id.
    pub id: String,
    /// The action that it has reached.
    pub action: usize,
    /// Which try at it is next.
    pub attempt: u32,
    /// The row of its event.
    pub event: i64,
    /// Why it is owed although the event was not verified.
    pub unverified: Option<String>,
    /// Whether it goes in a lane.
    pub in_group: bool,
    /// Why it is not to be performed any more.
    pub superseded: Option<String>,
    /// How often it was replayed.
    pub replays: u32,
    /// Whether it waits for quiet, and is in no lane yet.
    pub debounced: bool,
    /// The failure that it was made for.
    pub failure: Option<DeliveryFailure>,
    /// That its latest attempt was interrupted.
    pub interrupted: Option<Interruption>,
}

/// The delivery that waits at a place; none if somebody else has written to the file.
pub(super) fn waiting(connection: &Connection, place: QueueKey) -> rusqlite::Result<Option<WaitingRow>> {
    let mut waiting = connection.prepare_cached(WAITING)?;
    let row = waiting.query_row(params![place.seq, place.due], |row| {
        let failed: bool = row.get(9)?;
        let failure = failed.then(|| failures::told(connection, place.seq));
        let failure = failure.transpose()?;
        let in_a_row: u32 = row.get(10)?;
        let since: Option<i64> = row.get(11)?;
        let interrupted = (in_a_row > 0).then(|| Interruption {
            in_a_row,
            since: Timestamp::from_millis(since.unwrap_or_default()),
        });
        Ok(WaitingRow {
            id: row.get(0)?,
            action: usize::try_from(row.get::<_, i64>(1)?).unwrap_or(usize::MAX),
            attempt: row.get(2)?,
            event: row.get(3)?,
            unverified: row.get(4)?,
            superseded: row.get(5)?,
            in_group: row.get(6)?,
            replays: row.get(7)?,
            debounced: row.get(8)?,
            failure,
            interrupted,
        })
    });
    row.optional()
}

/// An event with its body and how it is decoded. Errors of the disk are the outer ones.
pub(super) fn event(
    connection: &Connection,
    event: i64,
) -> rusqlite::Result<Result<(Arc<Received>, String), Unreadable>> {
    let sql = format!(
        "SELECT {RECEIVED}, e.decode FROM events e JOIN bodies b ON b.event = e.seq WHERE e.seq = ?1"
    );
    connection.prepare_cached(&sql)?.query_row([event], |row| {
        let decode: String = row.get(10)?;
        Ok(rows::received(row).map(|received| (Arc::new(received), decode)))
    })
}

/// The deliveries of an event; which of those that wait are leased is not on disk.
pub(super) fn deliveries(
    connection: &Connection,
    event: EventId,
    is_leased: impl Fn(DeliveryId) -> bool,
) -> Result<Vec<Delivery>, Unreadable> {
    let mut listed = Vec::new();
    let mut deliveries = connection.prepare_cached(DELIVERIES)?;
    let limit = i64::try_from(DELIVERIES_LISTED).unwrap_or(i64::MAX);
    let mut rows = deliveries.query(params![event.to_string(), limit])?;
    while let Some(row) = rows.next()? {
        let id = parsed("id", &row.get::<_, String>(0)?)?;
        listed.push(Delivery {
            id,
            event,
            rule: Arc::from(row.get::<_, String>(1)?),
            action: usize::try_from(row.get::<_, i64>(2)?).unwrap_or(usize::MAX),
            attempt: row.get(3)?,
            state: if is_leased(id) {
                DeliveryState::Leased
            } else {
                state(row)?
            },
            unverified: row.get::<_, Option<String>>(8)?.map(Arc::from),
            failure_of: failure_of(row.get(9)?)?,
        });
    }
    Ok(listed)
}

/// The delivery for whose failure one was made.
pub(super) fn failure_of(column: Option<String>) -> Result<Option<DeliveryId>, Unreadable> {
    column.map(|id| parsed("failure_of", &id)).transpose()
}

fn state(row: &Row<'_>) -> rusqlite::Result<DeliveryState> {
    let at = Timestamp::from_millis(row.get::<_, Option<i64>>(6)?.unwrap_or(0));
    Ok(match row.get::<_, String>(4)?.as_str() {
        "done" => match row.get(7)? {
            None => DeliveryState::Done { at },
            Some(reason) => DeliveryState::Superseded { at, reason },
        },
        "dead" => {
            let reason = row.get::<_, Option<String>>(7)?.unwrap_or_default();
            DeliveryState::Dead { at, reason }
        }
        _ => DeliveryState::Waiting {
            due: Timestamp::from_millis(row.get(5)?),
        },
    })
}

/// The latest attempts at a delivery, oldest first.
pub(super) fn attempts(
    connection: &Connection,
    delivery: DeliveryId,
) -> rusqlite::Result<Vec<AttemptRecord>> {
    let mut attempts = connection.prepare_cached(ATTEMPTS)?;
    let limit = i64::try_from(ATTEMPTS_LISTED).unwrap_or(i64::MAX);
    let read = attempts.query_map(params![delivery.to_string(), limit], |row| {
        Ok(AttemptRecord {
            action: usize::try_from(row.get::<_, i64>(0)?).unwrap_or(usize::MAX),
            number: row.get(1)?,
            started: Timestamp::from_millis(row.get(2)?),
            duration: Duration::from_millis(u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0)),
            outcome: row.get(4)?,
            detail: row.get(5)?,
            stdout: row.get(6)?,
            stderr: row.get(7)?,
        })
    })?;
    let mut listed = read.collect::<rusqlite::Result<Vec<_>>>()?;
    listed.reverse();
    Ok(listed)
}

/// The latest refusals, newest first.
pub(super) fn refused(connection: &Connection, limit: usize) -> Result<Vec<RefusedRequest>, Unreadable> {
    let mut listed = Vec::new();
    let mut refused = connection.prepare_cached(REFUSED)?;
    let mut rows = refused.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        let client: Option<String> = row.get(2)?;
        listed.push(RefusedRequest {
            at: Timestamp::from_millis(row.get(0)?),
            endpoint: Arc::from(row.get::<_, String>(1)?),
            client: client.map(|client| parsed("client", &client)).transpose()?,
            reason: row.get(3)?,
            headers: row.get(4)?,
        });
    }
    Ok(listed)
}
