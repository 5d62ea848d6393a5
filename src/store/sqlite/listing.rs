//! Lists of arrivals: events and records of both rings, merged by id.
//!
//! Ids begin with the time, so their order is that of arrival.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::columns::{self, Unreadable, parsed};
use super::reading::STATE_NAME;
use crate::base::clock::Timestamp;
use crate::event::{ArrivalOutcome, EventId};
use crate::store::{ArrivalFilter, ArrivalWindow, ListedArrival, TailCursor};

/// Columns of [`arrival()`] of an event.
const EVENTS: &str = "SELECT e.id AS id, e.received_at, e.endpoint, e.client, \
     CASE WHEN e.is_replay THEN 'ignored' WHEN e.fired_by IS NOT NULL THEN 'fired' ELSE 'accepted' END, \
     e.status, coalesce(e.answer_error, ''), e.is_replay, e.seq AS row, \
     e.fired_by, e.method, e.headers, e.size FROM events e WHERE ";

/// The same columns of a record. Records have no deliveries.
const RECORDS: &str = "SELECT a.id AS id, a.received_at, a.endpoint, a.client, a.outcome, a.status, a.reason, 0, \
     a.seq AS row, NULL, a.method, a.headers, a.size FROM arrivals a WHERE ";

/// The events that a filter wants. `None` if there can be none.
fn events(filter: &ArrivalFilter) -> Option<String> {
    if !filter.may_be_event() {
        return None;
    }
    let outcome = match filter.outcome {
        Some(ArrivalOutcome::Accepted) => " AND NOT e.is_replay AND e.fired_by IS NULL",
        Some(ArrivalOutcome::Fired) => " AND NOT e.is_replay AND e.fired_by IS NOT NULL",
        Some(ArrivalOutcome::Ignored) => " AND e.is_replay",
        _ => "",
    };
    let mut sql = format!("{EVENTS}{}{outcome}", common("e", filter));
    // The event itself tells of most that it has no such delivery.
    sql.push_str(match filter.state {
        Some("dead") => " AND e.dead",
        Some("waiting") => " AND e.pending > 0",
        _ => "",
    });
    if filter.rule.is_some() || filter.state.is_some() {
        sql.push_str(" AND EXISTS (SELECT 1 FROM deliveries d WHERE d.event = e.seq");
        if filter.rule.is_some() {
            sql.push_str(" AND d.rule = :rule");
        }
        if filter.state.is_some() {
            let state = format!(" AND {STATE_NAME} = :state AND (:state <> 'dead' OR d.failure_of IS NULL)");
            sql.push_str(&state);
        }
        sql.push(')');
    }
    Some(sql)
}

/// The records that a filter wants. `None` if there can be none.
fn records(filter: &ArrivalFilter) -> Option<String> {
    if !filter.may_be_record() {
        return None;
    }
    let outcome = if filter.outcome.is_some() {
        " AND a.outcome = :outcome"
    } else {
        ""
    };
    Some(format!("{RECORDS}{}{outcome}", common("a", filter)))
}

/// The conditions that hold for both.
fn common(table: &str, filter: &ArrivalFilter) -> String {
    let conditions = [
        (filter.endpoint.is_some(), "endpoint = :endpoint"),
        (filter.since.is_some(), "received_at >= :since"),
        (filter.until.is_some(), "received_at < :until"),
    ];
    let stated = conditions.iter().filter(|(is_stated, _)| *is_stated);
    let stated = stated.map(|(_, condition)| format!(" AND {table}.{condition}"));
    ["TRUE".to_owned()].into_iter().chain(stated).collect()
}

