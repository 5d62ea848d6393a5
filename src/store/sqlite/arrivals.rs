//! The rings of arrivals that became no event: written, trimmed and read.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::body::Compressed;
use super::columns::{self, Unreadable, integer, parsed};
use super::ring_sizes::RingChange;
use super::write_op::{Batch, WriteError, WriteOp};
use crate::event::{ArrivalOutcome, EventId};
use crate::store::decide::ring::surplus;
use crate::store::{ArrivalRecord, Ring};

/// Columns of [`record()`], in its order. The first eleven are those of [`columns::received`].
const RECORD: &str = "SELECT id, received_at, endpoint, method, path, query, parameters, client, headers, body, lz4_size, \
     ring, outcome, decode, size, status, reason, decision, proofs FROM arrivals WHERE id = ?1";

const INSERT: &str = "INSERT INTO arrivals (id, received_at, endpoint, method, path, query, parameters, client, \
     headers, body, lz4_size, ring, outcome, decode, size, status, reason, decision, proofs, weight) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)";

pub(super) const OLDEST: &str = "SELECT weight FROM arrivals WHERE ring = ?1 ORDER BY seq";

const DELETE_OLDEST: &str = "DELETE FROM arrivals WHERE seq IN \
     (SELECT seq FROM arrivals WHERE ring = ?1 ORDER BY seq LIMIT ?2) RETURNING weight";

const DELETE_OF_ENDPOINT: &str = "DELETE FROM arrivals WHERE seq IN \
     (SELECT seq FROM arrivals WHERE ring = ?1 AND endpoint = ?2 ORDER BY seq DESC LIMIT -1 OFFSET ?3) \
     RETURNING weight";

const DELETE: &str = "DELETE FROM arrivals WHERE id = ?1 RETURNING ring, weight";

/// A write of records, each with its compressed body.
pub(super) struct RecordArrivals(Vec<(ArrivalRecord, Compressed)>);

impl RecordArrivals {
    /// Compresses the bodies.
    pub fn new(records: Vec<ArrivalRecord>) -> Self {
        let compress = |record: ArrivalRecord| {
            let compressed = Compressed::new(&record.received.body);
            (record, compressed)
        };
        Self(records.into_iter().map(compress).collect())
    }
}

impl WriteOp for RecordArrivals {
    type Output = ();

    fn apply(&self, batch: &mut Batch<'_>) -> Result<(), WriteError> {
        for (record, body) in &self.0 {
            insert(batch, record, body)?;
            if let Some(limit) = record.endpoint_limit {
                let endpoint = &record.received.endpoint;
                let parameters = params![record.ring.name(), endpoint, integer(limit)];
                let mut delete = batch.connection.prepare_cached(DELETE_OF_ENDPOINT)?;
                for weight in delete.query_map(parameters, |row| row.get(0))? {
                    *batch.effects.counters.rings.get_mut(record.ring) += RingChange::removed(weight?);
                }
            }
        }
        Ok(trim(batch)?)
    }

    fn size(&self) -> usize {
        let weight: u64 = self.0.iter().map(|(record, _)| record.weight()).sum();
        usize::try_from(weight).unwrap_or(usize::MAX)
    }
}

fn insert(batch: &mut Batch<'_>, record: &ArrivalRecord, body: &Compressed) -> rusqlite::Result<()> {
    let received = &record.received;
    let weight = i64::try_from(record.weight()).unwrap_or(i64::MAX);
    batch.connection.prepare_cached(INSERT)?.execute(params![
        received.id.to_string(),
        received.at.as_millis(),
        received.endpoint,
        received.method.as_str(),
        received.path,
        received.query,
        columns::parameters_column(&received.parameters),
        received.client.map(|client| client.to_string()),
        columns::headers_column(&received.headers),
        body.column(&received.body),
        body.size(&received.body),
        record.ring.name(),
        record.outcome.name(),
        record.decode,
        i64::try_from(record.size).unwrap_or(i64::MAX),
        record.status,
        record.reason,
        columns::json(&record.decision),
        columns::json(&record.proofs),
        weight,
    ])?;
    *batch.effects.counters.rings.get_mut(record.ring) += RingChange::added(weight);
    Ok(())
}

/// Deletes the oldest records beyond the limits.
pub(super) fn trim(batch: &mut Batch<'_>) -> rusqlite::Result<()> {
    for ring in Ring::ALL {
        let mut rings = batch.rings_before;
        rings += batch.effects.counters.rings;
        let size = rings.get(ring).size();
        let mut oldest = batch.connection.prepare_cached(OLDEST)?;
        let weights = oldest.query_map([ring.name()], |row| row.get::<_, i64>(0))?;
        let weights = weights.map(|weight| weight.map(|weight| u64::try_from(weight).unwrap_or(0)));
        let gone = surplus(ring, size, &batch.settings.keep, weights)?;
        if gone == 0 {
            continue;
        }
        let mut delete = batch.connection.prepare_cached(DELETE_OLDEST)?;
        for weight in delete.query_map(params![ring.name(), integer(gone)], |row| row.get(0))? {
            *batch.effects.counters.rings.get_mut(ring) += RingChange::removed(weight?);
        }
    }
    Ok(())
}

/// Deletes the record of an arrival that becomes an event.
pub(super) fn delete(batch: &mut Batch<'_>, id: &str) -> Result<(), WriteError> {
    let mut delete = batch.connection.prepare_cached(DELETE)?;
    let deleted = delete.query_row([id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
    if let Some((ring, weight)) = deleted.optional()? {
        let ring = ring_of(&ring)?;
        *batch.effects.counters.rings.get_mut(ring) += RingChange::removed(weight);
    }
    Ok(())
}

/// Reads the record of an arrival. Returns `None` if there is none.
pub(super) fn read(connection: &Connection, id: EventId) -> Result<Option<ArrivalRecord>, Unreadable> {
    let mut find = connection.prepare_cached(RECORD)?;
    let mut rows = find.query([id.to_string()])?;
    rows.next()?.map(record).transpose()
}

/// Parses the column that names a ring.
fn ring_of(name: &str) -> Result<Ring, Unreadable> {
    Ring::from_name(name).ok_or_else(|| Unreadable(format!("the column `ring`: `{name}`")))
}

fn record(row: &Row<'_>) -> Result<ArrivalRecord, Unreadable> {
    let received = columns::received(row)?;
    let outcome: ArrivalOutcome = parsed("outcome", &row.get::<_, String>(12)?)?;
    let ring = ring_of(&row.get::<_, String>(11)?)?;
    Ok(ArrivalRecord {
        received: Arc::new(received),
        ring,
        outcome,
        decode: row.get(13)?,
        size: u64::try_from(row.get::<_, i64>(14)?).unwrap_or(0),
        status: row.get(15)?,
        reason: row.get(16)?,
        decision: columns::from_json("decision", &row.get::<_, String>(17)?)?,
        proofs: columns::from_json("proofs", &row.get::<_, String>(18)?)?,
        endpoint_limit: None,
    })
}
