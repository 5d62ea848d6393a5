//! Hands out what is due, and takes it back when the one who asked has gone away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::change::Called;
use super::queue::Place;
use super::reading;
use super::rows::{Unreadable, parsed};
use super::settling::Settle;
use super::writer::Writer;
use crate::clock::Timestamp;
use crate::store::{DeliveryId, Lease, Settled, Settlement, StoreError};
use crate::verify::Received;

/// How many bytes of bodies one call hands out, or one body if that is larger.
const BYTES: usize = 16 << 20;

/// Leases on their way to whoever asked. Dropped unread, they are given back.
pub(super) struct Offer {
    leases: Vec<Lease>,
    returned: Arc<Mutex<Vec<DeliveryId>>>,
}

impl Offer {
    /// Leases, and where they go if nobody accepts them.
    pub fn new(leases: Vec<Lease>, returned: Arc<Mutex<Vec<DeliveryId>>>) -> Self {
        Self { leases, returned }
    }

    /// They are the caller's now.
    pub fn accept(mut self) -> Vec<Lease> {
        std::mem::take(&mut self.leases)
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if !self.leases.is_empty() {
            let leased = self.leases.iter().map(|lease| lease.delivery);
            super::held(&self.returned).extend(leased);
        }
    }
}

impl Writer {
    /// The first place in the queue, read on from the disk if need be.
    pub fn first(&mut self) -> rusqlite::Result<Option<Place>> {
        while self.queue.first().is_none() {
            let Some(after) = self.queue.read_on_after() else {
                return Ok(None);
            };
            let read = reading::places_after(&self.file.connection, after)?;
            self.queue.refill(&read, super::queue::REFILL);
        }
        Ok(self.queue.first())
    }

    /// Leases what is due, in order.
    pub fn lease(&mut self, limit: usize, now: Timestamp) -> Result<Vec<Lease>, StoreError> {
        let mut leases = Vec::new();
        let result = self.lease_into(&mut leases, limit, now);
        match result {
            Ok(()) => Ok(leases),
            Err(error) => {
                for lease in leases {
                    self.queue.release(lease.delivery);
                }
                Err(self.meaning(&error))
            }
        }
    }

    fn lease_into(&mut self, leases: &mut Vec<Lease>, limit: usize, now: Timestamp) -> rusqlite::Result<()> {
        self.look_round()?;
        let mut events: HashMap<i64, (Arc<Received>, String)> = HashMap::new();
        let mut bytes = 0;
        while leases.len() < limit && bytes < BYTES {
            let Some(place) = self.first()?.filter(|place| place.due <= now.as_millis()) else {
                break;
            };
            if let Some(fresh) = self.fresh.take(place.seq) {
                self.queue.take_first();
                self.queue.lease(fresh.delivery, place);
                bytes += fresh.received.body.len();
                leases.push(Lease {
                    delivery: fresh.delivery,
                    rule: fresh.rule,
                    action: 0,
                    attempt: 1,
                    received: fresh.received,
                    decode: fresh.decode,
                    unverified: fresh.unverified,
                    in_lane: fresh.in_lane,
                    superseded: None,
                    replays: 0,
                });
                continue;
            }
            // Taken out of the queue only when everything about it has been read.
            let connection = &self.file.connection;
            let Some(waiting) = reading::waiting(connection, place)? else {
                self.queue.take_first();
                continue;
            };
            let event = match events.get(&waiting.event) {
                Some(event) => Ok(event.clone()),
                None => reading::event(connection, waiting.event)?,
            };
            self.queue.take_first();
            let delivery = parsed::<DeliveryId>("id", &waiting.id);
            let ((received, decode), delivery) = match (event, delivery) {
                (Ok(event), Ok(delivery)) => (event, delivery),
                (Err(unreadable), Ok(delivery)) => {
                    self.give_up(delivery, place, now, &unreadable);
                    continue;
                }
                (_, Err(Unreadable(reason))) => {
                    tracing::error!(delivery = waiting.id, reason, "a delivery has an id that is none");
                    continue;
                }
            };
            if events
                .insert(waiting.event, (Arc::clone(&received), decode.clone()))
                .is_none()
            {
                bytes += received.body.len();
            }
            self.queue.lease(delivery, place);
            leases.push(Lease {
                delivery,
                rule: Arc::from(waiting.rule),
                action: waiting.action,
                attempt: waiting.attempt,
                received,
                decode,
                unverified: waiting.unverified.map(Arc::from),
                in_lane: waiting.in_lane,
                superseded: waiting.superseded,
                replays: waiting.replays,
            });
        }
        Ok(())
    }

    /// Makes a dead letter of what cannot be read, so that it does not stand in the way of the others for ever.
    fn give_up(&mut self, delivery: DeliveryId, place: Place, now: Timestamp, unreadable: &Unreadable) {
        tracing::error!(%delivery, reason = unreadable.0, "an event cannot be read back");
        self.queue.lease(delivery, place);
        let settlement = Settlement::Dead {
            at: now,
            reason: format!("the event cannot be read back: {}", unreadable.0),
            forget_nonces: false,
        };
        let settled = Settled {
            delivery,
            attempt: None,
            settlement,
        };
        // Nobody waits for the answer; where it fails, the delivery is looked at again after the next start.
        let (reply, _) = tokio::sync::oneshot::channel();
        self.write(vec![Box::new(Called::new(Settle(settled), reply))]);
    }
}
