//! What arrived, and what became of it, for whoever looks at the file: the daemon may be running on it or not.
//!
//! It reads one moment of the store and writes nothing. Which of the deliveries that wait are under way right now
//! only the daemon knows; here they wait.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::examine::{inspect, read_only};
use super::file::{meaning, unopenable};
use super::reading;
use super::rows::{Unreadable, parsed};
use super::schema::{self, STEPS};
use crate::base::clock::Timestamp;
use crate::event::{EventId, Received};
use crate::store::{
    AttemptRecord, DELIVERIES_LISTED, Delivery, DeliveryId, DeliveryState, RefusedRequest, StoreError,
};

/// The columns that [`entry`] reads, in its order.
const ENTRY: &str = "SELECT d.seq, d.id, e.id, e.received_at, e.endpoint, d.rule, d.action, d.attempt, d.state, d.due, \
     d.ended_at, d.reason, d.unverified, d.replays, d.failure_of FROM deliveries d JOIN events e ON e.seq = d.event ";

/// What a [`DeliveryFilter`] asks.
const WANTED: &str = "(?1 IS NULL OR d.rule = ?1) AND (?2 IS NULL OR e.endpoint = ?2) \
     AND (?3 IS NULL OR (iif(d.state = 'done' AND d.reason IS NOT NULL, 'superseded', d.state) = ?3 \
     AND (?3 <> 'dead' OR d.failure_of IS NULL))) AND (?4 IS NULL OR e.received_at >= ?4) ";

/// How many ids of one beginning are looked at.
const NAMESAKES: i64 = 1001;

/// One moment of a store.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    path: PathBuf,
}

/// Which deliveries are asked for; what is not said is not asked.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Those owed to this rule.
    pub rule: Option<String>,
    /// Those that arrived on this endpoint.
    pub endpoint: Option<String>,
    /// Those of this state: `waiting`, `done`, `superseded` or `dead`; of the dead, dead letters alone, and not what was made
    /// for the failure of one and failed in turn.
    pub state: Option<&'static str>,
    /// Those that arrived then or later.
    pub since: Option<Timestamp>,
}

/// A delivery with what is told of its event in a list.
#[derive(Clone, Debug)]
pub struct ListedDelivery {
    /// Its place in the order of arrival.
    pub row: i64,
    /// When its event arrived.
    pub received_at: Timestamp,
    /// On which endpoint.
    pub endpoint: String,
    /// The delivery.
    pub delivery: Delivery,
    /// How often it was replayed.
    pub replays: u32,
}

/// An event as it is kept.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// What arrived.
    pub received: Arc<Received>,
    /// How its body is decoded.
    pub decode: String,
}

/// Whose id it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// An event's.
    Event(EventId),
    /// A delivery's.
    Delivery {
        /// The delivery.
        id: DeliveryId,
        /// Its event.
        event: EventId,
    },
}

/// What the beginning of an id stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// This one.
    Found(Named),
    /// Nothing.
    Nothing,
    /// Any of several; some of their ids.
    Several(Vec<String>),
}

