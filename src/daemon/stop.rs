//! Shutdown: one grace period for all running work, and a second signal that ends it at once.
//!
//! Order: accept no more → answer the requests in flight and write their events → lease no more →
//! wait for running actions, all within `stop_grace`. Shortly before its end, senders that wait for
//! an outcome are told that it is pending. Actions that still run are then stopped, and their
//! deliveries stay queued. [`ABORT_GRACE`] bounds the rest.
//!
//! After a second signal, responses and writes have [`HURRY`] to finish. Then everything is
//! dropped, and commands are killed with their process groups. Their deliveries run after the next
//! start.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::daemon::signals::Signals;

/// Maximum time for stopped actions to end after the grace period. Their own `grace`, 10 s by
/// default, runs from TERM to KILL. Together with `stop_grace` and the time to close the store, it
/// must stay below the unit's `TimeoutStopSec=`.
const ABORT_GRACE: Duration = Duration::from_secs(12);
/// Time before the end when waiting senders are answered. Also the maximum time for responses once
/// the daemon is in a ending.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Maximum time for everything after a second signal.
const HURRY: Duration = Duration::from_secs(2);

/// The parts that can be stopped, each by its token.
#[derive(Debug, Default)]
pub struct Stopping {
    /// Accepting requests.
    pub accepting: CancellationToken,
    /// Waiting for outcomes on behalf of senders.
    pub waiting: CancellationToken,
    /// Connections, with everything that runs on them.
    pub answering: CancellationToken,
    /// Events that are being written, even if the sender disconnected. Awaited, never cancelled.
    pub writing: TaskTracker,
    /// Leasing deliveries from the queue.
    pub leasing: CancellationToken,
    pub running: CancellationToken,
}

impl Stopping {
    /// Stops answering and dispatching: in order within `grace`, at once on a second signal, and
    /// without waiting on a third.
    pub async fn stop(
        &self,
        answering: &mut JoinSet<()>,
        dispatching: &mut JoinSet<()>,
        signals: &mut Signals,
        grace: Duration,
    ) {
        let end = Instant::now() + grace;
        let margin = LAST_WORDS.min(grace / 4);
        let ended = tokio::select! {
            in_time = self.in_order(answering, dispatching, end, margin) => in_time.then_some(()).ok_or(("the grace is over", ABORT_GRACE)),
            () = signals.stop() => Err(("a second signal came", HURRY)),
        };
        let Err((why, limit)) = ended else { return };
        warn!(
            why,
            "what is still under way is stopped; its deliveries stay queued"
        );
        self.leasing.cancel();
        self.running.cancel();
        self.waiting.cancel();
        let ending = async {
            let last_words = async {
                drop(timeout(LAST_WORDS, join_all(answering)).await);
                self.answering.cancel();
                join_all(answering).await;
                self.written().await;
            };
            tokio::join!(last_words, join_all(dispatching));
        };
        tokio::select! {
            // What is left is dropped with the runtime, which kills it.
            _ = timeout(limit, ending) => {}
            () = signals.stop() => warn!("another signal came: stopping without waiting"),
        }
    }

    /// Lets all work finish. Returns false if it does not by `end`. Senders that wait for an
    /// outcome are answered `margin` before.
    async fn in_order(
        &self,
        answering: &mut JoinSet<()>,
        dispatching: &mut JoinSet<()>,
        end: Instant,
        margin: Duration,
    ) -> bool {
        self.accepting.cancel();
        let last_call = end.checked_sub(margin).unwrap_or(end);
        // Leasing continues, since a sender may wait for a delivery that is still queued.
        if timeout_at(last_call, join_all(answering)).await.is_err() {
            self.waiting.cancel();
            if timeout_at(end, join_all(answering)).await.is_err() {
                return false;
            }
        }
        if timeout_at(end, self.written()).await.is_err() {
            return false;
        }
        self.leasing.cancel();
        timeout_at(end, join_all(dispatching)).await.is_ok()
    }

    /// Waits until every accepted event is written.
    async fn written(&self) {
        self.writing.close();
        self.writing.wait().await;
    }
}

/// Waits until all tasks of a set have ended.
async fn join_all(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses the duration after `key` in a file, up to the next blank.
    fn value(text: &str, key: &str) -> Duration {
        let (_, rest) = text.split_once(key).unwrap();
        humantime::parse_duration(rest.split_whitespace().next().unwrap()).unwrap()
    }

    #[test]
    fn systemd_waits_longer_than_the_daemon_does() {
        let unit = include_str!("../../systemd/hookyard.service");
        let example = include_str!("../../rules.example.yaml");
        let closing = Duration::from_secs(2);
        let longest = value(example, "  stop_grace: ") + ABORT_GRACE + closing;
        let limit = value(unit, "\nTimeoutStopSec=");
        assert!(limit >= longest, "{limit:?} is less than {longest:?}");
    }
}
