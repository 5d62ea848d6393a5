//! Leases of due deliveries. A lease returns to the queue if its caller is gone.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::columns::{Unreadable, parsed};
use super::debounce::DebounceElapsed;
use super::leases::{AttemptStart, LeasedDelivery};
use super::queue_key::ReadyEntry;
use super::reading::{self, StoredRequest};
use super::settling::Settle;
use super::writer::Writer;
use crate::base::clock::Timestamp;
use crate::store::decide::turns::LeaseCost;
use crate::store::{DeliveryId, Displaced, Lease, Leased, Settled, Settlement, StoreError, Wanted};

/// Events that were read for a call, by their rows.
type Events = HashMap<i64, StoredRequest>;

/// The content of a queue entry.
enum QueueSlot {
    /// A delivery that can be leased, the row of its event, and the bytes read for it.
    Lease(Box<Lease>, i64, usize),
    /// The entry is outdated.
    Nothing,
    /// A delivery whose event cannot be read back.
    Unreadable(DeliveryId, Box<LeasedDelivery>, Unreadable),
    /// A delivery that has waited for quiet.
    Debounced,
}

/// Bytes of bodies after which one call leases no more.
const BYTES: usize = 16 << 20;

/// Leases on their way to the caller. They are returned if they are dropped before they are
/// accepted.
pub(super) struct Offer {
    leased: Leased,
    returned: Arc<Mutex<Vec<DeliveryId>>>,
}

impl Offer {
    /// Makes an offer. `returned` gets the leases that are not accepted.
    pub fn new(leased: Leased, returned: Arc<Mutex<Vec<DeliveryId>>>) -> Self {
        Self { leased, returned }
    }

    /// Hands the leases to the caller.
    pub fn accept(mut self) -> Leased {
        std::mem::take(&mut self.leased)
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if !self.leased.leases.is_empty() {
            let leased = self.leased.leases.iter().map(|lease| lease.delivery);
            self.returned.lock().extend(leased);
        }
    }
}

impl Writer {
    /// The first entry to be due whose rule may have another lease.
    pub fn first(&mut self, wanted: &Wanted) -> rusqlite::Result<Option<ReadyEntry>> {
        self.read_on()?;
        Ok(self.queue.first(wanted))
    }

    /// Fills the windows of all queues, reading on from disk if necessary.
    fn read_on(&mut self) -> rusqlite::Result<()> {
        let connection = &self.file.connection;
        if !self.queue.is_complete() {
            self.queue.load_rules(reading::rules_that_wait(connection)?);
        }
        while let Some((rule, after, count)) = self.queue.exhausted() {
            let read = reading::keys_after(connection, &rule, after, count)?;
            self.queue.refill(&rule, &read, count);
        }
        Ok(())
    }

