//! Deliveries that have not ended, as the operator sees them.

use std::collections::{BTreeMap, HashMap};

use super::ListedDelivery;
use crate::base::clock::Timestamp;

/// Maximum waiting deliveries that are listed.
pub const WAITING_LISTED: usize = 100;
/// Maximum concurrency groups that are listed.
pub const GROUPS_LISTED: usize = 100;

/// The deliveries of all rules that have not ended. Those that run count as due.
#[derive(Clone, Debug, Default)]
pub struct Backlog {
    /// Numbers by rule, for rules that have such deliveries.
    pub rules: BTreeMap<String, BacklogCounts>,
    /// The first deliveries by due time, then those in groups in the order of arrival.
    pub first: Vec<BacklogEntry>,
    /// The groups with the most queued deliveries. At most [`GROUPS_LISTED`].
    pub groups: Vec<GroupBacklog>,
    /// Number of all groups.
    pub group_count: u64,
}

/// Numbers of deliveries of a rule that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BacklogCounts {
    /// They wait for quiet.
    pub debounced: u64,
    /// They wait for their turn in a group.
    pub queued: u64,
    /// They are due later.
    pub later: u64,
    /// They are due, or run.
    pub due: u64,
    /// The earliest due time of those that are not queued.
    pub next_due: Option<Timestamp>,
}

impl BacklogCounts {
    pub fn all(&self) -> u64 {
        self.debounced + self.queued + self.later + self.due
    }
}

/// A delivery that has not ended.
#[derive(Clone, Debug)]
pub struct BacklogEntry {
    pub listed: ListedDelivery,
    /// The concurrency group of a queued delivery.
    pub group: Option<String>,
    /// Number of queued deliveries before it in its group.
    pub ahead: u64,
}

impl BacklogEntry {
    /// A delivery that is not queued.
    pub(super) fn unqueued(listed: ListedDelivery) -> Self {
        Self {
            listed,
            group: None,
            ahead: 0,
        }
    }

    /// The first queued deliveries in the order of arrival, with the groups of their rows. All that
    /// are before one of them in its group are among them.
    pub(super) fn queued(listed: Vec<ListedDelivery>, groups: &HashMap<i64, String>) -> Vec<Self> {
        let mut ahead: HashMap<&str, u64> = HashMap::new();
        let entries = listed.into_iter().map(|listed| {
            let group = groups.get(&listed.row);
            let before = ahead.entry(group.map_or("", String::as_str)).or_default();
            *before += 1;
            Self {
                listed,
                group: group.cloned(),
                ahead: *before - 1,
            }
        });
        entries.collect()
    }
}

/// A concurrency group with deliveries that have not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupBacklog {
    pub name: String,
    /// The rule of its oldest delivery.
    pub rule: String,
    /// Deliveries that have their turn: they run, or wait for their next attempt.
    pub begun: u64,
    /// Deliveries that wait for their turn.
    pub queued: u64,
    /// Maximum deliveries that have their turn at once.
    pub limit: u32,
}
