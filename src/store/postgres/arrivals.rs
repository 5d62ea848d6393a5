//! Records of arrivals that became no event, in two rings.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use tokio_postgres::Row;
use uuid::Uuid;

use super::PostgresStore;
use super::failure::Failure;
use super::link::Link;
use super::{reading, request_rows, text};
use crate::event::EventId;
use crate::store::columns::{
    Unreadable, from_json, headers_column, integer, json, parameters_column, parsed,
};
use crate::store::decide::ring::surplus;
use crate::store::{ArrivalRecord, Keep, Ring, StoreError};

/// Maximum records of a ring that one statement deletes.
const TRIMMED_AT_ONCE: usize = 1000;

/// A repeated write finds its records.
const INSERT: &str = "INSERT INTO arrivals (node, id, ring, outcome, received_at, endpoint, method, path, query, parameters, \
         client, headers, decode, size, status, reason, decision, proofs, weight, body) \
     SELECT $1, a.id, a.ring, a.outcome, a.received_at, a.endpoint, a.method, a.path, a.query, a.parameters, a.client, \
         a.headers, a.decode, a.size, a.status, a.reason, a.decision, a.proofs, a.weight, a.body \
     FROM unnest($2::uuid[], $3::text[], $4::text[], $5::int8[], $6::text[], $7::text[], $8::text[], $9::text[], \
         $10::text[], $11::text[], $12::text[], $13::text[], $14::int8[], $15::int4[], $16::text[], $17::text[], \
         $18::text[], $19::int8[], $20::bytea[]) WITH ORDINALITY \
         AS a(id, ring, outcome, received_at, endpoint, method, path, query, parameters, client, headers, decode, size, \
         status, reason, decision, proofs, weight, body, n) ORDER BY a.n ON CONFLICT (id) DO NOTHING";

const DELETE_OF_ENDPOINT: &str = "DELETE FROM arrivals WHERE seq IN \
     (SELECT seq FROM arrivals WHERE ring = $1 AND endpoint = $2 ORDER BY seq DESC OFFSET $3)";

const OLDEST: &str = "SELECT seq, weight FROM arrivals WHERE ring = $1 ORDER BY seq LIMIT $2";

/// Records that another node deletes at this moment are left to it.
const DELETE_OLDEST: &str = "WITH gone AS MATERIALIZED (SELECT seq FROM arrivals \
     WHERE ring = $1 AND seq <= $2 ORDER BY seq FOR UPDATE SKIP LOCKED) \
     DELETE FROM arrivals a USING gone WHERE a.seq = gone.seq";

const RECORD: &str = "SELECT id, received_at, endpoint, method, path, query, parameters, client, headers, body, ring, outcome, \
     decode, size, status, reason, decision, proofs FROM arrivals WHERE id = $1";

/// Columns of new records.
struct Columns {
    ids: Vec<Uuid>,
    rings: Vec<&'static str>,
    outcomes: Vec<&'static str>,
    received_at: Vec<i64>,
    methods: Vec<String>,
    parameters: Vec<String>,
    clients: Vec<Option<String>>,
    headers: Vec<String>,
    sizes: Vec<i64>,
    statuses: Vec<i32>,
    decisions: Vec<String>,
    proofs: Vec<String>,
    weights: Vec<i64>,
}

/// Records to be written, with their columns.
struct NewRecords {
    records: Vec<ArrivalRecord>,
    columns: Columns,
}

impl NewRecords {
    fn new(records: Vec<ArrivalRecord>) -> Self {
        fn each<T>(records: &[ArrivalRecord], column: impl Fn(&ArrivalRecord) -> T) -> Vec<T> {
            records.iter().map(column).collect()
        }
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let of = &records;
        let columns = Columns {
            ids: each(of, |record| Uuid::from(record.received.id)),
            rings: each(of, |record| record.ring.name()),
            outcomes: each(of, |record| record.outcome.name()),
            received_at: each(of, |record| record.received.at.as_millis()),
            methods: each(of, |record| record.received.method.to_string()),
            parameters: each(of, |record| parameters_column(&record.received.parameters)),
            clients: each(of, |record| {
                record.received.client.map(|client| client.to_string())
            }),
            headers: each(of, |record| headers_column(&record.received.headers)),
            sizes: each(of, |record| number(record.size)),
            statuses: each(of, |record| i32::from(record.status)),
            decisions: each(of, |record| json(&record.decision)),
            proofs: each(of, |record| json(&record.proofs)),
            weights: each(of, |record| number(record.weight())),
        };
        Self { records, columns }
    }

    /// Writes the records, and drops the oldest ones beyond the limits.
    async fn write(&self, link: &Link, node: &str, keep: &Keep) -> Result<(), Failure> {
        link.run("BEGIN").await?;
        self.insert(link, node).await?;
        for ((ring, endpoint), limit) in self.endpoint_limits() {
            link.execute(DELETE_OF_ENDPOINT, &[&ring, &endpoint, &integer(limit)])
                .await?;
        }
        trim(link, keep).await?;
        link.run("COMMIT").await
    }

