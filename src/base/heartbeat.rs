//! Heartbeats: each vital part of the daemon gives them, and the watchdog measures the time since
//! the last.
//!
//! A part that waits keeps beating ([`Heartbeat::beating`]). Idle parts are alive; only a part that
//! hangs or has ended is silent.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

/// Interval between the heartbeats of a waiting part.
const INTERVAL: Duration = Duration::from_secs(1);

/// The heartbeat of one part.
#[derive(Debug)]
pub struct Heartbeat {
    part: String,
    last: Mutex<Instant>,
}

impl Heartbeat {
    /// Returns the heartbeat of a part, with the first beat now.
    pub fn of(part: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            part: part.into(),
            last: Mutex::new(Instant::now()),
        })
    }

    /// Name of the part, for people.
    pub fn part(&self) -> &str {
        &self.part
    }

    pub fn beat(&self) {
        *self.last.lock() = Instant::now();
    }

    /// Waits for a future, and beats while waiting.
    pub async fn beating<T>(&self, waiting: impl Future<Output = T>) -> T {
        let mut waiting = pin!(waiting);
        loop {
            self.beat();
            if let Ok(done) = timeout(INTERVAL, &mut waiting).await {
                return done;
            }
        }
    }

    /// Time from the last beat to `now`.
    pub fn silent_for(&self, now: Instant) -> Duration {
        let last = *self.last.lock();
        now.saturating_duration_since(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_without_beats_is_silent_and_a_waiting_part_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let started_at = Instant::now();
            let (quiet, waiting) = (Heartbeat::of("quiet"), Heartbeat::of("waiting"));
            let wait = tokio::time::sleep(INTERVAL * 2 + INTERVAL / 2);
            waiting.beating(wait).await;
            let now = Instant::now();
            assert!(quiet.silent_for(now) >= INTERVAL * 2);
            assert!(waiting.silent_for(now) + INTERVAL < now - started_at);
            quiet.beat();
            assert_eq!(
                quiet.silent_for(now),
                Duration::ZERO,
                "a sign after the moment that is asked about"
            );
        });
    }
}
