//! Writes an event down: nonces, sightings, event and deliveries, in one transaction.

use std::sync::Arc;

use rusqlite::{ErrorCode, OptionalExtension, params};

use super::change::{Batch, Change, Failure};
use super::debounce;
use super::fresh::Fresh;
use super::lanes::{self, Turn};
use super::queue::{Place, Waits};
use super::rows;
use super::settling::end;
use super::sightings;
use crate::clock::Timestamp;
use crate::store::lane::reason;
use crate::store::once::{self, Novelty};
use crate::store::{DeliveryId, Displaced, NewDelivery, Sighting, StoreError, Taken, Taking};
use crate::verify::{EventId, Nonce};

const NONCE_KNOWN: &str = "SELECT event FROM nonces WHERE rule = ?1 AND nonce = ?2 AND remember_until >= ?3";

const NONCE_NEW: &str =
    "INSERT OR IGNORE INTO nonces (rule, nonce, event, remember_until) VALUES (?1, ?2, ?3, ?4)";

/// For one that is there: it is expired, or its delivery runs duplicates.
const NONCE_AGAIN: &str = "UPDATE nonces SET \
     event = iif(remember_until >= ?5, event, ?3), \
     remember_until = iif(remember_until >= ?5, max(remember_until, ?4), ?4) \
     WHERE rule = ?1 AND nonce = ?2";

const EVENT: &str = "INSERT INTO events \
     (id, received_at, endpoint, method, path, query, parameters, client, headers, decode, size, owed) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

const BODY: &str = "INSERT INTO bodies (event, body) VALUES (?1, ?2)";

const DELIVERY: &str = "INSERT INTO deliveries (id, event, rule, state, action, attempt, due, unverified, lane, lane_limit, held, lane_overlap, debounced_since) \
     VALUES (?1, ?2, ?3, 'waiting', 0, 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// An event to be written down, with its columns ready: that is done where the event came in, not by the one writer.
pub(super) struct Take {
    taking: Taking,
    /// One for each delivery.
    deliveries: Vec<DeliveryId>,
    id: String,
    parameters: String,
    headers: String,
    client: Option<String>,
}

impl Take {
    /// Makes the columns.
    pub fn new(taking: Taking) -> Self {
        let received = &taking.received;
        Self {
            id: received.id.to_string(),
            parameters: rows::parameters_column(&received.parameters),
            headers: rows::headers_column(&received.headers),
            client: received.client.map(|client| client.to_string()),
            deliveries: taking
                .deliveries
                .iter()
                .map(|_| DeliveryId::new(received.at))
                .collect(),
            taking,
        }
    }

    /// Writes the event and its body; its row.
    fn write_event(&self, batch: &Batch<'_>, owed: usize) -> rusqlite::Result<i64> {
        let received = &self.taking.received;
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
            self.taking.decode,
            i64::try_from(received.body.len()).unwrap_or(i64::MAX),
            i64::try_from(owed).unwrap_or(i64::MAX),
        ])?;
        let event = batch.connection.last_insert_rowid();
        batch
            .connection
            .prepare_cached(BODY)?
            .execute(params![event, &*received.body])?;
        Ok(event)
    }

    /// Remembers the nonces of a new delivery; how many were not there.
    fn remember(&self, batch: &Batch<'_>, delivery: &NewDelivery) -> rusqlite::Result<i64> {
        let mut new = 0;
        for nonce in &delivery.nonces {
            let (nonce, until) = (nonce.as_bytes(), delivery.remember_until.as_millis());
            let mut insert = batch.connection.prepare_cached(NONCE_NEW)?;
            if insert.execute(params![delivery.rule, nonce, self.id, until])? == 1 {
                new += 1;
                continue;
            }
            let at = self.taking.received.at.as_millis();
            let mut update = batch.connection.prepare_cached(NONCE_AGAIN)?;
            update.execute(params![delivery.rule, nonce, self.id, until, at])?;
        }
        Ok(new)
    }
}

impl Change for Take {
    type Said = Vec<Taken>;

