//! New deliveries, cached in memory. Most deliveries are leased a moment later, without being read
//! back.
//!
//! The cache is bounded in number and bytes. Other deliveries are read from disk.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::event::Received;
use crate::store::{DeliveryId, Lease};

/// Maximum deliveries in the cache.
const DELIVERIES: usize = 512;
/// Maximum bytes of bodies in the cache.
const BYTES: usize = 4 << 20;

/// A delivery whose first attempt at its first action is still to be made.
#[derive(Debug)]
pub(super) struct FirstAttempt<E> {
    pub delivery: DeliveryId,
    /// The event, as the store finds it.
    pub event: E,
    pub rule: Arc<str>,
    /// Index of the element that the delivery is about.
    pub item: Option<u32>,
    pub received: Arc<Received>,
    /// The decoding of the body.
    pub decode: String,
    /// Name of the operator who made the event.
    pub fired_by: Option<Arc<str>>,
    /// The reason why an unverified event is delivered.
    pub unverified: Option<Arc<str>>,
    /// True if the delivery belongs to a concurrency group.
    pub in_group: bool,
}

impl<E> FirstAttempt<E> {
    /// Makes the lease of the delivery.
    pub fn lease(self) -> Lease {
        Lease {
            delivery: self.delivery,
            rule: self.rule,
            item: self.item,
            action: 0,
            attempt: 1,
            received: self.received,
            decode: self.decode,
            fired_by: self.fired_by,
            unverified: self.unverified,
            in_group: self.in_group,
            superseded: None,
            replays: 0,
            failure: None,
            interrupted: None,
            suspect: false,
        }
    }
}

/// The cached deliveries, by row.
#[derive(Debug)]
pub(super) struct FirstAttempts<E> {
    by_row: HashMap<i64, FirstAttempt<E>>,
    /// Rows in the order of arrival. Removed rows are skipped.
    order: VecDeque<i64>,
    bytes: usize,
}

impl<E> Default for FirstAttempts<E> {
    fn default() -> Self {
        Self {
            by_row: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<E> FirstAttempts<E> {
    /// Adds a delivery, and evicts the oldest beyond the limits.
    pub fn add(&mut self, row: i64, first: FirstAttempt<E>) {
        self.bytes += first.received.body.len();
        self.by_row.insert(row, first);
        self.order.push_back(row);
        while self.order.len() > DELIVERIES || self.bytes > BYTES {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            drop(self.take(oldest));
        }
    }

    /// Removes a delivery.
    pub fn take(&mut self, row: i64) -> Option<FirstAttempt<E>> {
        let first = self.by_row.remove(&row)?;
        self.bytes -= first.received.body.len();
        Some(first)
    }
}
