//! Begin marks of long attempts: after a crash, the next start knows which attempts were running.
//!
//! An attempt that ends within [`MARKED_AFTER`] is never marked and costs nothing. The others share
//! one write per [`MARKED_EVERY`].

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::pipeline::Dispatcher;
use crate::pipeline::dispatch::STORE_PAUSE;
use crate::pipeline::running::Attempting;
use crate::report;
use crate::store::Lease;

/// Minimum age of an attempt before it is marked as begun, in milliseconds.
const MARKED_AFTER: i64 = 50;
/// Interval of the writes while any attempt is running.
const MARKED_EVERY: Duration = Duration::from_millis(100);

impl Dispatcher {
    /// True if the attempt may begin. An attempt that may have crashed the last daemon must be
    /// marked first. If that write fails, the delivery is released.
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
        false
    }

    /// Marks begun attempts for as long as the future is polled.
    pub(super) async fn mark_begun(self: Arc<Self>) {
        loop {
            self.running.next_begins().await;
            while !self.running.is_empty() {
                tokio::time::sleep(MARKED_EVERY).await;
                let leased_by = Timestamp::from_millis(self.clock.now().as_millis() - MARKED_AFTER);
                // If the store cannot write, the settlement reports the error.
                if self.store.mark_begun(leased_by).await.is_err() {
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }
}