    /// Leases due deliveries, in order.
    pub fn lease(&mut self, wanted: &Wanted, now: Timestamp) -> Result<Leased, StoreError> {
        let mut leased = Leased::default();
        match self.lease_into(&mut leased, wanted, now) {
            Ok(()) => {
                leased.held_back = self.queue.is_due(wanted, now.as_millis());
                Ok(leased)
            }
            // Superseded deliveries have ended already, so the caller must learn of them despite
            // the error.
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

    fn lease_into(&mut self, leased: &mut Leased, wanted: &Wanted, now: Timestamp) -> Result<(), StoreError> {
        self.check_files()?;
        self.refresh().map_err(|error| self.map_error(&error))?;
        let mut events = Events::new();
        let mut bytes = 0;
        while bytes < BYTES {
            self.read_on().map_err(|error| self.map_error(&error))?;
            let Some(entry) = self.queue.next(wanted, now.as_millis()) else {
                break;
            };
            let (lease, event) = match self.take_slot(&entry, now, &mut events)? {
                QueueSlot::Lease(lease, event, read) => {
                    bytes += read;
                    (*lease, event)
                }
                QueueSlot::Nothing => {
                    self.queue.remove(&entry);
                    continue;
                }
                QueueSlot::Unreadable(delivery, leased, unreadable) => {
                    self.dead_letter(delivery, *leased, now, &unreadable);
                    continue;
                }
                QueueSlot::Debounced => {
                    let Displaced { stop, ended } = self.write_now(DebounceElapsed { entry, at: now })?;
                    leased.displaced.stop.extend(stop);
                    leased.displaced.ended.extend(ended);
                    continue;
                }
            };
            let cost = wanted.cost(&lease.rule, lease.received.body.len());
            let kept = LeasedDelivery::new(&lease, entry, event, cost, now);
            self.queue.lease(lease.delivery, kept);
            leased.leases.push(lease);
        }
        Ok(())
    }

    /// The content of an entry, from the cache or from disk. The entry leaves the queue only after
    /// everything about it has been read.
    fn take_slot(
        &mut self,
        entry: &ReadyEntry,
        now: Timestamp,
        events: &mut Events,
    ) -> Result<QueueSlot, StoreError> {
        if let Some(first) = self.first_attempts.take(entry.key.seq) {
            let (event, bytes) = (first.event, first.received.body.len());
            return Ok(QueueSlot::Lease(Box::new(first.lease()), event, bytes));
        }
        let read = self.read(entry, now, events);
        read.map_err(|error| self.map_error(&error))
    }

    /// Reads the delivery of an entry.
    fn read(&self, entry: &ReadyEntry, now: Timestamp, events: &mut Events) -> rusqlite::Result<QueueSlot> {
        let connection = &self.file.connection;
        let Some(waiting) = reading::waiting(connection, entry.key)? else {
            return Ok(QueueSlot::Nothing);
        };
        if waiting.debounced {
            return Ok(QueueSlot::Debounced);
        }
        let delivery = match parsed::<DeliveryId>("id", &waiting.id) {
            Ok(delivery) => delivery,
            Err(Unreadable(reason)) => {
                tracing::error!(delivery = waiting.id, reason, "a delivery has an id that is none");
                return Ok(QueueSlot::Nothing);
            }
        };
        let mut bytes = 0;
        let StoredRequest {
            received,
            decode,
            fired_by,
        } = match events.get(&waiting.event) {
            Some(event) => event.clone(),
            None => match reading::event(connection, waiting.event)? {
                Ok(event) => {
                    bytes = event.received.body.len();
                    events.insert(waiting.event, event.clone());
                    event
                }
                Err(unreadable) => {
                    let leased = LeasedDelivery {
                        entry: entry.clone(),
                        epoch: waiting.replays,
                        snapshot: waiting.snapshot(entry.key),
                        event: waiting.event,
                        in_group: waiting.in_group,
                        since: now.as_millis(),
                        start: AttemptStart::Separate,
                        cost: LeaseCost::Slot,
                    };
                    return Ok(QueueSlot::Unreadable(delivery, Box::new(leased), unreadable));
                }
            },
        };
        let lease = Lease {
            delivery,
            rule: Arc::clone(&entry.rule),
            item: waiting.item,
            action: waiting.action,
            attempt: waiting.attempt,
            received,
            decode,
            fired_by,
            unverified: waiting.unverified.map(Arc::from),
            in_group: waiting.in_group,
            superseded: waiting.superseded,
            replays: waiting.replays,
            failure: waiting.failure.map(Arc::new),
            interrupted: waiting.interrupted,
            suspect: entry.key.seq <= self.suspect_up_to,
        };
        Ok(QueueSlot::Lease(Box::new(lease), waiting.event, bytes))
    }

    /// Makes a dead letter of a delivery that cannot be read back, so that it does not block its
    /// queue for ever.
    fn dead_letter(
        &mut self,
        delivery: DeliveryId,
        leased: LeasedDelivery,
        now: Timestamp,
        unreadable: &Unreadable,
    ) {
        tracing::error!(%delivery, reason = unreadable.0, "an event cannot be read back");
        self.queue.lease(delivery, leased);
        let settlement = Settlement::Dead {
            at: now,
            reason: format!("the event cannot be read back: {}", unreadable.0),
            forget_dedup_keys: false,
            failure: None,
        };
        let settled = Settled::unattempted(delivery, settlement);
        // If the write fails, the delivery is tried again after the next start.
        drop(self.write_now(Settle(settled)));
    }
}
