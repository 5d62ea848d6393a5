//! This node: its place among the nodes, and what it knows in memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::leases::Leases;
use super::liveness::Liveness;
use super::partitions::Moved;
use super::process::NodeProcess;
use super::sightings::NotedSightings;
use super::target::Target;
use super::untold::Untold;
use crate::base::clock::{Clock, ClockOffset};
use crate::base::live::Live;
use crate::event::EventId;
use crate::store::delivery_cache::FirstAttempts;
use crate::store::{InForce, Interrupted, News, Settings};

/// State that all parts of a store share.
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
    /// News for the other nodes.
    pub untold: Untold,
    pub process: NodeProcess,
    pub liveness: Liveness,
    /// Attempts of nodes that are gone, until the daemon has asked for them.
    pub interrupted: Mutex<Vec<Interrupted>>,
    /// The rules in force.
    in_force: Mutex<Option<InForce>>,
    /// The rules in force, if the other nodes do not know them yet.
    pub unsaid: Mutex<Option<InForce>>,
    /// Rules that no node has, and whose deliveries this one makes dead letters.
    pub orphans: Mutex<HashSet<Arc<str>>>,
    /// Has a heartbeat made at once.
    pub beat_now: Notify,
    pub offset: Arc<ClockOffset>,
    /// True if it was reported that the clocks differ.
    pub clock_warned: Mutex<bool>,
    /// Progress of copying the requests of a past day.
    pub moved: Moved,
    /// The clock of the server, made steady.
    pub clock: Clock,
}

impl Node {
    /// Makes a node that has not joined. `offset` is that of the server's clock.
    pub fn new(target: &Arc<Target>, settings: Settings, offset: Arc<ClockOffset>) -> Self {
        Self {
            target: Arc::clone(target),
            settings: Live::new(settings),
            id: AtomicI64::new(0),
            leases: Mutex::default(),
            has_strays: AtomicBool::new(false),
            first_attempts: Mutex::default(),
            news: News::default(),
            sightings: NotedSightings::default(),
            untold: Untold::default(),
            process: NodeProcess::own(),
            liveness: Liveness::new(target.lease),
            interrupted: Mutex::default(),
            in_force: Mutex::default(),
            unsaid: Mutex::default(),
            orphans: Mutex::default(),
            beat_now: Notify::new(),
            clock: Clock::steady(Clock::shifted(Clock::system(), Arc::clone(&offset))),
            offset,
            clock_warned: Mutex::new(false),
            moved: Moved::default(),
        }
    }

    /// Sets the rules in force. The other nodes hear of them with the next heartbeat, which is made at
    /// once.
    pub fn serve(&self, in_force: InForce) {
        *self.in_force.lock() = Some(in_force);
        self.serve_again();
        self.beat_now.notify_one();
    }

    /// Has the rules in force said with the next heartbeat.
    pub fn serve_again(&self) {
        let in_force = self.in_force.lock().clone();
        *self.unsaid.lock() = in_force;
    }

    /// True if this node performs a rule, as far as it knows.
    pub fn performs(&self, rule: &str) -> bool {
        let in_force = self.in_force.lock();
        in_force
            .as_ref()
            .is_none_or(|in_force| in_force.rules.contains(rule))
    }

    pub fn set_id(&self, id: i64) {
        self.id.store(id, Ordering::Release);
    }

    /// Number of this node. Leases and rows of `tally` bear it.
    pub fn id(&self) -> i64 {
        self.id.load(Ordering::Acquire)
    }
}
