//! A memory budget for the bodies of all requests in flight, over HTTP/1 and HTTP/2 together.
//!
//! Bytes are reserved as they arrive and released when the processing of the request ends. If the
//! budget is used up, the client that holds most loses a partial body. If the newcomer's own client
//! holds most, that client loses a partial body that makes no progress, or else the newcomer is
//! refused. A body that arrives in one piece costs two atomic operations. Only partial bodies enter
//! the table. Complete bodies are being processed and are never evicted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::base::throttle;
use crate::report::Metrics;
use crate::server::body_table::BodyTable;
use crate::server::client_key::ClientKey;

/// Step in bytes by which a partial body's reservation grows. Smaller steps would cost a lock for
/// each byte.
const STEP: u64 = 16 << 10;
/// Limits of the budget in bytes, from the rules in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Limit for all bodies: `server.max_inflight`.
    total: u64,
    /// Limit for all bodies while they arrive in pieces. The rest is left to bodies of one piece.
    partial: u64,
    /// Limit for one client, if it has more than one body in flight.
    client: u64,
    /// Limit for the flow control windows above the smallest size.
    windows: u64,
}

impl Bounds {
    /// Derives the limits from `max_inflight` and the `largest` `max_body` of an endpoint, in
    /// bytes.
    pub fn new(max_inflight: u64, largest: u64) -> Self {
        let partial = (max_inflight - max_inflight / 8).max(largest.min(max_inflight));
        Self {
            total: max_inflight,
            partial,
            client: partial - partial / 4,
            windows: max_inflight / 4,
        }
    }
}

/// Reason why a body got no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The body was evicted while it arrived.
    Evicted,
    /// No other body could be evicted.
    Full,
}

/// Memory budget of all bodies in flight.
#[derive(Debug, Default)]
pub struct BodyBudget {
    metrics: Arc<Metrics>,
    in_use: Arc<AtomicU64>,
    windows: AtomicU64,
    table: Mutex<BodyTable>,
}

/// Memory of one body, released on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<BodyBudget>,
    bounds: Bounds,
    client: ClientKey,
    /// Bytes that have arrived.
    arrived: u64,
    /// Bytes that are reserved.
    reserved: u64,
    partial: Option<(u64, CancellationToken)>,
}

/// A flow control window above the smallest size, released on drop.
#[derive(Debug)]
pub struct Window(Arc<BodyBudget>, u64);

impl BodyBudget {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            ..Self::default()
        }
    }

    /// Bytes reserved now, for metrics.
    pub fn in_use(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.in_use)
    }

    /// Returns an empty reservation for a body of `client`.
    pub fn reservation(self: &Arc<Self>, client: ClientKey, bounds: Bounds) -> Reservation {
        Reservation {
            budget: Arc::clone(self),
            bounds,
            client,
            arrived: 0,
            reserved: 0,
            partial: None,
        }
    }

    /// Reserves a window of `bytes`. `None` if windows have used up their part of the budget.
    pub fn window(self: &Arc<Self>, bytes: u64, bounds: Bounds) -> Option<Window> {
        let windows = self.windows.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let window = Window(Arc::clone(self), bytes);
        // Counted as in use, since a peer may fill the window before the daemon reads anything.
        self.in_use.fetch_add(bytes, Ordering::Relaxed);
        (windows <= bounds.windows).then_some(window)
    }

    /// Adds `more` bytes if the sum stays within `bound`.
    fn add(&self, more: u64, bound: u64) -> bool {
        let sum = |in_use: u64| in_use.checked_add(more).filter(|sum| *sum <= bound);
        let added = self
            .in_use
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
        added.is_ok()
    }

    /// Evicts partial bodies until `more` bytes fit within `bound`. The second part of `requester`
    /// is the number of the body that asks, if it is in the table.
    fn evict_until_fits(
        &self,
        table: &mut BodyTable,
        requester: (ClientKey, Option<u64>),
        more: u64,
        bound: u64,
        now: Instant,
    ) -> Result<(), Denied> {
        while !self.add(more, bound) {
            let Some(freed) = table.evict(requester, more, now) else {
                self.metrics.body_shed("refused");
                return Err(Denied::Full);
            };
            self.evicted(freed);
        }
        Ok(())
    }

    /// Records an eviction. The body's task drops its bytes as soon as it wakes up.
    fn evicted(&self, bytes: u64) {
        self.in_use.fetch_sub(bytes, Ordering::Relaxed);
        self.metrics.body_shed("evicted");
        if let Some(left_out) = throttle::allow("body evicted") {
            tracing::warn!(
                bytes,
                left_out,
                "`max_inflight` reached: evicted the partial body of the client that holds most"
            );
        }
    }
}