impl History {
    /// Opens the store at `path`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = open(path)?;
        // One moment for all that is asked.
        connection
            .execute_batch("BEGIN")
            .map_err(|error| meaning(path, &error))?;
        let path = path.to_path_buf();
        Ok(Self { connection, path })
    }

    /// At most `limit` deliveries, newest first, of those before the row `before`.
    pub fn before(
        &self,
        filter: &DeliveryFilter,
        before: i64,
        limit: usize,
    ) -> Result<Vec<ListedDelivery>, StoreError> {
        let sql = format!("{ENTRY}WHERE {WANTED}AND d.seq < ?5 ORDER BY d.seq DESC LIMIT ?6");
        self.entries(&sql, filter, before, limit)
    }

    /// At most `limit` deliveries, oldest first, of those after the row `after`.
    pub fn after(
        &self,
        filter: &DeliveryFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<ListedDelivery>, StoreError> {
        let sql = format!("{ENTRY}WHERE {WANTED}AND d.seq > ?5 ORDER BY d.seq LIMIT ?6");
        self.entries(&sql, filter, after, limit)
    }

    /// The deliveries of an event in the order in which they were taken, at most the first [`DELIVERIES_LISTED`].
    pub fn of_event(&self, event: EventId) -> Result<Vec<ListedDelivery>, StoreError> {
        let sql = format!("{ENTRY}WHERE e.id = ?1 ORDER BY d.seq LIMIT ?2");
        let limit = i64::try_from(DELIVERIES_LISTED).unwrap_or(i64::MAX);
        self.read(&sql, params![event.to_string(), limit])
    }

    fn entries(
        &self,
        sql: &str,
        filter: &DeliveryFilter,
        row: i64,
        limit: usize,
    ) -> Result<Vec<ListedDelivery>, StoreError> {
        let since = filter.since.map(Timestamp::as_millis);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let asked = params![filter.rule, filter.endpoint, filter.state, since, row, limit];
        self.read(sql, asked)
    }

    fn read(&self, sql: &str, parameters: &[&dyn ToSql]) -> Result<Vec<ListedDelivery>, StoreError> {
        let read = || {
            let mut entries = self.connection.prepare_cached(sql)?;
            entries.query_map(parameters, |row| Ok(entry(row)))?.collect()
        };
        let read: rusqlite::Result<Vec<Result<ListedDelivery, Unreadable>>> = read();
        let listed: Result<Vec<ListedDelivery>, Unreadable> =
            read.map_err(|error| self.meaning(&error))?.into_iter().collect();
        listed.map_err(|unreadable| self.damaged(unreadable))
    }

    /// The row of the newest delivery; 0 if there is none.
    pub fn last_row(&self) -> Result<i64, StoreError> {
        let sql = "SELECT coalesce(max(seq), 0) FROM deliveries";
        let last = self.connection.query_row(sql, [], |row| row.get(0));
        last.map_err(|error| self.meaning(&error))
    }

    /// An event with its body; none if there is none of this id.
    pub fn event(&self, event: EventId) -> Result<Option<StoredEvent>, StoreError> {
        let row: rusqlite::Result<Option<i64>> = self
            .connection
            .prepare_cached("SELECT seq FROM events WHERE id = ?1")
            .and_then(|mut find| find.query_row([event.to_string()], |row| row.get(0)).optional());
        let Some(row) = row.map_err(|error| self.meaning(&error))? else {
            return Ok(None);
        };
        let read = reading::event(&self.connection, row).map_err(|error| self.meaning(&error))?;
        let (received, decode) = read.map_err(|unreadable| self.damaged(unreadable))?;
        Ok(Some(StoredEvent { received, decode }))
    }

    /// The latest attempts at a delivery, oldest first; those that the operator ordered and dropped among them.
    pub fn attempts(&self, delivery: DeliveryId) -> Result<Vec<AttemptRecord>, StoreError> {
        reading::attempts(&self.connection, delivery).map_err(|error| self.meaning(&error))
    }

    /// The latest refusals, newest first.
    pub fn refused(&self, limit: usize) -> Result<Vec<RefusedRequest>, StoreError> {
        reading::refused(&self.connection, limit).map_err(|unreadable| self.damaged(unreadable))
    }

    /// What the beginning of an id stands for. Ids begin with the time, so that an event's and those of its
    /// deliveries have much in common: what could be any of them is the event.
    pub fn find(&self, prefix: &str) -> Result<Lookup, StoreError> {
        let prefix = prefix.to_ascii_lowercase();
        if prefix.is_empty()
            || !prefix
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        {
            return Ok(Lookup::Nothing);
        }
        // Behind every letter that an id has.
        let end = format!("{prefix}~");
        let read = |sql: &str| -> rusqlite::Result<Vec<(String, Option<String>)>> {
            let mut find = self.connection.prepare_cached(sql)?;
            let rows = find.query_map(params![prefix, end, NAMESAKES], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            rows.collect()
        };
        let events = "SELECT id, NULL FROM events WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3";
        let deliveries = "SELECT d.id, e.id FROM deliveries d JOIN events e ON e.seq = d.event \
             WHERE d.id >= ?1 AND d.id < ?2 ORDER BY d.id LIMIT ?3";
        let events = read(events).map_err(|error| self.meaning(&error))?;
        let deliveries = read(deliveries).map_err(|error| self.meaning(&error))?;
        let found = named(&events, &deliveries).map_err(|unreadable| self.damaged(unreadable))?;
        Ok(found.unwrap_or_else(|| {
            let ids = events.into_iter().chain(deliveries).map(|(id, _)| id);
            Lookup::Several(ids.collect())
        }))
    }

    fn meaning(&self, error: &rusqlite::Error) -> StoreError {
        meaning(&self.path, error)
    }

    fn damaged(&self, Unreadable(detail): Unreadable) -> StoreError {
        let path = self.path.clone();
        StoreError::Damaged { path, detail }
    }
}

/// A connection to the store at `path` that writes nothing; an error if this hookyard does not know its schema.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    inspect(path)?;
    if !path.exists() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(unopenable(path, &missing));
    }
    let connection = read_only(path)?;
    current(path, &connection)?;
    Ok(connection)
}

