//! Which deliveries are under way, so that one of them can be stopped for the sake of another.
//!
//! A delivery is stopped by its id, also a moment before its attempt begins: then it begins stopped.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::store::DeliveryId;

/// How many are remembered that were to stop before they had begun. Between a lease and its beginning there are a few
/// microseconds; what was stopped after its end is forgotten when as many have come after it.
const EARLY: usize = 256;

/// The deliveries that are under way.
#[derive(Debug, Default)]
pub struct Running {
    known: Mutex<Known>,
    /// Rung when an attempt begins.
    begins: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// What stops those that have begun.
    begun: HashMap<DeliveryId, CancellationToken>,
    /// Those that were to stop and had not begun.
    early: VecDeque<DeliveryId>,
}

/// An attempt under way; dropped when it is over.
#[derive(Debug)]
pub struct Attempting {
    running: Arc<Running>,
    delivery: DeliveryId,
    /// Everything stops.
    abort: CancellationToken,
    /// It is to stop, alone or with everything.
    pub stop: CancellationToken,
}

impl Running {
    /// An attempt at a delivery begins; `abort` stops it along with all others.
    pub fn begin(self: &Arc<Self>, delivery: DeliveryId, abort: &CancellationToken) -> Attempting {
        let stop = abort.child_token();
        let mut known = self.known();
        if let Some(at) = known.early.iter().position(|early| *early == delivery) {
            known.early.remove(at);
            stop.cancel();
        }
        known.begun.insert(delivery, stop.clone());
        self.begins.notify_one();
        Attempting {
            running: Arc::clone(self),
            delivery,
            abort: abort.clone(),
            stop,
        }
    }

    /// Waits until an attempt begins, or has begun since the last call.
    pub async fn next_begins(&self) {
        self.begins.notified().await;
    }

    /// Whether no attempt is under way.
    pub fn is_empty(&self) -> bool {
        self.known().begun.is_empty()
    }

    /// Stops a delivery that is leased, whether its attempt has begun or is about to.
    pub fn stop(&self, delivery: DeliveryId) {
        let mut known = self.known();
        if let Some(token) = known.begun.get(&delivery) {
            token.cancel();
            return;
        }
        if known.early.len() == EARLY {
            known.early.pop_front();
        }
        known.early.push_back(delivery);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempting {
    /// Whether it is stopped because everything stops.
    pub fn is_daemon_stopping(&self) -> bool {
        self.abort.is_cancelled()
    }

    /// Whether it is stopped because another takes its place.
    pub fn is_replaced(&self) -> bool {
        self.stop.is_cancelled() && !self.abort.is_cancelled()
    }
}

impl Drop for Attempting {
    fn drop(&mut self) {
        self.running.known().begun.remove(&self.delivery);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;

    #[test]
    fn one_is_stopped_also_a_moment_before_it_begins_and_the_others_go_on() {
        let running = Arc::new(Running::default());
        let abort = CancellationToken::new();
        let [first, second] = [1, 2].map(|at| DeliveryId::new(Timestamp::from_millis(at)));
        let going = running.begin(first, &abort);
        running.stop(second);
        assert!(running.begin(second, &abort).is_replaced());
        // That was for one attempt.
        let again = running.begin(second, &abort);
        assert!(!going.is_replaced() && !again.is_replaced());
        running.stop(first);
        assert!(going.is_replaced() && !again.is_replaced());
        abort.cancel();
        assert!(again.stop.is_cancelled() && !again.is_replaced());
    }

    #[test]
    fn what_is_stopped_after_its_end_is_forgotten() {
        let running = Arc::new(Running::default());
        for at in 0..1000 {
            let delivery = DeliveryId::new(Timestamp::from_millis(at));
            drop(running.begin(delivery, &CancellationToken::new()));
            running.stop(delivery);
        }
        assert_eq!(running.known().early.len(), EARLY);
        assert!(running.known().begun.is_empty());
    }
}
