//! Whose turn it is in a lane.

use super::contents::{Contents, Kept};
use crate::clock::Timestamp;
use crate::store::lane::reason;
use crate::store::{DeliveryId, Lane, Overlap, State};

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

    /// Those of a lane that are not over, in the order in which they were taken.
    fn members(&mut self, name: &str) -> impl Iterator<Item = &mut Kept> {
        self.deliveries.iter_mut().filter(move |kept| {
            kept.lane.as_ref().is_some_and(|lane| *lane.name == *name)
                && matches!(kept.delivery.state, State::Waiting { .. } | State::Leased)
        })
    }
}

impl Kept {
    /// Ends one that nobody has leased.
    pub(super) fn withdraw(&mut self, at: Timestamp, why: &str) {
        self.held = false;
        self.delivery.state = State::Superseded {
            at,
            reason: why.to_owned(),
        };
    }
}
