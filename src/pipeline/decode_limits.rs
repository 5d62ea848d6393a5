//! Limits on the decoding of bodies: processor time, and memory until the request is answered or
//! the attempt has ended.
//!
//! A few large or compressed bodies at a time are verified and decoded on threads for blocking
//! work, so that other requests do not wait. Few of one client are in the common queue, and the
//! others of the client wait behind them, so that the wait of other clients stays short. All
//! decoded bodies share a memory budget, since a decoded body can be a hundred times as large as
//! its bytes. Requests and deliveries have a budget each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::base::network::client_network;
use crate::event::Received;
use crate::payload::{Unpack, content_encoding};
use crate::pipeline::event_cache::EventCache;
use crate::rules::{Endpoint, Rule};

/// Maximum size of a body that is decoded on the async thread, in bytes.
const LIGHT: usize = 64 << 10;
/// Memory for all decoded bodies, in KiB. A larger single body takes all of it.
const DECODED_KIB: u32 = 128 << 10;
/// Assumed growth of a compressed body beyond `max_body` when it is decoded, as a factor.
const GROWS: u64 = 16;
/// Maximum wait for a slot, and again for memory. Then the request is answered with 503.
const WAIT: Duration = Duration::from_secs(10);
/// Maximum large or compressed bodies of one client in the common queue. Further ones wait for
/// these.
const MAX_HEAVY_PER_CLIENT: usize = 4;
/// Memory of a decoded body up to which a delivery needs no reservation, in KiB. The number of
/// deliveries bounds the sum of these.
const SMALL_KIB: u32 = 512;
/// The same for a delivery whose action is light, in KiB. More of these run at once.
const SMALL_LIGHT_KIB: u32 = 64;

/// Parts of the common queue by client, each with the number of the client's bodies.
type ClientQueues = HashMap<(u8, u64), (Arc<Semaphore>, usize)>;

/// Limits on concurrent decoding.
#[derive(Debug)]
pub struct DecodeLimits {
    slots: Semaphore,
    decoded: Arc<Semaphore>,
    /// Clients with large or compressed bodies.
    clients: Mutex<ClientQueues>,
    /// Decoded events of deliveries, which hold memory.
    pub(super) events: EventCache,
}

impl Default for DecodeLimits {
    /// Allows as many bodies at a time as half the processors, at least one.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            slots: Semaphore::new((processors / 2).max(1)),
            decoded: Arc::new(Semaphore::new(DECODED_KIB as usize)),
            clients: Mutex::default(),
            events: EventCache::default(),
        }
    }
}

impl DecodeLimits {
    /// Works on a request's body, on a blocking thread if the body is heavy. `None` if no slot is
    /// free in time.
    pub async fn run<T>(&self, received: &Received, work: impl FnOnce() -> T) -> Option<T> {
        if is_light(received) {
            return Some(work());
        }
        let client = self.client(received);
        let turn = async {
            let own = client.queue.acquire().await.ok()?;
            Some((own, self.slots.acquire().await.ok()?))
        };
        let _turn = timeout(WAIT, turn).await.ok()??;
        Some(blocking(work))
    }

    /// Works on the body of a delivery, on a blocking thread if the body is heavy. The memory
    /// permits bound the number of such bodies.
    pub fn aside<T>(received: &Received, work: impl FnOnce() -> T) -> T {
        if is_light(received) {
            work()
        } else {
            blocking(work)
        }
    }

