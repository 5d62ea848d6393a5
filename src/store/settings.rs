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
    pub nonces: u64,
    /// Refusals in the ring.
    pub refused: u64,
    /// Refusals dropped since the store was opened, because there was no room for them to wait.
    pub refused_dropped: u64,
}
