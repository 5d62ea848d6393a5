//! Writes of new events: dedup keys, sightings, event and deliveries, in one transaction.

use std::sync::Arc;

use rusqlite::{ErrorCode, OptionalExtension, params};

use super::arrivals;
use super::body::{self, Compressed};
use super::columns;
use super::debounce::supersede_debounced;
use super::ending::end;
use super::groups;
use super::queue_key::{QueueKey, ReadyEntry};
use super::sightings;
use super::write_op::{Batch, WriteError, WriteOp};
use crate::base::clock::Timestamp;
use crate::event::DedupKey;
use crate::store::decide::admission::{Admission, initial_state};
use crate::store::decide::dedupe::{Dedup, Remembered, dedup};
use crate::store::delivery_cache::FirstAttempt;
use crate::store::group::reason;
use crate::store::{
    DeliveryId, DeliveryState, Displaced, Enqueued, NewDelivery, NewEvent, Sighting, StoreError,
};

const FIND_DEDUP_KEY: &str = "SELECT event, remember_until FROM dedup_keys WHERE rule = ?1 AND key = ?2";

const INSERT_DEDUP_KEY: &str =
    "INSERT OR IGNORE INTO dedup_keys (rule, key, event, remember_until) VALUES (?1, ?2, ?3, ?4)";

const RENEW_DEDUP_KEY: &str =
    "UPDATE dedup_keys SET event = ?3, remember_until = ?4 WHERE rule = ?1 AND key = ?2";

const EVENT: &str = "INSERT INTO events \
     (id, received_at, endpoint, method, path, query, parameters, client, headers, decode, size, pending, status, \
     decision, is_replay, fired_by) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

const BODY: &str = "INSERT INTO bodies (event, lz4_size, body) VALUES (?1, ?2, ?3)";

const DELIVERY: &str = "INSERT INTO deliveries \
     (id, event, rule, state, action, attempt, due, unverified, group_key, group_limit, group_overlap, debounced_since, item) \
     VALUES (?1, ?2, ?3, ?4, 0, 1, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// A write of an event. Its columns are formatted by the caller, not by the one writer thread.
pub(super) struct Enqueue {
    new_event: NewEvent,
    /// Ids of the deliveries, in their order.
    deliveries: Vec<DeliveryId>,
    id: String,
    parameters: String,
    headers: String,
    client: Option<String>,
    decision: String,
    compressed: Compressed,
}

impl Enqueue {
    /// Formats the columns, on a thread for slow work if the body is large.
    pub async fn prepared(new_event: NewEvent) -> Result<Self, StoreError> {
        if new_event.received.body.len() < body::SLOW {
            return Ok(Self::new(new_event));
        }
        let formatted = tokio::task::spawn_blocking(move || Self::new(new_event)).await;
        formatted.map_err(|error| StoreError::Unexpected {
            detail: format!("cannot compress a body: {error}"),
        })
    }

    /// Formats the columns.
    fn new(new_event: NewEvent) -> Self {
        let received = &new_event.received;
        Self {
            id: received.id.to_string(),
            parameters: columns::parameters_column(&received.parameters),
            headers: columns::headers_column(&received.headers),
            client: received.client.map(|client| client.to_string()),
            decision: columns::json(&new_event.decision),
            compressed: Compressed::new(&received.body),
            deliveries: new_event
                .deliveries
                .iter()
                .map(|delivery| DeliveryId::of_new(delivery, received.id, received.at))
                .collect(),
            new_event,
        }
    }

    /// Writes the event and its body. Returns its row.
    fn write_event(&self, batch: &Batch<'_>, pending: usize) -> rusqlite::Result<i64> {
        let received = &self.new_event.received;
        batch.connection.prepare_cached(EVENT)?.execute(params![
            self.id,
            received.at.as_millis(),
            received.endpoint,
            received.method.as_str(),
            received.path,
            received.query,
            self.parameters,
            self.client,
            self.headers,
            self.new_event.decode,
            columns::integer(received.body.len()),
            columns::integer(pending),
            self.new_event.status,
            self.decision,
            self.new_event.is_replay,
            self.new_event.fired_by,
        ])?;
        let event = batch.connection.last_insert_rowid();
        batch.connection.prepare_cached(BODY)?.execute(params![
            event,
            self.compressed.size(&received.body),
            self.compressed.column(&received.body)
        ])?;
        Ok(event)
    }