impl Reservation {
    /// Reserves memory for a piece that is the whole body.
    pub fn whole(&mut self, bytes: usize, now: Instant) -> Result<(), Denied> {
        let bytes = bytes as u64;
        if !self.budget.add(bytes, self.bounds.total) {
            let mut table = self.budget.table.lock();
            let requester = (self.client, None);
            self.budget
                .evict_until_fits(&mut table, requester, bytes, self.bounds.total, now)?;
        }
        (self.arrived, self.reserved) = (bytes, bytes);
        Ok(())
    }

    /// Reserves memory for one more piece of a body of several.
    pub fn grow(&mut self, bytes: usize, now: impl FnOnce() -> Instant) -> Result<(), Denied> {
        self.arrived = self.arrived.saturating_add(bytes as u64);
        let more = self.arrived.saturating_sub(self.reserved);
        if more == 0 {
            return Ok(());
        }
        let (more, now) = (more.next_multiple_of(STEP), now());
        let budget = Arc::clone(&self.budget);
        let mut table = budget.table.lock();
        let (number, _) = self.partial.get_or_insert_with(|| table.insert(self.client, now));
        let number = *number;
        let (client, own, bodies) = table.usage(number).ok_or(Denied::Evicted)?;
        // A client must not use up the budget alone, since complete bodies cannot be evicted.
        if bodies > 1 && own.saturating_add(more) > self.bounds.client {
            let Some(freed) = table.evict_own(client, number, now) else {
                budget.metrics.body_shed("refused");
                return Err(Denied::Full);
            };
            budget.evicted(freed);
        }
        let requester = (client, Some(number));
        budget.evict_until_fits(&mut table, requester, more, self.bounds.partial, now)?;
        table.grow(number, more, now);
        self.reserved += more;
        Ok(())
    }

    /// Marks the body complete, so that it is no longer evicted.
    pub fn complete(&mut self) -> Result<(), Denied> {
        let Some((number, _)) = &self.partial else {
            return Ok(());
        };
        let mut table = self.budget.table.lock();
        table.usage(*number).ok_or(Denied::Evicted)?;
        table.complete(*number);
        Ok(())
    }