/// Whether the schema is the one that is known here.
pub(super) fn current(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| meaning(path, &error))?;
    let (path, known) = (path.to_path_buf(), schema::version(STEPS));
    match found {
        found if found < known => Err(StoreError::Older { path, found, known }),
        found if found > known => Err(StoreError::Newer { path, found, known }),
        _ => Ok(()),
    }
}

/// The one that is meant; `None` if it could be any of several.
fn named(
    events: &[(String, Option<String>)],
    deliveries: &[(String, Option<String>)],
) -> Result<Option<Lookup>, Unreadable> {
    Ok(match (events, deliveries) {
        ([], []) => Some(Lookup::Nothing),
        ([], [(id, Some(event))]) => Some(Lookup::Found(Named::Delivery {
            id: parsed("id", id)?,
            event: parsed("id", event)?,
        })),
        ([(event, _)], deliveries) if deliveries.iter().all(|(_, of)| of.as_ref() == Some(event)) => {
            Some(Lookup::Found(Named::Event(parsed("id", event)?)))
        }
        _ => None,
    })
}

/// An entry of a row of [`ENTRY`].
fn entry(row: &Row<'_>) -> Result<ListedDelivery, Unreadable> {
    let at = Timestamp::from_millis(row.get::<_, Option<i64>>(10)?.unwrap_or(0));
    let state = match row.get::<_, String>(8)?.as_str() {
        "done" => match row.get(11)? {
            None => DeliveryState::Done { at },
            Some(reason) => DeliveryState::Superseded { at, reason },
        },
        "dead" => DeliveryState::Dead {
            at,
            reason: row.get::<_, Option<String>>(11)?.unwrap_or_default(),
        },
        _ => DeliveryState::Waiting {
            due: Timestamp::from_millis(row.get(9)?),
        },
    };
    let delivery = Delivery {
        id: parsed("id", &row.get::<_, String>(1)?)?,
        event: parsed("id", &row.get::<_, String>(2)?)?,
        rule: Arc::from(row.get::<_, String>(5)?),
        action: usize::try_from(row.get::<_, i64>(6)?).unwrap_or(usize::MAX),
        attempt: row.get(7)?,
        state,
        unverified: row.get::<_, Option<String>>(12)?.map(Arc::from),
        failure_of: reading::failure_of(row.get(14)?)?,
    };
    Ok(ListedDelivery {
        row: row.get(0)?,
        received_at: Timestamp::from_millis(row.get(3)?),
        endpoint: row.get(4)?,
        delivery,
        replays: row.get(13)?,
    })
}
