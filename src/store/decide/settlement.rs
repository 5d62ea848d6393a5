//! Effects of a settlement on its delivery.

use crate::base::clock::Timestamp;
use crate::store::{DeliveryFailure, DeliveryState, Interruption, Settlement};

/// A delivery as it was leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseSnapshot {
    /// Index of the action.
    pub action: usize,
    /// Number of the attempt at that action, from 1.
    pub attempt: u32,
    pub due: Timestamp,
    /// Set if the latest attempt was interrupted.
    pub interrupted: Option<Interruption>,
    /// True if the delivery was made for the failure of another one.
    pub for_failure: bool,
}

impl LeaseSnapshot {
    /// Adds an interrupted attempt that began at `since`. If it counts, the next attempt has the
    /// next number.
    pub fn interrupt(&mut self, since: Timestamp, counts: bool) {
        let before = self.interrupted.map_or(0, |before| before.in_a_row);
        self.interrupted = Some(Interruption {
            in_a_row: before.saturating_add(1),
            since,
        });
        self.attempt = self.attempt.saturating_add(u32::from(counts));
    }
}

/// The effect of a settlement.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect<'s> {
    /// The delivery is ready again and keeps its turn in its group.
    Continue(LeaseSnapshot),
    /// The delivery ends. Others of its group may begin.
    End {
        state: DeliveryState,
        /// True if the dedup keys that its event stored for the rule are forgotten.
        forget_dedup_keys: bool,
        /// The failure for which another delivery is made, and the due time of that delivery.
        failure: Option<(&'s DeliveryFailure, Timestamp)>,
    },
}

/// Decides the effect of a settlement.
pub fn settle(leased: LeaseSnapshot, settlement: &Settlement) -> Effect<'_> {
    let mut next = leased;
    match settlement {
        Settlement::Next { action, due } => {
            next.action = *action;
            next.attempt = 1;
            next.due = *due;
            next.interrupted = None;
        }
        Settlement::Retry { due } => {
            next.attempt = leased.attempt.saturating_add(1);
            next.due = *due;
            next.interrupted = None;
        }
        Settlement::Wait { due } => next.due = *due,
        Settlement::Interrupted { since, due, counts } => {
            next.interrupt(*since, *counts);
            next.due = due.unwrap_or(leased.due);
        }
        Settlement::Done { at } => return end(DeliveryState::Done { at: *at }),
        Settlement::Superseded { at, reason } => {
            let (at, reason) = (*at, reason.clone());
            return end(DeliveryState::Superseded { at, reason });
        }
        Settlement::Dead {
            at,
            reason,
            forget_dedup_keys,
            failure,
        } => {
            // A delivery that was made for a failure makes no further one.
            let failure = failure.as_deref().filter(|_| !leased.for_failure);
            return Effect::End {
                state: DeliveryState::Dead {
                    at: *at,
                    reason: reason.clone(),
                },
                forget_dedup_keys: *forget_dedup_keys,
                failure: failure.map(|failure| (failure, leased.due.min(*at))),
            };
        }
    }
    Effect::Continue(next)
}

fn end<'s>(state: DeliveryState) -> Effect<'s> {
    Effect::End {
        state,
        forget_dedup_keys: false,
        failure: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn interrupted(in_a_row: u32, since: i64) -> Interruption {
        let since = at(since);
        Interruption { in_a_row, since }
    }

    #[test]
    fn a_delivery_that_goes_on_knows_its_next_attempt() {
        let leased = LeaseSnapshot {
            action: 1,
            attempt: 3,
            due: at(5),
            interrupted: Some(interrupted(1, 2)),
            for_failure: false,
        };
        let interrupt = |due, counts| Settlement::Interrupted {
            since: at(6),
            due,
            counts,
        };
        for (settlement, action, attempt, due, interrupted) in [
            (
                Settlement::Next {
                    action: 2,
                    due: at(9),
                },
                2,
                1,
                9,
                None,
            ),
            (Settlement::Retry { due: at(9) }, 1, 4, 9, None),
            (Settlement::Wait { due: at(9) }, 1, 3, 9, Some(interrupted(1, 2))),
            (interrupt(None, false), 1, 3, 5, Some(interrupted(2, 6))),
            (interrupt(Some(at(9)), true), 1, 4, 9, Some(interrupted(2, 6))),
        ] {
            let expected = LeaseSnapshot {
                action,
                attempt,
                due: at(due),
                interrupted,
                for_failure: false,
            };
            assert_eq!(settle(leased, &settlement), Effect::Continue(expected));
        }
    }

    #[test]
    fn a_failure_makes_a_delivery_unless_it_was_made_for_one() {
        let failure = DeliveryFailure::default();
        let dead = Settlement::Dead {
            at: at(7),
            reason: String::new(),
            forget_dedup_keys: true,
            failure: Some(Box::new(failure.clone())),
        };
        for (for_failure, due, made) in [(false, 5, Some(5)), (false, 9, Some(7)), (true, 5, None)] {
            let leased = LeaseSnapshot {
                action: 0,
                attempt: 1,
                due: at(due),
                interrupted: None,
                for_failure,
            };
            let expected = Effect::End {
                state: DeliveryState::Dead {
                    at: at(7),
                    reason: String::new(),
                },
                forget_dedup_keys: true,
                failure: made.map(|due| (&failure, at(due))),
            };
            assert_eq!(settle(leased, &dead), expected);
        }
    }
}
