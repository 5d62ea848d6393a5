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
    pub key: QueueKey,
}

/// Approximate maximum entries of all windows together. A window beyond its share keeps its first
/// half; the rest stays on disk.
const WINDOW_BUDGET: usize = 8192;

/// Minimum share of a window, however many windows there are.
const MIN_WINDOW: usize = 32;

/// Maximum entries read from disk at once.
pub(super) const REFILL_MAX: usize = 1024;

/// The ready queues and the leases.
#[derive(Debug, Default)]
pub(super) struct Queue {
    windows: HashMap<Arc<str>, RuleWindow>,
    /// The first entry of each window that is not empty.
    ready: BTreeMap<QueueKey, Arc<str>>,
    /// Rules whose window is empty while more entries are on disk.
    exhausted: HashSet<Arc<str>>,
    /// True if every rule with waiting deliveries has a window.
    complete: bool,
    leases: HashMap<DeliveryId, ReadyEntry>,
    leased: HashSet<i64>,
    /// Leases whose attempts are not on disk as begun, with the time of the lease.
    unmarked: HashMap<DeliveryId, Unmarked>,
    /// Leases whose attempts are on disk as begun.
    marked: HashSet<DeliveryId>,
    leased_by_rule: HashMap<Arc<str>, usize>,
    /// Number of each rule's last turn.
    turns: HashMap<Arc<str>, u64>,
    turn: u64,
}

/// Maximum rules whose last turn is remembered. At the limit all are forgotten.
const TURNS_KEPT: usize = 16_384;

/// The first entries of one rule's queue.
#[derive(Debug)]
struct RuleWindow {
    keys: BTreeSet<QueueKey>,
    /// Upper end of the window: every unleased waiting delivery up to it is in memory.
    loaded_to: QueueKey,
}

impl Queue {
    /// Makes queues that know no rules yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the windows but not the leases, because another program has written to the file.
    pub fn invalidate(&mut self) {
        self.windows.clear();
        self.ready.clear();
        self.exhausted.clear();
        self.complete = false;
    }

    /// Returns whether the rules with waiting deliveries are known. If not, [`load_rules`](Self::load_rules)
    /// sets them.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Sets the rules that have waiting deliveries on disk.
    pub fn load_rules(&mut self, rules: Vec<Arc<str>>) {
        self.invalidate();
        for rule in rules {
            let keys = BTreeSet::new();
            let loaded_to = QueueKey::FIRST;
            self.windows
                .insert(Arc::clone(&rule), RuleWindow { keys, loaded_to });
            self.exhausted.insert(rule);
        }
        self.complete = true;
    }

    /// Adds a waiting delivery, which is on disk already.
    pub fn add(&mut self, ReadyEntry { rule, key }: ReadyEntry) {
        if !self.complete {
            return;
        }
        let window_size = self.window_size();
        let window = self
            .windows
            .entry(Arc::clone(&rule))
            .or_insert_with(|| RuleWindow {
                keys: BTreeSet::new(),
                loaded_to: QueueKey::LAST,
            });
        if key > window.loaded_to {
            return;
        }
        let first_before = window.keys.first().copied();
        window.keys.insert(key);
        if window.keys.len() > window_size {
            let kept = window.keys.iter().nth(window_size / 2).copied();
            if let Some(first_left) = kept {
                drop(window.keys.split_off(&first_left));
                window.loaded_to = window.keys.last().copied().unwrap_or(QueueKey::FIRST);
            }
        }
        self.update_ready(&rule, first_before);
    }

    /// Removes an entry that is no longer on disk either.
    pub fn remove(&mut self, ReadyEntry { rule, key }: &ReadyEntry) {
        if let Some(window) = self.windows.get_mut(rule) {
            let first_before = window.keys.first().copied();
            window.keys.remove(key);
            self.update_ready(rule, first_before);
        }
    }

    /// The entry with the earliest due time among the rules that may have another lease. `None` if
    /// no window has one.
    pub fn first(&self, limits: Concurrency) -> Option<ReadyEntry> {
        let mut ready = self.ready.iter();
        let found = ready.find(|(_, rule)| self.is_admitted(limits, rule))?;
        Some(Self::entry(found))
    }

    /// The entry whose turn it is, among those due at `now`.
    pub fn next(&self, limits: Concurrency, now: i64) -> Option<ReadyEntry> {
        let due = self.ready.iter().take_while(|(key, _)| key.due <= now);
        let admitted = due.filter(|(_, rule)| self.is_admitted(limits, rule));
        let found = admitted.min_by_key(|(key, rule)| {
            let turn = self.turns.get(*rule).copied().unwrap_or(0);
            (self.leased_by_rule(rule), turn, **key)
        })?;
        Some(Self::entry(found))
    }

