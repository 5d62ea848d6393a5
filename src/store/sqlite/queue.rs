//! Per-rule ready queues, and all leases.
//!
//! The first entries of each queue and all leases are cached in memory; the rest stays on disk. The
//! window of a rule holds every unleased waiting delivery up to a horizon, in order. When it runs
//! out, later entries are read from the index. A lease call therefore never scans leased deliveries
//! or those of a rule at its limit. A million waiting deliveries take no more memory than a
//! thousand.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::store::{Concurrency, DeliveryId};

/// Position in a rule's queue: by due time, then by order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct QueueKey {
    /// Due time, in milliseconds.
    pub due: i64,
    /// Row of the delivery.
    pub seq: i64,
}

impl QueueKey {
    /// Before all other keys.
    const FIRST: Self = Self {
        due: i64::MIN,
        seq: i64::MIN,
    };
    /// After all other keys.
    const LAST: Self = Self {
        due: i64::MAX,
        seq: i64::MAX,
    };
}

/// A lease whose attempt is not on disk as begun.
#[derive(Debug)]
struct Unmarked {
    /// Time of the lease, in milliseconds.
    since: i64,
    /// The attempt does not begin with the lease.
    by_itself: bool,
}

/// A position in the queue of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadyEntry {
    pub rule: Arc<str>,
    pub place: QueueKey,
}

/// Approximate maximum entries of all windows together. A window beyond its share keeps its first
/// half; the rest stays on disk.
const PLACES: usize = 8192;

/// Minimum share of a window, however many windows there are.
const LEAST: usize = 32;

/// Maximum entries read from disk at once.
pub(super) const REFILL: usize = 1024;

/// The ready queues and the leases.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heads: HashMap<Arc<str>, RuleWindow>,
    /// The first entry of each window that is not empty.
    fronts: BTreeMap<QueueKey, Arc<str>>,
    /// Rules whose window is empty while more entries are on disk.
    dry: HashSet<Arc<str>>,
    /// True if every rule with waiting deliveries has a window.
    complete: bool,
    leases: HashMap<DeliveryId, ReadyEntry>,
    leased: HashSet<i64>,
    /// Leases whose attempts are not on disk as begun, with the time of the lease.
    unmarked: HashMap<DeliveryId, Unmarked>,
    /// Leases whose attempts are on disk as begun.
    marked: HashSet<DeliveryId>,
    under_way: HashMap<Arc<str>, usize>,
    /// Number of each rule's last turn.
    turns: HashMap<Arc<str>, u64>,
    turn: u64,
}

/// Maximum rules whose last turn is remembered. At the limit all are forgotten.
const TURNS_KEPT: usize = 16_384;

/// The first entries of one rule's queue.
#[derive(Debug)]
struct RuleWindow {
    places: BTreeSet<QueueKey>,
    /// Upper end of the window: every unleased waiting delivery up to it is in memory.
    horizon: QueueKey,
}

impl Queue {
    /// Makes queues that know no rules yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the windows but not the leases, because another program has written to the file.
    pub fn look_again(&mut self) {
        self.heads.clear();
        self.fronts.clear();
        self.dry.clear();
        self.complete = false;
    }

    /// Returns whether the rules with waiting deliveries are known. If not, [`begin`](Self::begin)
    /// sets them.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Sets the rules that have waiting deliveries on disk.
    pub fn begin(&mut self, rules: Vec<Arc<str>>) {
        self.look_again();
        for rule in rules {
            let places = BTreeSet::new();
            let horizon = QueueKey::FIRST;
            self.heads
                .insert(Arc::clone(&rule), RuleWindow { places, horizon });
            self.dry.insert(rule);
        }
        self.complete = true;
    }

    /// Adds a waiting delivery, which is on disk already.
    pub fn wait(&mut self, ReadyEntry { rule, place }: ReadyEntry) {
        if !self.complete {
            return;
        }
        let share = self.share();
        let head = self.heads.entry(Arc::clone(&rule)).or_insert_with(|| RuleWindow {
            places: BTreeSet::new(),
            horizon: QueueKey::LAST,
        });
        if place > head.horizon {
            return;
        }
        let front = head.places.first().copied();
        head.places.insert(place);
        if head.places.len() > share {
            let kept = head.places.iter().nth(share / 2).copied();
            if let Some(first_left) = kept {
                drop(head.places.split_off(&first_left));
                head.horizon = head.places.last().copied().unwrap_or(QueueKey::FIRST);
            }
        }
        self.put_in_front(&rule, front);
    }

