//! What is remembered of targets while the daemon runs: whose turn is when, and who keeps failing.
//!
//! A target is scheme, host and port. What fails by one route (another proxy, another certificate) may work by another,
//! so the circuit is that of a target by its route. Bounded: of too many targets the one that was called longest ago is
//! forgotten, which does no more than call it once too early.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::act::forward::circuit::{Circuit, CircuitChange, Permit, RequestEnd};
use crate::act::forward::rate::{Pacer, Rate};

/// How many targets are remembered.
const MAX_TARGETS: usize = 1024;

/// A target by one route.
type Way = (String, [u8; 32]);

/// What is remembered.
#[derive(Debug, Default)]
pub struct TargetHealth {
    circuits: Mutex<LruMap<Way, Circuit>>,
    turns: Mutex<LruMap<String, Pacer>>,
}

/// A request that was let go. Dropped without a word it tells nothing of its target.
#[derive(Debug)]
pub struct RequestPermit<'t> {
    targets: &'t TargetHealth,
    way: Way,
    pass: Permit,
    end: RequestEnd,
}

impl TargetHealth {
    /// Lets a request go, or says after how long to ask again.
    pub fn admit(&self, target: &str, route: [u8; 32]) -> Result<RequestPermit<'_>, Duration> {
        let way = (target.to_owned(), route);
        let now = Instant::now();
        let mut circuits = lock(&self.circuits);
        let pass = circuits.entry(&way, now).admit(now)?;
        Ok(RequestPermit {
            targets: self,
            way,
            pass,
            end: RequestEnd::Unknown,
        })
    }

    /// When it is a delivery's turn, as [`Pacer::take`] says.
    pub fn turn(&self, target: &str, delivery: &str, rate: Rate) -> Result<Duration, Duration> {
        let now = Instant::now();
        lock(&self.turns)
            .entry(&target.to_owned(), now)
            .take(delivery, rate, now)
    }
}

impl TargetHealth {
    /// A delivery will not come back for its turn, wherever it has one.
    pub fn forget(&self, delivery: &str) {
        for (_, turns) in lock(&self.turns).entries.values_mut() {
            turns.give_back(delivery);
        }
    }
}

impl RequestPermit<'_> {
    /// Says how the request ended.
    pub fn end(mut self, end: RequestEnd) {
        self.end = end;
    }
}

impl Drop for RequestPermit<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut circuits = lock(&self.targets.circuits);
        let circuit = circuits.entry(&self.way, now);
        let change = circuit.end(self.pass, self.end, now);
        if circuit.is_untroubled() {
            circuits.remove(&self.way);
        }
        let to = &self.way.0;
        match change {
            Some(CircuitChange::Opened) => {
                warn!(to, "circuit open: its deliveries wait, their attempts are kept")
            }
            Some(CircuitChange::Closed) => info!(to, "circuit closed"),
            None => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A map that forgets what was used longest ago.
#[derive(Debug)]
struct LruMap<K, V> {
    entries: HashMap<K, (Instant, V)>,
}

impl<K, V> Default for LruMap<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash, V: Default> LruMap<K, V> {
    /// What is remembered under `key`, as of now.
    fn entry(&mut self, key: &K, now: Instant) -> &mut V {
        if self.entries.len() >= MAX_TARGETS && !self.entries.contains_key(key) {
            let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.entries.remove(&oldest);
            }
        }
        let entry = self.entries.entry(key.clone());
        let (used, value) = entry.or_insert_with(|| (now, V::default()));
        *used = now;
        value
    }

    fn remove(&mut self, key: &K) {
        self.entries.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::forward::circuit::FAILURES;

    #[test]
    fn what_was_used_longest_ago_is_forgotten_first() {
        let mut bounded = LruMap::<usize, usize>::default();
        let start = Instant::now();
        let at = |millis: usize| start + Duration::from_millis(u64::try_from(millis).unwrap());
        for key in 0..MAX_TARGETS {
            *bounded.entry(&key, at(key)) = key + 1;
        }
        assert_eq!(*bounded.entry(&0, at(MAX_TARGETS)), 1);
        bounded.entry(&MAX_TARGETS, at(MAX_TARGETS + 1));
        assert_eq!(bounded.entries.len(), MAX_TARGETS);
        assert!(bounded.entries.contains_key(&0) && !bounded.entries.contains_key(&1));
    }

    #[test]
    fn a_target_is_left_alone_by_the_route_that_fails_only() {
        let targets = TargetHealth::default();
        for _ in 0..FAILURES {
            targets
                .admit("http://a", [0; 32])
                .unwrap()
                .end(RequestEnd::Failed);
        }
        assert!(targets.admit("http://a", [0; 32]).is_err());
        assert!(targets.admit("http://a", [1; 32]).is_ok());
        assert!(targets.admit("http://b", [0; 32]).is_ok());
        // What is well is not remembered.
        assert_eq!(lock(&targets.circuits).entries.len(), 1);
    }

    #[test]
    fn a_request_that_is_dropped_tells_nothing() {
        let targets = TargetHealth::default();
        for _ in 0..2 * FAILURES {
            drop(targets.admit("http://a", [0; 32]).unwrap());
        }
        assert!(targets.admit("http://a", [0; 32]).is_ok());
    }
}
