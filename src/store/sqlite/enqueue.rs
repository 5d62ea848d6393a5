//! Writes of new events: dedup keys, sightings, event and deliveries, in one transaction.

use std::sync::Arc;

use rusqlite::{ErrorCode, OptionalExtension, params};

use super::columns;
use super::debounce;
use super::delivery_cache::FirstAttempt;
use super::groups::{self, Admission};
use super::queue::{QueueKey, ReadyEntry};
use super::settling::end;
use super::sightings;
use super::write_op::{Batch, WriteError, WriteOp};
use crate::base::clock::Timestamp;
use crate::event::{DedupKey, EventId};
use crate::store::dedupe::{self, Dedup};
use crate::store::group::reason;
use crate::store::{DeliveryId, Displaced, Enqueued, NewDelivery, NewEvent, Sighting, StoreError};

const FIND_DEDUP_KEY: &str =
    "SELECT event FROM dedup_keys WHERE rule = ?1 AND key = ?2 AND remember_until >= ?3";

const INSERT_DEDUP_KEY: &str =
    "INSERT OR IGNORE INTO dedup_keys (rule, key, event, remember_until) VALUES (?1, ?2, ?3, ?4)";

/// For a key that exists: it has expired, or its delivery runs duplicates.
const RENEW_DEDUP_KEY: &str = "UPDATE dedup_keys SET \
     event = iif(remember_until >= ?5, event, ?3), \
     remember_until = iif(remember_until >= ?5, max(remember_until, ?4), ?4) \
     WHERE rule = ?1 AND key = ?2";

const EVENT: &str = "INSERT INTO events \
     (id, received_at, endpoint, method, path, query, parameters, client, headers, decode, size, pending) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

const BODY: &str = "INSERT INTO bodies (event, body) VALUES (?1, ?2)";

const DELIVERY: &str = "INSERT INTO deliveries (id, event, rule, state, action, attempt, due, unverified, group_key, group_limit, held, group_overlap, debounced_since) \
     VALUES (?1, ?2, ?3, 'waiting', 0, 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// A write of an event. Its columns are formatted by the caller, not by the one writer thread.
pub(super) struct Enqueue {
    new_event: NewEvent,
    /// Ids of the deliveries, in their order.
    deliveries: Vec<DeliveryId>,
    id: String,
    parameters: String,
    headers: String,
    client: Option<String>,
}

impl Enqueue {
    /// Formats the columns.
    pub fn new(new_event: NewEvent) -> Self {
        let received = &new_event.received;
        Self {
            id: received.id.to_string(),
            parameters: columns::parameters_column(&received.parameters),
            headers: columns::headers_column(&received.headers),
            client: received.client.map(|client| client.to_string()),
            deliveries: new_event
                .deliveries
                .iter()
                .map(|_| DeliveryId::new(received.at))
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
            i64::try_from(received.body.len()).unwrap_or(i64::MAX),
            i64::try_from(pending).unwrap_or(i64::MAX),
        ])?;
        let event = batch.connection.last_insert_rowid();
        batch
            .connection
            .prepare_cached(BODY)?
            .execute(params![event, &*received.body])?;
        Ok(event)
    }

    /// Remembers the dedup keys of a new delivery. Returns the number of new keys.
    fn remember(&self, batch: &Batch<'_>, delivery: &NewDelivery) -> rusqlite::Result<i64> {
        let mut new = 0;
        for dedup_key in &delivery.dedup_keys {
            let (dedup_key, until) = (dedup_key.as_bytes(), delivery.remember_until.as_millis());
            let mut insert = batch.connection.prepare_cached(INSERT_DEDUP_KEY)?;
            if insert.execute(params![delivery.rule, dedup_key, self.id, until])? == 1 {
                new += 1;
                continue;
            }
            let at = self.new_event.received.at.as_millis();
            let mut update = batch.connection.prepare_cached(RENEW_DEDUP_KEY)?;
            update.execute(params![delivery.rule, dedup_key, self.id, until, at])?;
        }
        Ok(new)
    }
}