    /// Removes an entry that is no longer on disk either.
    pub fn forget(&mut self, ReadyEntry { rule, place }: &ReadyEntry) {
        if let Some(head) = self.heads.get_mut(rule) {
            let front = head.places.first().copied();
            head.places.remove(place);
            self.put_in_front(rule, front);
        }
    }

    /// The entry with the earliest due time among the rules that may have another lease. `None` if
    /// no window has one.
    pub fn first(&self, room: Concurrency) -> Option<ReadyEntry> {
        let mut fronts = self.fronts.iter();
        let found = fronts.find(|(_, rule)| self.has_room(room, rule))?;
        Some(Self::waits(found))
    }

    /// The entry whose turn it is, among those due at `now`.
    pub fn next(&self, room: Concurrency, now: i64) -> Option<ReadyEntry> {
        let due = self.fronts.iter().take_while(|(place, _)| place.due <= now);
        let with_room = due.filter(|(_, rule)| self.has_room(room, rule));
        let found = with_room.min_by_key(|(place, rule)| {
            let turn = self.turns.get(*rule).copied().unwrap_or(0);
            (self.under_way(rule), turn, **place)
        })?;
        Some(Self::waits(found))
    }

    fn waits((place, rule): (&QueueKey, &Arc<str>)) -> ReadyEntry {
        ReadyEntry {
            rule: Arc::clone(rule),
            place: *place,
        }
    }

    fn has_room(&self, room: Concurrency, rule: &str) -> bool {
        room.admits(self.under_way(rule), self.leases.len())
    }

    /// True if an entry in a window is due.
    pub fn is_due(&self, now: i64) -> bool {
        self.fronts
            .first_key_value()
            .is_some_and(|(place, _)| place.due <= now)
    }

    /// A rule whose window has run out, the key after which to read, and the number of entries to
    /// read.
    pub fn dry(&self) -> Option<(Arc<str>, QueueKey, usize)> {
        let rule = self.dry.iter().next()?;
        let after = self.heads.get(rule)?.horizon;
        Some((Arc::clone(rule), after, (self.share() / 2).min(REFILL)))
    }

    /// Adds the entries read after a rule's horizon, in order. Fewer than `asked` means that the
    /// end was reached.
    pub fn refill(&mut self, rule: &Arc<str>, read: &[QueueKey], asked: usize) {
        let Some(head) = self.heads.get_mut(rule) else {
            return;
        };
        let front = head.places.first().copied();
        let fresh = read.iter().filter(|place| !self.leased.contains(&place.seq));
        head.places.extend(fresh);
        head.horizon = match read.last() {
            Some(last) if read.len() >= asked => *last,
            _ => QueueKey::LAST,
        };
        self.put_in_front(rule, front);
    }

    /// Leases a delivery and removes it from its window.
    ///
    /// If `by_itself`, its attempt begins only with [`mark`](Self::mark). A lease that is given up
    /// before its attempt must not count as an interrupted attempt.
    pub fn lease(&mut self, delivery: DeliveryId, waits: ReadyEntry, now: i64, by_itself: bool) {
        self.forget(&waits);
        self.unmarked.insert(
            delivery,
            Unmarked {
                since: now,
                by_itself,
            },
        );
        if self.turns.len() >= TURNS_KEPT {
            self.turns.clear();
        }
        self.turn += 1;
        self.turns.insert(Arc::clone(&waits.rule), self.turn);
        *self.under_way.entry(Arc::clone(&waits.rule)).or_default() += 1;
        self.leased.insert(waits.place.seq);
        self.leases.insert(delivery, waits);
    }

    /// The entry of a leased delivery.
    pub fn leased(&self, delivery: DeliveryId) -> Option<&ReadyEntry> {
        self.leases.get(&delivery)
    }

