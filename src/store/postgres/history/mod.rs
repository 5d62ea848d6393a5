//! History of a store on a server, for callers that block: the daemon's views and the operator's
//! commands.
//!
//! A [`History`] is a transaction that reads one snapshot. Its connection is a [`Reader`]'s.

mod arrivals;
mod backlog;
mod check;
mod deliveries;
mod moving;
mod operator;
mod problems;
mod reader;
mod tail;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use self::reader::Reader;
use super::failure::Failure;
use super::link::Link;
use super::schema::VERSION;
use super::target::Target;
use super::{pauses, reading, request_rows, row, secrets};
use crate::event::EventId;
use crate::store::columns::{self, Unreadable};
use crate::store::{
    ArrivalRecord, AttemptRecord, DeliveryId, Lookup, Pause, SecretUse, StoreError, StoredEvent,
    records::ids_with_prefix,
};

pub(in crate::store) use self::check::check;
pub(in crate::store) use self::moving::move_from;
pub(in crate::store) use self::operator::{drop_deliveries, replay};

/// A plan that is made for the values of a question is worth its time: most filters are absent.
/// A caller may take longer between two questions than between two writes.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL plan_cache_mode = force_custom_plan; \
     SET LOCAL idle_in_transaction_session_timeout = '60s'";

const VERSIONS: &str = "SELECT version, least FROM store";

/// Nodes that were heard of within the time of a lease, in milliseconds.
const LIVING: &str =
    "SELECT id FROM nodes WHERE heard_of > clock_timestamp() - $1::bigint * interval '1 millisecond'";

const EVENT: &str = "SELECT status, decision, is_replay, answer_error, fired_by FROM events WHERE id = $1";

const ARRIVALS_WITH_ID: &str = "SELECT id FROM events WHERE id BETWEEN $1 AND $2 \
     UNION ALL SELECT id FROM arrivals WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT $3";

const DELIVERIES_WITH_ID: &str =
    "SELECT id, event FROM deliveries WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT $3";

/// A snapshot of a store.
#[derive(Debug)]
pub struct History {
    /// `None` once it is over.
    reader: Option<Reader>,
    /// Nodes that are known to use the store. On no other one an attempt runs.
    living: HashSet<i64>,
}

impl History {
    /// Takes a snapshot.
    pub fn open(target: &Arc<Target>) -> Result<Self, StoreError> {
        let lease = i64::try_from(target.lease.as_millis()).unwrap_or(i64::MAX);
        let (reader, living) = begin(target, async |link| {
            link.run(BEGIN).await?;
            current(link, target).await?;
            let living = link.query(LIVING, &[&lease]).await?;
            living.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })?;
        Ok(Self {
            reader: Some(reader),
            living,
        })
    }

    /// Asks in the snapshot.
    fn ask<T: Send>(
        &self,
        question: impl AsyncFnOnce(&Link) -> Result<T, Failure> + Send,
    ) -> Result<T, StoreError> {
        let Some(reader) = &self.reader else {
            return Err(StoreError::Closed);
        };
        reader.ask(question).map_err(failed)
    }

    /// Reads an event with its body.
    pub fn event(&self, event: EventId) -> Result<Option<StoredEvent>, StoreError> {
        let id = Uuid::from(event);
        self.ask(async |link| {
            let events = link.query(EVENT, &[&id]).await?;
            let mut requests = request_rows::read(link, &[event]).await?;
            let Some(read) = events.first() else {
                return Ok(None);
            };
            let request = requests
                .remove(&event)
                .unwrap_or_else(|| Err("it is gone".into()));
            let request = request.map_err(|why| damaged(self.target(), Unreadable(why.to_string())))?;
            let decision = columns::from_json("decision", read.try_get(1)?);
            Ok(Some(StoredEvent {
                received: request.received,
                decode: request.decode,
                status: status(read.try_get(0)?),
                decision: decision.map_err(|unreadable| damaged(self.target(), unreadable))?,
                is_replay: read.try_get(2)?,
                answer_error: read.try_get(3)?,
                fired_by: read.try_get(4)?,
            }))
        })
    }

    /// Lists the latest attempts at a delivery.
    pub fn attempts(&self, delivery: DeliveryId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.ask(async |link| reading::attempts(link, delivery).await)
    }

