//! The decision on a delivery after an attempt. Pure: time and jitter are arguments.

use std::time::Duration;

use crate::act::{MAX_RETRY_AFTER, Outcome, Retry, Verdict};
use crate::base::clock::Timestamp;
use crate::pipeline::ongoing::{AfterStop, Cancel};
use crate::store::group::reason::REPLACED;
use crate::store::{DeliveryFailure, Settlement};

/// Maximum deviation of a delay with jitter, as a fraction in either direction.
const JITTER: f64 = 0.2;

/// State of a delivery when an attempt at one of its actions has ended.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'r> {
    /// Index of the action that was tried.
    pub action: usize,
    /// Number of the rule's actions.
    pub actions: usize,
    /// Number of the attempt at this action, from 1.
    pub attempt: u32,
    /// Retry policy of this action.
    pub retry: &'r Retry,
    /// True if the sender waited for the outcome. Its own retry must then be accepted.
    pub awaited: bool,
    /// Start of the attempt.
    pub since: Timestamp,
    /// Number of interrupted attempts in a row before this one.
    pub interruptions: u32,
    /// True if the attempt was stopped because another delivery superseded this one.
    pub replaced: bool,
    /// Set if the operator stopped the attempt.
    pub cancel: Option<&'r Cancel>,
    /// Name of the action, if its rule has `on_failure` for a dead letter.
    pub alarm: Option<&'r str>,
}

/// Decides on the settlement. `jitter` lies in 0.0..1.0.
pub fn settle(progress: Progress<'_>, outcome: &Outcome, now: Timestamp, jitter: f64) -> Settlement {
    let is_dropped = progress
        .cancel
        .is_some_and(|cancel| cancel.after == AfterStop::Drop);
    let dead = |reason: String| Settlement::Dead {
        at: now,
        failure: progress.alarm.map(|action| {
            Box::new(DeliveryFailure {
                action: action.to_owned(),
                reason: reason.clone(),
                output: outcome.output.text(),
            })
        }),
        reason,
        // What the operator drops does not come back by the sender's own retry.
        forget_dedup_keys: progress.awaited && !is_dropped,
    };
    let detail = &outcome.detail;
    let verdict = match outcome.verdict {
        Verdict::Stopped | Verdict::Later { .. } if progress.cancel.is_some() => Verdict::FAILED,
        verdict => verdict,
    };
    let settlement = match verdict {
        Verdict::Stopped => interrupted(progress, now, jitter),
        Verdict::Later { after } => Settlement::Wait { due: now.plus(after) },
        Verdict::Done if progress.action + 1 < progress.actions => Settlement::Next {
            action: progress.action + 1,
            due: now,
        },
        Verdict::Done => Settlement::Done { at: now },
        Verdict::Dead => dead(detail.clone()),
        Verdict::Failed { .. } if progress.attempt >= progress.retry.attempts => {
            dead(match progress.attempt {
                1 => detail.clone(),
                attempts => format!("{detail}, after {attempts} attempts"),
            })
        }
        Verdict::Failed { retry_after } => {
            let scheduled = delay(progress.retry, progress.attempt, jitter);
            let requested = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
            Settlement::Retry {
                due: now.plus(scheduled.max(requested)),
            }
        }
    };
    // An attempt that had already ended when it was stopped keeps its result.
    if progress.replaced && !settlement.is_end() {
        let reason = REPLACED.to_owned();
        return Settlement::Superseded { at: now, reason };
    }
    match progress.cancel {
        Some(cancel) if is_dropped && (!settlement.is_end() || verdict != outcome.verdict) => {
            dead(cancel.reason())
        }
        _ => settlement,
    }
}

/// Settles an attempt that was interrupted by the daemon's stop. Stops count once in a row and
/// never as the last attempt, so that restarts alone do not use up a rule's attempts.
fn interrupted(progress: Progress<'_>, now: Timestamp, jitter: f64) -> Settlement {
    let first = progress.interruptions == 0;
    Settlement::Interrupted {
        since: progress.since,
        // The first time at once. An attempt interrupted before may be what stops the daemon.
        due: (!first).then(|| now.plus(delay(progress.retry, progress.attempt, jitter))),
        counts: first && progress.attempt < progress.retry.attempts,
    }
}

