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
//! All slots are in one ordered table under one lock. Nothing is searched linearly: beginning and
//! ending work takes time logarithmic in the number of connections.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::base::throttle::Throttle;
use crate::server::rate_limit::prefix;

/// Interval between two attempts to evict an idle slot. A slot counts as busy for the same time
/// after a request, so that the answer can leave.
const EVICTION_INTERVAL: Duration = Duration::from_millis(10);

/// Holder of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientKey {
    /// A client: an IPv4 address, or the /64 network of an IPv6 address.
    Client(u8, u64),
    /// A connection, by number, that counts alone: from a unix socket, or from a proxy with many
    /// clients.
    Connection(u64),
}

/// A limit on connections or requests.
#[derive(Debug)]
pub struct ConnectionLimiter {
    table: Arc<LimiterState>,
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

#[derive(Debug)]
struct SlotTable {
    free: usize,
    /// Logical clock that orders the events of slots.
    tick: u64,
    entries: HashMap<u64, SlotEntry>,
    /// Idle slots of each holder that are not being evicted: idle since (tick) to number.
    idle: HashMap<ClientKey, BTreeMap<u64, u64>>,
    /// Holders by their number of idle slots. Of equals, the one with the longest idle slot is
    /// last.
    order: BTreeSet<(usize, Reverse<u64>, ClientKey)>,
}

#[derive(Debug)]
struct SlotEntry {
    holder: ClientKey,
    /// Tick at which the slot was last busy, else at which it was taken.
    since: u64,
    /// End of the last request. Its answer may still be on its way out.
    ended: Option<Instant>,
    /// Number of requests being worked on.
    active: usize,
    /// True once the slot is being released and may begin no more work.
    releasing: bool,
    eviction: CancellationToken,
}

/// The slot of one connection or one request.
#[derive(Debug)]
pub struct Slot {
    number: u64,
    /// Cancelled when the slot is evicted.
    eviction: CancellationToken,
    table: Arc<LimiterState>,
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
        let table = SlotTable {
            free: count,
            tick: 0,
            entries: HashMap::new(),
            idle: HashMap::new(),
            order: BTreeSet::new(),
        };
        Self {
            table: Arc::new(LimiterState {
                table: Mutex::new(table),
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
            let (acquired, evicted) = self.table.lock().acquire(holder, !freed, self.immediate);
            any_evicted |= evicted;
            if let Some(acquired) = acquired {
                break acquired;
            }
            freed = timeout(EVICTION_INTERVAL, self.table.freed.notified())
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
            table: Arc::clone(&self.table),
        });
        (SlotGuard { slot }, left_out)
    }

    /// Evicts an idle slot even if one is free, since the machine may have no descriptor left.
    /// False if every slot is busy.
    pub fn evict_idle(&self) -> bool {
        self.table.lock().evict_idle(self.immediate)
    }
}

impl ClientKey {
    /// Returns the client with this address.
    pub fn of(address: IpAddr) -> Self {
        let (family, network) = prefix(Some(address));
        Self::Client(family, network)
    }
}

impl LimiterState {
    fn lock(&self) -> MutexGuard<'_, SlotTable> {
        self.table.lock()
    }
}

impl SlotTable {
    fn tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    /// Takes a free slot. If there is none and `may_evict` is set, evicts one. The flag is true if
    /// a slot was evicted.
    fn acquire(
        &mut self,
        holder: Option<ClientKey>,
        may_evict: bool,
        immediate: bool,
    ) -> (Option<(u64, CancellationToken)>, bool) {
        let evicted = self.free == 0 && may_evict && self.evict_idle(immediate);
        if self.free == 0 {
            return (None, evicted);
        }
        let number = self.tick();
        let holder = holder.unwrap_or(ClientKey::Connection(number));
        let eviction = CancellationToken::new();
        self.free -= 1;
        let entry = SlotEntry {
            holder,
            since: number,
            ended: None,
            active: 0,
            releasing: false,
            eviction: eviction.clone(),
        };
        self.entries.insert(number, entry);
        self.rank(holder, |idle| idle.insert(number, number));
        (Some((number, eviction)), evicted)
    }

    /// Changes a holder's idle slots, and the holder's rank with them.
    fn rank(&mut self, holder: ClientKey, change: impl FnOnce(&mut BTreeMap<u64, u64>) -> Option<u64>) {
        let rank = |idle: &BTreeMap<u64, u64>| {
            let (oldest, _) = idle.first_key_value()?;
            Some((idle.len(), Reverse(*oldest), holder))
        };
        let idle = self.idle.entry(holder).or_default();
        if let Some(before) = rank(idle) {
            self.order.remove(&before);
        }
        change(idle);
        match rank(idle) {
            Some(after) => {
                self.order.insert(after);
            }
            None => {
                self.idle.remove(&holder);
            }
        }
    }

    /// Evicts an idle slot. False if every slot is busy. With `immediate` the slot is free from now
    /// on.
    fn evict_idle(&mut self, immediate: bool) -> bool {
        let largest = self
            .order
            .last()
            .map(|(_, Reverse(oldest), holder)| (*oldest, *holder));
        let Some((oldest, holder)) = largest else {
            return false;
        };
        let mut found = None;
        self.rank(holder, |idle| {
            found = idle.remove(&oldest);
            found
        });
        let Some(number) = found else { return false };
        if let Some(entry) = self.entries.get(&number) {
            entry.eviction.cancel();
        }
        if immediate && self.entries.remove(&number).is_some() {
            self.free += 1;
        }
        true
    }
}

