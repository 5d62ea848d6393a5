//! The only door to the time of day.
//!
//! Deciders are told the time; performers ask a [`Clock`]. A test holds a clock that it moves by hand.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment: milliseconds since 1970-01-01T00:00:00Z. Arithmetic saturates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The moment `millis` milliseconds after the epoch.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The moment `seconds` seconds after the epoch.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Reads an RFC 3339 instant; digits beyond the millisecond are cut off.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let instant = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(instant.unix_timestamp_nanos().div_euclid(1_000_000))
            .ok()
            .map(Self)
    }

    /// Milliseconds since the epoch.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// How far apart the two are, in either direction.
    pub fn distance(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000) {
            Ok(at) => write!(
                f,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                at.year(),
                u8::from(at.month()),
                at.day(),
                at.hour(),
                at.minute(),
                at.second(),
                at.millisecond()
            ),
            // A moment outside the years that the calendar covers is still printed, as its number.
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// Tells the time.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Reading,
}

/// Where a clock reads the time.
#[derive(Clone, Debug)]
enum Reading {
    /// The machine's.
    System,
    /// A hand that a test moves.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self {
            source: Reading::System,
        }
    }

    /// A clock that stands at `start` until it is moved.
    pub fn manual(start: Timestamp) -> Self {
        Self {
            source: Reading::Manual(Arc::new(AtomicI64::new(start.0))),
        }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &self.source {
            #[expect(clippy::disallowed_methods, reason = "this is the door")]
            Reading::System => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
            }
            Reading::Manual(at) => Timestamp(at.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock forward; the machine's clock is not moved.
    pub fn advance(&self, duration: Duration) {
        if let Reading::Manual(at) = &self.source {
            at.store(
                Timestamp(at.load(Ordering::Relaxed)).plus(duration).0,
                Ordering::Relaxed,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_printed_and_read_as_rfc3339() {
        let at = Timestamp::from_millis(1_614_265_330_123);
        assert_eq!(at.to_string(), "2021-02-25T15:02:10.123Z");
        assert_eq!(Timestamp::parse_rfc3339("2021-02-25T15:02:10.123Z"), Some(at));
        assert_eq!(
            Timestamp::parse_rfc3339("2021-02-25T16:02:10.123456789+01:00"),
            Some(at)
        );
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
    }

    #[test]
    fn no_sum_overflows() {
        let end = Timestamp::from_millis(i64::MAX);
        assert_eq!(end.plus(Duration::MAX), end);
        assert_eq!(
            end.distance(Timestamp::from_millis(i64::MIN)),
            Duration::from_millis(u64::MAX)
        );
        assert_eq!(Timestamp::from_seconds(i64::MAX), end);
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = Clock::manual(Timestamp::from_seconds(10));
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now(), Timestamp::from_seconds(15));
    }
}
