//! Refusals on their way to disk, in a short queue of their own. A flood of refusals therefore
//! never delays verified events.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};

use crate::store::RefusedRequest;

/// Maximum refusals that wait to be written. Later ones are dropped and counted.
const WAITING: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Refusals {
    waiting: Mutex<PendingRefusals>,
}

/// The state behind the lock.
#[derive(Debug, Default)]
struct PendingRefusals {
    refusals: VecDeque<RefusedRequest>,
    dropped: u64,
}

impl Refusals {
    /// Queues a refusal, or drops it if the queue is full. Returns true for the first one in the
    /// queue, after which the writer must be woken.
    pub fn add(&self, refused: RefusedRequest) -> bool {
        let mut waiting = self.waiting();
        if waiting.refusals.len() >= WAITING {
            waiting.dropped += 1;
            return false;
        }
        waiting.refusals.push_back(refused.bounded());
        waiting.refusals.len() == 1
    }

    /// Takes all waiting refusals.
    pub fn take(&self) -> Vec<RefusedRequest> {
        self.waiting().refusals.drain(..).collect()
    }

    /// Counts refusals that could not be written as dropped.
    pub fn drop_also(&self, refusals: usize) {
        self.waiting().dropped += refusals as u64;
    }

    /// Number of refusals dropped since the store was opened.
    pub fn dropped(&self) -> u64 {
        self.waiting().dropped
    }

    fn waiting(&self) -> MutexGuard<'_, PendingRefusals> {
        self.waiting.lock()
    }
}