    fn entry((key, rule): (&QueueKey, &Arc<str>)) -> ReadyEntry {
        ReadyEntry {
            rule: Arc::clone(rule),
            key: *key,
        }
    }

    fn is_admitted(&self, limits: Concurrency, rule: &str) -> bool {
        limits.admits(self.leased_by_rule(rule), self.leases.len())
    }

    /// True if an entry in a window is due.
    pub fn is_due(&self, now: i64) -> bool {
        self.ready
            .first_key_value()
            .is_some_and(|(key, _)| key.due <= now)
    }

    /// A rule whose window has run out, the key after which to read, and the number of entries to
    /// read.
    pub fn exhausted(&self) -> Option<(Arc<str>, QueueKey, usize)> {
        let rule = self.exhausted.iter().next()?;
        let after = self.windows.get(rule)?.loaded_to;
        Some((Arc::clone(rule), after, (self.window_size() / 2).min(REFILL_MAX)))
    }

    /// Adds the entries read after a rule's horizon, in order. Fewer than `requested` means that the
    /// end was reached.
    pub fn refill(&mut self, rule: &Arc<str>, read: &[QueueKey], requested: usize) {
        let Some(window) = self.windows.get_mut(rule) else {
            return;
        };
        let first_before = window.keys.first().copied();
        let fresh = read.iter().filter(|key| !self.leased.contains(&key.seq));
        window.keys.extend(fresh);
        window.loaded_to = match read.last() {
            Some(last) if read.len() >= requested => *last,
            _ => QueueKey::LAST,
        };
        self.update_ready(rule, first_before);
    }

    /// Leases a delivery and removes it from its window.
    ///
    /// If `by_itself`, its attempt begins only with [`mark`](Self::mark). A lease that is given up
    /// before its attempt must not count as an interrupted attempt.
    pub fn lease(&mut self, delivery: DeliveryId, entry: ReadyEntry, now: i64, by_itself: bool) {
        self.remove(&entry);
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
        self.turns.insert(Arc::clone(&entry.rule), self.turn);
        *self.leased_by_rule.entry(Arc::clone(&entry.rule)).or_default() += 1;
        self.leased.insert(entry.key.seq);
        self.leases.insert(delivery, entry);
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
        let entry = self.leases.remove(&delivery)?;
        self.unmarked.remove(&delivery);
        self.marked.remove(&delivery);
        self.leased.remove(&entry.key.seq);
        if let Some(count) = self.leased_by_rule.get_mut(&entry.rule) {
            *count -= 1;
            if *count == 0 {
                self.leased_by_rule.remove(&entry.rule);
            }
        }
        Some(entry)
    }