/// Returns the delay after the given attempt (from 1). The last delay of the schedule repeats.
pub(super) fn delay(retry: &Retry, attempt: u32, jitter: f64) -> Duration {
    let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    let scheduled = retry
        .backoff
        .get(index)
        .or(retry.backoff.last())
        .copied()
        .unwrap_or_default();
    if retry.jitter {
        scheduled.mul_f64(1.0 - JITTER + 2.0 * JITTER * jitter.clamp(0.0, 1.0))
    } else {
        scheduled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::EPOCH;

    fn retry(attempts: u32, jitter: bool) -> Retry {
        Retry {
            attempts,
            backoff: vec![Duration::from_secs(10), Duration::from_mins(1)],
            jitter,
        }
    }

    /// The first attempt at the only action.
    fn progress(retry: &Retry) -> Progress<'_> {
        Progress {
            action: 0,
            actions: 1,
            attempt: 1,
            retry,
            awaited: false,
            since: NOW,
            interruptions: 0,
            replaced: false,
            cancel: None,
            alarm: None,
        }
    }

    fn outcome(verdict: Verdict, detail: &str) -> Outcome {
        Outcome::new(verdict, detail, Duration::ZERO)
    }

    fn decide(attempt: u32, retry: &Retry, verdict: &Verdict) -> Settlement {
        let progress = Progress {
            actions: 2,
            attempt,
            ..progress(retry)
        };
        settle(progress, &outcome(*verdict, "exit 1"), NOW, 0.0)
    }

    #[test]
    fn done_goes_on_to_the_next_action_and_ends_after_the_last() {
        let plan = retry(3, false);
        assert_eq!(
            decide(1, &plan, &Verdict::Done),
            Settlement::Next { action: 1, due: NOW }
        );
        let last = Progress {
            action: 1,
            actions: 2,
            awaited: true,
            ..progress(&plan)
        };
        assert_eq!(
            settle(last, &outcome(Verdict::Done, ""), NOW, 0.0),
            Settlement::Done { at: NOW }
        );
    }

    #[test]
    fn a_failure_is_retried_by_schedule_and_then_dead() {
        let plan = retry(4, false);
        let failed = Verdict::Failed { retry_after: None };
        for (attempt, seconds) in [(1, 10), (2, 60), (3, 60)] {
            let due = NOW.plus(Duration::from_secs(seconds));
            assert_eq!(
                decide(attempt, &plan, &failed),
                Settlement::Retry { due },
                "{attempt}"
            );
        }
        let reason = "exit 1, after 4 attempts".to_owned();
        assert_eq!(
            decide(4, &plan, &failed),
            Settlement::Dead {
                at: NOW,
                reason,
                forget_dedup_keys: false,
                failure: None,
            }
        );
    }

    #[test]
    fn what_cannot_help_is_dead_at_once() {
        let plan = retry(4, false);
        let reason = "exit 1".to_owned();
        assert_eq!(
            decide(1, &plan, &Verdict::Dead),
            Settlement::Dead {
                at: NOW,
                reason,
                forget_dedup_keys: false,
                failure: None,
            }
        );
    }

    #[test]
    fn a_stop_counts_once_in_a_row_and_never_as_the_last_attempt() {
        let plan = retry(3, false);
        let later = Some(NOW.plus(Duration::from_secs(10)));
        let last = Some(NOW.plus(Duration::from_mins(1)));
        for (attempt, interruptions, due, counts) in [
            (1, 0, None, true),
            (1, 1, later, false),
            (1, 9, later, false),
            (2, 0, None, true),
            (3, 0, None, false),
            (3, 1, last, false),
        ] {
            let progress = Progress {
                attempt,
                interruptions,
                ..progress(&plan)
            };
            let since = NOW;
            assert_eq!(
                settle(progress, &outcome(Verdict::Stopped, "stopped"), NOW, 0.0),
                Settlement::Interrupted { since, due, counts },
                "{attempt} {interruptions}"
            );
        }
    }

    #[test]
    fn what_could_not_be_tried_yet_waits_whatever_attempt_it_would_have_been() {
        let plan = retry(2, true);
        for attempt in [1, 2] {
            let after = Duration::from_secs(30);
            assert_eq!(
                decide(attempt, &plan, &Verdict::Later { after }),
                Settlement::Wait { due: NOW.plus(after) }
            );
        }
    }

    #[test]
    fn retry_after_only_lengthens_and_is_capped() {
        let plan = retry(4, false);
        for (asked, seconds) in [(1, 10), (30, 30), (999_999, 3600)] {
            let verdict = Verdict::Failed {
                retry_after: Some(Duration::from_secs(asked)),
            };
            let due = NOW.plus(Duration::from_secs(seconds));
            assert_eq!(decide(1, &plan, &verdict), Settlement::Retry { due }, "{asked}");
        }
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        let plan = retry(4, true);
        assert_eq!(delay(&plan, 1, 0.0), Duration::from_secs(8));
        assert_eq!(delay(&plan, 1, 1.0), Duration::from_secs(12));
    }

    #[test]
    fn an_awaited_failure_lets_the_senders_retry_in() {
        let plan = retry(1, false);
        let progress = Progress {
            awaited: true,
            ..progress(&plan)
        };
        let settled = settle(
            progress,
            &outcome(Verdict::Failed { retry_after: None }, "exit 1"),
            NOW,
            0.0,
        );
        assert_eq!(
            settled,
            Settlement::Dead {
                at: NOW,
                reason: "exit 1".into(),
                forget_dedup_keys: true,
                failure: None,
            }
        );
    }

    #[test]
    fn a_replaced_attempt_is_superseded_unless_it_had_ended() {
        let plan = retry(2, false);
        let progress = Progress {
            replaced: true,
            ..progress(&plan)
        };
        let superseded = Settlement::Superseded {
            at: NOW,
            reason: REPLACED.to_owned(),
        };
        for verdict in [Verdict::Stopped, Verdict::Failed { retry_after: None }] {
            assert_eq!(
                settle(progress, &outcome(verdict, "stopped"), NOW, 0.0),
                superseded
            );
        }
        assert_eq!(
            settle(progress, &outcome(Verdict::Done, ""), NOW, 0.0),
            Settlement::Done { at: NOW }
        );
    }

    #[test]
    fn a_dead_letter_brings_its_failure_where_the_rule_has_actions_for_it() {
        let plan = retry(1, false);
        let progress = Progress {
            alarm: Some("run"),
            ..progress(&plan)
        };
        let settled = settle(progress, &outcome(Verdict::FAILED, "exit 1"), NOW, 0.0);
        let Settlement::Dead {
            failure: Some(failure),
            ..
        } = settled
        else {
            panic!("{settled:?}");
        };
        assert_eq!((&*failure.action, &*failure.reason), ("run", "exit 1"));
    }

    #[test]
    fn a_cancelled_attempt_is_retried_as_after_a_failure_or_dead_at_once() {
        let plan = retry(2, false);
        let due = NOW.plus(Duration::from_secs(10));
        let dead = |reason: &str| Settlement::Dead {
            at: NOW,
            reason: reason.to_owned(),
            forget_dedup_keys: false,
            failure: None,
        };
        let later = Verdict::Later {
            after: Duration::from_hours(1),
        };
        let (failed, done) = (Verdict::FAILED, Verdict::Done);
        for (after, attempt, verdict, expected) in [
            (AfterStop::Retry, 1, Verdict::Stopped, Settlement::Retry { due }),
            (AfterStop::Retry, 1, later, Settlement::Retry { due }),
            (
                AfterStop::Retry,
                2,
                Verdict::Stopped,
                dead("stopped by ann, after 2 attempts"),
            ),
            (AfterStop::Drop, 1, Verdict::Stopped, dead("stopped by ann")),
            (AfterStop::Drop, 2, Verdict::Stopped, dead("stopped by ann")),
            (AfterStop::Drop, 1, later, dead("stopped by ann")),
            // An attempt that had ended keeps its result, and a delivery that goes on does not.
            (AfterStop::Drop, 1, failed, dead("stopped by ann")),
            (AfterStop::Retry, 1, failed, Settlement::Retry { due }),
            (AfterStop::Drop, 1, done, Settlement::Done { at: NOW }),
        ] {
            let by = "ann".into();
            let cancel = Cancel { by, after };
            let progress = Progress {
                attempt,
                awaited: after == AfterStop::Drop,
                cancel: Some(&cancel),
                ..progress(&plan)
            };
            let outcome = outcome(verdict, &cancel.reason());
            assert_eq!(
                settle(progress, &outcome, NOW, 0.0),
                expected,
                "{after:?} {verdict:?}"
            );
        }
    }
}
