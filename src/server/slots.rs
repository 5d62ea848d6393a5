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
const PATIENCE: Duration = Duration::from_millis(10);

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
    at_once: bool,
    /// Queue of the callers that wait. Only the first of them evicts.
    turn: tokio::sync::Mutex<()>,
    crowds: Throttle,
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
    taken: HashMap<u64, SlotEntry>,
    /// Idle slots of each holder that are not being evicted: idle since (tick) to number.
    resting: HashMap<ClientKey, BTreeMap<u64, u64>>,
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
    at_work: usize,
    /// True once the slot is being released and may begin no more work.
    leaving: bool,
    wanted: CancellationToken,
}

/// The slot of one connection or one request.
#[derive(Debug)]
pub struct Slot {
    number: u64,
    /// Cancelled when the slot is evicted.
    wanted: CancellationToken,
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

    fn new(count: usize, at_once: bool) -> Self {
        let table = SlotTable {
            free: count,
            tick: 0,
            taken: HashMap::new(),
            resting: HashMap::new(),
            order: BTreeSet::new(),
        };
        Self {
            table: Arc::new(LimiterState {
                table: Mutex::new(table),
                freed: Notify::new(),
            }),
            at_once,
            turn: tokio::sync::Mutex::default(),
            crowds: Throttle::steady("evicted"),
        }
    }

    /// Takes a slot for `holder`, or for a connection that counts alone. Waits while every slot is
    /// busy. If an eviction is to be logged, also returns the number of suppressed log lines.
    pub async fn take(&self, holder: Option<ClientKey>) -> (SlotGuard, Option<u64>) {
        let _turn = self.turn.lock().await;
        let (mut crowded, mut freed) = (false, false);
        let (number, wanted) = loop {
            // Evict once, and again after each timeout: the victim may have become busy, or every
            // slot was.
            let (entered, asked) = self.table.lock().enter(holder, !freed, self.at_once);
            crowded |= asked;
            if let Some(entered) = entered {
                break entered;
            }
            freed = timeout(PATIENCE, self.table.freed.notified()).await.is_ok();
        };
        let left_out = if crowded { self.crowds.allow() } else { None };
        let place = Arc::new(Slot {
            number,
            wanted,
            table: Arc::clone(&self.table),
        });
        (SlotGuard { place }, left_out)
    }

    /// Evicts an idle slot even if one is free, since the machine may have no descriptor left.
    /// False if every slot is busy.
    pub fn want_one(&self) -> bool {
        self.table.lock().want_one(self.at_once)
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

    /// Takes a free slot. If there is none and `ask` is set, evicts one. The flag is true if a slot
    /// was evicted.
    fn enter(
        &mut self,
        holder: Option<ClientKey>,
        ask: bool,
        at_once: bool,
    ) -> (Option<(u64, CancellationToken)>, bool) {
        let asked = self.free == 0 && ask && self.want_one(at_once);
        if self.free == 0 {
            return (None, asked);
        }
        let number = self.tick();
        let holder = holder.unwrap_or(ClientKey::Connection(number));
        let wanted = CancellationToken::new();
        self.free -= 1;
        let entry = SlotEntry {
            holder,
            since: number,
            ended: None,
            at_work: 0,
            leaving: false,
            wanted: wanted.clone(),
        };
        self.taken.insert(number, entry);
        self.rank(holder, |resting| resting.insert(number, number));
        (Some((number, wanted)), asked)
    }

    /// Changes a holder's idle slots, and the holder's rank with them.
    fn rank(&mut self, holder: ClientKey, change: impl FnOnce(&mut BTreeMap<u64, u64>) -> Option<u64>) {
        let rank = |resting: &BTreeMap<u64, u64>| {
            let (longest, _) = resting.first_key_value()?;
            Some((resting.len(), Reverse(*longest), holder))
        };
        let resting = self.resting.entry(holder).or_default();
        if let Some(before) = rank(resting) {
            self.order.remove(&before);
        }
        change(resting);
        match rank(resting) {
            Some(after) => {
                self.order.insert(after);
            }
            None => {
                self.resting.remove(&holder);
            }
        }
    }

    /// Evicts an idle slot. False if every slot is busy. With `at_once` the slot is free from now
    /// on.
    fn want_one(&mut self, at_once: bool) -> bool {
        let most = self
            .order
            .last()
            .map(|(_, Reverse(longest), holder)| (*longest, *holder));
        let Some((longest, holder)) = most else {
            return false;
        };
        let mut found = None;
        self.rank(holder, |resting| {
            found = resting.remove(&longest);
            found
        });
        let Some(number) = found else { return false };
        if let Some(entry) = self.taken.get(&number) {
            entry.wanted.cancel();
        }
        if at_once && self.taken.remove(&number).is_some() {
            self.free += 1;
        }
        true
    }
}

impl Slot {
    /// Marks the slot busy until the guard is dropped. `None` if the slot has been evicted or is
    /// about to be.
    pub fn work(self: &Arc<Self>) -> Option<BusyGuard> {
        let mut table = self.table.lock();
        let entry = table.taken.get_mut(&self.number)?;
        if entry.leaving {
            return None;
        }
        entry.at_work += 1;
        let (holder, since) = (entry.holder, entry.since);
        if entry.at_work == 1 {
            table.rank(holder, |resting| resting.remove(&since));
        }
        Some(BusyGuard(Arc::clone(self)))
    }