    /// Returns the queue of the request's client.
    fn client(&self, received: &Received) -> ClientQueue<'_> {
        let key = client_network(received.client);
        let mut clients = self.clients.lock();
        let (queue, bodies) = clients
            .entry(key)
            .or_insert_with(|| (Arc::new(Semaphore::new(MAX_HEAVY_PER_CLIENT)), 0));
        *bodies += 1;
        ClientQueue {
            limits: self,
            key,
            queue: Arc::clone(queue),
        }
    }

    /// Reserves memory for a decoded body until the permit is dropped. `None` if none is free in
    /// time.
    pub async fn memory(&self, received: &Received, limits: BodyLimits) -> Option<OwnedSemaphorePermit> {
        let acquired = Arc::clone(&self.decoded).acquire_many_owned(decoded_kib(received, limits));
        timeout(WAIT, acquired).await.ok()?.ok()
    }

    /// Reserves memory for the payload of a delivery until the permit is dropped. Waits as long as
    /// that takes. A small payload needs no permit, and so never waits for large ones.
    pub async fn delivery_memory(
        &self,
        received: &Received,
        limits: BodyLimits,
        is_light: bool,
    ) -> Option<OwnedSemaphorePermit> {
        let kib = decoded_kib(received, limits);
        if kib <= if is_light { SMALL_LIGHT_KIB } else { SMALL_KIB } {
            return None;
        }
        if let Ok(free) = Arc::clone(&self.decoded).try_acquire_many_owned(kib) {
            return Some(free);
        }
        let _waiting = self.events.make_room();
        Arc::clone(&self.decoded).acquire_many_owned(kib).await.ok()
    }
}

/// True if the body is decoded on the async thread.
fn is_light(received: &Received) -> bool {
    received.body.len() <= LIGHT && !content_encoding::is_encoded(&received.headers)
}

/// Works while other threads continue with the tasks of this one.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        // A current-thread runtime has no other thread that could continue with other tasks.
        _ => work(),
    }
}

/// Queue of a client, for one of its heavy bodies. Removed with the last of them.
struct ClientQueue<'l> {
    limits: &'l DecodeLimits,
    key: (u8, u64),
    queue: Arc<Semaphore>,
}

impl Drop for ClientQueue<'_> {
    fn drop(&mut self) {
        let mut clients = self.limits.clients.lock();
        if let Some((_, bodies)) = clients.get_mut(&self.key) {
            *bodies -= 1;
            if *bodies == 0 {
                clients.remove(&self.key);
            }
        }
    }
}

/// Limits of an endpoint on what its bodies become.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Maximum size of a decompressed body, in bytes.
    pub max_body: u64,
    /// Number of payloads whose fields are unpacked.
    pub unpacked: u64,
}

impl BodyLimits {
    /// The limits of a request, which is decoded in all views.
    pub fn of(endpoint: &Endpoint) -> Self {
        let views = endpoint.unpack.iter().chain(&endpoint.views);
        Self {
            max_body: endpoint.max_body,
            unpacked: views.count() as u64,
        }
    }

    /// The limits of a delivery, which is decoded in the view of its rule.
    pub fn of_rule(endpoint: &Endpoint, rule: &Rule) -> Self {
        let unpack = endpoint.unpack_in(rule.view);
        Self {
            unpacked: unpack.iter().count() as u64,
            ..Self::of(endpoint)
        }
    }
}

