//! Result of a successful verification: the time of sending and the dedup keys.
//!
//! This module only decides. The store remembers the dedup keys, and the caller passes the time.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::event::DedupKey;
use crate::verify::refusal::Refusal;

/// Minimum time for which a dedup key is remembered if the timestamp does not limit repetition.
/// This holds for unsigned timestamps, and for senders that sign each retry again under one id.
const DAY: Duration = Duration::from_hours(24);

/// Result of a successful verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub timestamp: Option<SentAt>,
    /// Keys that identify the event. A match of any one suffices. If empty, the event is not
    /// remembered.
    pub dedup_keys: Vec<DedupKey>,
    /// Source of the secret that matched, as the rules file names it. `None` if nothing is
    /// verified.
    pub secret: Option<Arc<str>>,
}

/// Time of sending, as the request states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentAt {
    pub at: Timestamp,
    /// True if the signature covers the timestamp. An unsigned timestamp gives no protection.
    pub signed: bool,
}

impl Proof {
    /// Checks that the timestamp, if there is one, lies within `window` of `now`.
    ///
    /// Both directions count: a request dated one year ahead could be replayed until then. A
    /// distance of exactly `window` is fresh.
    pub fn freshness(&self, window: Duration, now: Timestamp) -> Result<(), Refusal> {
        match self.timestamp {
            Some(SentAt { at, .. }) if at.distance(now) > window => Err(Refusal::Stale { at, now, window }),
            _ => Ok(()),
        }
    }

    /// Returns true if the signed content alone identifies the event. The content has neither a
    /// timestamp nor an id, so a sender may legitimately repeat it.
    pub fn is_content_alone(&self) -> bool {
        self.timestamp.is_none()
            && !self.dedup_keys.is_empty()
            && !self.dedup_keys.iter().any(DedupKey::is_id)
    }

    /// Time for which the dedup keys are remembered, so that every replay is either stale or a
    /// duplicate.
    pub fn memory(&self, window: Duration) -> Duration {
        let both_directions = window.saturating_mul(2);
        match self.timestamp {
            None => window,
            // Retries of the sender carry a new timestamp, and arrive after minutes or hours.
            Some(_) if self.dedup_keys.iter().any(DedupKey::is_id) => both_directions.max(DAY),
            Some(SentAt { signed: true, .. }) => both_directions,
            // An attacker can replay the content with a new timestamp.
            Some(SentAt { signed: false, .. }) => both_directions.max(DAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(5);

    fn proof(timestamp: Option<(i64, bool)>) -> Proof {
        Proof {
            timestamp: timestamp.map(|(seconds, signed)| SentAt {
                at: Timestamp::from_seconds(seconds),
                signed,
            }),
            dedup_keys: Vec::new(),
            secret: None,
        }
    }

    #[test]
    fn the_window_is_inclusive_in_both_directions() {
        let now = Timestamp::from_seconds(10_000);
        for (seconds, fresh) in [
            (10_000, true),
            (9_700, true),
            (10_300, true),
            (9_699, false),
            (10_301, false),
            (0, false),
            (i64::MAX, false),
            (i64::MIN, false),
        ] {
            for signed in [true, false] {
                let freshness = proof(Some((seconds, signed))).freshness(WINDOW, now);
                assert_eq!(freshness.is_ok(), fresh, "{seconds}");
                assert!(freshness.err().is_none_or(|refusal| refusal.is_stale()));
            }
        }
        assert_eq!(proof(None).freshness(WINDOW, now), Ok(()));
        let a_millisecond_late = Proof {
            timestamp: Some(SentAt {
                at: Timestamp::from_millis(9_699_999),
                signed: true,
            }),
            dedup_keys: Vec::new(),
            secret: None,
        };
        assert!(a_millisecond_late.freshness(WINDOW, now).is_err());
    }

    #[test]
    fn the_memory_outlives_the_window_in_both_directions() {
        assert_eq!(proof(Some((0, true))).memory(WINDOW), WINDOW * 2);
        assert_eq!(proof(None).memory(WINDOW), WINDOW);
        assert_eq!(proof(Some((0, false))).memory(WINDOW), DAY);
        assert_eq!(proof(Some((0, false))).memory(DAY), DAY * 2);
        assert_eq!(proof(Some((0, true))).memory(Duration::MAX), Duration::MAX);
    }
}
