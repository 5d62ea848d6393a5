//! Limits on the decoding of bodies: processor time, and memory until the request is answered.
//!
//! A few large or compressed bodies at a time are verified and decoded on threads for blocking
//! work, so that other requests do not wait. All decoded bodies share a memory budget, since a
//! decoded body can be a hundred times as large as its bytes.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::event::Received;
use crate::payload::content_encoding;

/// Maximum size of a body that is decoded on the async thread, in bytes.
const LIGHT: usize = 64 << 10;
/// Memory for all decoded bodies, in KiB. A larger single body takes all of it.
const DECODED_KIB: u32 = 128 << 10;
/// Assumed growth of a compressed body beyond `max_body` when it is decoded, as a factor.
const GROWS: u64 = 16;
/// Maximum wait for a slot, and again for memory. Then the request is answered with 503.
const WAIT: Duration = Duration::from_secs(10);

/// Limits on concurrent decoding.
#[derive(Debug)]
pub struct DecodeLimits {
    slots: Semaphore,
    decoded: Arc<Semaphore>,
}

impl Default for DecodeLimits {
    /// Allows as many bodies at a time as half the processors, at least one.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            slots: Semaphore::new((processors / 2).max(1)),
            decoded: Arc::new(Semaphore::new(DECODED_KIB as usize)),
        }
    }
}

impl DecodeLimits {
    /// Works on a request's body, on a blocking thread if the body is heavy. `None` if no slot is
    /// free in time.
    pub async fn run<T>(&self, received: &Received, work: impl FnOnce() -> T) -> Option<T> {
        if received.body.len() <= LIGHT && !content_encoding::is_encoded(&received.headers) {
            return Some(work());
        }
        let _turn = timeout(WAIT, self.slots.acquire()).await.ok()?.ok()?;
        Some(match Handle::current().runtime_flavor() {
            RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
            // A current-thread runtime has no other thread that could continue with other tasks.
            _ => work(),
        })
    }

    /// Reserves memory for a decoded body until the permit is dropped. `None` if none is free in
    /// time.
    pub async fn memory(&self, received: &Received, max_body: u64) -> Option<OwnedSemaphorePermit> {
        let bytes = if content_encoding::is_encoded(&received.headers) {
            max_body.saturating_mul(GROWS)
        } else {
            crate::payload::weight(&received.body)
        };
        let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).min(DECODED_KIB);
        let acquired = Arc::clone(&self.decoded).acquire_many_owned(kib);
        timeout(WAIT, acquired).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Method};

    use super::*;
    use crate::base::clock::Timestamp;
    use crate::event::EventId;

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
        let held = limits.memory(&small, 1 << 20).await;
        assert_eq!(limits.decoded.available_permits(), all - 2);
        drop(held);
        // A body that may grow without limit takes the whole budget, and the next waits.
        let large = received(vec![b'x'], Some("gzip"));
        let held = limits.memory(&large, 1 << 40).await;
        assert!(held.is_some());
        assert_eq!(limits.decoded.available_permits(), 0);
        drop(held);
        assert_eq!(limits.decoded.available_permits(), all);
    }
}
