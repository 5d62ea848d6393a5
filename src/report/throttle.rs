//! A limit on warnings that a sender can cause as often as it likes: one at a time, with how many were left out.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use crate::clock::Timestamp;

/// Minimum time between two warnings of one kind, in milliseconds.
const EVERY: i64 = 1000;

/// One kind of warning.
#[derive(Debug)]
pub(super) struct Throttle {
    /// When it was last given, in milliseconds.
    last: AtomicI64,
    left_out: AtomicU32,
}

impl Throttle {
    /// One that has not been given.
    pub(super) const fn new() -> Self {
        Self {
            last: AtomicI64::new(i64::MIN),
            left_out: AtomicU32::new(0),
        }
    }

    /// Whether to give it at `now`; and how many were left out since the last one.
    pub(super) fn allow(&self, now: Timestamp) -> Option<u32> {
        let now = now.as_millis();
        let last = self.last.load(Ordering::Relaxed);
        // A clock that was set back does not silence it.
        let early = now.saturating_sub(last) < EVERY && now >= last;
        let given = !early
            && self
                .last
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if given {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_comes_once_a_second_and_tells_what_was_left_out() {
        let throttle = Throttle::new();
        let given =
            [5000, 5001, 5999, 6000, 6500, 2000, 2001].map(|at| throttle.allow(Timestamp::from_millis(at)));
        assert_eq!(given, [Some(0), None, None, Some(2), None, Some(1), None]);
    }
}