    /// Returns the holder.
    pub fn holder(&self) -> ClientKey {
        let table = self.table.lock();
        let entry = table.taken.get(&self.number);
        entry.map_or(ClientKey::Connection(self.number), |entry| entry.holder)
    }

    /// Moves the slot to another holder once the client is known. `None`: it counts alone.
    pub fn belongs_to(&self, holder: Option<ClientKey>) {
        let holder = holder.unwrap_or(ClientKey::Connection(self.number));
        let mut table = self.table.lock();
        let Some(entry) = table.taken.get_mut(&self.number) else {
            return;
        };
        let before = std::mem::replace(&mut entry.holder, holder);
        let since = entry.since;
        let mut resting = None;
        table.rank(before, |places| {
            resting = places.remove(&since);
            resting
        });
        if let Some(number) = resting {
            table.rank(holder, |places| places.insert(since, number));
        }
    }

    /// Returns when the slot is to be released.
    pub async fn wanted(&self) {
        self.wanted.cancelled().await;
        // The slot may have become busy when it was already being evicted, or work may just have
        // ended.
        while !self.leaves() {
            sleep(PATIENCE).await;
        }
    }

    /// True if the slot is released now. A slot that is busy, or was so a moment ago, is not: over
    /// HTTP/2 another task sends the answer than the one that makes it.
    fn leaves(&self) -> bool {
        let mut table = self.table.lock();
        let Some(entry) = table.taken.get_mut(&self.number) else {
            return true;
        };
        let just_ended = |ended: Instant| ended.elapsed() < PATIENCE;
        entry.leaving = entry.at_work == 0 && !entry.ended.is_some_and(just_ended);
        entry.leaving
    }
}

/// A slot that is released on drop.
#[derive(Debug)]
pub struct SlotGuard {
    pub place: Arc<Slot>,
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        let mut table = self.place.table.lock();
        // The slot may already have passed to another holder.
        let Some(entry) = table.taken.remove(&self.place.number) else {
            return;
        };
        table.rank(entry.holder, |resting| resting.remove(&entry.since));
        table.free += 1;
        drop(table);
        self.place.table.freed.notify_one();
    }
}

