//! Leases, in memory only. They end with the opened store.

use std::collections::{HashMap, HashSet};

use super::queue_key::ReadyEntry;
use crate::base::clock::Timestamp;
use crate::store::decide::settlement::LeaseSnapshot;
use crate::store::decide::turns::{LeaseCost, Turns};
use crate::store::{DeliveryId, Lease};

/// A leased delivery.
#[derive(Clone, Debug)]
pub(super) struct LeasedDelivery {
    pub entry: ReadyEntry,
    /// Number of replays at the time of the lease. The operator may drop and replay a running
    /// delivery, which begins another epoch: a settlement counts only in the epoch of its lease.
    pub epoch: u32,
    pub snapshot: LeaseSnapshot,
    /// Row of the event. A delivery keeps it.
    pub event: i64,
    /// True if the delivery belongs to a concurrency group.
    pub in_group: bool,
    /// Time of the lease, in milliseconds.
    pub since: i64,
    pub start: AttemptStart,
    pub cost: LeaseCost,
}

/// The start of an attempt, as it is recorded on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptStart {
    /// The attempt begins with the lease, which is not recorded.
    WithLease,
    /// The attempt begins only with [`Store::begin`](crate::store::Store::begin). A lease that is
    /// given up before must not count as an interrupted attempt.
    Separate,
    /// The start is on disk.
    Recorded,
}

impl LeasedDelivery {
    /// Makes the record of a lease.
    pub fn new(lease: &Lease, entry: ReadyEntry, event: i64, cost: LeaseCost, now: Timestamp) -> Self {
        Self {
            epoch: lease.replays,
            snapshot: LeaseSnapshot {
                action: lease.action,
                attempt: lease.attempt,
                due: Timestamp::from_millis(entry.key.due),
                interrupted: lease.interrupted,
                for_failure: lease.failure.is_some(),
            },
            entry,
            event,
            in_group: lease.in_group,
            since: now.as_millis(),
            cost,
            start: if lease.begins_by_itself() {
                AttemptStart::Separate
            } else {
                AttemptStart::WithLease
            },
        }
    }
}

/// All leases.
#[derive(Debug, Default)]
pub(super) struct Leases {
    by_id: HashMap<DeliveryId, LeasedDelivery>,
    rows: HashSet<i64>,
    pub turns: Turns,
}

impl Leases {
    /// Adds a lease.
    pub fn add(&mut self, delivery: DeliveryId, leased: LeasedDelivery) {
        self.turns.begin(&leased.entry.rule, leased.cost);
        self.rows.insert(leased.entry.key.seq);
        self.by_id.insert(delivery, leased);
    }

    /// Ends a lease. Returns the entry of the delivery.
    pub fn end(&mut self, delivery: DeliveryId) -> Option<ReadyEntry> {
        let LeasedDelivery { entry, cost, .. } = self.by_id.remove(&delivery)?;
        self.rows.remove(&entry.key.seq);
        self.turns.end(&entry.rule, cost);
        Some(entry)
    }

    pub fn get(&self, delivery: DeliveryId) -> Option<&LeasedDelivery> {
        self.by_id.get(&delivery)
    }

    /// True if the delivery of this row is leased.
    pub fn has_row(&self, seq: i64) -> bool {
        self.rows.contains(&seq)
    }

    /// Leases made up to `leased_by` whose attempts have begun and are not on disk as begun.
    pub fn unrecorded(&self, leased_by: i64) -> impl Iterator<Item = DeliveryId> {
        let begun = self
            .by_id
            .iter()
            .filter(move |(_, leased)| leased.start == AttemptStart::WithLease && leased.since <= leased_by);
        begun.map(|(delivery, _)| *delivery)
    }

    /// Notes that the start of an attempt is on disk.
    pub fn note_recorded(&mut self, delivery: DeliveryId) {
        if let Some(leased) = self.by_id.get_mut(&delivery) {
            leased.start = AttemptStart::Recorded;
        }
    }
}
