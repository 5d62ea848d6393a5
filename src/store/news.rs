//! News of a store for the dispatcher: deliveries may be due that were not due before.
//!
//! A store announces after the write that changed its queue. The dispatcher therefore sees the
//! change with its next lease, and no caller has to wake it.

use std::sync::Arc;

use tokio::sync::Notify;

/// A receiver of announcements. Clones share them: one announcement wakes one waiting caller.
#[derive(Clone, Debug, Default)]
pub struct News(Arc<Notify>);

impl News {
    /// Waits for an announcement. Those made while no caller waited count as one.
    pub async fn look(&self) {
        self.0.notified().await;
    }

    /// Announces that the queue has changed.
    pub fn announce(&self) {
        self.0.notify_one();
    }
}
