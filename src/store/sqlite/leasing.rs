//! Hands out what is due, and takes it back when the one who asked has gone away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::change::Called;
use super::debounce::Over;
use super::queue::Waits;
use super::reading;
use super::rows::{Unreadable, parsed};
use super::settling::Settle;
use super::writer::Writer;
use crate::clock::Timestamp;
use crate::store::{DeliveryId, Displaced, Lease, Leased, Room, Settled, Settlement, StoreError};
use crate::verify::Received;

/// Events that were read for a call, by their rows.
type Events = HashMap<i64, (Arc<Received>, String)>;

/// What waits at a place.
enum Found {
    /// What can be leased, and how many bytes were read for it.
    Lease(Box<Lease>, usize),
    /// Nothing any more.
    Nothing,
    /// What cannot be read back.
    Unreadable(DeliveryId, Unreadable),
    /// What has waited for quiet.
    Debounced,
}

/// How many bytes of bodies one call hands out, or one body if that is larger.
const BYTES: usize = 16 << 20;

/// Leases on their way to whoever asked. Dropped unread, they are given back.
pub(super) struct Offer {
    leased: Leased,
    returned: Arc<Mutex<Vec<DeliveryId>>>,
}

impl Offer {
    /// Leases, and where they go if nobody accepts them.
    pub fn new(leased: Leased, returned: Arc<Mutex<Vec<DeliveryId>>>) -> Self {
        Self { leased, returned }
    }

    /// They are the caller's now.
    pub fn accept(mut self) -> Leased {
        std::mem::take(&mut self.leased)
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if !self.leased.leases.is_empty() {
            let leased = self.leased.leases.iter().map(|lease| lease.delivery);
            super::held(&self.returned).extend(leased);
        }
    }
}

impl Writer {
    /// The first to be due of rules that may have another leased.
    pub fn first(&mut self, room: Room) -> rusqlite::Result<Option<Waits>> {
        self.read_on()?;
        Ok(self.queue.first(room))
    }

    /// Sees to it that the heads of all queues hold what comes first, read on from the disk if need be.
    fn read_on(&mut self) -> rusqlite::Result<()> {
        let connection = &self.file.connection;
        if !self.queue.is_complete() {
            self.queue.begin(reading::rules_that_wait(connection)?);
        }
        while let Some((rule, after, count)) = self.queue.dry() {
            let read = reading::places_after(connection, &rule, after, count)?;
            self.queue.refill(&rule, &read, count);
        }
        Ok(())
    }

    /// Leases what is due, in order.
    pub fn lease(&mut self, room: Room, now: Timestamp) -> Result<Leased, StoreError> {
        let mut leased = Leased::default();
        match self.lease_into(&mut leased, room, now) {
            Ok(()) => {
                leased.held_back = self.queue.is_due(now.as_millis());
                Ok(leased)
            }
            // What has given way has done so: whoever asks must learn of it.
            Err(error) if leased.displaced != Displaced::default() => {
                tracing::warn!(%error, "not all that is due could be leased");
                Ok(leased)
            }
            Err(error) => {
                for lease in leased.leases {
                    self.queue.release(lease.delivery);
                }
                Err(error)
            }
        }
    }

    fn lease_into(&mut self, leased: &mut Leased, room: Room, now: Timestamp) -> Result<(), StoreError> {
        self.in_place()?;
        self.look_round().map_err(|error| self.meaning(&error))?;
        let mut events = Events::new();
        let mut bytes = 0;
        while bytes < BYTES {
            self.read_on().map_err(|error| self.meaning(&error))?;
            let Some(waits) = self.queue.next(room, now.as_millis()) else {
                break;
            };
            let lease = match self.fresh.take(waits.place.seq) {
                Some(fresh) => {
                    bytes += fresh.received.body.len();
                    fresh.lease()
                }
                // Taken out of the queue only when everything about it has been read.
                None => match self
                    .read(&waits, &mut events)
                    .map_err(|error| self.meaning(&error))?
                {
                    Found::Lease(lease, read) => {
                        bytes += read;
                        *lease
                    }
                    Found::Nothing => {
                        self.queue.forget(&waits);
                        continue;
                    }
                    Found::Unreadable(delivery, unreadable) => {
                        self.give_up(delivery, waits, now, &unreadable);
                        continue;
                    }
                    Found::Debounced => {
                        let Displaced { stop, ended } = self.end_debounce(waits, now)?;
                        leased.displaced.stop.extend(stop);
                        leased.displaced.ended.extend(ended);
                        continue;
                    }
                },
            };
            let by_itself = lease.begins_by_itself();
            self.queue
                .lease(lease.delivery, waits, now.as_millis(), by_itself);
            leased.leases.push(lease);
        }
        Ok(())
    }

    /// Reads what waits at a place.
    fn read(&self, waits: &Waits, events: &mut Events) -> rusqlite::Result<Found> {
        let connection = &self.file.connection;
        let Some(waiting) = reading::waiting(connection, waits.place)? else {
            return Ok(Found::Nothing);
        };
        if waiting.debounced {
            return Ok(Found::Debounced);
        }
        let delivery = match parsed::<DeliveryId>("id", &waiting.id) {
            Ok(delivery) => delivery,
            Err(Unreadable(reason)) => {
                tracing::error!(delivery = waiting.id, reason, "a delivery has an id that is none");
                return Ok(Found::Nothing);
            }
        };
        let mut bytes = 0;
        let (received, decode) = match events.get(&waiting.event) {
            Some(event) => event.clone(),
            None => match reading::event(connection, waiting.event)? {
                Ok(event) => {
                    bytes = event.0.body.len();
                    events.insert(waiting.event, event.clone());
                    event
                }
                Err(unreadable) => return Ok(Found::Unreadable(delivery, unreadable)),
            },
        };
        let lease = Lease {
            delivery,
            rule: Arc::clone(&waits.rule),
            action: waiting.action,
            attempt: waiting.attempt,
            received,
            decode,
            unverified: waiting.unverified.map(Arc::from),
            in_lane: waiting.in_lane,
            superseded: waiting.superseded,
            replays: waiting.replays,
            failure: waiting.failure.map(Arc::new),
            interrupted: waiting.interrupted,
            suspect: waits.place.seq <= self.suspect_up_to,
        };
        Ok(Found::Lease(Box::new(lease), bytes))
    }

    /// The wait for quiet of a delivery is over: it may be leased next, or waits for its turn, or ends. Says what gives way
    /// to it.
    fn end_debounce(&mut self, waits: Waits, at: Timestamp) -> Result<Displaced, StoreError> {
        let (reply, mut answer) = oneshot::channel();
        self.write(vec![Box::new(Called::new(Over { waits, at }, reply))]);
        answer.try_recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Makes a dead letter of what cannot be read, so that it does not stand in the way of the others for ever.
    fn give_up(&mut self, delivery: DeliveryId, waits: Waits, now: Timestamp, unreadable: &Unreadable) {
        tracing::error!(%delivery, reason = unreadable.0, "an event cannot be read back");
        self.queue.lease(delivery, waits, now.as_millis(), true);
        let settlement = Settlement::Dead {
            at: now,
            reason: format!("the event cannot be read back: {}", unreadable.0),
            forget_nonces: false,
            failure: None,
        };
        let settled = Settled::unattempted(delivery, settlement);
        // Nobody waits for the answer; where it fails, the delivery is looked at again after the next start.
        let (reply, _) = oneshot::channel();
        self.write(vec![Box::new(Called::new(Settle(settled), reply))]);
    }
}
