//! Clocks: the only source of the time of day.
//!
//! Deciders take the time as an argument; performers ask a [`Clock`]. Tests of the code and of rules
//! use a manual clock that they advance.
//!
//! Comparisons with timestamps of other machines (signatures, `Retry-After`) use the system clock,
//! right or wrong. Waits use a [steady](Clock::steady) clock, so that setting the system clock back
//! an hour does not delay every wait by an hour. A steady clock never goes back. It runs at half
//! speed until the system clock has caught up, so a wait takes at most twice as long. If the system
//! clock jumps ahead, the steady clock follows and waits end early. A steady clock starts with the
//! process: waits that outlive a restart use the system clock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::base::manual_clock::{ManualClock, ManualWait};

/// Milliseconds since 1970-01-01T00:00:00Z. Arithmetic saturates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Parses an RFC 3339 timestamp. Digits beyond the millisecond are cut off.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let instant = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(instant.unix_timestamp_nanos().div_euclid(1_000_000))
            .ok()
            .map(Self)
    }

    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// Time elapsed since `earlier`. Zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Time between the two timestamps, in either direction.
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
            // A timestamp outside the years of the calendar is printed as its number.
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Clock {
    source: ClockSource,
}

#[derive(Clone, Debug)]
enum ClockSource {
    System,
    /// Set and advanced by a test.
    Manual(Arc<ManualClock>),
    Steady(Arc<Steady>),
    Shifted(Arc<Shifted>),
}

/// State of [`Clock::shifted`].
#[derive(Debug)]
struct Shifted {
    wall: Clock,
    offset: Arc<ClockOffset>,
}

/// Distance of another machine's clock from the clock of this one. It is measured now and then.
#[derive(Debug, Default)]
pub struct ClockOffset(AtomicI64);

impl ClockOffset {
    /// Sets the offset: the other clock showed `other` when this machine's clock showed `own`.
    pub fn measure(&self, own: Timestamp, other: Timestamp) {
        self.0.store(other.0.saturating_sub(own.0), Ordering::Release);
    }

    /// Milliseconds by which the other clock is ahead. Negative if it is behind.
    pub fn millis(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}

/// State of [`Clock::steady`].
#[derive(Debug)]
struct Steady {
    wall: Clock,
    started: Instant,
    anchor: Mutex<Anchor>,
}

/// The last reading of the wall clock.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    moment: Timestamp,
    /// Time of the reading, since `started`.
    at: Duration,
}

impl Anchor {
    /// Returns the steady time at `at`, when the wall clock says `wall`.
    fn read(&mut self, wall: Timestamp, at: Duration) -> Timestamp {
        let least = self.moment.plus(at.saturating_sub(self.at) / 2);
        if wall >= least {
            *self = Self { moment: wall, at };
        }
        wall.max(least)
    }
}

impl Clock {
    pub fn system() -> Self {
        Self {
            source: ClockSource::System,
        }
    }

    /// A clock that stands at `start` until a test moves it.
    pub fn manual(start: Timestamp) -> Self {
        Self {
            source: ClockSource::Manual(Arc::new(ManualClock::at(start.0))),
        }
    }

    /// A clock for waits. It follows `wall` but never goes back.
    pub fn steady(wall: Self) -> Self {
        let anchor = Anchor {
            moment: wall.now(),
            at: Duration::ZERO,
        };
        #[expect(clippy::disallowed_methods, reason = "this is the door")]
        let started = Instant::now();
        let anchor = Mutex::new(anchor);
        let steady = Steady {
            wall,
            started,
            anchor,
        };
        let source = ClockSource::Steady(Arc::new(steady));
        Self { source }
    }

    /// A clock of another machine: that of this one, moved by an offset.
    pub fn shifted(wall: Self, offset: Arc<ClockOffset>) -> Self {
        let shifted = Shifted { wall, offset };
        Self {
            source: ClockSource::Shifted(Arc::new(shifted)),
        }
    }