    /// True if the delivery of this row is leased.
    pub fn is_leased(&self, seq: i64) -> bool {
        self.leased.contains(&seq)
    }

    /// Leases made up to `leased_by` whose attempts have begun with the lease and are not on disk as
    /// begun.
    pub fn unmarked(&self, leased_by: i64) -> impl Iterator<Item = (DeliveryId, i64)> {
        let begun = self.unmarked.iter().filter(|(_, unmarked)| !unmarked.by_itself);
        let all = begun.map(|(delivery, unmarked)| (*delivery, unmarked.since));
        all.filter(move |(_, since)| *since <= leased_by)
    }

    /// Time of the lease, if the attempt is not on disk as begun.
    pub fn unmarked_since(&self, delivery: DeliveryId) -> Option<i64> {
        self.unmarked.get(&delivery).map(|unmarked| unmarked.since)
    }

    /// Records that the attempt at a leased delivery is on disk as begun.
    pub fn mark(&mut self, delivery: DeliveryId) {
        if self.unmarked.remove(&delivery).is_some() {
            self.marked.insert(delivery);
        }
    }

    /// True if the attempt at a leased delivery is on disk as begun.
    pub fn is_marked(&self, delivery: DeliveryId) -> bool {
        self.marked.contains(&delivery)
    }

    /// Ends a lease. Returns the entry of the delivery.
    pub fn end(&mut self, delivery: DeliveryId) -> Option<ReadyEntry> {
        let waits = self.leases.remove(&delivery)?;
        self.unmarked.remove(&delivery);
        self.marked.remove(&delivery);
        self.leased.remove(&waits.place.seq);
        if let Some(count) = self.under_way.get_mut(&waits.rule) {
            *count -= 1;
            if *count == 0 {
                self.under_way.remove(&waits.rule);
            }
        }
        Some(waits)
    }

    /// Ends a lease without a change: the delivery gets its entry back.
    pub fn release(&mut self, delivery: DeliveryId) {
        if let Some(waits) = self.end(delivery) {
            self.wait(waits);
        }
    }

    /// True if anything was leased since the start.
    pub fn has_leased(&self) -> bool {
        self.turn > 0
    }

    /// Number of leases.
    pub fn leases(&self) -> usize {
        self.leases.len()
    }

    /// Number of leases of a rule.
    fn under_way(&self, rule: &str) -> usize {
        self.under_way.get(rule).copied().unwrap_or(0)
    }

    /// Maximum entries of one window.
    fn share(&self) -> usize {
        (PLACES / self.heads.len().max(1)).max(LEAST)
    }

