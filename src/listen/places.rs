//! Room for so many connections. Where there is none left, the one that has done nothing for longest makes room.
//!
//! Without that, whoever opens as many connections as there are places, and says nothing on them or a byte now and then,
//! would keep everybody else out until the request timeout, again and again. A connection is at work from the last byte
//! of a request to its answer, and is then never ended for another's sake.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long is waited before it is looked again who could make room, or has.
const PATIENCE: Duration = Duration::from_millis(10);

/// All places.
#[derive(Debug)]
pub struct Places {
    room: Arc<Semaphore>,
    /// Counts what happens, so that it can be told what happened longest ago.
    tick: Arc<AtomicU64>,
    taken: Arc<Mutex<HashMap<u64, Arc<Place>>>>,
}

/// The place of one connection.
#[derive(Debug, Default)]
pub struct Place {
    /// When it was last at work, else when it came.
    since: AtomicU64,
    /// How many of its requests are being worked on.
    at_work: AtomicUsize,
    /// Whether it is to be given up.
    wanted: CancellationToken,
    tick: Arc<AtomicU64>,
}

impl Places {
    /// So many, none of them taken.
    pub fn new(count: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(count)),
            tick: Arc::default(),
            taken: Arc::default(),
        }
    }

    /// A place, and whether another has to be given up for it; waits where everybody is at work.
    pub async fn take(&self) -> Option<(Taken, bool)> {
        let free = Arc::clone(&self.room).try_acquire_owned().ok();
        let mut crowded = false;
        let permit = match free {
            Some(permit) => permit,
            None => loop {
                crowded |= self.want_one();
                let freed = Arc::clone(&self.room).acquire_owned();
                // Whoever was asked may have begun to work, or nobody could be.
                if let Ok(permit) = timeout(PATIENCE, freed).await {
                    break permit.ok()?;
                }
            },
        };
        let number = self.tick.fetch_add(1, Ordering::Relaxed);
        let place = Arc::new(Place {
            since: AtomicU64::new(number),
            tick: Arc::clone(&self.tick),
            ..Place::default()
        });
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(number, Arc::clone(&place));
        drop(taken);
        let taken = Taken {
            place,
            number,
            all: Arc::clone(&self.taken),
            _permit: permit,
        };
        Some((taken, crowded))
    }

    /// Asks for the place of the connection that has done nothing for longest; false if all are at work.
    pub fn want_one(&self) -> bool {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let resting = taken.values().filter(|place| place.is_resting());
        let longest = resting.min_by_key(|place| place.since.load(Ordering::Relaxed));
        longest.inspect(|place| place.wanted.cancel()).is_some()
    }
}

impl Place {
    /// From now until what is returned is dropped it is at work.
    pub fn work(self: &Arc<Self>) -> Working {
        self.at_work.fetch_add(1, Ordering::Relaxed);
        Working(Arc::clone(self))
    }

    /// Returns when it is to be given up.
    pub async fn wanted(&self) {
        self.wanted.cancelled().await;
        // It may have begun to work when it was already asked for.
        while self.at_work.load(Ordering::Relaxed) > 0 {
            while self.at_work.load(Ordering::Relaxed) > 0 {
                sleep(PATIENCE).await;
            }
            // For its answer to leave.
            sleep(PATIENCE).await;
        }
    }

    /// Whether it does nothing, and is not asked for yet.
    fn is_resting(&self) -> bool {
        self.at_work.load(Ordering::Relaxed) == 0 && !self.wanted.is_cancelled()
    }
}

/// A place that is given back when this is dropped.
#[derive(Debug)]
pub struct Taken {
    pub place: Arc<Place>,
    number: u64,
    all: Arc<Mutex<HashMap<u64, Arc<Place>>>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&self.number);
    }
}

/// A request that is being worked on.
#[derive(Debug)]
pub struct Working(Arc<Place>);

impl Drop for Working {
    fn drop(&mut self) {
        let now = self.0.tick.fetch_add(1, Ordering::Relaxed);
        self.0.since.store(now, Ordering::Relaxed);
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_rested_longest_makes_room_and_who_works_does_not() {
        let places = Places::new(3);
        let (first, _) = places.take().await.unwrap();
        let (second, _) = places.take().await.unwrap();
        let (third, crowded) = places.take().await.unwrap();
        assert!(!crowded);
        let work = first.place.work();
        // The second has rested longest, and then the third.
        assert!(places.want_one());
        assert!(second.place.wanted.is_cancelled() && !third.place.wanted.is_cancelled());
        drop(work);
        assert!(places.want_one());
        assert!(third.place.wanted.is_cancelled() && !first.place.wanted.is_cancelled());
        let _work = first.place.work();
        assert!(!places.want_one());
        let leaving = async {
            second.place.wanted().await;
            drop(second);
        };
        let (taken, ()) = tokio::join!(places.take(), leaving);
        assert_eq!(places.taken.lock().unwrap().len(), 3);
        drop((taken, third, first));
        assert!(places.taken.lock().unwrap().is_empty());
    }
}