    /// Returns a future that ends when the body is evicted. `None` if the body cannot be evicted.
    pub fn evicted(&self) -> Option<WaitForCancellationFutureOwned> {
        let (_, evicted) = self.partial.as_ref()?;
        Some(evicted.clone().cancelled_owned())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Some((number, _)) = &self.partial else {
            self.budget.in_use.fetch_sub(self.reserved, Ordering::Relaxed);
            return;
        };
        // An evicted body has already been given back.
        if let Some(bytes) = self.budget.table.lock().remove(*number) {
            self.budget.in_use.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.0.windows.fetch_sub(self.1, Ordering::Relaxed);
        self.0.in_use.fetch_sub(self.1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::server::body_table::IDLE;

    const KIB: usize = 1 << 10;

    fn client(text: &str) -> ClientKey {
        ClientKey::of(text.parse().unwrap())
    }

    fn bounds(kib: u64) -> Bounds {
        Bounds::new(kib << 10, 16 << 10)
    }

    fn in_use(budget: &BodyBudget) -> u64 {
        budget.in_use.load(Ordering::Relaxed) >> 10
    }

    /// A partial body of 64 KiB.
    fn partial(budget: &Arc<BodyBudget>, client: ClientKey, now: Instant) -> Result<Reservation, Denied> {
        let mut body = budget.reservation(client, bounds(1024));
        body.grow(64 * KIB, || now).map(|()| body)
    }

    fn is_evicted(body: &Reservation) -> bool {
        body.partial
            .as_ref()
            .is_some_and(|(_, evicted)| evicted.is_cancelled())
    }

    #[test]
    fn bytes_are_reserved_as_they_arrive_and_released_with_the_request() {
        let (budget, now) = (Arc::new(BodyBudget::default()), Instant::now());
        let mut body = budget.reservation(client("192.0.2.1"), bounds(1024));
        assert_eq!(in_use(&budget), 0);
        for (arrives, expected) in [(1, 16), (15 * KIB, 16), (2 * KIB, 32), (40 * KIB, 64)] {
            body.grow(arrives, || now).unwrap();
            assert_eq!(in_use(&budget), expected, "{arrives}");
        }
        body.complete().unwrap();
        let mut whole = budget.reservation(ClientKey::Connection(1), bounds(1024));
        whole.whole(5 * KIB, now).unwrap();
        assert_eq!(in_use(&budget), 69);
        drop((body, whole));
        assert_eq!(in_use(&budget), 0);
        let table = budget.table.lock();
        assert!(table.is_empty());
    }

    #[test]
    fn the_client_with_most_bytes_loses_its_oldest_body() {
        let (budget, mut now) = (Arc::new(BodyBudget::default()), Instant::now());
        let mut flood = Vec::new();
        // An IPv6 client is its /64, and may hold three quarters of what partial bodies may.
        for number in 0..10 {
            now += Duration::from_millis(1);
            flood.push(partial(&budget, client(&format!("2001:db8::{number}")), now).unwrap());
        }
        assert_eq!(
            partial(&budget, client("2001:db8::ffff"), now).unwrap_err(),
            Denied::Full
        );
        let mut small: Vec<_> = (0..4)
            .map(|number| partial(&budget, client(&format!("192.0.2.{number}")), now).unwrap())
            .collect();
        assert_eq!(in_use(&budget), 896);
        // The budget is used up: a newcomer with less than the flood evicts a body of the flood,
        // however recent.
        small.push(partial(&budget, client("192.0.2.7"), now).unwrap());
        assert!(is_evicted(&flood[0]) && flood.iter().skip(1).all(|body| !is_evicted(body)));
        assert_eq!(flood[0].complete(), Err(Denied::Evicted));
        assert_eq!(flood[0].grow(16 * KIB, || now), Err(Denied::Evicted));
        // The flood itself has to wait until one of its own bodies is idle.
        assert_eq!(
            partial(&budget, client("2001:db8::7"), now).unwrap_err(),
            Denied::Full
        );
        now += IDLE;
        flood.push(partial(&budget, client("2001:db8::7"), now).unwrap());
        assert!(is_evicted(&flood[1]) && !is_evicted(&flood[2]));
        assert!(small.iter().all(|body| !is_evicted(body)));
        drop((flood, small));
        assert_eq!(in_use(&budget), 0);
    }

    #[test]
    fn a_complete_body_is_never_evicted() {
        let (budget, mut now) = (Arc::new(BodyBudget::default()), Instant::now());
        let mut bodies = Vec::new();
        for number in 0..14 {
            let mut body = partial(&budget, client(&format!("192.0.2.{number}")), now).unwrap();
            body.complete().unwrap();
            bodies.push(body);
        }
        now += IDLE;
        assert_eq!(
            partial(&budget, client("192.0.2.99"), now).unwrap_err(),
            Denied::Full
        );
        // An eighth is left to bodies that arrive in one piece.
        let mut whole = budget.reservation(client("192.0.2.99"), bounds(1024));
        whole.whole(128 * KIB, now).unwrap();
        let mut other = budget.reservation(client("192.0.2.99"), bounds(1024));
        assert_eq!(other.whole(1, now), Err(Denied::Full));
        drop(bodies.pop());
        assert_eq!(other.whole(1, now), Ok(()));
        assert!(bodies.iter().all(|body| !is_evicted(body)));
    }

    #[test]
    fn connections_that_count_alone_are_clients_of_their_own() {
        let (budget, now) = (Arc::new(BodyBudget::default()), Instant::now());
        let mut large = partial(&budget, ClientKey::Connection(0), now).unwrap();
        large.grow(448 * KIB, || now).unwrap();
        let others: Vec<_> = (1..7)
            .map(|number| partial(&budget, ClientKey::Connection(number), now).unwrap())
            .collect();
        let newcomer = partial(&budget, ClientKey::Connection(7), now).unwrap();
        assert!(is_evicted(&large) && !is_evicted(&newcomer));
        assert!(others.iter().all(|body| !is_evicted(body)));
    }

    #[test]
    fn windows_have_a_share_and_the_largest_body_always_fits() {
        let (budget, now) = (Arc::new(BodyBudget::default()), Instant::now());
        let window = budget.window(256 << 10, bounds(1024));
        assert!(window.is_some() && budget.window(1, bounds(1024)).is_none());
        assert_eq!(in_use(&budget), 256);
        drop(window);
        assert_eq!(in_use(&budget), 0);
        let mut body = budget.reservation(ClientKey::Connection(1), Bounds::new(1 << 20, 1 << 20));
        assert_eq!(body.grow(1 << 20, || now), Ok(()));
    }
}
