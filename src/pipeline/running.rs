//! Deliveries in progress, so that one can be stopped when another supersedes it.
//!
//! A delivery is stopped by its id. If its attempt has not begun yet, it begins stopped.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::store::DeliveryId;

/// Maximum remembered deliveries that were stopped before they began. A lease begins within
/// microseconds. A delivery stopped after its end is evicted when as many have followed it.
const EARLY: usize = 256;

/// Deliveries in progress.
#[derive(Debug, Default)]
pub struct Running {
    known: Mutex<Known>,
    /// Notified when an attempt begins.
    begins: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// Stop tokens of begun attempts.
    begun: HashMap<DeliveryId, CancellationToken>,
    /// Deliveries that were stopped before they began.
    early: VecDeque<DeliveryId>,
}

/// An attempt in progress, ended on drop.
#[derive(Debug)]
pub struct Attempting {
    running: Arc<Running>,
    delivery: DeliveryId,
    /// Cancelled when the daemon stops.
    abort: CancellationToken,
    /// Cancelled when this attempt is to stop, alone or with all others.
    pub stop: CancellationToken,
}

impl Running {
    /// Registers the attempt at a delivery. `abort` stops it along with all others.
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

    /// True if no attempt is in progress.
    pub fn is_empty(&self) -> bool {
        self.known().begun.is_empty()
    }

    /// Stops a leased delivery, whether its attempt has begun or is about to.
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
        self.known.lock()
    }
}

impl Attempting {
    /// True if the attempt is stopped because the daemon stops.
    pub fn is_daemon_stopping(&self) -> bool {
        self.abort.is_cancelled()
    }

    /// True if the attempt is stopped because another delivery supersedes it.
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
        // The stop was for one attempt.
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
