//! Sums of changes, one row for each connection that writes.

use super::failure::Failure;
use super::link::Link;

/// Changes of the sums of the store in one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Deliveries that have not ended.
    pub pending: i64,
    /// Deliveries that have ended and are no dead letters.
    pub done: i64,
    /// Dead letters.
    pub dead: i64,
    pub events: i64,
    pub dedup_keys: i64,
    pub sightings: i64,
    /// Bytes of bodies and headers that are kept.
    pub bytes: i64,
}

const ADD: &str = "INSERT INTO tally AS t (node, slot, pending, done, dead, events, dedup_keys, sightings, bytes) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (node, slot) DO UPDATE SET \
     pending = t.pending + excluded.pending, done = t.done + excluded.done, dead = t.dead + excluded.dead, \
     events = t.events + excluded.events, dedup_keys = t.dedup_keys + excluded.dedup_keys, \
     sightings = t.sightings + excluded.sightings, bytes = t.bytes + excluded.bytes";

/// Row of the operator's commands, and of nodes that are gone.
pub(super) const SHARED: (i64, i16) = (0, 0);

/// Slot of the connection that leases.
pub(super) const LEASING: i16 = 3;

/// Slot of the connection for requests, which also sweeps.
pub(super) const REQUESTS: i16 = 4;

impl std::ops::Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            pending: self.pending + other.pending,
            done: self.done + other.done,
            dead: self.dead + other.dead,
            events: self.events + other.events,
            dedup_keys: self.dedup_keys + other.dedup_keys,
            sightings: self.sightings + other.sightings,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl Tally {
    /// The statement of [`Tally::add`].
    pub const STATEMENT: &str = ADD;

    /// Adds the changes to a row. Each transaction of a worker does so, also if nothing changes.
    pub async fn add(self, link: &Link, (node, slot): (i64, i16)) -> Result<(), Failure> {
        link.execute(
            ADD,
            &[
                &node,
                &slot,
                &self.pending,
                &self.done,
                &self.dead,
                &self.events,
                &self.dedup_keys,
                &self.sightings,
                &self.bytes,
            ],
        )
        .await
        .map(drop)
    }
}
