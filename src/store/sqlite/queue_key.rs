//! Positions in the queues of the rules.
//!
//! The queues are in `queue.rs`, the leases are in `leases.rs`.

use std::sync::Arc;

/// Position in a rule's queue: by due time, then by order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct QueueKey {
    /// Due time, in milliseconds.
    pub due: i64,
    /// Row of the delivery.
    pub seq: i64,
}

impl QueueKey {
    /// Before all other keys.
    pub const FIRST: Self = Self {
        due: i64::MIN,
        seq: i64::MIN,
    };
    /// After all other keys.
    pub const LAST: Self = Self {
        due: i64::MAX,
        seq: i64::MAX,
    };
}

/// A position in the queue of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadyEntry {
    pub rule: Arc<str>,
    pub key: QueueKey,
}
