//! Turns of rules: how many leases a rule may have, and which rule leases next.

use std::collections::HashMap;
use std::sync::Arc;

/// Limits on the number of leases, in total and per rule.
///
/// A rule without a lease may have one while any slot is free. Further leases of a rule are
/// limited: it must have fewer than there are free slots, not counting a reserve of one eighth. A
/// single busy rule therefore gets nearly half of the slots, and deliveries of other rules find a
/// free one.
///
/// If all slots are in use, rules take turns, however many deliveries each has waiting. The next
/// lease goes to the rule with the fewest leases. Ties go to the rule whose last turn is longest
/// ago, then to the delivery with the earliest due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// Maximum leases at once, over all rules.
    pub slots: usize,
    /// Maximum leases at once for one rule.
    pub per_rule: usize,
}

impl Concurrency {
    /// True if a rule with `of_rule` leases may have another while `all` deliveries are leased.
    pub fn admits(self, of_rule: usize, all: usize) -> bool {
        let free = self.slots.saturating_sub(all);
        if of_rule == 0 {
            return free > 0 && self.per_rule > 0;
        }
        of_rule < self.per_rule.min(free.saturating_sub(self.reserve()))
    }

    /// Maximum leases of one rule while no other rule has any.
    pub fn most_of_one_rule(self) -> usize {
        self.per_rule
            .min((self.slots - self.reserve()).div_ceil(2).max(1))
    }

    /// Slots reserved for rules that have no lease.
    fn reserve(self) -> usize {
        self.slots / 8
    }
}

/// Maximum rules whose last turn is remembered. At the limit all are forgotten.
const TURNS_KEPT: usize = 16_384;

/// Numbers of leases, and the last turn of each rule.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    leases: usize,
    by_rule: HashMap<Arc<str>, usize>,
    /// Number of each rule's last turn.
    last: HashMap<Arc<str>, u64>,
    /// Number of turns so far.
    turn: u64,
}

impl Turns {
    /// True if `limits` allow another lease of a rule.
    pub fn admits(&self, limits: Concurrency, rule: &str) -> bool {
        limits.admits(self.leases_of(rule), self.leases)
    }

    /// The first of the due deliveries whose turn it is. Each candidate is a rule and the position
    /// of a delivery in its queue.
    pub fn next<'r, K: Ord>(
        &self,
        limits: Concurrency,
        due: impl Iterator<Item = (&'r Arc<str>, K)>,
    ) -> Option<K> {
        let admitted = due.filter(|(rule, _)| self.admits(limits, rule));
        let keyed = admitted.map(|(rule, key)| {
            let turn = self.last.get(rule).copied().unwrap_or(0);
            (self.leases_of(rule), turn, key)
        });
        keyed.min().map(|(.., key)| key)
    }

    /// Counts a lease of a rule, which has had its turn.
    pub fn begin(&mut self, rule: &Arc<str>) {
        if self.last.len() >= TURNS_KEPT {
            self.last.clear();
        }
        self.turn += 1;
        self.last.insert(Arc::clone(rule), self.turn);
        self.leases += 1;
        *self.by_rule.entry(Arc::clone(rule)).or_default() += 1;
    }

    /// Counts the end of a lease.
    pub fn end(&mut self, rule: &Arc<str>) {
        if let Some(count) = self.by_rule.get_mut(rule) {
            self.leases -= 1;
            *count -= 1;
            if *count == 0 {
                self.by_rule.remove(rule);
            }
        }
    }

    /// Number of leases.
    pub fn leases(&self) -> usize {
        self.leases
    }

    /// True if anything was leased since the start.
    pub fn has_leased(&self) -> bool {
        self.turn > 0
    }

    fn leases_of(&self, rule: &str) -> usize {
        self.by_rule.get(rule).copied().unwrap_or(0)
    }
}