    /// Ends a lease without a change: the delivery gets its entry back.
    pub fn release(&mut self, delivery: DeliveryId) {
        if let Some(entry) = self.end(delivery) {
            self.add(entry);
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
    fn leased_by_rule(&self, rule: &str) -> usize {
        self.leased_by_rule.get(rule).copied().unwrap_or(0)
    }

    /// Maximum entries of one window.
    fn window_size(&self) -> usize {
        (WINDOW_BUDGET / self.windows.len().max(1)).max(MIN_WINDOW)
    }

    /// Updates the first entry of a rule after its window has changed. `before` is its first entry
    /// before the change.
    fn update_ready(&mut self, rule: &Arc<str>, before: Option<QueueKey>) {
        let Some(window) = self.windows.get(rule) else {
            return;
        };
        let first = window.keys.first().copied();
        if first != before {
            if let Some(before) = before {
                self.ready.remove(&before);
            }
            if let Some(first) = first {
                self.ready.insert(first, Arc::clone(rule));
            }
        }
        match first {
            Some(_) => {
                self.exhausted.remove(rule);
            }
            None if window.loaded_to < QueueKey::LAST => {
                self.exhausted.insert(Arc::clone(rule));
            }
            None => {
                self.exhausted.remove(rule);
                self.windows.remove(rule);
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

    fn key(due: i64, seq: i64) -> QueueKey {
        QueueKey { due, seq }
    }

    fn rule(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    fn entry(name: &str, due: i64, seq: i64) -> ReadyEntry {
        let rule = rule(name);
        ReadyEntry {
            rule,
            key: key(due, seq),
        }
    }

    fn delivery(number: i64) -> DeliveryId {
        DeliveryId::new(Timestamp::from_millis(number))
    }

    /// Reads on from a simulated disk on which everything belongs to one rule, as the store does.
    fn next(queue: &mut Queue, disk: &BTreeSet<QueueKey>) -> Option<QueueKey> {
        if !queue.is_complete() {
            queue.load_rules(vec![rule("one")]);
        }
        while let Some((rule, after, count)) = queue.exhausted() {
            let read: Vec<_> = disk
                .iter()
                .copied()
                .filter(|key| *key > after)
                .take(count)
                .collect();
            queue.refill(&rule, &read, count);
        }
        let first = queue.first(ALL)?;
        queue.remove(&first);
        Some(first.key)
    }

    #[test]
    fn a_window_is_bounded_and_no_entry_beyond_it_is_lost() {
        let mut queue = Queue::new();
        let mut disk = BTreeSet::new();
        assert_eq!(next(&mut queue, &disk), None);
        // The end of the queue is known, so every entry goes into the window until it is full.
        for seq in 0..20_000 {
            disk.insert(key(7, seq));
            queue.add(entry("one", 7, seq));
            assert!(queue.windows["one"].keys.len() <= WINDOW_BUDGET);
        }
        let mut leases = Vec::new();
        for seq in 0..20_000 {
            assert_eq!(next(&mut queue, &disk), Some(key(7, seq)));
            let delivery = delivery(seq);
            queue.lease(delivery, entry("one", 7, seq), 7, false);
            leases.push(delivery);
        }
        // All are leased, so none is found again, although all are on disk.
        assert_eq!(next(&mut queue, &disk), None);
        queue.invalidate();
        assert_eq!(next(&mut queue, &disk), None);
        queue.release(leases[12_345]);
        assert_eq!(next(&mut queue, &disk), Some(key(7, 12_345)));
    }

    #[test]
    fn entries_before_and_after_the_end_of_the_window_are_each_seen_once() {
        let mut queue = Queue::new();
        let mut disk: BTreeSet<QueueKey> = (0..3000).map(|seq| key(seq, seq)).collect();
        assert_eq!(next(&mut queue, &disk), Some(key(0, 0)));
        for new in [key(5, 4000), key(2000, 4001)] {
            disk.insert(new);
            queue.add(entry("one", new.due, new.seq));
        }
        disk.remove(&key(0, 0));
        let mut seen = Vec::new();
        while let Some(key) = next(&mut queue, &disk) {
            seen.push(key);
        }
        assert_eq!(seen, disk.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn many_rules_share_the_window_budget() {
        let mut queue = Queue::new();
        queue.load_rules(Vec::new());
        let held = |queue: &Queue| {
            queue
                .windows
                .values()
                .map(|window| window.keys.len())
                .sum::<usize>()
        };
        for seq in 0..1000 {
            for rule in 0..100 {
                queue.add(entry(&rule.to_string(), seq, seq * 100 + rule));
            }
        }
        assert!(
            held(&queue) <= WINDOW_BUDGET + MIN_WINDOW * 100,
            "{}",
            held(&queue)
        );
        assert_eq!(queue.ready.len(), 100);
        assert_eq!(queue.first(ALL), Some(entry("0", 0, 0)));
    }

    #[test]
    fn a_rule_at_its_limit_is_passed_over() {
        let mut queue = Queue::new();
        queue.load_rules(Vec::new());
        for seq in 0..20 {
            queue.add(entry("slow", 0, seq));
        }
        queue.add(entry("other", 5, 20));
        let mut limits = Concurrency {
            slots: 8,
            per_rule: 64,
        };
        let lease = |queue: &mut Queue, limits| {
            let first = queue.next(limits, 9)?;
            queue.lease(delivery(first.key.seq), first.clone(), 9, false);
            Some(first.rule.to_string())
        };
        // The other rule gets its turn, however much waits before it. Then the first rule fills the
        // slots beside the reserve.
        for rule in ["slow", "other", "slow", "slow"] {
            assert_eq!(lease(&mut queue, limits).as_deref(), Some(rule));
        }
        assert_eq!(lease(&mut queue, limits), None);
        assert!(queue.is_due(0));
        limits.slots = 100;
        limits.per_rule = 5;
        assert_eq!(lease(&mut queue, limits).as_deref(), Some("slow"));
        assert_eq!(lease(&mut queue, limits).as_deref(), Some("slow"));
        assert_eq!(lease(&mut queue, limits), None);
    }
}