impl Slot {
    /// Marks the slot busy until the guard is dropped. `None` if the slot has been evicted or is
    /// about to be.
    pub fn begin_work(self: &Arc<Self>) -> Option<BusyGuard> {
        let mut table = self.table.lock();
        let entry = table.entries.get_mut(&self.number)?;
        if entry.releasing {
            return None;
        }
        entry.active += 1;
        let (holder, since) = (entry.holder, entry.since);
        if entry.active == 1 {
            table.rank(holder, |idle| idle.remove(&since));
        }
        Some(BusyGuard(Arc::clone(self)))
    }

    /// Returns the holder.
    pub fn holder(&self) -> ClientKey {
        let table = self.table.lock();
        let entry = table.entries.get(&self.number);
        entry.map_or(ClientKey::Connection(self.number), |entry| entry.holder)
    }

    /// Moves the slot to another holder once the client is known. `None`: it counts alone.
    pub fn reassign(&self, holder: Option<ClientKey>) {
        let holder = holder.unwrap_or(ClientKey::Connection(self.number));
        let mut table = self.table.lock();
        let Some(entry) = table.entries.get_mut(&self.number) else {
            return;
        };
        let before = std::mem::replace(&mut entry.holder, holder);
        let since = entry.since;
        let mut idle = None;
        table.rank(before, |slots| {
            idle = slots.remove(&since);
            idle
        });
        if let Some(number) = idle {
            table.rank(holder, |slots| slots.insert(since, number));
        }
    }

    /// Returns when the slot is to be released.
    pub async fn eviction(&self) {
        self.eviction.cancelled().await;
        // The slot may have become busy when it was already being evicted, or work may just have
        // ended.
        while !self.try_release() {
            sleep(EVICTION_INTERVAL).await;
        }
    }

    /// True if the slot is released now. A slot that is busy, or was so a moment ago, is not: over
    /// HTTP/2 another task sends the answer than the one that makes it.
    fn try_release(&self) -> bool {
        let mut table = self.table.lock();
        let Some(entry) = table.entries.get_mut(&self.number) else {
            return true;
        };
        let just_ended = |ended: Instant| ended.elapsed() < EVICTION_INTERVAL;
        entry.releasing = entry.active == 0 && !entry.ended.is_some_and(just_ended);
        entry.releasing
    }
}

/// A slot that is released on drop.
#[derive(Debug)]
pub struct SlotGuard {
    pub slot: Arc<Slot>,
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        let mut table = self.slot.table.lock();
        // The slot may already have passed to another holder.
        let Some(entry) = table.entries.remove(&self.slot.number) else {
            return;
        };
        table.rank(entry.holder, |idle| idle.remove(&entry.since));
        table.free += 1;
        drop(table);
        self.slot.table.freed.notify_one();
    }
}

/// A request in progress. Its slot is not evicted.
#[derive(Debug)]
pub struct BusyGuard(Arc<Slot>);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        let mut table = self.0.table.lock();
        let now = table.tick();
        let Some(entry) = table.entries.get_mut(&self.0.number) else {
            return;
        };
        entry.since = now;
        entry.ended = Some(Instant::now());
        entry.active -= 1;
        if entry.active == 0 && !entry.eviction.is_cancelled() {
            let (holder, number) = (entry.holder, self.0.number);
            table.rank(holder, |idle| idle.insert(now, number));
        }
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
        assert!(limiter.evict_idle());
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
            assert!(limiter.evict_idle());
            assert!(evicted(&second) && !evicted(&third));
            drop(work);
            assert!(limiter.evict_idle());
            assert!(evicted(&third) && !evicted(&first));
            let _work = first.slot.begin_work();
            assert!(!limiter.evict_idle());
            let releasing = async {
                second.slot.eviction().await;
                drop(second);
            };
            let ((guard, _), ()) = tokio::join!(limiter.acquire(holder), releasing);
            assert_eq!(limiter.table.lock().entries.len(), 3);
            drop((guard, third, first));
            let table = limiter.table.lock();
            assert!(table.entries.is_empty() && table.idle.is_empty() && table.order.is_empty());
            assert_eq!(table.free, 3);
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
        assert!(limiter.evict_idle());
        assert!(evicted(&first) && !evicted(&other) && !evicted(&second));
        // All have one idle slot now, so the one that has been idle for longest is evicted.
        assert!(limiter.evict_idle());
        assert!(evicted(&other) && !evicted(&single) && !evicted(&second));
        // The client becomes known late.
        let (identified, _) = limiter.acquire(None).await;
        identified.slot.reassign(Some(client("2001:db8::3")));
        assert_eq!(identified.slot.holder(), client("2001:db8::4"));
        assert!(limiter.evict_idle());
        assert!(evicted(&second) && !evicted(&single));
        assert!(limiter.evict_idle() && limiter.evict_idle());
        assert!(evicted(&single) && evicted(&identified) && !evicted(&busy));
        assert!(!limiter.evict_idle());
    }

    #[tokio::test]
    async fn an_evicted_request_loses_its_slot_at_once() {
        let limiter = ConnectionLimiter::for_requests(1);
        let (first, _) = limiter.acquire(Some(client("192.0.2.1"))).await;
        let (second, any_evicted) = limiter.acquire(Some(client("192.0.2.2"))).await;
        assert_eq!(any_evicted, Some(0));
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
        assert_eq!(limiter.table.lock().free, 1);
    }
}