    /// Remembers the dedup keys of a new delivery. Returns the number of new keys.
    fn remember(&self, batch: &Batch<'_>, delivery: &NewDelivery) -> Result<i64, WriteError> {
        let mut new = 0;
        let received = &self.new_event.received;
        for key in &delivery.dedup_keys {
            let until = delivery.remember_until;
            let mut insert = batch.connection.prepare_cached(INSERT_DEDUP_KEY)?;
            let row = params![delivery.rule, key.as_bytes(), self.id, until.as_millis()];
            if insert.execute(row)? == 1 {
                new += 1;
                continue;
            }
            // The key has expired, or the delivery runs duplicates.
            let event = received.id;
            let by = Remembered { event, until };
            let known =
                remembered(batch, &delivery.rule, key)?.map_or(by, |known| known.renewed(by, received.at));
            batch
                .connection
                .prepare_cached(RENEW_DEDUP_KEY)?
                .execute(params![
                    delivery.rule,
                    key.as_bytes(),
                    known.event.to_string(),
                    known.until.as_millis()
                ])?;
        }
        Ok(new)
    }

    /// Writes a new delivery. It may be leased without being read back.
    fn add_delivery(
        &self,
        batch: &mut Batch<'_>,
        event: i64,
        id: DeliveryId,
        delivery: &NewDelivery,
    ) -> Result<Enqueued, WriteError> {
        let added = add_delivery(batch, (event, self.new_event.now), id, delivery)?;
        if let Some(seq) = added.ready {
            let first = self.first_attempt(event, id, delivery);
            batch.effects.first_attempts.push((seq, first));
        }
        Ok(added.enqueued)
    }

    fn first_attempt(&self, event: i64, id: DeliveryId, delivery: &NewDelivery) -> FirstAttempt<i64> {
        FirstAttempt {
            delivery: id,
            event,
            rule: Arc::clone(&delivery.rule),
            item: delivery.item,
            received: Arc::clone(&self.new_event.received),
            decode: self.new_event.decode.clone(),
            fired_by: self
                .new_event
                .fired_by
                .clone()
                .filter(|_| !self.new_event.is_replay),
            unverified: delivery.unverified.clone(),
            in_group: delivery.group.is_some(),
        }
    }
}

impl WriteOp for Enqueue {
    type Output = Vec<Enqueued>;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Vec<Enqueued>, WriteError> {
        let altered = |sighting: &Sighting| sightings::altered(batch, sighting);
        let known = |rule: &Arc<str>, key: &DedupKey| remembered(batch, rule, key);
        let decisions = dedup(&self.new_event, altered, known)?;
        let new = decisions.iter().filter(|dedup| **dedup == Dedup::New).count();
        let event = match &batch.full {
            _ if new == 0 => 0,
            Some(full) => return Err(WriteError::Own(full.clone())),
            None => self.write_event(batch, new)?,
        };
        batch.effects.counters.events += i64::from(new > 0);
        if self.new_event.is_replay && new > 0 {
            arrivals::delete(batch, &self.id)?;
        }
        let mut enqueued = Vec::with_capacity(decisions.len());
        // Deliveries of one verification share a sighting, which is written once.
        let mut seen: Option<&Arc<Sighting>> = None;
        let deliveries = self.new_event.deliveries.iter().zip(&self.deliveries);
        for ((delivery, &id), dedup) in deliveries.zip(decisions) {
            enqueued.push(match dedup {
                Dedup::Duplicate(of) => Enqueued::Duplicate { of },
                Dedup::Altered(of, header) => Enqueued::Altered { of, header },
                Dedup::New => {
                    batch.effects.counters.dedup_keys += self.remember(batch, delivery)?;
                    if let Some(sighting) = &delivery.sighting
                        && !seen.is_some_and(|last| Arc::ptr_eq(last, sighting))
                    {
                        batch.effects.counters.sightings += sightings::remember(batch, sighting, true)?;
                        seen = Some(sighting);
                    }
                    self.add_delivery(batch, event, id, delivery)?
                }
            });
        }
        Ok(enqueued)
    }

