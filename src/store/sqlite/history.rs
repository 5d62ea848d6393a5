//! History for the operator's commands: arrivals, deliveries and attempts, read from the
//! file whether a daemon runs or not.
//!
//! A [`History`] reads one snapshot and writes nothing. An attempt is known to run once the daemon
//! has recorded its start, and only while a daemon uses the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::access::{map_error, unopenable};
use super::arrivals;
use super::columns::{self, Unreadable, parsed};
use super::listing;
use super::lock;
use super::pauses;
use super::reading::{self, STATE_NAME, StoredRequest};
use super::schema::{self, STEPS};
use super::validate::{check_header, read_only};
use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::records::ids_with_prefix;
use crate::store::{
    ArrivalFilter, ArrivalRecord, ArrivalWindow, AttemptRecord, DELIVERIES_LISTED, Delivery, DeliveryFilter,
    DeliveryId, ListedArrival, ListedDelivery, Lookup, Pause, StoreError, StoredEvent, TailCursor,
};

/// Columns of [`entry`], in its order.
pub(super) const ENTRY: &str = "SELECT d.seq, d.id, e.id, e.received_at, e.endpoint, d.rule, d.action, d.attempt, d.unverified, d.replays, \
     d.failure_of, d.state, d.due, d.debounced_since, d.ended_at, d.reason, d.begun_at, d.item FROM deliveries d JOIN events e ON e.seq = d.event ";

/// The row of an event, its answer and its decision.
const EVENT: &str =
    "SELECT seq, status, decision, is_replay, answer_error, fired_by FROM events WHERE id = ?1";

/// A snapshot of a store.
#[derive(Debug)]
pub struct History {
    pub(super) connection: Connection,
    path: PathBuf,
    /// True if a daemon is known to use the store. Without one, no attempt runs.
    is_in_use: bool,
}

