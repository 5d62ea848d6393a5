//! Limits how often one kind of log line is written, so that a stranger cannot fill the disk with it.
//!
//! The first [`BURST`] lines of a kind are written at once, further ones at most one per [`EVERY`]. The number of lines left
//! out stands in the next line of the kind (`left_out`) and in `hookyard_log_lines_left_out_total`. [`tell_left_out`] writes that
//! number also if no further line comes.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Lines of one kind that are written at once. An operator who tests with `curl` sees each line.
const BURST: u64 = 20;
/// The time between two lines of one kind once the burst is used up.
const EVERY: Duration = Duration::from_millis(500);
/// How often [`tell_left_out`] looks for lines that were left out and never counted in a later line.
const SUMMARY_EVERY: Duration = Duration::from_secs(10);

/// The kinds of lines that a stranger can cause: the labels of the metric. An event that is accepted, and a verified one that
/// no rule wants, is no such line.
static THROTTLES: [Throttle; 25] = [
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
    Throttle::new("connection"),
    Throttle::steady("evicted"),
    Throttle::steady("body evicted"),
    Throttle::steady("accept"),
    Throttle::steady("store"),
    // All lines that have no kind of their own.
    Throttle::new("turned away"),
];

/// Instants are counted from here: an atomic number is compared without a lock.
static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The allowance of one kind of line: the generic cell rate algorithm over one number.
#[derive(Debug)]
pub struct Throttle {
    /// The label of the metric.
    kind: &'static str,
    /// Lines that are written at once.
    burst: u64,
    /// The time between two lines once the burst is used up.
    every: Duration,
    /// The moment at which the full burst is available again, in nanoseconds since [`BEGUN`].
    owed: AtomicU64,
    /// Lines left out since the last line that was written.
    left_out: AtomicU64,
    /// Lines left out in all.
    total: AtomicU64,
}

impl Throttle {
    /// A throttle with its full burst.
    pub const fn new(kind: &'static str) -> Self {
        Self::of(kind, BURST, EVERY)
    }

    /// A throttle for what says the same each time: one line a second.
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

    /// Whether to write a line now: if so, the number of lines left out since the last one.
    pub fn allow(&self) -> Option<u64> {
        self.allow_at(since_begun(Instant::now()))
    }

    /// As [`Self::allow`], at a moment in nanoseconds.
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

    /// The number of lines left out, if the flood is over at `now` and no later line has told it.
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

/// Whether to write a line of this kind now: if so, the number of lines left out since the last one.
pub fn allow(kind: &str) -> Option<u64> {
    of(kind).allow()
}

/// The throttle of a kind.
fn of(kind: &str) -> &'static Throttle {
    let [.., other] = &THROTTLES;
    let known = THROTTLES.iter().find(|throttle| throttle.kind == kind);
    known.unwrap_or(other)
}

/// The lines of each kind that were left out since the start, of kinds of which there are any.
pub fn left_out() -> impl Iterator<Item = (&'static str, u64)> {
    let counted = THROTTLES
        .iter()
        .map(|throttle| (throttle.kind, throttle.total.load(Ordering::Relaxed)));
    counted.filter(|(_, total)| *total > 0)
}

/// A field that is left out of a line if no line was left out before it.
pub fn some(left_out: u64) -> Option<u64> {
    (left_out > 0).then_some(left_out)
}

/// Until `stop`, tells of lines that were left out and followed by no other of their kind.
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
        // Quiet again: the rest is told without a further line, once.
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
