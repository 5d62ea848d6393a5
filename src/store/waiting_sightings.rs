//! Sightings that wait to be written: those of requests that no rule wanted.

use parking_lot::{Mutex, MutexGuard};

use crate::store::Sighting;

/// Maximum sightings that wait to be written, about 300 bytes each. Later ones are dropped and
/// counted.
const WAITING: usize = 16_384;

/// Waiting sightings after which the writer is woken. Until then they are written with the next
/// transaction, at the latest by the next sweep.
const WOKEN_FOR: usize = 256;

/// A bounded queue of sightings.
#[derive(Debug, Default)]
pub(super) struct WaitingSightings {
    waiting: Mutex<Waiting>,
}

/// The state behind the lock.
#[derive(Debug, Default)]
struct Waiting {
    sightings: Vec<Sighting>,
    dropped: u64,
}

impl WaitingSightings {
    /// Queues a sighting, or drops it if the queue is full. Returns true if the writer must be
    /// woken.
    pub fn add(&self, sighting: Sighting) -> bool {
        let mut waiting = self.waiting();
        if waiting.sightings.len() >= WAITING {
            waiting.dropped += 1;
            return false;
        }
        waiting.sightings.push(sighting);
        waiting.sightings.len().is_multiple_of(WOKEN_FOR)
    }

    /// Takes all waiting sightings, in the order of arrival.
    pub fn take(&self) -> Vec<Sighting> {
        let Waiting { sightings, dropped } = std::mem::take(&mut *self.waiting());
        if dropped > 0 {
            tracing::warn!(
                dropped,
                limit = WAITING,
                "too many ignored events waited for the store: a replay of those that were dropped, with other headers, \
                 would not be recognised"
            );
        }
        sightings
    }

    /// Puts sightings that could not be written back in front of the queue.
    pub fn put_back(&self, mut sightings: Vec<Sighting>) {
        let mut waiting = self.waiting();
        sightings.append(&mut waiting.sightings);
        waiting.dropped += sightings.len().saturating_sub(WAITING) as u64;
        sightings.truncate(WAITING);
        waiting.sightings = sightings;
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }
}
