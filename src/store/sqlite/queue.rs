//! Per-rule ready queues.
//!
//! The first entries of each queue are cached in memory; the rest stays on disk. The
//! window of a rule holds every unleased waiting delivery up to its end, in order. When it runs
//! out, later entries are read from the index. A lease call therefore never scans leased deliveries
//! or those of a rule at its limit. A million waiting deliveries take no more memory than a
//! thousand.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::leases::{LeasedDelivery, Leases};
use super::queue_key::{QueueKey, ReadyEntry};
use crate::store::{DeliveryId, Wanted};

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
    pub leases: Leases,
}

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

    /// Returns whether the rules with waiting deliveries are known. If not,
    /// [`load_rules`](Self::load_rules) sets them.
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
    pub fn first(&self, wanted: &Wanted) -> Option<ReadyEntry> {
        let mut ready = self.ready.iter();
        let found = ready.find(|(_, rule)| self.leases.turns.admits(wanted, rule))?;
        let (key, rule) = (*found.0, Arc::clone(found.1));
        Some(ReadyEntry { rule, key })
    }

    /// The entry whose turn it is, among those due at `now`.
    pub fn next(&self, wanted: &Wanted, now: i64) -> Option<ReadyEntry> {
        let due = self.ready.iter().take_while(|(key, _)| key.due <= now);
        let candidates = due.map(|(key, rule)| (rule, (*key, rule)));
        let (key, rule) = self.leases.turns.next(wanted, candidates)?;
        let rule = Arc::clone(rule);
        Some(ReadyEntry { rule, key })
    }

    /// True if an entry in a window is due, other than those of rules that get no lease.
    pub fn is_due(&self, wanted: &Wanted, now: i64) -> bool {
        let mut due = self.ready.iter().take_while(|(key, _)| key.due <= now);
        due.any(|(_, rule)| !wanted.excludes(rule))
    }

    /// A rule whose window has run out, the key after which to read, and the number of entries to
    /// read.
    pub fn exhausted(&self) -> Option<(Arc<str>, QueueKey, usize)> {
        let rule = self.exhausted.iter().next()?;
        let after = self.windows.get(rule)?.loaded_to;
        Some((Arc::clone(rule), after, (self.window_size() / 2).min(REFILL_MAX)))
    }

    /// Adds the entries read after the end of a rule's window, in order. Fewer than `requested`
    /// means that the end was reached.
    pub fn refill(&mut self, rule: &Arc<str>, read: &[QueueKey], requested: usize) {
        let Some(window) = self.windows.get_mut(rule) else {
            return;
        };
        let first_before = window.keys.first().copied();
        let unleased = read.iter().filter(|key| !self.leases.has_row(key.seq));
        window.keys.extend(unleased);
        window.loaded_to = match read.last() {
            Some(last) if read.len() >= requested => *last,
            _ => QueueKey::LAST,
        };
        self.update_ready(rule, first_before);
    }

    /// Leases a delivery and removes it from its window.
    pub fn lease(&mut self, delivery: DeliveryId, leased: LeasedDelivery) {
        self.remove(&leased.entry);
        self.leases.add(delivery, leased);
    }

    /// Ends a lease without a change: the delivery gets its entry back.
    pub fn release(&mut self, delivery: DeliveryId) {
        if let Some(entry) = self.leases.end(delivery) {
            self.add(entry);
        }
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
    use super::super::leases::AttemptStart;
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::store::Concurrency;
    use crate::store::decide::settlement::LeaseSnapshot;
    use crate::store::decide::turns::LeaseCost;

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

    fn lease(queue: &mut Queue, entry: ReadyEntry) -> DeliveryId {
        let delivery = DeliveryId::new(Timestamp::from_millis(entry.key.seq));
        let leased = LeasedDelivery {
            epoch: 0,
            snapshot: LeaseSnapshot {
                action: 0,
                attempt: 1,
                due: Timestamp::from_millis(entry.key.due),
                interrupted: None,
                for_failure: false,
            },
            entry,
            event: 1,
            in_group: false,
            since: 0,
            start: AttemptStart::WithLease,
            cost: LeaseCost::Slot,
        };
        queue.lease(delivery, leased);
        delivery
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
        let first = queue.first(&ALL.into())?;
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
            leases.push(lease(&mut queue, entry("one", 7, seq)));
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
        assert_eq!(queue.first(&ALL.into()), Some(entry("0", 0, 0)));
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
        let lease_next = |queue: &mut Queue, limits: Concurrency| {
            let first = queue.next(&limits.into(), 9)?;
            lease(queue, first.clone());
            Some(first.rule.to_string())
        };
        // The other rule gets its turn, however much waits before it. Then the first rule fills the
        // slots beside the reserve.
        for rule in ["slow", "other", "slow", "slow"] {
            assert_eq!(lease_next(&mut queue, limits).as_deref(), Some(rule));
        }
        assert_eq!(lease_next(&mut queue, limits), None);
        assert!(queue.is_due(&limits.into(), 0));
        limits.slots = 100;
        limits.per_rule = 5;
        assert_eq!(lease_next(&mut queue, limits).as_deref(), Some("slow"));
        assert_eq!(lease_next(&mut queue, limits).as_deref(), Some("slow"));
        assert_eq!(lease_next(&mut queue, limits), None);
    }
}
