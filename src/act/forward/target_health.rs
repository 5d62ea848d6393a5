//! Health of targets while the daemon runs: turns by rate, and circuits of targets that keep
//! failing.
//!
//! A target is scheme, host and port. A request that fails by one route (another proxy, another
//! certificate) may succeed by another, so each target and route has its own circuit. The number of
//! targets is bounded. The least recently used one is evicted, which at worst means one call too
//! early.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::act::forward::circuit::{Circuit, CircuitChange, Permit, RequestEnd};
use crate::act::forward::pacer::{Pacer, Rate};

/// Maximum remembered targets. The least recently used one is evicted.
const MAX_TARGETS: usize = 1024;

/// Target, with the digest of a route to it.
type RouteKey = (String, [u8; 32]);

/// Circuits and turns of all targets.
#[derive(Debug, Default)]
pub struct TargetHealth {
    circuits: Mutex<LruMap<RouteKey, Circuit>>,
    pacers: Mutex<LruMap<String, Pacer>>,
    /// Nodes that share each rate. 0 means one.
    nodes: AtomicU32,
}

/// State of a target, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetState {
    /// Scheme, host and port.
    pub target: String,
    /// `closed`, `open` or `half-open`.
    pub circuit: &'static str,
    /// Failures in a row while the circuit is closed.
    pub failures: u32,
    /// Time since the last change of the circuit.
    pub changed: Option<Duration>,
    /// Time until the next probe, if the circuit is open.
    pub next_try: Option<Duration>,
    /// Deliveries that wait for their turn.
    pub paced: u64,
}

/// Permit for a request. If it is dropped without an end, it says nothing about its target.
#[derive(Debug)]
pub struct RequestPermit<'t> {
    targets: &'t TargetHealth,
    key: RouteKey,
    permit: Permit,
    end: RequestEnd,
}

impl TargetHealth {
    /// Admits a request. The error is the time until the caller may ask again.
    pub fn admit(&self, target: &str, route: [u8; 32]) -> Result<RequestPermit<'_>, Duration> {
        let key = (target.to_owned(), route);
        let now = Instant::now();
        let mut circuits = self.circuits.lock();
        let permit = circuits.entry(&key, now).admit(now)?;
        Ok(RequestPermit {
            targets: self,
            key,
            permit,
            end: RequestEnd::Unknown,
        })
    }

    /// Divides all rates by the number of nodes that make requests.
    pub fn share_rates(&self, nodes: u32) {
        self.nodes.store(nodes, Ordering::Relaxed);
    }

    /// Takes a delivery's turn, as [`Pacer::take_turn`] does.
    pub fn turn(&self, target: &str, delivery: &str, rate: Rate) -> Result<Duration, Duration> {
        let now = Instant::now();
        let nodes = self.nodes.load(Ordering::Relaxed);
        self.pacers
            .lock()
            .entry(&target.to_owned(), now)
            .take_turn(delivery, rate.shared_by(nodes), now)
    }

    /// Lists the targets that have failed or for whose turn deliveries wait. A target with several
    /// routes has an entry for each circuit.
    pub fn states(&self) -> Vec<TargetState> {
        let now = Instant::now();
        let mut paced: HashMap<String, u64> = HashMap::new();
        for (target, (_, pacer)) in &self.pacers.lock().entries {
            paced.insert(target.clone(), pacer.waiting(now) as u64);
        }
        let circuits = self.circuits.lock();
        let failing = circuits.entries.iter().map(|((target, _), (_, circuit))| {
            let view = circuit.view(now);
            TargetState {
                target: target.clone(),
                circuit: view.name,
                failures: view.failures,
                changed: view.changed,
                next_try: view.next_try,
                paced: paced.remove(target).unwrap_or_default(),
            }
        });
        let mut states: Vec<TargetState> = failing.collect();
        drop(circuits);
        let waited_for = paced.into_iter().filter(|(_, paced)| *paced > 0);
        states.extend(waited_for.map(|(target, paced)| TargetState {
            target,
            circuit: "closed",
            failures: 0,
            changed: None,
            next_try: None,
            paced,
        }));
        states
    }

    /// Releases the turns of a delivery that will not come back, at all targets.
    pub fn forget(&self, delivery: &str) {
        for (_, pacers) in self.pacers.lock().entries.values_mut() {
            pacers.release(delivery);
        }
    }
}

impl RequestPermit<'_> {
    /// Reports how the request ended.
    pub fn end(mut self, end: RequestEnd) {
        self.end = end;
    }
}

impl Drop for RequestPermit<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut circuits = self.targets.circuits.lock();
        let circuit = circuits.entry(&self.key, now);
        let change = circuit.end(self.permit, self.end, now);
        if circuit.is_healthy() {
            circuits.remove(&self.key);
        }
        let to = &self.key.0;
        match change {
            Some(CircuitChange::Opened) => {
                warn!(to, "circuit open: its deliveries wait, their attempts are kept");
            }
            Some(CircuitChange::Closed) => info!(to, "circuit closed"),
            None => {}
        }
    }
}

/// Map that evicts the least recently used entry.
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
    /// Returns the value of `key`, and marks it as used now.
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
    fn the_least_recently_used_entry_is_evicted() {
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
    fn a_circuit_opens_only_for_the_route_that_fails() {
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
        // A healthy target is not remembered.
        assert_eq!(targets.circuits.lock().entries.len(), 1);
    }

    #[test]
    fn a_dropped_request_says_nothing_about_its_target() {
        let targets = TargetHealth::default();
        for _ in 0..2 * FAILURES {
            drop(targets.admit("http://a", [0; 32]).unwrap());
        }
        assert!(targets.admit("http://a", [0; 32]).is_ok());
    }
}