impl WriteOp for Enqueue {
    type Output = Vec<Enqueued>;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Vec<Enqueued>, WriteError> {
        let altered = |sighting: &Sighting| sightings::altered(batch, sighting);
        let known = |rule: &str, dedup_key: &DedupKey, at| remembered(batch, rule, dedup_key, at);
        let decisions = dedupe::dedup(&self.new_event, altered, known)?;
        let new = decisions.iter().filter(|dedup| **dedup == Dedup::New).count();
        let event = match &batch.full {
            _ if new == 0 => 0,
            Some(full) => return Err(WriteError::Own(full.clone())),
            None => self.write_event(batch, new)?,
        };
        let mut enqueued = Vec::with_capacity(decisions.len());
        // Deliveries of one verification share a sighting, which is written once.
        let mut seen: Option<&Arc<Sighting>> = None;
        let deliveries = self.new_event.deliveries.iter().zip(&self.deliveries);
        for ((delivery, &id), dedup) in deliveries.zip(decisions) {
            match dedup {
                Dedup::New => {}
                Dedup::Duplicate(of) => {
                    enqueued.push(Enqueued::Duplicate { of });
                    continue;
                }
                Dedup::Altered(of, header) => {
                    enqueued.push(Enqueued::Altered { of, header });
                    continue;
                }
            }
            batch.counters.dedup_keys += self.remember(batch, delivery)?;
            if let Some(sighting) = &delivery.sighting
                && !seen.is_some_and(|last| Arc::ptr_eq(last, sighting))
            {
                batch.counters.sightings += sightings::remember(batch, sighting, true)?;
                seen = Some(sighting);
            }
            let at = self.new_event.now;
            let mut displaced = Displaced::default();
            let (due, debounced_since) = debounce::due(batch, delivery, at, &mut displaced)?;
            let due = due.as_millis();
            let turn = match &delivery.group {
                Some(group) if debounced_since.is_none() => groups::enter(batch, group, at, &mut displaced)?,
                _ => Admission::Run,
            };
            batch.connection.prepare_cached(DELIVERY)?.execute(params![
                id.to_string(),
                event,
                delivery.rule,
                due,
                delivery.unverified,
                delivery.group.as_ref().map(|group| &group.name),
                delivery.group.as_ref().map_or(0, |group| group.limit),
                matches!(turn, Admission::Queue),
                debounced_since.and(delivery.group.as_ref().map(|group| group.overlap.name())),
                debounced_since.map(Timestamp::as_millis),
            ])?;
            let seq = batch.connection.last_insert_rowid();
            batch.note_new(seq);
            batch.counters.pending += 1;
            match turn {
                Admission::Run => batch.waiting.push(ReadyEntry {
                    rule: Arc::clone(&delivery.rule),
                    key: QueueKey { due, seq },
                }),
                Admission::Queue => {
                    enqueued.push(Enqueued::in_place_of(id, displaced));
                    continue;
                }
                Admission::Skip => {
                    end(
                        batch,
                        QueueKey { due, seq },
                        "done",
                        at.as_millis(),
                        Some(reason::SKIPPED),
                    )?;
                    enqueued.push(Enqueued::Skipped(id));
                    continue;
                }
            }
            if debounced_since.is_some() {
                // The outcome is decided when the delivery is due.
                enqueued.push(Enqueued::in_place_of(id, displaced));
                continue;
            }
            let fresh = FirstAttempt {
                delivery: id,
                rule: Arc::clone(&delivery.rule),
                received: Arc::clone(&self.new_event.received),
                decode: self.new_event.decode.clone(),
                unverified: delivery.unverified.clone(),
                in_group: delivery.group.is_some(),
            };
            batch.fresh.push((seq, fresh));
            enqueued.push(Enqueued::in_place_of(id, displaced));
        }
        batch.counters.events += i64::from(new > 0);
        Ok(enqueued)
    }

    fn size(&self) -> usize {
        self.new_event.received.body.len() + self.headers.len()
    }

    fn map_error(&self, error: &rusqlite::Error) -> Option<StoreError> {
        let event = self.new_event.received.id;
        let there_already = error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation);
        there_already.then_some(StoreError::IdTaken { event })
    }
}

/// The first event with a remembered dedup key.
fn remembered(
    batch: &Batch<'_>,
    rule: &str,
    dedup_key: &DedupKey,
    at: Timestamp,
) -> Result<Option<EventId>, WriteError> {
    let found: Option<String> = batch
        .connection
        .prepare_cached(FIND_DEDUP_KEY)?
        .query_row(params![rule, dedup_key.as_bytes(), at.as_millis()], |row| {
            row.get(0)
        })
        .optional()?;
    let event = found
        .map(|event| columns::parsed::<EventId>("event", &event))
        .transpose();
    event.map_err(|columns::Unreadable(detail)| WriteError::Own(StoreError::Unexpected { detail }))
}
