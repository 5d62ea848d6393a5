//! Concurrency groups and debouncing in memory: which delivery of a group may begin.
//!
//! The same decisions as in `sqlite/groups.rs` and `sqlite/debounce.rs`.

use std::sync::Arc;

use super::contents::{MemoryContents, StoredDelivery};
use crate::base::clock::Timestamp;
use crate::store::group::reason;
use crate::store::{DeliveryState, Displaced, Group, NewDelivery, Overlap, Superseded};

/// The decision for a delivery that enters its group.
pub(super) enum Admission {
    /// The delivery may begin.
    Run,
    /// The delivery waits for its turn.
    Queue,
    /// The delivery ends at once.
    Skip,
}

impl MemoryContents {
    /// Decides for a delivery that arrives at `at`. Adds the deliveries that it supersedes to
    /// `displaced`.
    pub(super) fn enter(&mut self, group: &Group, at: Timestamp, displaced: &mut Displaced) -> Admission {
        let begun = self.members(&group.name).filter(|stored| !stored.held).count();
        let held = self.members(&group.name).any(|stored| stored.held);
        if begun < group.limit as usize && !held {
            return Admission::Run;
        }
        match group.overlap {
            Overlap::Queue => Admission::Queue,
            Overlap::Skip => Admission::Skip,
            Overlap::Coalesce => {
                for stored in self.members(&group.name).filter(|stored| stored.held) {
                    displaced.ended.push(stored.supersede(at, reason::COALESCED));
                }
                // The waiting deliveries that were just ended may have had a narrower limit.
                if begun < group.limit as usize {
                    Admission::Run
                } else {
                    Admission::Queue
                }
            }
            Overlap::Replace => {
                let mut left = 0;
                for stored in self.members(&group.name) {
                    if matches!(stored.delivery.state, DeliveryState::Leased) {
                        stored.superseded = Some(reason::REPLACED.to_owned());
                        displaced.stop.push(stored.delivery.id);
                        left += 1;
                    } else {
                        displaced.ended.push(stored.supersede(at, reason::REPLACED));
                    }
                }
                if left < group.limit {
                    Admission::Run
                } else {
                    Admission::Queue
                }
            }
        }
    }

    /// Lets the next deliveries of a group begin, after one of its members has ended.
    pub(super) fn leave(&mut self, name: &str) {
        loop {
            let begun = self.members(name).filter(|stored| !stored.held).count();
            let Some(next) = self.members(name).find(|stored| stored.held) else {
                return;
            };
            let limit = next.group.as_ref().map_or(1, |group| group.limit.max(1));
            if begun >= limit as usize {
                return;
            }
            next.held = false;
        }
    }

    /// Ends the deliveries that wait for quiet and that a new one at `at` supersedes. Returns the
    /// arrival of the first of them.
    pub(super) fn supersede_debounced(
        &mut self,
        delivery: &NewDelivery,
        at: Timestamp,
        displaced: &mut Displaced,
    ) -> Timestamp {
        let group = |group: &Option<Group>| group.as_ref().map(|group| Arc::clone(&group.name));
        let mut since = at;
        for stored in &mut self.deliveries {
            let same =
                stored.delivery.rule == delivery.rule && group(&stored.group) == group(&delivery.group);
            if let Some(first) = stored.debounced_since.filter(|_| same && stored.is_pending()) {
                since = since.min(first);
                displaced.ended.push(stored.supersede(at, reason::DEBOUNCED));
            }
        }
        since
    }

    /// Moves a delivery that has waited for quiet into its group. Adds the deliveries that it
    /// supersedes to `displaced`. Returns false if the delivery was not waiting for quiet.
    pub(super) fn end_debounce(&mut self, index: usize, at: Timestamp, displaced: &mut Displaced) -> bool {
        let Some(stored) = self.deliveries.get(index) else {
            return false;
        };
        if stored.debounced_since.is_none() {
            return false;
        }
        let group = stored.group.clone();
        let turn = match &group {
            Some(group) => self.enter(group, at, displaced),
            None => Admission::Run,
        };
        if let Some(stored) = self.deliveries.get_mut(index) {
            stored.debounced_since = None;
            stored.held = matches!(turn, Admission::Queue);
            if matches!(turn, Admission::Skip) {
                displaced.ended.push(stored.supersede(at, reason::SKIPPED));
            }
        }
        if let Some(group) = group {
            // The delivery may be older than the held ones, and have a wider limit.
            self.leave(&group.name);
        }
        true
    }

    /// The members of a group that have not ended, in the order in which they were enqueued.
    fn members(&mut self, name: &str) -> impl Iterator<Item = &mut StoredDelivery> {
        self.deliveries.iter_mut().filter(move |stored| {
            stored.group.as_ref().is_some_and(|group| *group.name == *name)
                && stored.debounced_since.is_none()
                && stored.is_pending()
        })
    }
}

impl StoredDelivery {
    /// True if the delivery has not ended.
    fn is_pending(&self) -> bool {
        matches!(
            self.delivery.state,
            DeliveryState::Waiting { .. } | DeliveryState::Leased
        )
    }

    /// Ends a delivery that is not leased.
    pub(super) fn supersede(&mut self, at: Timestamp, reason: &'static str) -> Superseded {
        self.held = false;
        self.delivery.state = DeliveryState::Superseded {
            at,
            reason: reason.to_owned(),
        };
        Superseded {
            delivery: self.delivery.id,
            event: self.delivery.event,
            rule: Arc::clone(&self.delivery.rule),
            reason,
        }
    }
}
