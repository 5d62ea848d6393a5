//! What was taken last, in memory: most deliveries are leased a moment later, and need not be read back for that.
//!
//! Bounded in number and in bytes; what does not fit, or was waiting before the start, is read from the disk.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::event::Received;
use crate::store::{DeliveryId, Lease};

/// How many deliveries are kept.
const DELIVERIES: usize = 512;
/// How many bytes of bodies are kept.
const BYTES: usize = 4 << 20;

/// A delivery whose first attempt at its first action is still to be made.
#[derive(Debug)]
pub(super) struct FirstAttempt {
    /// Its id.
    pub delivery: DeliveryId,
    /// Its rule.
    pub rule: Arc<str>,
    /// The event.
    pub received: Arc<Received>,
    /// How its body is decoded.
    pub decode: String,
    /// Why it is owed although the event was not verified.
    pub unverified: Option<Arc<str>>,
    /// Whether it goes in a lane.
    pub in_group: bool,
}

impl FirstAttempt {
    /// The lease of it.
    pub fn lease(self) -> Lease {
        Lease {
            delivery: self.delivery,
            rule: self.rule,
            action: 0,
            attempt: 1,
            received: self.received,
            decode: self.decode,
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

/// The latest of them, by row.
#[derive(Debug, Default)]
pub(super) struct FirstAttempts {
    by_row: HashMap<i64, FirstAttempt>,
    /// In the order of arrival; rows that were taken out are skipped.
    order: VecDeque<i64>,
    bytes: usize,
}

impl FirstAttempts {
    /// Keeps one more; the oldest go when there are too many.
    pub fn add(&mut self, row: i64, fresh: FirstAttempt) {
        self.bytes += fresh.received.body.len();
        self.by_row.insert(row, fresh);
        self.order.push_back(row);
        while self.order.len() > DELIVERIES || self.bytes > BYTES {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            drop(self.take(oldest));
        }
    }

    /// Takes one out.
    pub fn take(&mut self, row: i64) -> Option<FirstAttempt> {
        let fresh = self.by_row.remove(&row)?;
        self.bytes -= fresh.received.body.len();
        Some(fresh)
    }
}