/// Upper estimate of the memory of a decoded body, in KiB, at most the whole budget.
fn decoded_kib(received: &Received, limits: BodyLimits) -> u32 {
    let decoded = if content_encoding::is_encoded(&received.headers) {
        limits.max_body.saturating_mul(GROWS)
    } else {
        crate::payload::weight(&received.body)
    };
    let unpacked = Unpack::growth(received.body.len() as u64).saturating_mul(limits.unpacked);
    let kib = decoded.saturating_add(unpacked) >> 10;
    u32::try_from(kib).unwrap_or(u32::MAX).min(DECODED_KIB)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Method};

    use super::*;
    use crate::base::clock::Timestamp;
    use crate::event::EventId;

    fn plain(max_body: u64) -> BodyLimits {
        BodyLimits {
            max_body,
            unpacked: 0,
        }
    }

    fn received(body: Vec<u8>, coding: Option<&str>) -> Received {
        let at = Timestamp::from_seconds(1_700_000_000);
        let mut headers = HeaderMap::new();
        headers.extend(coding.map(|coding| (http::header::CONTENT_ENCODING, coding.parse().unwrap())));
        Received {
            id: EventId::new(at),
            at,
            endpoint: "/".into(),
            method: Method::POST,
            path: "/".to_owned(),
            query: String::new(),
            parameters: Vec::new(),
            client: None,
            certificate: None,
            headers,
            body: Bytes::from(body),
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn heavy_bodies_are_worked_on_apart_and_light_ones_where_they_are() {
        let limits = DecodeLimits::default();
        let turns = limits.slots.available_permits();
        for (body, coding, apart) in [
            (vec![b'x'; LIGHT], None, false),
            (vec![b'x'; LIGHT], Some("identity"), false),
            (vec![b'x'; LIGHT + 1], None, true),
            (vec![b'x'], Some("gzip"), true),
            (vec![b'x'], Some("br"), true),
        ] {
            let received = received(body, coding);
            let taken = limits
                .run(&received, || turns - limits.slots.available_permits())
                .await;
            assert_eq!(taken, Some(usize::from(apart)), "{coding:?}");
        }
        assert_eq!(limits.slots.available_permits(), turns);
    }

    #[tokio::test]
    async fn decoded_bodies_together_have_a_bound_and_give_it_back() {
        let limits = DecodeLimits::default();
        let all = limits.decoded.available_permits();
        let small = received(vec![b'x'; 2048], None);
        let held = limits.memory(&small, plain(1 << 20)).await;
        assert_eq!(limits.decoded.available_permits(), all - 2);
        drop(held);
        // A body that may grow without limit takes the whole budget, and the next waits.
        let large = received(vec![b'x'], Some("gzip"));
        let held = limits.memory(&large, plain(1 << 40)).await;
        assert!(held.is_some());
        assert_eq!(limits.decoded.available_permits(), 0);
        drop(held);
        assert_eq!(limits.decoded.available_permits(), all);
    }

    #[tokio::test]
    async fn a_client_with_many_heavy_bodies_leaves_the_turn_to_others() {
        let limits = DecodeLimits::default();
        let from = |address: &str| Received {
            client: Some(address.parse().unwrap()),
            ..received(vec![b'x'; LIGHT + 1], None)
        };
        let (greedy, other) = (from("192.0.2.1"), from("192.0.2.2"));
        let queue = limits.client(&greedy);
        let all = u32::try_from(MAX_HEAVY_PER_CLIENT).unwrap();
        let held = queue.queue.acquire_many(all).await.unwrap();
        // The client waits for its own bodies, outside the common queue.
        let waiting = limits.run(&greedy, || ());
        assert!(timeout(Duration::from_millis(20), waiting).await.is_err());
        assert_eq!(limits.run(&other, || ()).await, Some(()));
        drop(held);
        assert_eq!(limits.run(&greedy, || ()).await, Some(()));
        drop(queue);
        assert!(limits.clients.lock().is_empty());
    }

    #[tokio::test]
    async fn payloads_of_deliveries_have_a_bound_and_small_ones_never_wait() {
        let limits = DecodeLimits::default();
        let small = received(b"{}".to_vec(), None);
        // 100,000 small objects in 800 KB take more than half of the budget.
        let large = received("{\"a\":1},".repeat(100_000).into_bytes(), None);
        let first = limits.delivery_memory(&large, plain(1 << 20), false).await;
        assert!(first.is_some());
        let second = limits.delivery_memory(&large, plain(1 << 20), false);
        assert!(timeout(Duration::ZERO, second).await.is_err());
        assert!(
            limits
                .delivery_memory(&small, plain(1 << 20), false)
                .await
                .is_none()
        );
        // More light deliveries run at once, so each may take less without a permit.
        let medium = received("{\"a\":1},".repeat(200).into_bytes(), None);
        assert!(
            limits
                .delivery_memory(&medium, plain(1 << 20), false)
                .await
                .is_none()
        );
        assert!(
            limits
                .delivery_memory(&medium, plain(1 << 20), true)
                .await
                .is_some()
        );
        drop(first);
        assert!(
            limits
                .delivery_memory(&large, plain(1 << 20), false)
                .await
                .is_some()
        );
    }
}
