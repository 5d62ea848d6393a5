//! Consistency of a store whose pages are sound: the rows agree with each other, and each of them
//! can be read.
//!
//! `SQLite` holds the constraints of the schema by itself. These checks hold what is written in the
//! comments of `schema.sql`.

use rusqlite::{Connection, Row};

use super::arrivals;
use super::columns::{self, RECEIVED, Unreadable, parsed};
use crate::event::{Decision, EventId};
use crate::store::{ArrivalRecord, DeliveryId};

/// Maximum unreadable rows of a table that are reported.
const UNREADABLE: usize = 5;

/// Inconsistencies, each with a query for the rows that have it.
const INCONSISTENCIES: &[(&str, &str)] = &[
    (
        "events whose number of waiting deliveries is wrong",
        "SELECT id FROM events e WHERE pending <> \
         (SELECT count(*) FROM deliveries WHERE event = e.seq AND state IN ('debounced', 'queued', 'ready'))",
    ),
    (
        "events whose mark of a dead letter is wrong",
        "SELECT id FROM events e WHERE dead <> EXISTS (SELECT 1 FROM deliveries \
         WHERE event = e.seq AND state IN ('dead', 'dropped') AND failure_of IS NULL)",
    ),
    (
        "events whose end is not that of their last delivery",
        "SELECT id FROM events e WHERE ended_at IS NOT (SELECT max(ended_at) FROM deliveries WHERE event = e.seq)",
    ),
    (
        "events without a delivery",
        "SELECT id FROM events e WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE event = e.seq)",
    ),
    (
        "events without a body",
        "SELECT id FROM events e WHERE NOT EXISTS (SELECT 1 FROM bodies WHERE event = e.seq)",
    ),
    (
        "events whose size is not that of their body",
        "SELECT id FROM events e JOIN bodies b ON b.event = e.seq WHERE size <> coalesce(lz4_size, length(body))",
    ),
    (
        "events that are also recorded as arrivals without an event",
        "SELECT id FROM arrivals WHERE id IN (SELECT id FROM events) OR outcome = 'accepted'",
    ),
    (
        "deliveries whose end does not agree with their state",
        "SELECT id FROM deliveries WHERE (ended_at IS NOT NULL) <> (state IN ('done', 'superseded', 'dead', 'dropped'))",
    ),
    (
        "deliveries that ended without a reason",
        "SELECT id FROM deliveries WHERE reason IS NULL AND state IN ('superseded', 'dead', 'dropped')",
    ),
    (
        "debounced deliveries without the arrival of the first",
        "SELECT id FROM deliveries WHERE state = 'debounced' AND debounced_since IS NULL",
    ),
    (
        "deliveries that wait in a group without a name or a limit",
        "SELECT id FROM deliveries WHERE (group_key IS NULL AND state IN ('queued', 'dropped')) \
         OR (group_key IS NOT NULL AND group_limit < 1)",
    ),
    (
        "deliveries with a running attempt although they are not ready",
        "SELECT id FROM deliveries WHERE begun_at IS NOT NULL AND state <> 'ready'",
    ),
    (
        "deliveries whose interruptions have no time",
        "SELECT id FROM deliveries WHERE interruptions > 0 AND interrupted_at IS NULL",
    ),
    (
        "deliveries with an impossible action, attempt, replay or interruption",
        "SELECT id FROM deliveries WHERE action < 0 OR attempt < 1 OR replays < 0 OR interruptions < 0",
    ),
    (
        "deliveries whose replays are not among their attempts",
        "SELECT id FROM deliveries d WHERE replays <> \
         (SELECT count(*) FROM attempts WHERE delivery = d.seq AND outcome = 'replayed')",
    ),
    (
        "deliveries for a failure that is not recorded, or with one that is not theirs",
        "SELECT id FROM deliveries d WHERE (failure_of IS NOT NULL) <> EXISTS (SELECT 1 FROM failures WHERE delivery = d.seq) \
         OR EXISTS (SELECT 1 FROM deliveries f WHERE f.id = d.failure_of AND f.event <> d.event)",
    ),
    (
        "deliveries of an impossible element, or for a failure of another element",
        "SELECT id FROM deliveries d WHERE item < 0 \
         OR EXISTS (SELECT 1 FROM deliveries f WHERE f.id = d.failure_of AND f.item IS NOT d.item)",
    ),
    (
        "attempts with an impossible action, number or duration",
        "SELECT seq FROM attempts WHERE action < 0 OR number < 1 OR duration < 0",
    ),
    (
        "dedup keys without a key or an event",
        "SELECT seq FROM dedup_keys WHERE length(key) = 0 OR length(event) <> 36",
    ),
    (
        "sightings without a key or an event",
        "SELECT seq FROM sightings WHERE length(key) = 0 OR length(event) <> 36",
    ),
    (
        "pauses without a name, a time or a user",
        "SELECT name FROM pauses WHERE name = '' OR since < 0 OR paused_by = ''",
    ),
    (
        "expectations without a name or a time",
        "SELECT name FROM expectations WHERE name = '' OR since < 0 OR last_arrival < 0 OR noticed_at < 0",
    ),
    (
        "facts about the store that have no such value",
        "SELECT key FROM meta WHERE key NOT IN ('clean', 'rules') OR (key = 'clean' AND value NOT IN ('0', '1'))",
    ),
];

