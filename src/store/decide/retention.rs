//! Retention: the data that a sweep forgets, and the amount of one step.

use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::store::{DeliveryState, Keep};

/// Maximum dedup keys, maximum sightings, and maximum events and deliveries forgotten in one step.
pub const STEP_ROWS: usize = 500;

/// Maximum bytes of bodies forgotten in one step, because each page of a body is visited.
const STEP_BYTES: u64 = 8 << 20;

/// Time that dedup keys and sightings are kept beyond their promise. An arrival is compared by its
/// own time, and may have waited before it is compared. A clock that is an hour ahead for a while
/// must not make the store forget keys. They count again once the clock is right.
const CLOCK_SLACK: Duration = Duration::from_hours(2);

/// The moments before which data has expired.
#[derive(Clone, Copy, Debug)]
pub struct Expiry {
    /// Last moment of a dedup key or sighting.
    pub remembered: Timestamp,
    done: Timestamp,
    dead: Timestamp,
}

impl Expiry {
    /// The moments for a sweep at `now`.
    pub fn at(now: Timestamp, keep: &Keep) -> Self {
        Self {
            remembered: before(now, CLOCK_SLACK),
            done: before(now, keep.done),
            dead: before(now, keep.dead),
        }
    }

    /// The moment before which the last delivery of an event must have ended. `dead` tells whether
    /// one of its deliveries is a dead letter.
    pub fn ended(&self, dead: bool) -> Timestamp {
        if dead { self.dead } else { self.done }
    }
}

fn before(now: Timestamp, time: Duration) -> Timestamp {
    let time = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(time))
}

/// True if a delivery is a dead letter. A delivery that was made for the failure of another is never
/// one.
pub fn is_dead_letter(state: &DeliveryState, for_failure: bool) -> bool {
    matches!(state, DeliveryState::Dead { .. }) && !for_failure
}

/// Remaining amount of one step.
#[derive(Clone, Copy, Debug)]
pub struct StepBudget {
    rows: usize,
    bytes: u64,
}

impl Default for StepBudget {
    fn default() -> Self {
        Self {
            rows: STEP_ROWS,
            bytes: STEP_BYTES,
        }
    }
}

impl StepBudget {
    /// True if another event may be forgotten in this step. The first event always may, however
    /// large it is. Otherwise it would stay for ever.
    pub fn is_left(self) -> bool {
        self.rows > 0 && self.bytes > 0
    }

    /// Subtracts an event with its deliveries and the bytes of its body.
    pub fn spend(&mut self, deliveries: usize, bytes: u64) {
        self.rows = self.rows.saturating_sub(deliveries.max(1));
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Maximum events that may still be forgotten.
    pub fn rows(self) -> usize {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_expires_after_its_own_time() {
        let keep = Keep {
            done: Duration::from_secs(100),
            dead: Duration::MAX,
            ..Keep::default()
        };
        let expiry = Expiry::at(Timestamp::from_seconds(10_000), &keep);
        assert_eq!(expiry.remembered, Timestamp::from_seconds(2_800));
        assert_eq!(expiry.ended(false), Timestamp::from_seconds(9_900));
        let never = expiry.ended(true);
        assert!(never < Timestamp::from_millis(i64::MIN / 2), "{never:?}");
    }

    #[test]
    fn a_step_is_bounded_in_rows_and_bytes_but_its_first_event_always_fits() {
        for (deliveries, bytes, events) in [
            (1, 0, STEP_ROWS),
            (0, 0, STEP_ROWS),
            (STEP_ROWS * 2, 0, 1),
            (200, 0, 3),
            (1, STEP_BYTES * 3, 1),
            (1, STEP_BYTES / 2, 2),
            (1, STEP_BYTES / 2 + 1, 2),
        ] {
            let (mut budget, mut forgotten) = (StepBudget::default(), 0);
            while budget.is_left() {
                budget.spend(deliveries, bytes);
                forgotten += 1;
            }
            assert_eq!(forgotten, events, "{deliveries} {bytes}");
        }
    }

    #[test]
    fn only_a_failed_delivery_that_was_not_made_for_a_failure_is_a_dead_letter() {
        let (at, reason) = (Timestamp::EPOCH, String::new());
        let dead = DeliveryState::Dead {
            at,
            reason: reason.clone(),
        };
        assert!(is_dead_letter(&dead, false));
        assert!(!is_dead_letter(&dead, true));
        for other in [
            DeliveryState::Done { at },
            DeliveryState::Superseded { at, reason },
            DeliveryState::Running,
        ] {
            assert!(!is_dead_letter(&other, false), "{other:?}");
        }
    }
}
