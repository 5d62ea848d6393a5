//! Room for so many connections, or so many requests of HTTP/2. Where there is none left, one that does nothing makes room:
//! of whoever holds most that do nothing, the one that has done nothing for longest.
//!
//! Without that, whoever opens as many connections as there are places, and says nothing on them or a byte now and then,
//! would keep everybody else out until the request timeout, again and again. And if it were not his own that make room, he
//! who opens them fast enough would cut off everybody who pauses within a request. A connection is at work from the last
//! byte of a request to its answer, and is then never ended for another's sake.
//!
//! All of it stands in one table under one lock, in order, so that nothing is ever searched through: beginning and ending
//! work costs a few steps down trees that are as small as there are connections.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::base::throttle::Throttle;
use crate::server::rate_limit::prefix;

/// How long is waited before it is looked again who could make room, or has.
const PATIENCE: Duration = Duration::from_millis(10);

/// Who holds a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientKey {
    /// A client: an IPv4 address, or the /64 that an IPv6 address is of.
    Client(u8, u64),
    /// A connection of this number that stands for itself: of a unix socket, or of a proxy, which carries many clients.
    Connection(u64),
}

/// All places.
#[derive(Debug)]
pub struct ConnectionLimiter {
    table: Arc<LimiterState>,
    /// Whether a place passes to its next holder at once, else when it has been given up.
    at_once: bool,
    /// Who waits waits in turn, and only one of them looks.
    turn: tokio::sync::Mutex<()>,
    crowds: Throttle,
}

/// What places share.
#[derive(Debug)]
struct LimiterState {
    table: Mutex<Table>,
    freed: Notify,
}

#[derive(Debug)]
struct Table {
    free: usize,
    /// Counts what happens, so that it can be told what happened longest ago.
    tick: u64,
    taken: HashMap<u64, SlotEntry>,
    /// The places of each holder that rest and are not asked for: by since when, their numbers.
    resting: HashMap<ClientKey, BTreeMap<u64, u64>>,
    /// The holders by how many of their places rest; of equals, the one whose place has rested longest comes last.
    order: BTreeSet<(usize, Reverse<u64>, ClientKey)>,
}

#[derive(Debug)]
struct SlotEntry {
    holder: ClientKey,
    /// When it was last at work, else when it came.
    since: u64,
    /// When the work on a request of its ended last: the answer to it may still be on its way out.
    ended: Option<Instant>,
    /// How many of its requests are being worked on.
    at_work: usize,
    /// It gives its place up now, and begins no work any more.
    leaving: bool,
    wanted: CancellationToken,
}

/// The place of one connection, or of one request.
#[derive(Debug)]
pub struct Slot {
    number: u64,
    /// Whether it is to be given up.
    wanted: CancellationToken,
    table: Arc<LimiterState>,
}

impl ConnectionLimiter {
    /// So many for connections, none of them taken. There are never more, so the next waits until one has ended.
    pub fn for_connections(count: usize) -> Self {
        Self::new(count, false)
    }

    /// So many for requests, none of them taken. Who has to make room drops what he has as soon as he gets to know of it,
    /// and is not waited for: he may be one of thousands.
    pub fn for_requests(count: usize) -> Self {
        Self::new(count, true)
    }

    fn new(count: usize, at_once: bool) -> Self {
        let table = Table {
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

    /// A place for `holder`, or for a connection that stands for itself; waits where everybody is at work. If another has to
    /// be given up for it and that is to be said, also of how many others it was not.
    pub async fn take(&self, holder: Option<ClientKey>) -> (SlotGuard, Option<u64>) {
        let _turn = self.turn.lock().await;
        let (mut crowded, mut freed) = (false, false);
        let (number, wanted) = loop {
            // Asked for once, and again if that has not helped: whoever was asked may have begun to work, or nobody could be.
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

    /// Asks for a place, whether or not one is free: of a machine's descriptors none may be. False if all are at work.
    pub fn want_one(&self) -> bool {
        self.table.lock().want_one(self.at_once)
    }
}

impl ClientKey {
    /// Whoever has this address.
    pub fn of(address: IpAddr) -> Self {
        let (family, network) = prefix(Some(address));
        Self::Client(family, network)
    }
}

impl LimiterState {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    /// Takes a place that is free. If there is none and `ask`, asks for another; says whether there was one to ask for.
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

    /// Changes what rests of a holder's, and with it his rank.
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

    /// Asks for a place; false if all are at work. `at_once`: it is free from now on.
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
    /// From now until what is returned is dropped it is at work. None if it is not its own any more, or about not to be.
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

    /// Whose it is.
    pub fn holder(&self) -> ClientKey {
        let table = self.table.lock();
        let entry = table.taken.get(&self.number);
        entry.map_or(ClientKey::Connection(self.number), |entry| entry.holder)
    }

    /// It turns out to be somebody else's than it seemed; nobody's: it stands for itself.
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

    /// Returns when it is to be given up.
    pub async fn wanted(&self) {
        self.wanted.cancelled().await;
        // It may have begun to work when it was already asked for, or just have ended.
        while !self.leaves() {
            sleep(PATIENCE).await;
        }
    }

    /// Whether it leaves now: not while it is at work, nor a moment later, for over HTTP/2 an answer leaves by another task than it
    /// is made by.
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

/// A place that is given back when this is dropped.
#[derive(Debug)]
pub struct SlotGuard {
    /// What is taken.
    pub place: Arc<Slot>,
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        let mut table = self.place.table.lock();
        // It may have passed to another already.
        let Some(entry) = table.taken.remove(&self.place.number) else {
            return;
        };
        table.rank(entry.holder, |resting| resting.remove(&entry.since));
        table.free += 1;
        drop(table);
        self.place.table.freed.notify_one();
    }
}

/// A request that is being worked on.
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
        // From then on nothing is begun that could not be answered.
        assert!(taken.place.work().is_none());
    }

    #[tokio::test]
    async fn who_has_rested_longest_makes_room_and_who_works_does_not() {
        // One client's, or of peers of which each stands for itself.
        for holder in [Some(client("192.0.2.1")), None] {
            let places = ConnectionLimiter::for_connections(3);
            let (first, _) = places.take(holder).await;
            let (second, _) = places.take(holder).await;
            let (third, crowded) = places.take(holder).await;
            assert_eq!(crowded, None);
            let work = first.place.work();
            // The second has rested longest, and then the third.
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
        // An IPv6 client is its /64; and one who holds many that are at work is not the one.
        let (first, _) = places.take(Some(client("2001:db8::1"))).await;
        let (second, _) = places.take(Some(client("2001:db8::ffff:2"))).await;
        let (busy, _) = places.take(Some(client("192.0.2.2"))).await;
        let (also_busy, _) = places.take(Some(client("192.0.2.2"))).await;
        let _works = [busy.place.work(), busy.place.work(), also_busy.place.work()];
        assert!(places.want_one());
        assert!(asked(&first) && !asked(&honest) && !asked(&second));
        // All have one now: it is the one that has rested longest.
        assert!(places.want_one());
        assert!(asked(&honest) && !asked(&alone) && !asked(&second));
        // Whose it was is told late.
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
        // Its last byte has come too late.
        assert!(first.place.work().is_none());
        drop(first);
        let work = second.place.work();
        assert!(work.is_some());
        // Everybody is at work: it is waited, in turn.
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
