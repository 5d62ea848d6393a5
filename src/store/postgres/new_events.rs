//! Rows of new events and of their requests.

use uuid::Uuid;

use super::enqueue_call::Enqueue;
use super::failure::Failure;
use super::link::Link;

/// A first look at an event would come at its arrival; see `sweeping.rs`.
const EVENTS: &str = "INSERT INTO events (id, received_at, endpoint, method, path, query, parameters, client, decode, size, kept, \
         status, decision, is_replay, fired_by, node, look_at) \
     SELECT a.*, $16::text, a.received_at FROM unnest($1::uuid[], $2::int8[], $3::text[], $4::text[], $5::text[], $6::text[], \
         $7::text[], $8::text[], $9::text[], $10::int8[], $11::int8[], $12::int4[], $13::text[], $14::bool[], $15::text[]) \
         AS a(id, received_at, endpoint, method, path, query, parameters, client, decode, size, kept, status, decision, \
         is_replay, fired_by)";

const REQUESTS: &str = "INSERT INTO requests (event, headers, body) \
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[])";

const DELETE_ARRIVALS: &str = "DELETE FROM arrivals WHERE id = ANY ($1)";

const THERE: &str = "SELECT id FROM events WHERE id = ANY ($1)";

pub(super) const STATEMENTS: &[&str] = &[EVENTS, REQUESTS, DELETE_ARRIVALS, THERE];

/// Columns of new events.
#[derive(Default)]
pub(super) struct NewEvents<'c> {
    ids: Vec<Uuid>,
    received_at: Vec<i64>,
    endpoints: Vec<&'c str>,
    methods: Vec<&'c str>,
    paths: Vec<&'c str>,
    queries: Vec<&'c str>,
    parameters: Vec<&'c str>,
    clients: Vec<Option<&'c str>>,
    decodes: Vec<&'c str>,
    sizes: Vec<i64>,
    kept: Vec<i64>,
    statuses: Vec<Option<i32>>,
    decisions: Vec<&'c str>,
    are_replays: Vec<bool>,
    fired_by: Vec<Option<&'c str>>,
    headers: Vec<&'c str>,
    bodies: Vec<&'c [u8]>,
    replays: Vec<Uuid>,
}

impl<'c> NewEvents<'c> {
    /// Adds an event.
    pub fn add(&mut self, event: &'c Enqueue) {
        let new_event = &event.new_event;
        let received = &new_event.received;
        let id = Uuid::from(received.id);
        self.ids.push(id);
        self.received_at.push(received.at.as_millis());
        self.endpoints.push(&received.endpoint);
        self.methods.push(received.method.as_str());
        self.paths.push(&received.path);
        self.queries.push(&received.query);
        self.parameters.push(&event.parameters);
        self.clients.push(event.client.as_deref());
        self.decodes.push(&new_event.decode);
        self.sizes
            .push(i64::try_from(received.body.len()).unwrap_or(i64::MAX));
        self.kept.push(event.kept());
        self.statuses.push(new_event.status.map(i32::from));
        self.decisions.push(&event.decision);
        self.are_replays.push(new_event.is_replay);
        self.fired_by.push(new_event.fired_by.as_deref());
        self.headers.push(&event.headers);
        self.bodies.push(&received.body);
        self.replays.extend(new_event.is_replay.then_some(id));
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> i64 {
        self.kept.iter().sum()
    }

    /// Writes the events. One that is there already is a conflict.
    pub async fn insert(&self, link: &Link, node: &str) -> Result<(), Failure> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let row: [&(dyn tokio_postgres::types::ToSql + Sync); 16] = [
            &self.ids,
            &self.received_at,
            &self.endpoints,
            &self.methods,
            &self.paths,
            &self.queries,
            &self.parameters,
            &self.clients,
            &self.decodes,
            &self.sizes,
            &self.kept,
            &self.statuses,
            &self.decisions,
            &self.are_replays,
            &self.fired_by,
            &node,
        ];
        link.execute(EVENTS, &row).await.map(drop)
    }

    /// Writes the requests of the events.
    pub async fn insert_requests(&self, link: &Link) -> Result<(), Failure> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let row: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&self.ids, &self.headers, &self.bodies];
        link.execute(REQUESTS, &row).await.map(drop)
    }

    /// Deletes the records of arrivals that become events.
    pub async fn delete_arrivals(&self, link: &Link) -> Result<(), Failure> {
        if self.replays.is_empty() {
            return Ok(());
        }
        link.execute(DELETE_ARRIVALS, &[&self.replays]).await.map(drop)
    }
}

/// Those of the ids that events have.
pub(super) async fn there(link: &Link, ids: &[Uuid]) -> Result<Vec<Uuid>, Failure> {
    let rows = link.query(THERE, &[&ids]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
