//! Hands out what is due, and takes it back when the one who asked has gone away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::change::Called;
use super::queue::Waits;
use super::reading;
use super::rows::{Unreadable, parsed};
use super::settling::Settle;
use super::writer::Writer;
use crate::clock::Timestamp;
use crate::store::{DeliveryId, Lease, Leased, Room, Settled, Settlement, StoreError};
use crate::verify::Received;

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
    /// The first in the queues of rules that may have another leased, read on from the disk if need be.
    pub fn first(&mut self, room: Room) -> rusqlite::Result<Option<Waits>> {
        let connection = &self.file.connection;
        if !self.queue.is_complete() {
            self.queue.begin(reading::rules_that_wait(connection)?);
        }
        while let Some((rule, after, count)) = self.queue.dry() {
            let read = reading::places_after(connection, &rule, after, count)?;
            self.queue.refill(&rule, &read, count);
        }
        Ok(self.queue.first(room))
    }

    /// Leases what is due, in order.
    pub fn lease(&mut self, room: Room, now: Timestamp) -> Result<Leased, StoreError> {
        let mut leases = Vec::new();
        match self.lease_into(&mut leases, room, now) {
            Ok(()) => {
                let held_back = self.queue.is_due(now.as_millis());
                Ok(Leased { leases, held_back })
            }
            Err(error) => {
                for lease in leases {
                    self.queue.release(lease.delivery);
                }
                Err(self.meaning(&error))
            }
        }
    }

    fn lease_into(&mut self, leases: &mut Vec<Lease>, room: Room, now: Timestamp) -> rusqlite::Result<()> {
        self.look_round()?;
        let mut events: HashMap<i64, (Arc<Received>, String)> = HashMap::new();
        let mut bytes = 0;
        while bytes < BYTES {
            let first = self.first(room)?;
            let Some(waits) = first.filter(|waits| waits.place.due <= now.as_millis()) else {
                break;
            };
            if let Some(fresh) = self.fresh.take(waits.place.seq) {
                self.queue.lease(fresh.delivery, waits);
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
            let Some(waiting) = reading::waiting(connection, waits.place)? else {
                self.queue.forget(&waits);
                continue;
            };
            let event = match events.get(&waiting.event) {
                Some(event) => Ok(event.clone()),
                None => reading::event(connection, waiting.event)?,
            };
            let delivery = parsed::<DeliveryId>("id", &waiting.id);
            let ((received, decode), delivery) = match (event, delivery) {
                (Ok(event), Ok(delivery)) => (event, delivery),
                (Err(unreadable), Ok(delivery)) => {
                    self.give_up(delivery, waits, now, &unreadable);
                    continue;
                }
                (_, Err(Unreadable(reason))) => {
                    self.queue.forget(&waits);
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
            let rule = Arc::clone(&waits.rule);
            self.queue.lease(delivery, waits);
            leases.push(Lease {
                delivery,
                rule,
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
    fn give_up(&mut self, delivery: DeliveryId, waits: Waits, now: Timestamp, unreadable: &Unreadable) {
        tracing::error!(%delivery, reason = unreadable.0, "an event cannot be read back");
        self.queue.lease(delivery, waits);
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
