//! Which deliveries are under way, so that one of them can be stopped for the sake of another.
//!
//! A delivery is stopped by its id, also a moment before its attempt begins: then it begins stopped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::store::DeliveryId;

/// The deliveries that are under way.
#[derive(Debug, Default)]
pub struct Running {
    tokens: Mutex<HashMap<DeliveryId, CancellationToken>>,
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
        let before = self.tokens().insert(delivery, stop.clone());
        if before.is_some_and(|before| before.is_cancelled()) {
            stop.cancel();
        }
        Attempting {
            running: Arc::clone(self),
            delivery,
            abort: abort.clone(),
            stop,
        }
    }

    /// Stops a delivery that is leased, whether its attempt has begun or is about to.
    pub fn stop(&self, delivery: DeliveryId) {
        self.tokens().entry(delivery).or_default().cancel();
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<DeliveryId, CancellationToken>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempting {
    /// Whether it is stopped because another takes its place.
    pub fn is_replaced(&self) -> bool {
        self.stop.is_cancelled() && !self.abort.is_cancelled()
    }
}

impl Drop for Attempting {
    fn drop(&mut self) {
        self.running.tokens().remove(&self.delivery);
    }
}
