//! Signs of life: each part of the daemon that must go on gives them, and whoever watches counts since when it has not.
//!
//! A part that waits for others beats while it waits ([`Heartbeat::beating`]): idleness is life, and only what hangs or has
//! ended is silent.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// How often a part that waits gives a sign.
const EVERY: Duration = Duration::from_secs(1);

/// The pulse of one part.
#[derive(Debug)]
pub struct Heartbeat {
    part: String,
    last: Mutex<Instant>,
}

impl Heartbeat {
    /// The pulse of a part, which has just begun to live.
    pub fn of(part: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            part: part.into(),
            last: Mutex::new(Instant::now()),
        })
    }

    /// What it is the pulse of, as people call it.
    pub fn part(&self) -> &str {
        &self.part
    }

    /// Gives a sign.
    pub fn beat(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Waits, and gives signs meanwhile.
    pub async fn beating<T>(&self, waiting: impl Future<Output = T>) -> T {
        let mut waiting = pin!(waiting);
        loop {
            self.beat();
            if let Ok(done) = timeout(EVERY, &mut waiting).await {
                return done;
            }
        }
    }

    /// How long before `now` the last sign was.
    pub fn silent_for(&self, now: Instant) -> Duration {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gives_no_sign_is_silent_and_what_waits_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let begun = Instant::now();
            let (quiet, waiting) = (Heartbeat::of("quiet"), Heartbeat::of("waiting"));
            let wait = tokio::time::sleep(EVERY * 2 + EVERY / 2);
            waiting.beating(wait).await;
            let now = Instant::now();
            assert!(quiet.silent_for(now) >= EVERY * 2);
            assert!(waiting.silent_for(now) + EVERY < now - begun);
            quiet.beat();
            assert_eq!(
                quiet.silent_for(now),
                Duration::ZERO,
                "a sign after the moment that is asked about"
            );
        });
    }
}