    async fn insert(&self, link: &Link, node: &str) -> Result<(), Failure> {
        let texts = |text: fn(&ArrivalRecord) -> &str| -> Vec<Cow<'_, str>> {
            self.records
                .iter()
                .map(|record| text::storable(text(record)))
                .collect()
        };
        let bodies: Vec<&[u8]> = self.records.iter().map(|record| &*record.received.body).collect();
        let columns = &self.columns;
        link.execute(
            INSERT,
            &[
                &node,
                &columns.ids,
                &columns.rings,
                &columns.outcomes,
                &columns.received_at,
                &texts(|record| &record.received.endpoint),
                &columns.methods,
                &texts(|record| &record.received.path),
                &texts(|record| &record.received.query),
                &columns.parameters,
                &columns.clients,
                &columns.headers,
                &texts(|record| &record.decode),
                &columns.sizes,
                &columns.statuses,
                &texts(|record| &record.reason),
                &columns.decisions,
                &columns.proofs,
                &columns.weights,
                &bodies,
            ],
        )
        .await
        .map(drop)
    }

    /// The limits of the endpoints that have one, by ring and endpoint.
    fn endpoint_limits(&self) -> BTreeMap<(&'static str, &str), usize> {
        let limited = self.records.iter().filter_map(|record| {
            let place = (record.ring.name(), &*record.received.endpoint);
            record.endpoint_limit.map(|limit| (place, limit))
        });
        limited.collect()
    }
}

/// Deletes the oldest records beyond the limits. Needs a transaction.
pub(super) async fn trim(link: &Link, keep: &Keep) -> Result<(), Failure> {
    let sizes = reading::rings(link).await?;
    for ring in Ring::ALL {
        let mut size = *sizes.get(ring);
        loop {
            let rows = link
                .query(OLDEST, &[&ring.name(), &integer(TRIMMED_AT_ONCE)])
                .await?;
            let weights: Vec<u64> = rows
                .iter()
                .map(|row| Ok(u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0)))
                .collect::<Result<_, Failure>>()?;
            let Ok(gone) = surplus(ring, size, keep, weights.iter().copied().map(Ok::<_, Infallible>));
            let Some(last) = gone.checked_sub(1).and_then(|last| rows.get(last)) else {
                break;
            };
            let last: i64 = last.try_get(0)?;
            link.execute(DELETE_OLDEST, &[&ring.name(), &last]).await?;
            size.records = size.records.saturating_sub(gone as u64);
            size.bytes = size.bytes.saturating_sub(weights.iter().take(gone).sum());
            if gone < TRIMMED_AT_ONCE {
                break;
            }
        }
    }
    Ok(())
}

/// Reads the record of an arrival. Returns `None` if there is none.
pub(super) async fn read(link: &Link, id: EventId) -> Result<Option<ArrivalRecord>, Failure> {
    let rows = link.query(RECORD, &[&Uuid::from(id)]).await?;
    rows.first().map(record).transpose()
}

/// Reads a row of [`RECORD`].
fn record(read: &Row) -> Result<ArrivalRecord, Failure> {
    let unreadable = |Unreadable(why): Unreadable| Failure::unexpected(why);
    let column = |number: usize| Ok::<&str, Failure>(read.try_get(number)?);
    let received = request_rows::received(read, column(8)?, read.try_get(9)?)?.map_err(unreadable)?;
    let (ring, outcome, decision, proofs) = (column(10)?, column(11)?, column(16)?, column(17)?);
    let parsed = || {
        let ring = Ring::from_name(ring).ok_or_else(|| Unreadable(format!("the column `ring`: `{ring}`")))?;
        let outcome = parsed("outcome", outcome)?;
        let (decision, proofs) = (from_json("decision", decision)?, from_json("proofs", proofs)?);
        Ok::<_, Unreadable>((ring, outcome, decision, proofs))
    };
    let (ring, outcome, decision, proofs) = parsed().map_err(unreadable)?;
    Ok(ArrivalRecord {
        received: Arc::new(received),
        ring,
        outcome,
        decode: read.try_get(12)?,
        size: u64::try_from(read.try_get::<_, i64>(13)?).unwrap_or(0),
        status: u16::try_from(read.try_get::<_, i32>(14)?).unwrap_or(0),
        reason: read.try_get(15)?,
        decision,
        proofs,
        endpoint_limit: None,
    })
}

impl PostgresStore {
    pub(super) async fn write_arrivals(&self, records: Vec<ArrivalRecord>) -> Result<(), StoreError> {
        let records = Arc::new(NewRecords::new(records));
        let node = Arc::clone(&self.node);
        self.write_small(move |link, _| {
            let (records, node) = (Arc::clone(&records), Arc::clone(&node));
            Box::pin(async move {
                let keep = node.settings.current().keep;
                records.write(link, &node.target.node, &keep).await
            })
        })
        .await
    }

    pub(super) async fn read_arrival(&self, id: EventId) -> Result<Option<ArrivalRecord>, StoreError> {
        self.requests
            .ask(move |link| Box::pin(async move { read(link, id).await }))
            .await
    }
}
