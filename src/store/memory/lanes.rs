//! Whose turn it is in a lane.

use std::sync::Arc;

use super::contents::{Contents, Kept};
use crate::clock::Timestamp;
use crate::store::lane::reason;
use crate::store::{Displaced, Lane, NewDelivery, Overlap, State, Superseded};

/// What becomes of a delivery that comes.
pub(super) enum Turn {
    /// It may begin.
    Begins,
    /// It waits for its turn.
    Held,
    /// It ends at once.
    Skipped,
}

impl Contents {
    /// Decides for a delivery that comes at `at`. Adds to `displaced` those that give way to it.
    pub(super) fn enter(&mut self, lane: &Lane, at: Timestamp, displaced: &mut Displaced) -> Turn {
        let begun = self.members(&lane.name).filter(|kept| !kept.held).count();
        let held = self.members(&lane.name).any(|kept| kept.held);
        if begun < lane.limit as usize && !held {
            return Turn::Begins;
        }
        match lane.overlap {
            Overlap::Queue => Turn::Held,
            Overlap::Skip => Turn::Skipped,
            Overlap::Coalesce => {
                for kept in self.members(&lane.name).filter(|kept| kept.held) {
                    displaced.ended.push(kept.withdraw(at, reason::COALESCED));
                }
                // What waited may have waited for a narrower limit.
                if begun < lane.limit as usize {
                    Turn::Begins
                } else {
                    Turn::Held
                }
            }
            Overlap::Replace => {
                let mut left = 0;
                for kept in self.members(&lane.name) {
                    if matches!(kept.delivery.state, State::Leased) {
                        kept.superseded = Some(reason::REPLACED.to_owned());
                        displaced.stop.push(kept.delivery.id);
                        left += 1;
                    } else {
                        displaced.ended.push(kept.withdraw(at, reason::REPLACED));
                    }
                }
                if left < lane.limit {
                    Turn::Begins
                } else {
                    Turn::Held
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
            let limit = next.lane.as_ref().map_or(1, |lane| lane.limit.max(1));
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
        let lane = |lane: &Option<Lane>| lane.as_ref().map(|lane| Arc::clone(&lane.name));
        let mut since = at;
        for kept in &mut self.deliveries {
            let same = kept.delivery.rule == delivery.rule && lane(&kept.lane) == lane(&delivery.lane);
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
        let lane = kept.lane.clone();
        let turn = match &lane {
            Some(lane) => self.enter(lane, at, displaced),
            None => Turn::Begins,
        };
        if let Some(kept) = self.deliveries.get_mut(index) {
            kept.debounced_since = None;
            kept.held = matches!(turn, Turn::Held);
            if matches!(turn, Turn::Skipped) {
                displaced.ended.push(kept.withdraw(at, reason::SKIPPED));
            }
        }
        if let Some(lane) = lane {
            // It may have come before those that are held, and have the wider limit.
            self.leave(&lane.name);
        }
        true
    }

    /// Those of a lane that are not over, in the order in which they were taken.
    fn members(&mut self, name: &str) -> impl Iterator<Item = &mut Kept> {
        self.deliveries.iter_mut().filter(move |kept| {
            kept.lane.as_ref().is_some_and(|lane| *lane.name == *name)
                && kept.debounced_since.is_none()
                && kept.is_owed()
        })
    }
}

impl Kept {
    /// Whether it is not over.
    fn is_owed(&self) -> bool {
        matches!(self.delivery.state, State::Waiting { .. } | State::Leased)
    }

    /// Ends one that nobody has leased.
    pub(super) fn withdraw(&mut self, at: Timestamp, reason: &'static str) -> Superseded {
        self.held = false;
        self.delivery.state = State::Superseded {
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