    fn size(&self) -> usize {
        let body = &self.new_event.received.body;
        self.compressed.column(body).len() + self.headers.len()
    }

    fn map_error(&self, error: &rusqlite::Error) -> Option<StoreError> {
        let event = self.new_event.received.id;
        let there_already = error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation);
        there_already.then_some(StoreError::IdTaken { event })
    }
}

/// A delivery that was written.
pub(super) struct AddedDelivery {
    pub enqueued: Enqueued,
    /// Row of the delivery, if it is ready at its due time.
    ready: Option<i64>,
}

/// Writes a new delivery of the event at a row, and ends those that it supersedes.
pub(super) fn add_delivery(
    batch: &mut Batch<'_>,
    (event, at): (i64, Timestamp),
    id: DeliveryId,
    delivery: &NewDelivery,
) -> rusqlite::Result<AddedDelivery> {
    let mut displaced = Displaced::default();
    let since = supersede_debounced(batch, delivery, at, &mut displaced)?;
    let mut state = initial_state(delivery, at, since);
    let due = state.due().unwrap_or(delivery.due);
    let admission = match (&state, &delivery.group) {
        (DeliveryState::Ready { .. }, Some(group)) => groups::enter(batch, group, at, &mut displaced)?,
        _ => Admission::Run,
    };
    if admission == Admission::Queue {
        state = DeliveryState::Queued { due };
    }
    let seq = write_delivery(batch, event, id, delivery, &state)?;
    let key = QueueKey {
        due: due.as_millis(),
        seq,
    };
    let rule = Arc::clone(&delivery.rule);
    let mut ready = None;
    match (admission, state) {
        (Admission::Skip, _) => {
            let reason = reason::SKIPPED.to_owned();
            end(batch, seq, &DeliveryState::Superseded { at, reason }, None)?;
            let enqueued = Enqueued::Skipped(id);
            return Ok(AddedDelivery { enqueued, ready });
        }
        (Admission::Queue, _) => {}
        (Admission::Run, DeliveryState::Debounced { .. }) => {
            // The outcome is decided when the delivery is due.
            batch.effects.counters.debounced += 1;
            batch.effects.waiting.push(ReadyEntry { rule, key });
        }
        (Admission::Run, _) => {
            batch.effects.waiting.push(ReadyEntry { rule, key });
            ready = Some(seq);
        }
    }
    let enqueued = Enqueued::in_place_of(id, displaced);
    Ok(AddedDelivery { enqueued, ready })
}

/// Writes the row of a new delivery. Returns its number.
fn write_delivery(
    batch: &mut Batch<'_>,
    event: i64,
    id: DeliveryId,
    delivery: &NewDelivery,
    state: &DeliveryState,
) -> rusqlite::Result<i64> {
    let since = match state {
        DeliveryState::Debounced { since, .. } => Some(since.as_millis()),
        _ => None,
    };
    let group = delivery.group.as_ref();
    batch.connection.prepare_cached(DELIVERY)?.execute(params![
        id.to_string(),
        event,
        delivery.rule,
        state.name(),
        state.due().map(Timestamp::as_millis),
        delivery.unverified,
        group.map(|group| &group.name),
        group.map_or(0, |group| group.limit),
        since.and(group.map(|group| group.overlap.name())),
        since,
        delivery.item,
    ])?;
    let seq = batch.connection.last_insert_rowid();
    batch.note_new(seq);
    batch.effects.counters.pending += 1;
    Ok(seq)
}

/// Reads a dedup key of a rule.
fn remembered(batch: &Batch<'_>, rule: &str, key: &DedupKey) -> Result<Option<Remembered>, WriteError> {
    let mut find = batch.connection.prepare_cached(FIND_DEDUP_KEY)?;
    let found = find.query_row(params![rule, key.as_bytes()], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?))
    });
    let Some((event, until)) = found.optional()? else {
        return Ok(None);
    };
    let (event, until) = (columns::parsed("event", &event)?, Timestamp::from_millis(until));
    Ok(Some(Remembered { event, until }))
}
