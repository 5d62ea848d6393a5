//! Whose turn it is in a lane.

use std::sync::Arc;

use super::contents::{Contents, Kept};
use crate::clock::Timestamp;
use crate::store::lane::reason;
use crate::store::{DeliveryId, Lane, NewDelivery, Overlap, State};

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
    /// Decides for a delivery that comes at `at`. Adds to `stop` those that are under way and must be stopped for it.
    pub(super) fn enter(&mut self, lane: &Lane, at: Timestamp, stop: &mut Vec<DeliveryId>) -> Turn {
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
                    kept.withdraw(at, reason::COALESCED);
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
                        stop.push(kept.delivery.id);
                        left += 1;
                    } else {
                        kept.withdraw(at, reason::REPLACED);
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
    pub(super) fn stand_for(&mut self, delivery: &NewDelivery, at: Timestamp) -> Timestamp {
        let lane = |lane: &Option<Lane>| lane.as_ref().map(|lane| Arc::clone(&lane.name));
        let mut since = at;
        for kept in &mut self.deliveries {
            let same = kept.delivery.rule == delivery.rule && lane(&kept.lane) == lane(&delivery.lane);
            if let Some(first) = kept.debounced_since.filter(|_| same && kept.is_owed()) {
                since = since.min(first);
                kept.withdraw(at, reason::DEBOUNCED);
            }
        }
        since
    }

    /// If the delivery at that index has waited for quiet, it enters its lane. Adds to `stop` those that are to be stopped
    /// for it.
    pub(super) fn end_debounce(&mut self, index: usize, at: Timestamp, stop: &mut Vec<DeliveryId>) -> bool {
        let Some(kept) = self.deliveries.get(index) else {
            return false;
        };
        if kept.debounced_since.is_none() {
            return false;
        }
        let lane = kept.lane.clone();
        let turn = match &lane {
            Some(lane) => self.enter(lane, at, stop),
            None => Turn::Begins,
        };
        if let Some(kept) = self.deliveries.get_mut(index) {
            kept.debounced_since = None;
            kept.held = matches!(turn, Turn::Held);
            if matches!(turn, Turn::Skipped) {
                kept.withdraw(at, reason::SKIPPED);
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
    pub(super) fn withdraw(&mut self, at: Timestamp, why: &str) {
        self.held = false;
        self.delivery.state = State::Superseded {
            at,
            reason: why.to_owned(),
        };
    }
}