    fn make(&self, batch: &mut Batch<'_>) -> Result<Vec<Taken>, Failure> {
        let altered = |sighting: &Sighting| sightings::altered(batch, sighting);
        let known = |rule: &str, nonce: &Nonce, at| remembered(batch, rule, nonce, at);
        let novelties = once::novelty(&self.taking, altered, known)?;
        let new = novelties
            .iter()
            .filter(|novelty| **novelty == Novelty::New)
            .count();
        let event = match &batch.full {
            _ if new == 0 => 0,
            Some(full) => return Err(Failure::Own(full.clone())),
            None => self.write_event(batch, new)?,
        };
        let mut taken = Vec::with_capacity(novelties.len());
        // Deliveries of one verification share a sighting.
        let mut seen: Option<&Arc<Sighting>> = None;
        let deliveries = self.taking.deliveries.iter().zip(&self.deliveries);
        for ((delivery, &id), novelty) in deliveries.zip(novelties) {
            match novelty {
                Novelty::New => {}
                Novelty::Duplicate(of) => {
                    taken.push(Taken::Duplicate { of });
                    continue;
                }
                Novelty::Altered(of, header) => {
                    taken.push(Taken::Altered { of, header });
                    continue;
                }
            }
            batch.tally.nonces += self.remember(batch, delivery)?;
            if let Some(sighting) = &delivery.sighting
                && !seen.is_some_and(|last| Arc::ptr_eq(last, sighting))
            {
                batch.tally.sightings += sightings::remember(batch, sighting, true)?;
                seen = Some(sighting);
            }
            let at = self.taking.now;
            let mut displaced = Displaced::default();
            let (due, debounced_since) = debounce::due(batch, delivery, at, &mut displaced)?;
            let due = due.as_millis();
            let turn = match &delivery.lane {
                Some(lane) if debounced_since.is_none() => lanes::enter(batch, lane, at, &mut displaced)?,
                _ => Turn::Begins,
            };
            batch.connection.prepare_cached(DELIVERY)?.execute(params![
                id.to_string(),
                event,
                delivery.rule,
                due,
                delivery.unverified,
                delivery.lane.as_ref().map(|lane| &lane.name),
                delivery.lane.as_ref().map_or(0, |lane| lane.limit),
                matches!(turn, Turn::Held),
                debounced_since.and(delivery.lane.as_ref().map(|lane| lane.overlap.name())),
                debounced_since.map(Timestamp::as_millis),
            ])?;
            let seq = batch.connection.last_insert_rowid();
            batch.made(seq);
            batch.tally.owed += 1;
            match turn {
                Turn::Begins => batch.waiting.push(Waits {
                    rule: Arc::clone(&delivery.rule),
                    place: Place { due, seq },
                }),
                Turn::Held => {
                    taken.push(Taken::in_place_of(id, displaced));
                    continue;
                }
                Turn::Skipped => {
                    end(
                        batch,
                        Place { due, seq },
                        "done",
                        at.as_millis(),
                        Some(reason::SKIPPED),
                    )?;
                    taken.push(Taken::Skipped(id));
                    continue;
                }
            }
            if debounced_since.is_some() {
                // What becomes of it is decided when it is due.
                taken.push(Taken::in_place_of(id, displaced));
                continue;
            }
            let fresh = Fresh {
                delivery: id,
                rule: Arc::clone(&delivery.rule),
                received: Arc::clone(&self.taking.received),
                decode: self.taking.decode.clone(),
                unverified: delivery.unverified.clone(),
                in_lane: delivery.lane.is_some(),
            };
            batch.fresh.push((seq, fresh));
            taken.push(Taken::in_place_of(id, displaced));
        }
        batch.tally.events += i64::from(new > 0);
        Ok(taken)
    }

    fn size(&self) -> usize {
        self.taking.received.body.len() + self.headers.len()
    }

    fn meaning(&self, error: &rusqlite::Error) -> Option<StoreError> {
        let event = self.taking.received.id;
        let there_already = error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation);
        there_already.then_some(StoreError::IdTaken { event })
    }
}

/// The event that a remembered nonce came with.
fn remembered(
    batch: &Batch<'_>,
    rule: &str,
    nonce: &Nonce,
    at: Timestamp,
) -> Result<Option<EventId>, Failure> {
    let found: Option<String> = batch
        .connection
        .prepare_cached(NONCE_KNOWN)?
        .query_row(params![rule, nonce.as_bytes(), at.as_millis()], |row| row.get(0))
        .optional()?;
    let event = found
        .map(|event| rows::parsed::<EventId>("event", &event))
        .transpose();
    event.map_err(|rows::Unreadable(detail)| Failure::Own(StoreError::Unexpected { detail }))
}