    /// Updates the first entry of a rule after its window has changed. `before` is its first entry
    /// before the change.
    fn put_in_front(&mut self, rule: &Arc<str>, before: Option<QueueKey>) {
        let Some(head) = self.heads.get(rule) else {
            return;
        };
        let first = head.places.first().copied();
        if first != before {
            if let Some(before) = before {
                self.fronts.remove(&before);
            }
            if let Some(first) = first {
                self.fronts.insert(first, Arc::clone(rule));
            }
        }
        match first {
            Some(_) => {
                self.dry.remove(rule);
            }
            None if head.horizon < QueueKey::LAST => {
                self.dry.insert(Arc::clone(rule));
            }
            None => {
                self.dry.remove(rule);
                self.heads.remove(rule);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;

    const ALL: Concurrency = Concurrency {
        slots: usize::MAX,
        per_rule: usize::MAX,
    };

    fn place(due: i64, seq: i64) -> QueueKey {
        QueueKey { due, seq }
    }

    fn rule(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    fn waits(name: &str, due: i64, seq: i64) -> ReadyEntry {
        let rule = rule(name);
        ReadyEntry {
            rule,
            place: place(due, seq),
        }
    }

    fn delivery(number: i64) -> DeliveryId {
        DeliveryId::new(Timestamp::from_millis(number))
    }

    /// Reads on from a simulated disk on which everything belongs to one rule, as the store does.
    fn next(queue: &mut Queue, disk: &BTreeSet<QueueKey>) -> Option<QueueKey> {
        if !queue.is_complete() {
            queue.begin(vec![rule("one")]);
        }
        while let Some((rule, after, count)) = queue.dry() {
            let read: Vec<_> = disk
                .iter()
                .copied()
                .filter(|place| *place > after)
                .take(count)
                .collect();
            queue.refill(&rule, &read, count);
        }
        let first = queue.first(ALL)?;
        queue.forget(&first);
        Some(first.place)
    }

    #[test]
    fn the_head_is_bounded_and_nothing_is_lost_beyond_it() {
        let mut queue = Queue::new();
        let mut disk = BTreeSet::new();
        assert_eq!(next(&mut queue, &disk), None);
        // The end of the queue is known, so every entry goes into the window until it is full.
        for seq in 0..20_000 {
            disk.insert(place(7, seq));
            queue.wait(waits("one", 7, seq));
            assert!(queue.heads["one"].places.len() <= PLACES);
        }
        let mut leases = Vec::new();
        for seq in 0..20_000 {
            assert_eq!(next(&mut queue, &disk), Some(place(7, seq)));
            let delivery = delivery(seq);
            queue.lease(delivery, waits("one", 7, seq), 7, false);
            leases.push(delivery);
        }
        // All are leased, so none is found again, although all are on disk.
        assert_eq!(next(&mut queue, &disk), None);
        queue.look_again();
        assert_eq!(next(&mut queue, &disk), None);
        queue.release(leases[12_345]);
        assert_eq!(next(&mut queue, &disk), Some(place(7, 12_345)));
    }

    #[test]
    fn what_comes_before_the_horizon_is_seen_and_what_comes_after_it_is_read_once() {
        let mut queue = Queue::new();
        let mut disk: BTreeSet<QueueKey> = (0..3000).map(|seq| place(seq, seq)).collect();
        assert_eq!(next(&mut queue, &disk), Some(place(0, 0)));
        for new in [place(5, 4000), place(2000, 4001)] {
            disk.insert(new);
            queue.wait(waits("one", new.due, new.seq));
        }
        disk.remove(&place(0, 0));
        let mut seen = Vec::new();
        while let Some(place) = next(&mut queue, &disk) {
            seen.push(place);
        }
        assert_eq!(seen, disk.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn many_rules_share_what_one_may_hold() {
        let mut queue = Queue::new();
        queue.begin(Vec::new());
        let held = |queue: &Queue| queue.heads.values().map(|head| head.places.len()).sum::<usize>();
        for seq in 0..1000 {
            for rule in 0..100 {
                queue.wait(waits(&rule.to_string(), seq, seq * 100 + rule));
            }
        }
        assert!(held(&queue) <= PLACES + LEAST * 100, "{}", held(&queue));
        assert_eq!(queue.fronts.len(), 100);
        assert_eq!(queue.first(ALL), Some(waits("0", 0, 0)));
    }

    #[test]
    fn a_rule_is_passed_over_while_it_has_as_much_as_is_left() {
        let mut queue = Queue::new();
        queue.begin(Vec::new());
        for seq in 0..20 {
            queue.wait(waits("slow", 0, seq));
        }
        queue.wait(waits("other", 5, 20));
        let mut room = Concurrency {
            slots: 8,
            per_rule: 64,
        };
        let lease = |queue: &mut Queue, room| {
            let first = queue.next(room, 9)?;
            queue.lease(delivery(first.place.seq), first.clone(), 9, false);
            Some(first.rule.to_string())
        };
        // The other rule gets its turn, however much waits before it. Then the first rule fills the
        // slots beside the reserve.
        for rule in ["slow", "other", "slow", "slow"] {
            assert_eq!(lease(&mut queue, room).as_deref(), Some(rule));
        }
        assert_eq!(lease(&mut queue, room), None);
        assert!(queue.is_due(0));
        room.slots = 100;
        room.per_rule = 5;
        assert_eq!(lease(&mut queue, room).as_deref(), Some("slow"));
        assert_eq!(lease(&mut queue, room).as_deref(), Some("slow"));
        assert_eq!(lease(&mut queue, room), None);
    }
}