/// A request in progress. Its slot is not evicted.
#[derive(Debug)]
pub struct BusyGuard(Arc<Slot>);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        let mut table = self.0.table.lock();
        let now = table.tick();
        let Some(entry) = table.taken.get_mut(&self.0.number) else {
            return;
        };
        entry.since = now;
        entry.ended = Some(Instant::now());
        entry.at_work -= 1;
        if entry.at_work == 0 && !entry.wanted.is_cancelled() {
            let (holder, number) = (entry.holder, self.0.number);
            table.rank(holder, |resting| resting.insert(now, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(taken: &SlotGuard) -> bool {
        taken.place.wanted.is_cancelled()
    }

    fn client(text: &str) -> ClientKey {
        ClientKey::of(text.parse().unwrap())
    }

    #[tokio::test]
    async fn who_has_just_ended_work_makes_room_when_his_answer_has_had_the_time_to_leave() {
        let places = ConnectionLimiter::for_connections(1);
        let (taken, _) = places.take(None).await;
        let begun = Instant::now();
        drop(taken.place.work());
        assert!(places.want_one());
        taken.place.wanted().await;
        assert!(begun.elapsed() >= PATIENCE, "{:?}", begun.elapsed());
        // No work begins that could not be answered.
        assert!(taken.place.work().is_none());
    }

    #[tokio::test]
    async fn who_has_rested_longest_makes_room_and_who_works_does_not() {
        // Slots of one client, then of connections that each count alone.
        for holder in [Some(client("192.0.2.1")), None] {
            let places = ConnectionLimiter::for_connections(3);
            let (first, _) = places.take(holder).await;
            let (second, _) = places.take(holder).await;
            let (third, crowded) = places.take(holder).await;
            assert_eq!(crowded, None);
            let work = first.place.work();
            // The second has been idle for longest, then the third.
            assert!(places.want_one());
            assert!(asked(&second) && !asked(&third));
            drop(work);
            assert!(places.want_one());
            assert!(asked(&third) && !asked(&first));
            let _work = first.place.work();
            assert!(!places.want_one());
            let leaving = async {
                second.place.wanted().await;
                drop(second);
            };
            let ((taken, _), ()) = tokio::join!(places.take(holder), leaving);
            assert_eq!(places.table.lock().taken.len(), 3);
            drop((taken, third, first));
            let table = places.table.lock();
            assert!(table.taken.is_empty() && table.resting.is_empty() && table.order.is_empty());
            assert_eq!(table.free, 3);
        }
    }

    #[tokio::test]
    async fn who_holds_most_that_rest_makes_room_first() {
        let places = ConnectionLimiter::for_connections(10);
        let (honest, _) = places.take(Some(client("192.0.2.1"))).await;
        let (alone, _) = places.take(None).await;
        // An IPv6 client is its /64. A client with many busy slots is not the victim.
        let (first, _) = places.take(Some(client("2001:db8::1"))).await;
        let (second, _) = places.take(Some(client("2001:db8::ffff:2"))).await;
        let (busy, _) = places.take(Some(client("192.0.2.2"))).await;
        let (also_busy, _) = places.take(Some(client("192.0.2.2"))).await;
        let _works = [busy.place.work(), busy.place.work(), also_busy.place.work()];
        assert!(places.want_one());
        assert!(asked(&first) && !asked(&honest) && !asked(&second));
        // All have one idle slot now, so the one that has been idle for longest is evicted.
        assert!(places.want_one());
        assert!(asked(&honest) && !asked(&alone) && !asked(&second));
        // The client becomes known late.
        let (told, _) = places.take(None).await;
        told.place.belongs_to(Some(client("2001:db8::3")));
        assert_eq!(told.place.holder(), client("2001:db8::4"));
        assert!(places.want_one());
        assert!(asked(&second) && !asked(&alone));
        assert!(places.want_one() && places.want_one());
        assert!(asked(&alone) && asked(&told) && !asked(&busy));
        assert!(!places.want_one());
    }

    #[tokio::test]
    async fn a_place_of_a_request_passes_at_once_and_not_back() {
        let places = ConnectionLimiter::for_requests(1);
        let (first, _) = places.take(Some(client("192.0.2.1"))).await;
        let (second, crowded) = places.take(Some(client("192.0.2.2"))).await;
        assert_eq!(crowded, Some(0));
        first.place.wanted().await;
        // The request's last byte has come too late.
        assert!(first.place.work().is_none());
        drop(first);
        let work = second.place.work();
        assert!(work.is_some());
        // Every slot is busy, so the newcomer waits its turn.
        let finished = async {
            sleep(2 * PATIENCE).await;
            drop((work, second));
        };
        let ((third, crowded), ()) = tokio::join!(places.take(None), finished);
        assert_eq!(crowded, None);
        assert!(third.place.work().is_some());
        drop(third);
        assert_eq!(places.table.lock().free, 1);
    }
}
