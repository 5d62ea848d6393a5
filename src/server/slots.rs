//! Slots for connections and for HTTP/2 requests, with eviction of idle ones.
//!
//! If no slot is free, the client with the most idle slots loses the one that has been idle for
//! longest. Without eviction, a client could open all connections, send nothing, and keep every
//! other client out until the request timeout. If the victim were chosen across all clients, a
//! client that opens connections fast enough would cut off every client that pauses within a
//! request.
//!
//! A connection is busy from the last byte of a request to its answer. A busy connection is never
//! evicted.
//!
//! All slots are in one table under one lock (`slot_table.rs`).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::base::throttle::Throttle;
use crate::server::client_key::ClientKey;
use crate::server::slot_table::{EVICTION_INTERVAL, SPARED, SlotTable};

/// A limit on connections or requests.
#[derive(Debug)]
pub struct ConnectionLimiter {
    state: Arc<LimiterState>,
    /// True if an evicted slot is free at once, false if only after its holder has released it.
    immediate: bool,
    /// Queue of the callers that wait. Only the first of them evicts.
    queue: tokio::sync::Mutex<()>,
    eviction_throttle: Throttle,
}

/// State shared by the slots.
#[derive(Debug)]
struct LimiterState {
    table: Mutex<SlotTable>,
    freed: Notify,
}

/// The slot of one connection or one request.
#[derive(Debug)]
pub struct Slot {
    number: u64,
    /// Cancelled when the slot is evicted.
    eviction: CancellationToken,
    state: Arc<LimiterState>,
}

impl ConnectionLimiter {
    /// A limiter for `count` connections. There are never more: a newcomer waits until an evicted
    /// one has ended.
    pub fn for_connections(count: usize) -> Self {
        Self::new(count, false)
    }

    /// A limiter for `count` HTTP/2 requests. An evicted request gives up its slot at once. The
    /// newcomer does not wait for it to finish.
    pub fn for_requests(count: usize) -> Self {
        Self::new(count, true)
    }

    fn new(count: usize, immediate: bool) -> Self {
        Self {
            state: Arc::new(LimiterState {
                table: Mutex::new(SlotTable::new(count)),
                freed: Notify::new(),
            }),
            immediate,
            queue: tokio::sync::Mutex::default(),
            eviction_throttle: Throttle::steady("evicted"),
        }
    }

    /// Takes a slot for `holder`, or for a connection that counts alone. Waits while every slot is
    /// busy. If an eviction is to be logged, also returns the number of suppressed log lines.
    pub async fn acquire(&self, holder: Option<ClientKey>) -> (SlotGuard, Option<u64>) {
        let _first_in_queue = self.queue.lock().await;
        let (mut any_evicted, mut freed) = (false, false);
        let (number, eviction) = loop {
            // Evict once, and again after each timeout: the victim may have become busy, or every
            // slot was.
            let (acquired, evicted) =
                self.state
                    .table
                    .lock()
                    .acquire(holder, !freed, self.immediate, Instant::now());
            any_evicted |= evicted;
            if let Some(acquired) = acquired {
                break acquired;
            }
            freed = timeout(EVICTION_INTERVAL, self.state.freed.notified())
                .await
                .is_ok();
        };
        let left_out = if any_evicted {
            self.eviction_throttle.allow()
        } else {
            None
        };
        let slot = Arc::new(Slot {
            number,
            eviction,
            state: Arc::clone(&self.state),
        });
        (SlotGuard { slot }, left_out)
    }

    /// Evicts an idle slot even if one is free, since the machine may have no descriptor left.
    /// False if every slot is busy, or if the chosen slot is too young (`SPARED`).
    pub fn evict_idle(&self) -> bool {
        self.evict_older(SPARED)
    }

    fn evict_older(&self, spared: Duration) -> bool {
        let mut table = self.state.table.lock();
        table.evict_idle(self.immediate, spared, Instant::now())
    }
}

impl Slot {
    /// Marks the slot busy until the guard is dropped. `None` if the slot has been evicted or is
    /// about to be.
    pub fn begin_work(self: &Arc<Self>) -> Option<BusyGuard> {
        let begun = self.state.table.lock().begin_work(self.number);
        begun.then(|| BusyGuard(Arc::clone(self)))
    }

    /// Returns the holder.
    pub fn holder(&self) -> ClientKey {
        self.state.table.lock().holder(self.number)
    }

    /// Moves the slot to another holder once the client is known. `None`: it counts alone.
    pub fn reassign(&self, holder: Option<ClientKey>) {
        self.state.table.lock().reassign(self.number, holder);
    }

    /// Returns when the slot is to be released.
    pub async fn eviction(&self) {
        self.eviction.cancelled().await;
        // The slot may have become busy when it was already being evicted, or work may just have
        // ended.
        while !self.state.table.lock().try_release(self.number, Instant::now()) {
            sleep(EVICTION_INTERVAL).await;
        }
    }
}

/// A slot that is released on drop.
#[derive(Debug)]
pub struct SlotGuard {
    pub slot: Arc<Slot>,
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        let Slot { number, state, .. } = &*self.slot;
        if state.table.lock().release(*number) {
            state.freed.notify_one();
        }
    }
}

