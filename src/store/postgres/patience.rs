//! The waits between the tries of a call.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;

/// Wait after the first failure of the server. Each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_millis(20);

/// Longest wait.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// Shortest time that a try has, also if the call has waited in a queue for nearly all of its time. A
/// try that is cut off costs a connection.
const SHORTEST_TRY: Duration = Duration::from_secs(1);

/// Conflicts after which a call is repeated without a wait. The other transaction has ended by then.
const CONFLICTS_AT_ONCE: u32 = 3;

/// The tries of a call, until its time is over.
#[derive(Debug)]
pub(super) struct Tries {
    pub until: Instant,
    conflicts: u32,
    wait: Duration,
}

impl Tries {
    pub fn until(until: Instant) -> Self {
        let mut tries = Self {
            until,
            conflicts: 0,
            wait: FIRST_WAIT,
        };
        tries.give_a_try();
        tries
    }

    /// Leaves time for a try.
    pub fn give_a_try(&mut self) {
        self.until = self.until.max(Instant::now() + SHORTEST_TRY);
    }

    /// Waits before the next try. False if the call must not be repeated, or its time is over.
    pub async fn wait_after(&mut self, failure: &Failure) -> bool {
        let Some(wait) = self.next_wait(failure, Instant::now()) else {
            return false;
        };
        tokio::time::sleep(wait).await;
        true
    }

    fn next_wait(&mut self, failure: &Failure, now: Instant) -> Option<Duration> {
        if !failure.may_pass_soon() {
            return None;
        }
        let wait = self.length(matches!(failure, Failure::Conflict(_)));
        (now + wait < self.until).then_some(wait)
    }

    fn length(&mut self, is_conflict: bool) -> Duration {
        if is_conflict {
            self.conflicts += 1;
            if self.conflicts <= CONFLICTS_AT_ONCE {
                return Duration::ZERO;
            }
        }
        let wait = self.wait;
        self.wait = (wait * 2).min(LONGEST_WAIT);
        // Nodes that lost the same server do not come back at the same moment.
        jitter(wait)
    }
}

/// Half of a wait to the whole of it.
fn jitter(wait: Duration) -> Duration {
    let [dice, ..] = RandomState::new().hash_one(()).to_le_bytes();
    wait.mul_f64(f64::from(dice).mul_add(0.5 / f64::from(u8::MAX), 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    const PATIENCE: Duration = Duration::from_secs(8);

    #[test]
    fn a_lost_answer_is_tried_again_until_the_time_is_over() {
        let begun = Instant::now();
        let mut tries = Tries::until(begun + PATIENCE);
        let (mut now, mut count) = (begun, 0);
        while let Some(wait) = tries.next_wait(&Failure::Lost(String::new()), now) {
            now += wait;
            count += 1;
        }
        assert!((16..60).contains(&count), "{count}");
        assert!(now > begun + PATIENCE - LONGEST_WAIT && now < begun + PATIENCE);
    }

    #[test]
    fn a_conflict_is_tried_again_at_once_and_then_after_waits() {
        let now = Instant::now();
        let mut tries = Tries::until(now + PATIENCE);
        let conflict = Failure::Conflict(String::new());
        for _ in 0..CONFLICTS_AT_ONCE {
            assert_eq!(tries.next_wait(&conflict, now), Some(Duration::ZERO));
        }
        assert!(tries.next_wait(&conflict, now).unwrap() >= FIRST_WAIT / 2);
    }

    #[test]
    fn what_lasts_is_not_tried_again() {
        let now = Instant::now();
        let mut tries = Tries::until(now + PATIENCE);
        let detail = String::new;
        for lasting in [
            StoreError::Full { detail: detail() },
            StoreError::Forbidden { detail: detail() },
            StoreError::Unexpected { detail: detail() },
            StoreError::Refused { detail: detail() },
        ] {
            assert_eq!(tries.next_wait(&Failure::Failed(lasting), now), None);
        }
    }

    #[test]
    fn a_call_that_waited_for_long_has_time_for_a_try() {
        let now = Instant::now();
        assert!(Tries::until(now).until >= now + SHORTEST_TRY);
    }
}
