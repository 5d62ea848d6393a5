//! Table of taken slots: their holders, and the order of eviction.
//!
//! Pure: the time is an argument. Beginning and ending work takes time logarithmic in the number of
//! slots. Waiting for a slot is left to `slots.rs`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::server::client_key::ClientKey;

/// Interval between two attempts to evict an idle slot. A slot counts as busy for the same time
/// after a request, so that the answer can leave.
pub const EVICTION_INTERVAL: Duration = Duration::from_millis(10);

/// Minimum age of an evicted HTTP/2 request, and of a connection that is evicted for its
/// descriptor. The first bytes of a younger one may be on their way, so a newcomer waits instead.
pub const SPARED: Duration = Duration::from_millis(100);

/// Slots of connections or of requests.
#[derive(Debug)]
pub struct SlotTable {
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
    acquired: Instant,
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

impl SlotTable {
    /// Creates a table with this many free slots.
    pub fn new(free: usize) -> Self {
        Self {
            free,
            tick: 0,
            entries: HashMap::new(),
            idle: HashMap::new(),
            order: BTreeSet::new(),
        }
    }

    fn tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    /// Takes a free slot. If there is none and `may_evict` is set, evicts one. The flag is true if
    /// a slot was evicted.
    pub fn acquire(
        &mut self,
        holder: Option<ClientKey>,
        may_evict: bool,
        immediate: bool,
        now: Instant,
    ) -> (Option<(u64, CancellationToken)>, bool) {
        let spared = if immediate { SPARED } else { Duration::ZERO };
        let evicted = self.free == 0 && may_evict && self.evict_idle(immediate, spared, now);
        if self.free == 0 {
            return (None, evicted);
        }
        let number = self.tick();
        let holder = holder.unwrap_or(ClientKey::Connection(number));
        let eviction = CancellationToken::new();
        self.free -= 1;
        let entry = SlotEntry {
            holder,
            acquired: now,
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

    /// Evicts an idle slot. False if every slot is busy, or if the chosen slot is younger than
    /// `spared`. With `immediate` the slot is free from now on.
    pub fn evict_idle(&mut self, immediate: bool, spared: Duration, now: Instant) -> bool {
        let largest = self
            .order
            .last()
            .map(|(_, Reverse(oldest), holder)| (*oldest, *holder));
        let Some((oldest, holder)) = largest else {
            return false;
        };
        let is_spared = || {
            let number = self.idle.get(&holder)?.get(&oldest)?;
            let acquired = self.entries.get(number)?.acquired;
            Some(now.duration_since(acquired) < spared)
        };
        if is_spared() == Some(true) {
            return false;
        }
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

    /// Marks a slot busy with one more request. False if the slot has been evicted or is about to
    /// be.
    pub fn begin_work(&mut self, number: u64) -> bool {
        let Some(entry) = self.entries.get_mut(&number).filter(|entry| !entry.releasing) else {
            return false;
        };
        entry.active += 1;
        let (holder, since) = (entry.holder, entry.since);
        if entry.active == 1 {
            self.rank(holder, |idle| idle.remove(&since));
        }
        true
    }

    /// Ends one request of a slot. Without a further one the slot is idle.
    pub fn end_work(&mut self, number: u64, now: Instant) {
        let tick = self.tick();
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        entry.since = tick;
        entry.ended = Some(now);
        entry.active -= 1;
        if entry.active == 0 && !entry.eviction.is_cancelled() {
            let holder = entry.holder;
            self.rank(holder, |idle| idle.insert(tick, number));
        }
    }

    pub fn holder(&self, number: u64) -> ClientKey {
        let entry = self.entries.get(&number);
        entry.map_or(ClientKey::Connection(number), |entry| entry.holder)
    }

    /// Moves a slot to another holder. `None`: it counts alone.
    pub fn reassign(&mut self, number: u64, holder: Option<ClientKey>) {
        let holder = holder.unwrap_or(ClientKey::Connection(number));
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        let before = std::mem::replace(&mut entry.holder, holder);
        let since = entry.since;
        let mut was_idle = false;
        self.rank(before, |idle| {
            let removed = idle.remove(&since);
            was_idle = removed.is_some();
            removed
        });
        if was_idle {
            self.rank(holder, |idle| idle.insert(since, number));
        }
    }

    /// True if an evicted slot is released now. A slot that is busy, or was so a moment ago, is
    /// not: over HTTP/2 another task sends the answer than the one that makes it.
    pub fn try_release(&mut self, number: u64, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(&number) else {
            return true;
        };
        let just_ended = |ended: Instant| now.duration_since(ended) < EVICTION_INTERVAL;
        entry.releasing = entry.active == 0 && !entry.ended.is_some_and(just_ended);
        entry.releasing
    }

    /// Frees a slot. False if the slot had already passed to another holder.
    pub fn release(&mut self, number: u64) -> bool {
        let Some(entry) = self.entries.remove(&number) else {
            return false;
        };
        self.rank(entry.holder, |idle| idle.remove(&entry.since));
        self.free += 1;
        true
    }

    /// Returns the number of free and of taken slots.
    #[cfg(test)]
    pub fn counts(&self) -> (usize, usize) {
        assert!(!self.entries.is_empty() || self.idle.is_empty() && self.order.is_empty());
        (self.free, self.entries.len())
    }
}