/// Rows whose row in another table is gone.
const ORPHANS: &str = "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2";

/// Finds the inconsistencies of a store.
pub(super) fn faults(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut orphans = connection.prepare(ORPHANS)?;
    let read = orphans.query_map([], |row| {
        let (table, parent, number): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!(
            "rows of `{table}` whose row in `{parent}` is gone: {number}"
        ))
    })?;
    faults.extend(read.collect::<rusqlite::Result<Vec<_>>>()?);
    for (what, rows) in INCONSISTENCIES {
        let sql = format!(
            "SELECT count(*), CAST(min(first) AS TEXT) FROM (SELECT NULL AS first WHERE 0 UNION ALL {rows})"
        );
        let found = connection.query_row(&sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
        if let (number @ 1.., Some(first)) = found {
            let first: String = first;
            faults.push(format!("{what}: {number}, for example {first}"));
        }
    }
    faults.extend(unreadable_events(connection)?);
    faults.extend(unreadable_deliveries(connection)?);
    faults.extend(unreadable_arrivals(connection)?);
    Ok(faults)
}

/// The faults that `look` finds in the rows of a query. Stops after [`UNREADABLE`].
fn faults_of(
    connection: &Connection,
    sql: &str,
    mut look: impl FnMut(&Row<'_>, &mut Vec<String>) -> rusqlite::Result<()>,
) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut faults = Vec::new();
    while let Some(row) = rows.next()?
        && faults.len() < UNREADABLE
    {
        look(row, &mut faults)?;
    }
    Ok(faults)
}

/// Reads every event with its body.
fn unreadable_events(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = format!(
        "SELECT {RECEIVED}, e.decision FROM events e JOIN bodies b ON b.event = e.seq ORDER BY e.seq"
    );
    faults_of(connection, &sql, |row, faults| {
        let read = columns::received(row).and_then(|_| {
            let decision: String = row.get(11)?;
            columns::from_json::<Decision>("decision", &decision)
        });
        if let Err(Unreadable(why)) = read {
            let id: String = row.get(0)?;
            faults.push(format!("event {id} cannot be read: {why}"));
        }
        Ok(())
    })
}

/// Parses the ids of every delivery.
fn unreadable_deliveries(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT id, failure_of FROM deliveries ORDER BY seq";
    faults_of(connection, sql, |row, faults| {
        let (id, failed): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        let read = parsed::<DeliveryId>("id", &id).and_then(|_| {
            failed.map_or(Ok(()), |failed| {
                parsed::<DeliveryId>("failure_of", &failed).map(drop)
            })
        });
        if let Err(Unreadable(why)) = read {
            faults.push(format!("delivery {id} cannot be read: {why}"));
        }
        Ok(())
    })
}

/// Reads every record of an arrival, and compares its sizes.
fn unreadable_arrivals(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT id, weight FROM arrivals ORDER BY seq";
    faults_of(connection, sql, |row, faults| {
        let (id, weight): (String, i64) = (row.get(0)?, row.get(1)?);
        match read_arrival(connection, &id) {
            Err(Unreadable(why)) => faults.push(format!("arrival {id} cannot be read: {why}")),
            Ok(Some(record)) => faults.extend(record.wrong_sizes(u64::try_from(weight).unwrap_or(0))),
            Ok(None) => {}
        }
        Ok(())
    })
}

fn read_arrival(connection: &Connection, id: &str) -> Result<Option<ArrivalRecord>, Unreadable> {
    let id: EventId = parsed("id", id)?;
    arrivals::read(connection, id)
}
