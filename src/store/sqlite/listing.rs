//! Lists of arrivals: events and records of both rings, merged by id.
//!
//! Ids begin with the time, so their order is that of arrival.

use rusqlite::{Connection, Row, ToSql, params};

use super::columns::{self, Unreadable, parsed};
use super::reading::STATE_NAME;
use crate::base::clock::Timestamp;
use crate::event::{ArrivalOutcome, EventId};
use crate::store::{ArrivalFilter, ListedArrival, TailCursor};

/// The events that a filter wants, with the columns of [`arrival()`].
fn events() -> String {
    let outcome = "CASE WHEN e.is_replay THEN 'ignored' WHEN e.fired_by IS NOT NULL THEN 'fired' \
                   ELSE 'accepted' END";
    format!(
        "SELECT e.id AS id, e.received_at, e.endpoint, e.client, {outcome}, e.status, \
         coalesce(e.answer_error, ''), e.is_replay, e.seq AS row, \
         e.fired_by, e.method, e.headers, e.size FROM events e WHERE (?1 IS NULL OR ?1 = {outcome}) \
         AND (?2 IS NULL OR e.endpoint = ?2) AND (?3 IS NULL OR e.client = ?3) \
         AND (?4 IS NULL OR e.received_at >= ?4) AND (?5 IS NULL OR e.received_at < ?5) \
         AND ((?6 IS NULL AND ?7 IS NULL) OR EXISTS (SELECT 1 FROM deliveries d WHERE d.event = e.seq \
         AND (?6 IS NULL OR d.rule = ?6) \
         AND (?7 IS NULL OR ({STATE_NAME} = ?7 AND (?7 <> 'dead' OR d.failure_of IS NULL)))))"
    )
}

/// The records that a filter wants, with the columns of [`arrival()`]. They have no deliveries.
const RECORDS: &str = "SELECT a.id AS id, a.received_at, a.endpoint, a.client, a.outcome, a.status, a.reason, 0, \
     a.seq AS row, NULL, a.method, a.headers, a.size FROM arrivals a WHERE (?1 IS NULL OR a.outcome = ?1) \
     AND (?2 IS NULL OR a.endpoint = ?2) AND (?3 IS NULL OR a.client = ?3) \
     AND (?4 IS NULL OR a.received_at >= ?4) AND (?5 IS NULL OR a.received_at < ?5) \
     AND ?6 IS NULL AND ?7 IS NULL";

/// Lists arrivals before an id, newest first.
pub(super) fn before(
    connection: &Connection,
    filter: &ArrivalFilter,
    before: Option<EventId>,
    limit: usize,
) -> Result<Vec<ListedArrival>, Unreadable> {
    let sql = format!(
        "{} AND (?8 IS NULL OR e.id < ?8) UNION ALL {RECORDS} AND (?8 IS NULL OR a.id < ?8) \
         ORDER BY id DESC LIMIT ?9",
        events()
    );
    let before = before.map(|before| before.to_string());
    let rows = select(connection, &sql, filter, &before, limit)?;
    Ok(rows.into_iter().map(|(_, arrival)| arrival).collect())
}

/// Lists arrivals that were written after a cursor, in the order of their ids, and moves the cursor
/// behind them.
pub(super) fn after(
    connection: &Connection,
    filter: &ArrivalFilter,
    cursor: &mut TailCursor,
    limit: usize,
) -> Result<Vec<ListedArrival>, Unreadable> {
    let end = end(connection)?;
    // After the newest rows are deleted, SQLite reuses their numbers.
    let (events_seen, records_seen) = (cursor.events.min(end.events), cursor.records.min(end.records));
    *cursor = end;
    let mut listed = Vec::new();
    for (table, name, seen, last) in [
        (events(), "e", events_seen, &mut cursor.events),
        (RECORDS.to_owned(), "a", records_seen, &mut cursor.records),
    ] {
        let sql = format!("{table} AND {name}.seq > ?8 ORDER BY {name}.seq LIMIT ?9");
        let rows = select(connection, &sql, filter, &seen, limit)?;
        if let Some((row, _)) = rows.last().filter(|_| rows.len() == limit) {
            *last = *row;
        }
        listed.extend(rows.into_iter().map(|(_, arrival)| arrival));
    }
    listed.sort_by_key(|arrival| arrival.id);
    Ok(listed)
}

/// Runs a query that lists arrivals. Returns them with their rows.
fn select(
    connection: &Connection,
    sql: &str,
    filter: &ArrivalFilter,
    position: &dyn ToSql,
    limit: usize,
) -> Result<Vec<(i64, ListedArrival)>, Unreadable> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(params![
        filter.outcome.map(ArrivalOutcome::name),
        filter.endpoint,
        filter.client,
        filter.since.map(Timestamp::as_millis),
        filter.until.map(Timestamp::as_millis),
        filter.rule,
        filter.state,
        position,
        columns::integer(limit),
    ])?;
    let mut listed = Vec::new();
    while let Some(row) = rows.next()? {
        listed.push((row.get(8)?, arrival(row)?));
    }
    Ok(listed)
}

/// The last rows of both tables.
pub(super) fn end(connection: &Connection) -> rusqlite::Result<TailCursor> {
    let last = |table: &str| {
        let sql = format!("SELECT coalesce(max(seq), 0) FROM {table}");
        connection.query_row(&sql, [], |row| row.get(0))
    };
    Ok(TailCursor {
        events: last("events")?,
        records: last("arrivals")?,
    })
}

fn arrival(row: &Row<'_>) -> Result<ListedArrival, Unreadable> {
    Ok(ListedArrival {
        id: parsed("id", &row.get::<_, String>(0)?)?,
        received_at: Timestamp::from_millis(row.get(1)?),
        endpoint: row.get(2)?,
        client: row.get(3)?,
        method: row.get(10)?,
        headers: columns::headers(&row.get::<_, String>(11)?)?,
        size: u64::try_from(row.get::<_, i64>(12)?).unwrap_or(0),
        outcome: parsed("outcome", &row.get::<_, String>(4)?)?,
        status: row.get(5)?,
        reason: row.get(6)?,
        is_replayed: row.get(7)?,
        fired_by: row.get(9)?,
        deliveries: Vec::new(),
    })
}
