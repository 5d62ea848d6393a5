//! How long things are kept, how much room they may take, and how much there is.

use std::time::Duration;

/// What a store keeps, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long what has ended is kept.
    pub keep: Keep,
    /// The size, in bytes, past which new events are not taken; everything else goes on, and nothing is dropped. It is
    /// that of what is kept: room that was freed and will be used again does not count.
    pub max_size: Option<u64>,
    /// How many bytes of the store's disk are to stay free: with less, new events are not taken, and everything else
    /// goes on. 0: the disk may fill up.
    pub min_free: u64,
}

/// How long what has ended is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// How long an event is kept after its last delivery was done.
    pub done: Duration,
    /// How long an event with a dead delivery is kept after its last delivery ended.
    pub dead: Duration,
    /// How many of the latest refusals are kept.
    pub refused: usize,
}

/// One day.
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
            refused: 1000,
        }
    }
}

/// How a store is, beside what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// How many bytes it takes, without what is free in its file.
    pub size: u64,
    /// Why it takes no new events now, as far as is known: it is full, or the last write has failed.
    pub full: Option<String>,
    /// How many transactions it has written since it was opened.
    pub commits: u64,
    /// How many calls they carried out.
    pub calls: u64,
    /// How long they took, from their beginning until they were on the disk.
    pub commit_time: Duration,
}

/// How much of everything there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries that wait for their turn; leased ones are not among them.
    pub waiting: u64,
    /// Deliveries that somebody is at work on.
    pub leased: u64,
    /// Deliveries that are done, or ended otherwise and are no dead letters.
    pub done: u64,
    /// Deliveries that were given up on.
    pub dead: u64,
    /// Events.
    pub events: u64,
    /// Nonces, expired ones among them until they are swept.
    pub dedup_keys: u64,
    /// Sightings, expired ones among them until they are swept.
    pub sightings: u64,
    /// Refusals in the ring.
    pub refused: u64,
    /// Refusals dropped since the store was opened, because there was no room for them to wait.
    pub refused_dropped: u64,
}
