//! Whose turn it is in a lane.

use std::sync::Arc;

use super::contents::{Contents, StoredDelivery};
use crate::base::clock::Timestamp;
use crate::store::group::reason;
use crate::store::{DeliveryState, Displaced, Group, NewDelivery, Overlap, Superseded};

/// What becomes of a delivery that comes.
pub(super) enum Admission {
    /// It may begin.
    Begins,
    /// It waits for its turn.
    Held,
    /// It ends at once.
    Skipped,
}

impl Contents {
    /// Decides for a delivery that comes at `at`. Adds to `displaced` those that give way to it.
    pub(super) fn enter(&mut self, group: &Group, at: Timestamp, displaced: &mut Displaced) -> Admission {
        let begun = self.members(&group.name).filter(|kept| !kept.held).count();
        let held = self.members(&group.name).any(|kept| kept.held);
        if begun < group.limit as usize && !held {
            return Admission::Begins;
        }
        match group.overlap {
            Overlap::Queue => Admission::Held,
            Overlap::Skip => Admission::Skipped,
            Overlap::Coalesce => {
                for kept in self.members(&group.name).filter(|kept| kept.held) {
                    displaced.ended.push(kept.withdraw(at, reason::COALESCED));
                }
                // What waited may have waited for a narrower limit.
                if begun < group.limit as usize {
                    Admission::Begins
                } else {
                    Admission::Held
                }
            }
            Overlap::Replace => {
                let mut left = 0;
                for kept in self.members(&group.name) {
                    if matches!(kept.delivery.state, DeliveryState::Leased) {
                        kept.superseded = Some(reason::REPLACED.to_owned());
                        displaced.stop.push(kept.delivery.id);
                        left += 1;
                    } else {
                        displaced.ended.push(kept.withdraw(at, reason::REPLACED));
                    }
                }
                if left < group.limit {
                    Admission::Begins
                } else {
                    Admission::Held
                }
            }
        }
    }

    /// Lets those begin whose turn has come because one of their lane has ended.
    pub(super) fn leave(&mut self, name: &str) {
        loop {
            let begun = self.members(name).filter(|kept| !kept.held).count();
            let Some(next) = self.members(name).find(|kept| kept.held) else {
                return;
            };
            let limit = next.group.as_ref().map_or(1, |group| group.limit.max(1));
            if begun >= limit as usize {
                return;
            }
            next.held = false;
        }
    }

    /// Ends those that wait for quiet, for a delivery that comes at `at`; since when it stands for them.
    pub(super) fn stand_for(
        &mut self,
        delivery: &NewDelivery,
        at: Timestamp,
        displaced: &mut Displaced,
    ) -> Timestamp {
        let group = |group: &Option<Group>| group.as_ref().map(|group| Arc::clone(&group.name));
        let mut since = at;
        for kept in &mut self.deliveries {
            let same = kept.delivery.rule == delivery.rule && group(&kept.group) == group(&delivery.group);
            if let Some(first) = kept.debounced_since.filter(|_| same && kept.is_owed()) {
                since = since.min(first);
                displaced.ended.push(kept.withdraw(at, reason::DEBOUNCED));
            }
        }
        since
    }

    /// If the delivery at that index has waited for quiet, it enters its lane. Adds to `displaced` what gives way to it.
    pub(super) fn end_debounce(&mut self, index: usize, at: Timestamp, displaced: &mut Displaced) -> bool {
        let Some(kept) = self.deliveries.get(index) else {
            return false;
        };
        if kept.debounced_since.is_none() {
            return false;
        }
        let group = kept.group.clone();
        let turn = match &group {
            Some(group) => self.enter(group, at, displaced),
            None => Admission::Begins,
        };
        if let Some(kept) = self.deliveries.get_mut(index) {
            kept.debounced_since = None;
            kept.held = matches!(turn, Admission::Held);
            if matches!(turn, Admission::Skipped) {
                displaced.ended.push(kept.withdraw(at, reason::SKIPPED));
            }
        }
        if let Some(group) = group {
            // It may have come before those that are held, and have the wider limit.
            self.leave(&group.name);
        }
        true
    }

    /// Those of a lane that are not over, in the order in which they were taken.
    fn members(&mut self, name: &str) -> impl Iterator<Item = &mut StoredDelivery> {
        self.deliveries.iter_mut().filter(move |kept| {
            kept.group.as_ref().is_some_and(|group| *group.name == *name)
                && kept.debounced_since.is_none()
                && kept.is_owed()
        })
    }
}

impl StoredDelivery {
    /// Whether it is not over.
    fn is_owed(&self) -> bool {
        matches!(
            self.delivery.state,
            DeliveryState::Waiting { .. } | DeliveryState::Leased
        )
    }

    /// Ends one that nobody has leased.
    pub(super) fn withdraw(&mut self, at: Timestamp, reason: &'static str) -> Superseded {
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
