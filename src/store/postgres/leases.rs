//! The leases that this node holds, in memory. The rows of the queue say so, too.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::EventId;
use crate::store::DeliveryId;
use crate::store::decide::settlement::LeaseSnapshot;
use crate::store::decide::turns::{LeaseCost, Turns};

/// A delivery that is leased to this node.
#[derive(Clone, Debug)]
pub(super) struct LeasedDelivery {
    /// Row of the delivery.
    pub seq: i64,
    /// Number of the lease, counted by this node. The row has it while the lease lasts.
    pub lease: i64,
    pub rule: Arc<str>,
    pub event: EventId,
    pub snapshot: LeaseSnapshot,
    /// Concurrency group of the delivery.
    pub group: Option<Arc<str>>,
    /// Time of the lease, in milliseconds.
    pub since: i64,
    pub cost: LeaseCost,
    /// True if the attempt begins only with [`Store::begin`](crate::store::Store::begin), and it was
    /// not called yet.
    pub begins_by_itself: bool,
    /// True if the row says that the attempt has begun.
    pub is_recorded: bool,
    /// True if the order was given to stop the attempt.
    pub is_stopped: bool,
}

/// All leases of this node.
#[derive(Debug, Default)]
pub(super) struct Leases {
    by_id: HashMap<DeliveryId, LeasedDelivery>,
    pub turns: Turns,
    last: i64,
}

impl Leases {
    /// The number of a new lease.
    pub fn next_number(&mut self) -> i64 {
        self.last += 1;
        self.last
    }

    /// Adds a lease, whose turn was counted before.
    pub fn add(&mut self, delivery: DeliveryId, leased: LeasedDelivery) {
        // An earlier lease can still be here for a moment after it has ended in the queue.
        if let Some(ended) = self.by_id.insert(delivery, leased) {
            self.turns.end(&ended.rule, ended.cost);
        }
    }

    /// Ends a lease, by its number. A later lease of the same delivery stays.
    pub fn end(&mut self, delivery: DeliveryId, lease: i64) -> Option<LeasedDelivery> {
        if self.by_id.get(&delivery)?.lease != lease {
            return None;
        }
        let leased = self.by_id.remove(&delivery)?;
        self.turns.end(&leased.rule, leased.cost);
        Some(leased)
    }

    /// Ends all leases.
    pub fn end_all(&mut self) -> Vec<(DeliveryId, LeasedDelivery)> {
        let ended: Vec<_> = self.by_id.drain().collect();
        for (_, leased) in &ended {
            self.turns.end(&leased.rule, leased.cost);
        }
        ended
    }

    pub fn get(&self, delivery: DeliveryId) -> Option<&LeasedDelivery> {
        self.by_id.get(&delivery)
    }

    pub fn get_mut(&mut self, delivery: DeliveryId) -> Option<&mut LeasedDelivery> {
        self.by_id.get_mut(&delivery)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&DeliveryId, &LeasedDelivery)> {
        self.by_id.iter()
    }
}
