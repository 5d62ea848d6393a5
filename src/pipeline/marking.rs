//! Attempts that last are written down as begun, so that a daemon that dies during one knows of it at its next start.
//!
//! An attempt that ends within [`MARKED_AFTER`] is never written down so, and costs nothing. The others share a write
//! every [`MARKED_EVERY`].

use std::sync::Arc;
use std::time::Duration;

use super::Dispatch;
use super::dispatch::STORE_PAUSE;
use super::running::Attempting;
use crate::clock::Timestamp;
use crate::report;
use crate::store::Lease;

/// How long an attempt runs before it is written down as begun, at least; in milliseconds.
const MARKED_AFTER: i64 = 50;
/// Interval at which such attempts are written down while any attempt is under way.
const MARKED_EVERY: Duration = Duration::from_millis(100);

impl Dispatch {
    /// Whether the attempt may begin. What may have ended the last daemon must not begin unseen: where it cannot be written
    /// down, the delivery waits again.
    pub(super) async fn is_begun(&self, lease: &Lease, attempting: &Attempting) -> bool {
        if !lease.begins_by_itself() {
            return true;
        }
        let Err(error) = self.store.begin(lease.delivery).await else {
            return true;
        };
        report::store_failed("begin", &error.to_string());
        tokio::select! {
            () = tokio::time::sleep(STORE_PAUSE) => {}
            () = attempting.stop.cancelled() => {}
        }
        if let Err(error) = self.store.release(lease.delivery).await {
            report::store_failed("release", &error.to_string());
        }
        self.wake.notify_one();
        false
    }

    /// Writes down which attempts have begun, as long as it is polled.
    pub(super) async fn mark_begun(self: Arc<Self>) {
        loop {
            self.running.next_begins().await;
            while !self.running.is_empty() {
                tokio::time::sleep(MARKED_EVERY).await;
                let leased_by = Timestamp::from_millis(self.clock.now().as_millis() - MARKED_AFTER);
                // Where the store cannot write, the settlement will say so.
                if self.store.mark_begun(leased_by).await.is_err() {
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }
}