    /// Reads the record of an arrival that became no event.
    pub fn arrival(&self, id: EventId) -> Result<Option<ArrivalRecord>, StoreError> {
        self.ask(async |link| super::arrivals::read(link, id).await)
    }

    /// Lists the pauses of rules and targets.
    pub fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        self.ask(async |link| pauses::list(link).await)
    }

    /// Looks up the prefix of an id.
    pub fn find(&self, prefix: &str) -> Result<Lookup, StoreError> {
        let Some((first, last)) = ids_with_prefix(prefix) else {
            return Ok(Lookup::Nothing);
        };
        let limit = columns::integer(Lookup::MATCHES);
        self.ask(async |link| {
            let arrivals = link.query(ARRIVALS_WITH_ID, &[&first, &last, &limit]).await?;
            let deliveries = link.query(DELIVERIES_WITH_ID, &[&first, &last, &limit]).await?;
            let arrivals: Result<Vec<EventId>, Failure> =
                arrivals.iter().map(|read| row::id(read, 0)).collect();
            let deliveries = deliveries
                .iter()
                .map(|read| Ok((row::id(read, 0)?, row::id(read, 1)?)));
            let deliveries: Result<Vec<_>, Failure> = deliveries.collect();
            Ok(Lookup::of(&arrivals?, &deliveries?))
        })
    }

    fn target(&self) -> Option<&Target> {
        self.reader.as_ref().map(Reader::target)
    }
}

impl Drop for History {
    fn drop(&mut self) {
        let Some(reader) = self.reader.take() else {
            return;
        };
        // An open snapshot would keep the server from cleaning up.
        if reader.ask(async |link| link.run("ROLLBACK").await).is_ok() {
            reader.keep();
        }
    }
}

/// Lists the last use of each secret. `None` if there is no store.
pub(in crate::store) fn read_secrets(target: &Arc<Target>) -> Result<Option<Vec<SecretUse>>, StoreError> {
    match History::open(target) {
        Ok(history) => history.ask(async |link| secrets::list(link).await).map(Some),
        Err(StoreError::Unopenable { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Connects, or takes a kept connection, and asks. A kept connection may have been closed by the
/// server.
fn begin<T: Send>(
    target: &Arc<Target>,
    question: impl AsyncFn(&Link) -> Result<T, Failure> + Send + Sync,
) -> Result<(Reader, T), StoreError> {
    if let Some(reader) = Reader::kept(target)
        && let Ok(answer) = reader.ask(async |link| question(link).await)
    {
        return Ok((reader, answer));
    }
    let reader = Reader::connect(target).map_err(failed)?;
    let answer = reader.ask(async |link| question(link).await).map_err(failed)?;
    Ok((reader, answer))
}

/// Checks that this hookyard knows the schema.
async fn current(link: &Link, target: &Target) -> Result<(), Failure> {
    let versions = link
        .query(
            "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = 'store')",
            &[&target.schema],
        )
        .await?;
    let is_there = versions.first().is_some_and(|read| read.get(0));
    let path = PathBuf::from(target.to_string());
    if !is_there {
        let detail = "it has no tables: `hookyard serve` makes them when it starts".to_owned();
        return Err(StoreError::Unopenable { path, detail }.into());
    }
    let versions = link.query(VERSIONS, &[]).await?;
    let version = versions.first();
    let found = version.map_or(Ok(0), |read| read.try_get::<_, i32>(0))?;
    let least = version.map_or(Ok(0), |read| read.try_get::<_, i32>(1))?;
    let (found, known) = (i64::from(found), i64::from(VERSION));
    if i64::from(least) > known {
        return Err(StoreError::Newer { path, found, known }.into());
    }
    if found < known {
        return Err(StoreError::Older { path, found, known }.into());
    }
    Ok(())
}

/// The error of a question that is not asked again.
fn failed(failure: Failure) -> StoreError {
    match failure {
        Failure::Failed(error) => error,
        Failure::Conflict(detail) | Failure::Lost(detail) => StoreError::Unavailable { detail },
    }
}

/// The error of a row that was altered by hand.
fn damaged(target: Option<&Target>, Unreadable(detail): Unreadable) -> Failure {
    let path = target.map_or_else(PathBuf::new, |target| target.to_string().into());
    StoreError::Damaged { path, detail }.into()
}

/// The status of an answer.
fn status(column: Option<i32>) -> Option<u16> {
    column.and_then(|status| u16::try_from(status).ok())
}
