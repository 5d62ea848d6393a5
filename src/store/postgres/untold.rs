//! News of this node for the others.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// News of this node for the others.
#[derive(Debug, Default)]
pub(super) struct Untold {
    look: AtomicBool,
    stop: AtomicBool,
    pub wake: Notify,
}

impl Untold {
    /// There is work that this node does not do at once.
    pub fn look(&self) {
        self.look.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Attempts of other nodes are to stop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Takes the words to be told.
    pub fn take(&self) -> Option<&'static str> {
        let look = self.look.swap(false, Ordering::AcqRel);
        match (look, self.stop.swap(false, Ordering::AcqRel)) {
            (true, false) => Some("look"),
            (_, true) => Some("stop"),
            (false, false) => None,
        }
    }
}
