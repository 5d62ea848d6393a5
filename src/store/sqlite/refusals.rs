//! Refusals on their way to the disk: a short queue of their own, so that strangers never stand in the way of what
//! is verified.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::RefusedRequest;

/// How many refusals wait at most.
const WAITING: usize = 256;

/// The refusals that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    waiting: Mutex<PendingRefusals>,
}

/// What is behind the lock.
#[derive(Debug, Default)]
struct PendingRefusals {
    refusals: VecDeque<RefusedRequest>,
    dropped: u64,
}

impl Refusals {
    /// Lets one wait, or drops it when there is no room; whether it is the first, so that the writer must be woken.
    pub fn add(&self, refused: RefusedRequest) -> bool {
        let mut waiting = self.waiting();
        if waiting.refusals.len() >= WAITING {
            waiting.dropped += 1;
            return false;
        }
        waiting.refusals.push_back(refused.bounded());
        waiting.refusals.len() == 1
    }

    /// All that wait.
    pub fn take(&self) -> Vec<RefusedRequest> {
        self.waiting().refusals.drain(..).collect()
    }

    /// So many could not be written.
    pub fn drop_also(&self, refusals: usize) {
        self.waiting().dropped += refusals as u64;
    }

    /// How many have been dropped.
    pub fn dropped(&self) -> u64 {
        self.waiting().dropped
    }

    fn waiting(&self) -> MutexGuard<'_, PendingRefusals> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
