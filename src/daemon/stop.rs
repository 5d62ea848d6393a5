//! Stopping: one grace for all that is under way, and a second signal that ends it at once.
//!
//! Accept no more → answer what is in flight, write down what is taken → lease no more → wait for running actions, all
//! within `stop_grace`. Shortly before it is over, senders that wait for an outcome are answered that it is pending.
//! What runs then is stopped, its deliveries stay queued, and [`ABORT_GRACE`] bounds the rest.
//!
//! A second signal leaves [`HURRY`] for answers and for what is being written; then everything is dropped, and commands
//! are killed with it, each with its process group. Their deliveries are owed after the next start.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::daemon::signals::Signals;

/// How long stopped actions get to end after the grace. Their own `grace`, 10 s by default, runs from TERM to KILL.
/// Together with `stop_grace` and what closing the store takes, it must stay below the unit's `TimeoutStopSec=`.
const ABORT_GRACE: Duration = Duration::from_secs(12);
/// How long before the end those who wait are answered, and how long answers may take once the daemon is in a hurry.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long anything may take after a second signal.
const HURRY: Duration = Duration::from_secs(2);

/// What can be asked to end, each by its token.
#[derive(Debug, Default)]
pub struct Stopping {
    /// Taking requests.
    pub accepting: CancellationToken,
    /// Waiting for outcomes on behalf of senders.
    pub waiting: CancellationToken,
    /// Connections, whatever is under way on them.
    pub answering: CancellationToken,
    /// Events that are being written down, also where their senders have hung up: waited for, never ended.
    pub writing: TaskTracker,
    /// Taking deliveries from the queue.
    pub leasing: CancellationToken,
    /// Running actions.
    pub running: CancellationToken,
}

impl Stopping {
    /// Ends answering and dispatching: in order within `grace`, at once on a second signal, and without a last word on
    /// a third.
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
        let retry_now = async {
            let last_words = async {
                drop(timeout(LAST_WORDS, join_all(answering)).await);
                self.answering.cancel();
                join_all(answering).await;
                self.written().await;
            };
            tokio::join!(last_words, join_all(dispatching));
        };
        tokio::select! {
            // What is left then is dropped with the runtime, which kills it.
            _ = timeout(limit, retry_now) => {}
            () = signals.stop() => warn!("another signal came: nothing is waited for any more"),
        }
    }

    /// Lets everything come to its end; false if it does not by `end`. Who waits is answered `margin` before.
    async fn in_order(
        &self,
        answering: &mut JoinSet<()>,
        dispatching: &mut JoinSet<()>,
        end: Instant,
        margin: Duration,
    ) -> bool {
        self.accepting.cancel();
        let last_call = end.checked_sub(margin).unwrap_or(end);
        // Leasing goes on: what a sender waits for may still be in the queue.
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

    /// Waits until every event that was taken is written down.
    async fn written(&self) {
        self.writing.close();
        self.writing.wait().await;
    }
}

/// Waits for every task of a set.
async fn join_all(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands after `key` in a file, up to the next blank.
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
