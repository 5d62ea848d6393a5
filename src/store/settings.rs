//! Settings of a store (retention and size limits), and its [`Health`] and [`Counts`].

use std::time::Duration;

use crate::store::PerRing;

/// The settings of a store. They can change while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub keep: Keep,
    /// Size in bytes from which new events are refused. Everything else goes on, and nothing is
    /// dropped. Only pages in use count, not free pages in the file.
    pub max_size: Option<u64>,
    /// Bytes of the store's disk that stay free. With less, new events are refused and everything
    /// else goes on. With 0, the disk may fill up.
    pub min_free: u64,
}

/// Retention of ended events, and of arrivals that became no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Time that an event is kept after its last delivery was done.
    pub done: Duration,
    /// Time that an event with a dead letter is kept after its last delivery ended.
    pub dead: Duration,
    /// Maximum arrivals kept that became no event, the latest ones of each ring.
    pub records: PerRing<usize>,
    /// Maximum bytes of each ring.
    pub ring_bytes: u64,
}

const DAY: Duration = Duration::from_hours(24);

impl Default for Settings {
    fn default() -> Self {
        Self {
            keep: Keep::default(),
            max_size: Some(1 << 30),
            min_free: 64 << 20,
        }
    }
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            done: DAY * 7,
            dead: DAY * 30,
            records: PerRing {
                ignored: 1000,
                refused: 1000,
            },
            ring_bytes: 64 << 20,
        }
    }
}

/// The condition of a store, apart from its contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Bytes in use, without free pages in the file.
    pub size: u64,
    /// The reason why new events are refused, as far as it is known: the store is full, or the last
    /// write failed.
    pub full: Option<String>,
    /// Number of transactions written since the store was opened.
    pub commits: u64,
    /// Number of calls that these transactions carried out.
    pub calls: u64,
    /// Total duration of these transactions, from their start until they were on disk.
    pub commit_time: Duration,
}

/// Contents of a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingSize {
    pub records: u64,
    /// Bytes as `ArrivalRecord::weight` counts them.
    pub bytes: u64,
}

/// Numbers of rows in a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries that wait for their turn, without leased ones.
    pub waiting: u64,
    /// Deliveries that are being worked on.
    pub leased: u64,
    /// Deliveries that are done, or have ended without being dead letters.
    pub done: u64,
    /// Dead letters.
    pub dead: u64,
    pub events: u64,
    /// Dedup keys, including expired ones until they are swept.
    pub dedup_keys: u64,
    /// Sightings, including expired ones until they are swept.
    pub sightings: u64,
    /// Arrivals that became no event.
    pub rings: PerRing<RingSize>,
}
