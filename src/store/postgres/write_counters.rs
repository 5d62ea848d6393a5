//! Numbers of transactions of a worker, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::store::Health;

/// Counts of a worker's writes since the store was opened.
#[derive(Debug, Default)]
pub(super) struct WriteCounters {
    commits: AtomicU64,
    calls: AtomicU64,
    micros: AtomicU64,
}

impl WriteCounters {
    /// Counts a transaction that carried out `calls` and took `time`.
    pub fn add(&self, calls: usize, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.calls.fetch_add(calls as u64, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Adds the numbers to those of a store.
    pub fn add_to(&self, health: &mut Health) {
        health.commits += self.commits.load(Ordering::Relaxed);
        health.calls += self.calls.load(Ordering::Relaxed);
        health.commit_time += Duration::from_micros(self.micros.load(Ordering::Relaxed));
    }
}
