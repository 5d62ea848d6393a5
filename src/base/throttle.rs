//! Throttles for log lines, so that an untrusted sender cannot fill the disk with one kind of line.
//!
//! The first `BURST` lines of a kind are written at once, further lines at most one per
//! `EVERY`. The next line of the kind reports the number of suppressed lines (`left_out`), as
//! does `hookyard_log_lines_left_out_total`. [`tell_left_out`] writes that number even if no
//! further line follows.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Number of lines of one kind that are written at once. An operator who tests with `curl` sees
/// each line.
const BURST: u64 = 20;
/// Minimum time between two lines of one kind after the burst.
const EVERY: Duration = Duration::from_millis(500);
/// Interval at which [`tell_left_out`] reports suppressed lines that no later line has reported.
const SUMMARY_EVERY: Duration = Duration::from_secs(10);

/// The kinds of lines that an untrusted sender can cause, which are the labels of the metric.
/// Accepted events, and verified events that no rule matches, are not throttled.
static THROTTLES: [Throttle; 27] = [
    Throttle::new("refused"),
    Throttle::new("stale"),
    Throttle::new("unreadable"),
    Throttle::new("duplicate"),
    Throttle::new("altered"),
    Throttle::steady("repeated"),
    Throttle::new("ignored"),
    Throttle::new("handshake"),
    Throttle::new("unavailable"),
    Throttle::new("answer"),
    Throttle::new("group"),
    Throttle::new("no such endpoint"),
    Throttle::new("wrong method"),
    Throttle::new("too large"),
    Throttle::new("too slow"),
    Throttle::new("rate limit"),
    Throttle::new("TLS handshake"),
    Throttle::new("PROXY protocol"),
    Throttle::new("client certificate"),
    Throttle::new("admin request"),
    Throttle::new("login"),
    Throttle::new("connection"),
    Throttle::steady("evicted"),
    Throttle::steady("body evicted"),
    Throttle::steady("accept"),
    Throttle::steady("store"),
    // The fallback for lines of any other kind.
    Throttle::new("turned away"),
];

/// The origin of instants: an atomic number is compared without a lock.
static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The throttle of one kind of line: the generic cell rate algorithm over one number.
#[derive(Debug)]
pub struct Throttle {
    /// The label of the metric.
    kind: &'static str,
    /// Number of lines that are written at once.
    burst: u64,
    /// Minimum time between two lines after the burst.
    every: Duration,
    /// The time at which the full burst is available again, in nanoseconds since [`BEGUN`].
    owed: AtomicU64,
    /// Lines suppressed since the last written line.
    left_out: AtomicU64,
    /// Lines suppressed in all.
    total: AtomicU64,
}

impl Throttle {
    /// A throttle with the default burst.
    pub const fn new(kind: &'static str) -> Self {
        Self::of(kind, BURST, EVERY)
    }

    /// A throttle for lines that say the same each time: one line per second.
    pub const fn steady(kind: &'static str) -> Self {
        Self::of(kind, 1, Duration::from_secs(1))
    }

    const fn of(kind: &'static str, burst: u64, every: Duration) -> Self {
        Self {
            kind,
            burst,
            every,
            owed: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }

    /// Returns `Some` if a line may be written now, with the number of lines suppressed since the
    /// last one.
    pub fn allow(&self) -> Option<u64> {
        self.allow_at(since_begun(Instant::now()))
    }

    /// As [`Self::allow`], at a time in nanoseconds since [`BEGUN`].
    fn allow_at(&self, now: u64) -> Option<u64> {
        let every = nanoseconds(self.every);
        let slack = every.saturating_mul(self.burst.saturating_sub(1));
        let next = |owed: u64| (owed <= now.saturating_add(slack)).then(|| owed.max(now) + every);
        if self
            .owed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_err()
        {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            of(self.kind).total.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, Ordering::Relaxed))
    }

    /// The number of suppressed lines, if the flood is over at `now` and no later line has reported
    /// it.
    fn untold(&self, now: u64) -> Option<u64> {
        let quiet = self.owed.load(Ordering::Relaxed) <= now;
        let left_out = if quiet {
            self.left_out.swap(0, Ordering::Relaxed)
        } else {
            0
        };
        (left_out > 0).then_some(left_out)
    }
}

/// Returns `Some` if a line of this kind may be written now, with the number of lines suppressed
/// since the last one.
pub fn allow(kind: &str) -> Option<u64> {
    of(kind).allow()
}

fn of(kind: &str) -> &'static Throttle {
    let [.., other] = &THROTTLES;
    let known = THROTTLES.iter().find(|throttle| throttle.kind == kind);
    known.unwrap_or(other)
}

/// The number of suppressed lines since the start, for every kind with at least one.
pub fn left_out() -> impl Iterator<Item = (&'static str, u64)> {
    let counted = THROTTLES
        .iter()
        .map(|throttle| (throttle.kind, throttle.total.load(Ordering::Relaxed)));
    counted.filter(|(_, total)| *total > 0)
}

/// `None` for zero, so that the log field is omitted.
pub fn some(left_out: u64) -> Option<u64> {
    (left_out > 0).then_some(left_out)
}

/// Reports, until `stop`, suppressed lines that no later line of their kind has reported.
pub async fn tell_left_out(stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SUMMARY_EVERY) => {}
            () = stop.cancelled() => return,
        }
        let now = since_begun(Instant::now());
        for throttle in &THROTTLES {
            if let Some(left_out) = throttle.untold(now) {
                warn!(kind = throttle.kind, left_out, "log lines were left out");
            }
        }
    }
}

fn since_begun(now: Instant) -> u64 {
    nanoseconds(now.saturating_duration_since(*BEGUN))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_is_written_whole_and_a_flood_at_a_fixed_rate_with_its_count() {
        let throttle = Throttle::new("test");
        let burst: Vec<_> = (0..BURST).map(|_| throttle.allow_at(SECOND)).collect();
        assert!(burst.iter().all(|said| *said == Some(0)), "{burst:?}");
        // A minute of 60,000 lines a second, in steps of a millisecond.
        let (mut written, mut told) = (0, 0);
        for step in 0..60_000 {
            for _ in 0..60 {
                if let Some(left_out) = throttle.allow_at(SECOND + step * SECOND / 1000) {
                    written += 1;
                    told += left_out;
                }
            }
        }
        assert!((118..=120).contains(&written), "{written}");
        // After the flood the rest is reported without a further line, once.
        let later = 120 * SECOND;
        let untold = throttle.untold(later).unwrap();
        assert_eq!(written + told + untold, 60_000 * 60);
        assert_eq!(throttle.untold(later), None);
        assert_eq!(throttle.allow_at(later), Some(0));
    }

    #[test]
    fn during_a_flood_the_count_waits_for_the_next_line() {
        let throttle = Throttle::new("test");
        for _ in 0..=BURST {
            throttle.allow_at(SECOND);
        }
        assert_eq!(throttle.untold(SECOND), None);
        assert_eq!(throttle.allow_at(2 * SECOND), Some(1));
    }
}
