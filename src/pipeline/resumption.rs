//! The decision on a delivery whose latest attempt was interrupted. Pure: time and jitter are
//! arguments.
//!
//! The attempt may be what ended the daemon. It is retried at once only the first time in a row.
//! `retry.attempts` also limits attempts that were never seen to end.

use crate::act::Retry;
use crate::base::clock::Timestamp;
use crate::pipeline::settlement::delay;
use crate::store::Interruption;

/// Maximum interrupted attempts in a row if `retry.attempts` is lower. Clean stops count as one
/// attempt in a row, so a command that restarts the service would otherwise run for ever.
pub const MAX_IN_A_ROW: u32 = 10;

/// Next step of an interrupted delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// Begin the next attempt now.
    Begin,
    /// Make the next attempt later.
    Wait {
        /// Earliest time of the attempt.
        due: Timestamp,
    },
    /// Make no further attempt.
    GiveUp {
        /// Reason for the operator.
        reason: String,
    },
}

/// Decides before the given attempt, counted from 1.
pub fn resume(
    interruption: Interruption,
    attempt: u32,
    retry: &Retry,
    now: Timestamp,
    jitter: f64,
) -> Resumption {
    let Interruption { in_a_row, since } = interruption;
    let hint = "look whether its command stops or kills hookyard";
    if attempt > retry.attempts {
        let last = attempt - 1;
        let reason = match in_a_row {
            1 => format!("interrupted: the daemon ended during attempt {last}, the last one; {hint}"),
            many => format!(
                "interrupted: the daemon ended during attempt {last}, the last one, and during {} before it; {hint}",
                many - 1
            ),
        };
        return Resumption::GiveUp { reason };
    }
    if in_a_row >= MAX_IN_A_ROW.max(retry.attempts) {
        let reason = format!("interrupted: the daemon ended during {in_a_row} attempts in a row; {hint}");
        return Resumption::GiveUp { reason };
    }
    // The clock may have been set back since.
    let due = since
        .min(now)
        .plus(delay(retry, attempt.saturating_sub(1), jitter));
    if in_a_row > 1 && due > now {
        return Resumption::Wait { due };
    }
    Resumption::Begin
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::EPOCH;

    fn decide(in_a_row: u32, attempt: u32, attempts: u32, seconds_ago: u64) -> Resumption {
        let retry = Retry {
            attempts,
            backoff: vec![Duration::from_secs(10), Duration::from_mins(1)],
            jitter: false,
        };
        let now = NOW.plus(Duration::from_secs(seconds_ago));
        let since = NOW;
        resume(Interruption { in_a_row, since }, attempt, &retry, now, 0.0)
    }

    #[test]
    fn the_first_interruption_is_tried_again_at_once_and_later_ones_after_the_backoff() {
        let at = |seconds| Resumption::Wait {
            due: NOW.plus(Duration::from_secs(seconds)),
        };
        assert_eq!(decide(1, 2, 3, 0), Resumption::Begin);
        assert_eq!(decide(2, 2, 3, 1), at(10));
        assert_eq!(decide(2, 3, 3, 1), at(60));
        assert_eq!(decide(2, 2, 3, 10), Resumption::Begin);
    }

    #[test]
    fn attempts_end_also_where_none_was_seen_to_end() {
        let given_up = |resumption| match resumption {
            Resumption::GiveUp { reason } => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            given_up(decide(1, 2, 1, 0)),
            "interrupted: the daemon ended during attempt 1, the last one; look whether its command stops or kills hookyard"
        );
        assert_eq!(
            given_up(decide(3, 4, 3, 0)),
            "interrupted: the daemon ended during attempt 3, the last one, and during 2 before it; \
             look whether its command stops or kills hookyard"
        );
        // After clean stops, which do not raise the attempt.
        assert_eq!(
            given_up(decide(10, 2, 3, 1000)),
            "interrupted: the daemon ended during 10 attempts in a row; look whether its command stops or kills hookyard"
        );
        assert_eq!(decide(9, 2, 3, 1000), Resumption::Begin);
        // A rule that allows more attempts gets more.
        assert_eq!(decide(19, 20, 20, 1000), Resumption::Begin);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_none_wait_longer() {
        let retry = Retry {
            attempts: 5,
            backoff: vec![Duration::from_secs(10)],
            jitter: false,
        };
        let since = NOW.plus(Duration::from_hours(1));
        let interruption = Interruption { in_a_row: 2, since };
        let due = NOW.plus(Duration::from_secs(10));
        assert_eq!(
            resume(interruption, 2, &retry, NOW, 0.0),
            Resumption::Wait { due }
        );
    }
}
