//! This node: its place among the nodes, and what it knows in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;

use super::leases::Leases;
use super::partitions::Moved;
use super::sightings::NotedSightings;
use super::target::Target;
use crate::base::clock::Clock;
use crate::base::live::Live;
use crate::event::EventId;
use crate::store::delivery_cache::FirstAttempts;
use crate::store::{News, Settings};

/// What all parts of a store share.
pub(super) struct Node {
    pub target: Arc<Target>,
    pub settings: Live<Settings>,
    /// Number of this node in `nodes`; 0 before it has joined.
    id: AtomicI64,
    pub leases: Mutex<Leases>,
    /// True if leases of this node may be in the queue that are not in memory.
    pub has_strays: AtomicBool,
    /// New deliveries of this node, by their rows.
    pub first_attempts: Mutex<FirstAttempts<EventId>>,
    pub news: News,
    /// Sightings that are not written yet.
    pub sightings: NotedSightings,
    /// How far the requests of a past day were copied.
    pub moved: Moved,
    /// The clock of the server, made steady.
    pub clock: Clock,
}

impl Node {
    pub fn new(target: &Arc<Target>, settings: Settings) -> Self {
        Self {
            target: Arc::clone(target),
            settings: Live::new(settings),
            id: AtomicI64::new(0),
            leases: Mutex::default(),
            has_strays: AtomicBool::new(false),
            first_attempts: Mutex::default(),
            news: News::default(),
            sightings: NotedSightings::default(),
            moved: Moved::default(),
            clock: Clock::steady(Clock::system()),
        }
    }

    pub fn set_id(&self, id: i64) {
        self.id.store(id, Ordering::Release);
    }

    /// Number of this node. Leases and rows of `tally` bear it.
    pub fn id(&self) -> i64 {
        self.id.load(Ordering::Acquire)
    }
}