    pub fn now(&self) -> Timestamp {
        match &self.source {
            #[expect(clippy::disallowed_methods, reason = "this is the door")]
            ClockSource::System => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
            }
            ClockSource::Manual(manual) => Timestamp(manual.now()),
            ClockSource::Shifted(shifted) => {
                let now = shifted.wall.now();
                Timestamp(now.0.saturating_add(shifted.offset.millis()))
            }
            ClockSource::Steady(steady) => {
                let mut anchor = steady.anchor.lock();
                anchor.read(steady.wall.now(), steady.started.elapsed())
            }
        }
    }

    /// Moves a manual clock forward. No effect on other clocks.
    pub fn advance(&self, duration: Duration) {
        self.set(self.now().plus(duration));
    }

    /// Sets a manual clock. No effect on other clocks.
    pub fn set(&self, moment: Timestamp) {
        if let ClockSource::Manual(manual) = &self.source {
            manual.set(moment.0);
        }
    }

    /// Waits until `duration` has passed: on a manual clock until it was moved so far.
    pub async fn sleep(&self, duration: Duration) {
        match &self.source {
            ClockSource::Manual(manual) => ManualWait::new(manual, self.now().plus(duration).0).await,
            ClockSource::System | ClockSource::Steady(_) | ClockSource::Shifted(_) => {
                tokio::time::sleep(duration).await;
            }
        }
    }

    /// Earliest time for which [`Self::sleep`] waits on a manual clock.
    pub fn earliest_wait(&self) -> Option<Timestamp> {
        match &self.source {
            ClockSource::Manual(manual) => manual.earliest_wait().map(Timestamp),
            ClockSource::System | ClockSource::Steady(_) | ClockSource::Shifted(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_printed_and_parsed_as_rfc3339() {
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
    fn a_steady_clock_runs_at_half_speed_while_the_system_clock_is_behind() {
        let mut anchor = Anchor {
            moment: Timestamp::from_seconds(10_000),
            at: Duration::ZERO,
        };
        let mut read = |wall: i64, at: u64| {
            let now = anchor.read(Timestamp::from_seconds(wall), Duration::from_secs(at));
            now.as_seconds()
        };
        assert_eq!(read(10_001, 1), 10_001);
        // The wall clock is set back by an hour.
        assert_eq!(read(6_402, 2), 10_001);
        assert_eq!(read(6_501, 101), 10_051);
        // Frequent reads do not slow it further.
        assert_eq!(read(6_503, 103), 10_052);
        // Two hours later the wall clock has caught up.
        assert_eq!(read(13_600, 7_200), 13_600);
        assert_eq!(read(13_601, 7_201), 13_601);
        // The wall clock jumps an hour ahead and back: a wait takes at most twice its length.
        assert_eq!(read(17_202, 7_202), 17_202);
        assert_eq!(read(13_612, 7_212), 17_207);
    }

    #[test]
    fn a_steady_clock_follows_jumps_forward_only() {
        let wall = Clock::manual(Timestamp::from_seconds(10_000));
        let steady = Clock::steady(wall.clone());
        wall.set(Timestamp::from_seconds(6_400));
        assert!(steady.now() >= Timestamp::from_seconds(10_000));
        wall.set(Timestamp::from_seconds(20_000));
        assert_eq!(steady.now(), Timestamp::from_seconds(20_000));
    }

    #[test]
    fn a_shifted_clock_shows_the_time_of_the_other_machine() {
        let (wall, offset) = (Clock::manual(Timestamp::from_seconds(100)), Arc::default());
        let shifted = Clock::shifted(wall.clone(), Arc::clone(&offset));
        assert_eq!(shifted.now(), wall.now());
        offset.measure(wall.now(), Timestamp::from_seconds(93));
        assert_eq!(offset.millis(), -7_000);
        wall.advance(Duration::from_secs(10));
        assert_eq!(shifted.now(), Timestamp::from_seconds(103));
    }

    #[tokio::test]
    async fn a_wait_on_a_manual_clock_ends_when_the_clock_is_moved_there() {
        let clock = Clock::manual(Timestamp::from_seconds(10));
        let second = Duration::from_secs(1);
        let mut long = std::pin::pin!(clock.sleep(5 * second));
        {
            let mut short = std::pin::pin!(clock.sleep(second));
            assert!(futures_pending(&mut long).await && futures_pending(&mut short).await);
            assert_eq!(clock.earliest_wait(), Some(Timestamp::from_seconds(11)));
        }
        // A wait that is dropped is not waited for.
        assert_eq!(clock.earliest_wait(), Some(Timestamp::from_seconds(15)));
        clock.advance(4 * second);
        assert!(futures_pending(&mut long).await);
        clock.advance(second);
        long.await;
        assert_eq!(clock.earliest_wait(), None);
    }

    /// True if the future is not ready.
    async fn futures_pending(future: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        std::future::poll_fn(|context| {
            let polled = std::pin::Pin::new(&mut *future).poll(context);
            std::task::Poll::Ready(polled.is_pending())
        })
        .await
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = Clock::manual(Timestamp::from_seconds(10));
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now(), Timestamp::from_seconds(15));
    }
}