/// A request in progress. Its slot is not evicted.
#[derive(Debug)]
pub struct BusyGuard(Arc<Slot>);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        let Slot { number, state, .. } = &*self.0;
        state.table.lock().end_work(*number, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evicted(guard: &SlotGuard) -> bool {
        guard.slot.eviction.is_cancelled()
    }

    fn client(text: &str) -> ClientKey {
        ClientKey::of(text.parse().unwrap())
    }

    #[tokio::test]
    async fn a_slot_is_evicted_only_after_its_last_answer_had_time_to_leave() {
        let limiter = ConnectionLimiter::for_connections(1);
        let (guard, _) = limiter.acquire(None).await;
        let started_at = Instant::now();
        drop(guard.slot.begin_work());
        assert!(limiter.evict_older(Duration::ZERO));
        guard.slot.eviction().await;
        assert!(
            started_at.elapsed() >= EVICTION_INTERVAL,
            "{:?}",
            started_at.elapsed()
        );
        // No work begins that could not be answered.
        assert!(guard.slot.begin_work().is_none());
    }

    #[tokio::test]
    async fn the_slot_that_is_idle_for_longest_is_evicted_and_a_busy_one_is_not() {
        // Slots of one client, then of connections that each count alone.
        for holder in [Some(client("192.0.2.1")), None] {
            let limiter = ConnectionLimiter::for_connections(3);
            let (first, _) = limiter.acquire(holder).await;
            let (second, _) = limiter.acquire(holder).await;
            let (third, any_evicted) = limiter.acquire(holder).await;
            assert_eq!(any_evicted, None);
            let work = first.slot.begin_work();
            // The second has been idle for longest, then the third.
            assert!(limiter.evict_older(Duration::ZERO));
            assert!(evicted(&second) && !evicted(&third));
            drop(work);
            assert!(limiter.evict_older(Duration::ZERO));
            assert!(evicted(&third) && !evicted(&first));
            let _work = first.slot.begin_work();
            assert!(!limiter.evict_older(Duration::ZERO));
            let releasing = async {
                second.slot.eviction().await;
                drop(second);
            };
            let ((guard, _), ()) = tokio::join!(limiter.acquire(holder), releasing);
            assert_eq!(limiter.state.table.lock().counts(), (0, 3));
            drop((guard, third, first));
            assert_eq!(limiter.state.table.lock().counts(), (3, 0));
        }
    }

    #[tokio::test]
    async fn the_client_with_most_idle_slots_is_evicted_first() {
        let limiter = ConnectionLimiter::for_connections(10);
        let (other, _) = limiter.acquire(Some(client("192.0.2.1"))).await;
        let (single, _) = limiter.acquire(None).await;
        // An IPv6 client is its /64. A client with many busy slots is not the victim.
        let (first, _) = limiter.acquire(Some(client("2001:db8::1"))).await;
        let (second, _) = limiter.acquire(Some(client("2001:db8::ffff:2"))).await;
        let (busy, _) = limiter.acquire(Some(client("192.0.2.2"))).await;
        let (also_busy, _) = limiter.acquire(Some(client("192.0.2.2"))).await;
        let _works = [
            busy.slot.begin_work(),
            busy.slot.begin_work(),
            also_busy.slot.begin_work(),
        ];
        assert!(limiter.evict_older(Duration::ZERO));
        assert!(evicted(&first) && !evicted(&other) && !evicted(&second));
        // All have one idle slot now, so the one that has been idle for longest is evicted.
        assert!(limiter.evict_older(Duration::ZERO));
        assert!(evicted(&other) && !evicted(&single) && !evicted(&second));
        // The client becomes known late.
        let (identified, _) = limiter.acquire(None).await;
        identified.slot.reassign(Some(client("2001:db8::3")));
        assert_eq!(identified.slot.holder(), client("2001:db8::4"));
        assert!(limiter.evict_older(Duration::ZERO));
        assert!(evicted(&second) && !evicted(&single));
        assert!(limiter.evict_older(Duration::ZERO) && limiter.evict_older(Duration::ZERO));
        assert!(evicted(&single) && evicted(&identified) && !evicted(&busy));
        assert!(!limiter.evict_older(Duration::ZERO));
    }

    #[tokio::test]
    async fn an_evicted_request_loses_its_slot_at_once() {
        let limiter = ConnectionLimiter::for_requests(1);
        let (first, _) = limiter.acquire(Some(client("192.0.2.1"))).await;
        let started_at = Instant::now();
        let (second, any_evicted) = limiter.acquire(Some(client("192.0.2.2"))).await;
        assert_eq!(any_evicted, Some(0));
        // The body of a new request had time to arrive.
        assert!(started_at.elapsed() + EVICTION_INTERVAL >= SPARED);
        first.slot.eviction().await;
        // The request's last byte has come too late.
        assert!(first.slot.begin_work().is_none());
        drop(first);
        let work = second.slot.begin_work();
        assert!(work.is_some());
        // Every slot is busy, so the newcomer waits its turn.
        let finished = async {
            sleep(2 * EVICTION_INTERVAL).await;
            drop((work, second));
        };
        let ((third, any_evicted), ()) = tokio::join!(limiter.acquire(None), finished);
        assert_eq!(any_evicted, None);
        assert!(third.slot.begin_work().is_some());
        drop(third);
        assert_eq!(limiter.state.table.lock().counts(), (1, 0));
    }
}