/// Lists the wanted arrivals of the latest `rows` before an id, newest first, at most `limit`.
pub(super) fn window(
    connection: &Connection,
    filter: &ArrivalFilter,
    before: Option<EventId>,
    rows: usize,
    limit: usize,
) -> Result<ArrivalWindow, Unreadable> {
    // Sorts after every id.
    let before = filter
        .end(before)
        .map_or_else(|| "~".to_owned(), |before| before.to_string());
    let (events, records) = (events(filter), records(filter));
    let last = |table: &str| -> rusqlite::Result<Option<String>> {
        let sql = format!("SELECT id FROM {table} WHERE id < ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2");
        let mut last = connection.prepare_cached(&sql)?;
        let skipped = columns::integer(rows.saturating_sub(1));
        last.query_row(params![before, skipped], |row| row.get(0))
            .optional()
    };
    let last_event = events.is_some().then(|| last("events")).transpose()?.flatten();
    let last_record = records.is_some().then(|| last("arrivals")).transpose()?.flatten();
    let last = last_event.into_iter().chain(last_record);
    let last: Result<Vec<EventId>, Unreadable> = last.map(|id| parsed("id", &id)).collect();
    let floor = filter.floor(last?);
    let from = filter
        .start(floor)
        .map_or_else(String::new, |from| from.to_string());
    let tables = [(events, "e"), (records, "a")];
    let tables = tables.into_iter().filter_map(|(sql, table)| {
        Some(format!(
            "{} AND {table}.id >= :from AND {table}.id < :before",
            sql?
        ))
    });
    let sql = tables.collect::<Vec<_>>().join(" UNION ALL ");
    let arrivals = if sql.is_empty() {
        Vec::new()
    } else {
        let sql = format!("{sql} ORDER BY id DESC");
        let positions: [(&str, &dyn ToSql); 2] = [(":from", &from), (":before", &before)];
        select(connection, &sql, filter, &positions, limit)?
    };
    Ok(ArrivalWindow {
        arrivals: arrivals.into_iter().map(|(_, arrival)| arrival).collect(),
        floor,
    })
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
        (events(filter), "e", events_seen, &mut cursor.events),
        (records(filter), "a", records_seen, &mut cursor.records),
    ] {
        let Some(table) = table else { continue };
        // The rows that are read are bounded, not those that are wanted.
        let until = seen.saturating_add(columns::integer(limit));
        *last = (*last).min(until);
        let sql = format!("{table} AND {name}.seq > :seen AND {name}.seq <= :last ORDER BY {name}.seq");
        let positions: [(&str, &dyn ToSql); 2] = [(":seen", &seen), (":last", &until)];
        let rows = select(connection, &sql, filter, &positions, limit)?;
        listed.extend(rows.into_iter().map(|(_, arrival)| arrival));
    }
    listed.sort_by_key(|arrival| arrival.id);
    Ok(listed)
}

/// Runs a query that lists arrivals. Returns at most `limit` with their rows.
fn select(
    connection: &Connection,
    sql: &str,
    filter: &ArrivalFilter,
    positions: &[(&str, &dyn ToSql)],
    limit: usize,
) -> Result<Vec<(i64, ListedArrival)>, Unreadable> {
    let outcome = filter.outcome.map(ArrivalOutcome::name);
    let (since, until) = (
        filter.since.map(Timestamp::as_millis),
        filter.until.map(Timestamp::as_millis),
    );
    let all: [(&str, &dyn ToSql); 6] = [
        (":outcome", &outcome),
        (":endpoint", &filter.endpoint),
        (":since", &since),
        (":until", &until),
        (":rule", &filter.rule),
        (":state", &filter.state),
    ];
    let mut select = connection.prepare_cached(sql)?;
    for (name, value) in all.iter().chain(positions) {
        if let Some(index) = select.parameter_index(name)? {
            select.raw_bind_parameter(index, value)?;
        }
    }
    let mut rows = select.raw_query();
    let mut listed = Vec::new();
    while listed.len() < limit
        && let Some(row) = rows.next()?
    {
        let client = row.get_ref(3).ok().and_then(|client| client.as_str().ok());
        if filter.has_client(client) {
            listed.push((row.get(8)?, arrival(row)?));
        }
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
    let is_replayed: bool = row.get(7)?;
    let operator: Option<String> = row.get(9)?;
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
        is_replayed,
        replayed_by: operator.clone().filter(|_| is_replayed),
        fired_by: operator.filter(|_| !is_replayed),
        deliveries: Vec::new(),
    })
}