impl History {
    /// Opens the store at `path`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = open(path)?;
        // The transaction keeps one snapshot for all queries.
        connection
            .execute_batch("BEGIN")
            .map_err(|error| map_error(path, &error))?;
        Ok(Self {
            connection,
            path: path.to_path_buf(),
            is_in_use: lock::is_held(path),
        })
    }

    /// Lists at most `limit` deliveries before the row `before`, newest first.
    pub fn before(
        &self,
        filter: &DeliveryFilter,
        before: i64,
        limit: usize,
    ) -> Result<Vec<ListedDelivery>, StoreError> {
        let sql = format!(
            "{ENTRY}WHERE (?1 IS NULL OR d.rule = ?1) AND (?2 IS NULL OR e.endpoint = ?2) \
             AND (?3 IS NULL OR ({STATE_NAME} = ?3 AND (?3 <> 'dead' OR d.failure_of IS NULL))) \
             AND (?4 IS NULL OR e.received_at >= ?4) AND d.seq < ?5 ORDER BY d.seq DESC LIMIT ?6"
        );
        let since = filter.since.map(Timestamp::as_millis);
        let limit = columns::integer(limit);
        self.read(
            &sql,
            params![filter.rule, filter.endpoint, filter.state, since, before, limit],
        )
    }

    /// Lists the deliveries of an event in the order of arrival, at most the first
    /// [`DELIVERIES_LISTED`].
    pub fn of_event(&self, event: EventId) -> Result<Vec<ListedDelivery>, StoreError> {
        let sql = format!("{ENTRY}WHERE e.id = ?1 ORDER BY d.seq LIMIT ?2");
        let limit = columns::integer(DELIVERIES_LISTED);
        self.read(&sql, params![event.to_string(), limit])
    }

    /// Lists the pauses of rules and targets.
    pub fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        pauses::list(&self.connection).map_err(|error| self.map_error(&error))
    }

    pub(super) fn read(
        &self,
        sql: &str,
        parameters: &[&dyn ToSql],
    ) -> Result<Vec<ListedDelivery>, StoreError> {
        let read = || {
            let mut entries = self.connection.prepare_cached(sql)?;
            entries
                .query_map(parameters, |row| Ok(entry(row, self.is_in_use)))?
                .collect()
        };
        let read: rusqlite::Result<Vec<Result<ListedDelivery, Unreadable>>> = read();
        let listed: Result<Vec<ListedDelivery>, Unreadable> = read
            .map_err(|error| self.map_error(&error))?
            .into_iter()
            .collect();
        listed.map_err(|unreadable| self.damaged(unreadable))
    }

    /// Reads an event with its body. Returns `None` if the id is unknown.
    pub fn event(&self, event: EventId) -> Result<Option<StoredEvent>, StoreError> {
        let found = self.connection.prepare_cached(EVENT).and_then(|mut find| {
            let row = find.query_row([event.to_string()], |row| {
                let decision: String = row.get(2)?;
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    decision,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                ))
            });
            row.optional()
        });
        let Some((row, status, decision, is_replay, answer_error, fired_by)) =
            found.map_err(|error| self.map_error(&error))?
        else {
            return Ok(None);
        };
        let read = reading::event(&self.connection, row).map_err(|error| self.map_error(&error))?;
        let stored = read.and_then(|StoredRequest { received, decode, .. }| {
            Ok(StoredEvent {
                received,
                decode,
                status,
                decision: columns::from_json("decision", &decision)?,
                is_replay,
                answer_error,
                fired_by,
            })
        });
        stored.map(Some).map_err(|unreadable| self.damaged(unreadable))
    }

    /// Lists the latest attempts at a delivery, oldest first, including recorded replays and drops.
    pub fn attempts(&self, delivery: DeliveryId) -> Result<Vec<AttemptRecord>, StoreError> {
        reading::attempts(&self.connection, delivery).map_err(|error| self.map_error(&error))
    }

    /// Reads the record of an arrival that became no event. Returns `None` if there is none.
    pub fn arrival(&self, id: EventId) -> Result<Option<ArrivalRecord>, StoreError> {
        arrivals::read(&self.connection, id).map_err(|unreadable| self.damaged(unreadable))
    }

    /// Lists the wanted arrivals of the latest `rows` events, and of as many other arrivals, before
    /// the id `before`. Newest first, at most `limit`, without their deliveries.
    pub fn arrivals_in_window(
        &self,
        filter: &ArrivalFilter,
        before: Option<EventId>,
        rows: usize,
        limit: usize,
    ) -> Result<ArrivalWindow, StoreError> {
        listing::window(&self.connection, filter, before, rows, limit)
            .map_err(|unreadable| self.damaged(unreadable))
    }

    /// Lists the wanted arrivals that were written after `cursor`, and moves the cursor behind them.
    pub fn listed_after(
        &self,
        filter: &ArrivalFilter,
        cursor: &mut TailCursor,
        limit: usize,
    ) -> Result<Vec<ListedArrival>, StoreError> {
        listing::after(&self.connection, filter, cursor, limit).map_err(|unreadable| self.damaged(unreadable))
    }

    /// The position of a tail that has read everything.
    pub fn tail_cursor(&self) -> Result<TailCursor, StoreError> {
        listing::end(&self.connection).map_err(|error| self.map_error(&error))
    }

    /// Adds the deliveries of each arrival.
    pub fn add_deliveries(&self, rows: &mut [ListedArrival]) -> Result<(), StoreError> {
        for row in rows {
            row.deliveries = self.of_event(row.id)?;
        }
        Ok(())
    }

    /// Looks up the prefix of an id. Ids begin with the time, so an event shares a long prefix with
    /// its deliveries. A prefix that fits them all means the event.
    pub fn find(&self, prefix: &str) -> Result<Lookup, StoreError> {
        let Some((first, last)) = ids_with_prefix(prefix) else {
            return Ok(Lookup::Nothing);
        };
        let (first, last) = (first.to_string(), last.to_string());
        let limit = columns::integer(Lookup::MATCHES);
        let read = |sql: &str| -> rusqlite::Result<Vec<(String, Option<String>)>> {
            let mut find = self.connection.prepare_cached(sql)?;
            let rows = find.query_map(params![first, last, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        let arrivals = "SELECT id, NULL FROM events WHERE id BETWEEN ?1 AND ?2 \
             UNION ALL SELECT id, NULL FROM arrivals WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3";
        let deliveries = "SELECT d.id, e.id FROM deliveries d JOIN events e ON e.seq = d.event \
             WHERE d.id BETWEEN ?1 AND ?2 ORDER BY d.id LIMIT ?3";
        let arrivals = read(arrivals).map_err(|error| self.map_error(&error))?;
        let deliveries = read(deliveries).map_err(|error| self.map_error(&error))?;
        let arrivals = arrivals.iter().map(|(id, _)| parsed("id", id));
        let deliveries = deliveries.iter().map(|(id, event)| {
            let event = event.as_deref().unwrap_or_default();
            Ok((parsed("id", id)?, parsed("id", event)?))
        });
        let arrivals = arrivals.collect::<Result<Vec<_>, _>>();
        let deliveries = deliveries.collect::<Result<Vec<_>, Unreadable>>();
        match (arrivals, deliveries) {
            (Ok(arrivals), Ok(deliveries)) => Ok(Lookup::of(&arrivals, &deliveries)),
            (Err(unreadable), _) | (_, Err(unreadable)) => Err(self.damaged(unreadable)),
        }
    }

    pub(super) fn map_error(&self, error: &rusqlite::Error) -> StoreError {
        map_error(&self.path, error)
    }

    pub(super) fn damaged(&self, Unreadable(detail): Unreadable) -> StoreError {
        let path = self.path.clone();
        StoreError::Damaged { path, detail }
    }
}

/// Opens a connection to the store at `path` that writes nothing. Fails if the schema is not the
/// current one.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    check_header(path)?;
    if !path.exists() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(unopenable(path, &missing));
    }
    let connection = read_only(path)?;
    current(path, &connection)?;
    Ok(connection)
}

/// Checks that the schema has the current version.
pub(super) fn current(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| map_error(path, &error))?;
    let (path, known) = (path.to_path_buf(), schema::version(STEPS));
    match found {
        found if found < known => Err(StoreError::Older { path, found, known }),
        found if found > known => Err(StoreError::Newer { path, found, known }),
        _ => Ok(()),
    }
}

/// Reads a row of [`ENTRY`].
fn entry(row: &Row<'_>, is_in_use: bool) -> Result<ListedDelivery, Unreadable> {
    let delivery = Delivery {
        id: parsed("id", &row.get::<_, String>(1)?)?,
        event: parsed("id", &row.get::<_, String>(2)?)?,
        rule: Arc::from(row.get::<_, String>(5)?),
        item: row.get(17)?,
        action: columns::action(row, 6)?,
        attempt: row.get(7)?,
        state: reading::state(row, 11)?,
        unverified: row.get::<_, Option<String>>(8)?.map(Arc::from),
        failure_of: reading::failure_of(row.get(10)?)?,
    };
    Ok(ListedDelivery {
        row: row.get(0)?,
        received_at: Timestamp::from_millis(row.get(3)?),
        endpoint: row.get(4)?,
        delivery,
        replays: row.get(9)?,
        begun_at: row
            .get::<_, Option<i64>>(16)?
            .filter(|_| is_in_use)
            .map(Timestamp::from_millis),
    })
}
