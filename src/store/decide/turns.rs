//! Turns of rules: how many leases a rule may have, and which rule leases next.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::store::WantedRules;

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

/// Maximum leases of light rules at once. They hold an event each, and wait for one write together.
pub const MAX_LIGHT: usize = 1024;

/// Maximum bodies of all leased deliveries of light rules, in bytes. Beyond it, a light rule gets no
/// further lease. A rule without a lease gets one up to [`MAX_LIGHT_BYTES`].
pub const LIGHT_BYTES: usize = 16 << 20;

/// Maximum of the same bodies beyond which no light rule gets a lease, in bytes.
pub const MAX_LIGHT_BYTES: usize = 64 << 20;

/// Limits under which deliveries are leased.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Limits for rules whose deliveries may hold a process or a connection.
    pub concurrency: Concurrency,
    /// Limits for light rules. They have slots of their own.
    pub light: Concurrency,
    /// Light rules. A delivery of such a rule costs the memory of its event and nothing else.
    pub light_rules: Arc<HashSet<Arc<str>>>,
    /// Rules that get no lease, because the operator has paused them.
    pub paused: Arc<HashSet<Arc<str>>>,
    /// Rules that get leases at all.
    pub rules: WantedRules,
}

impl From<Concurrency> for Wanted {
    /// Limits without light rules.
    fn from(concurrency: Concurrency) -> Self {
        Self {
            concurrency,
            light: concurrency,
            light_rules: Arc::default(),
            paused: Arc::default(),
            rules: WantedRules::All,
        }
    }
}

impl Wanted {
    /// True if a rule gets no lease, whatever the limits.
    pub fn excludes(&self, rule: &str) -> bool {
        self.paused.contains(rule) || !self.rules.contains(rule)
    }

    /// The cost of a lease of this rule, with a body of `bytes`.
    pub fn cost(&self, rule: &str, bytes: usize) -> LeaseCost {
        if self.light_rules.contains(rule) {
            LeaseCost::Light(bytes)
        } else {
            LeaseCost::Slot
        }
    }
}

/// The cost of a lease as long as it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseCost {
    /// One of the slots of [`Wanted::concurrency`].
    Slot,
    /// One of the slots of [`Wanted::light`], and so many bytes.
    Light(usize),
}

/// Maximum rules whose last turn is remembered. At the limit all are forgotten.
const TURNS_KEPT: usize = 16_384;

/// Numbers of leases, and the last turn of each rule.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// Leases that take a slot.
    slots: usize,
    /// Leases of light rules, and their bytes.
    light: usize,
    light_bytes: usize,
    by_rule: HashMap<Arc<str>, usize>,
    /// Number of each rule's last turn.
    last: HashMap<Arc<str>, u64>,
    /// Number of turns so far.
    turn: u64,
}

impl Turns {
    /// True if `wanted` allows another lease of a rule.
    pub fn admits(&self, wanted: &Wanted, rule: &str) -> bool {
        if wanted.excludes(rule) {
            return false;
        }
        let of_rule = self.leases_of(rule);
        if !wanted.light_rules.contains(rule) {
            return wanted.concurrency.admits(of_rule, self.slots);
        }
        let bytes = if of_rule == 0 {
            MAX_LIGHT_BYTES
        } else {
            LIGHT_BYTES
        };
        wanted.light.admits(of_rule, self.light) && self.light_bytes < bytes
    }

    /// The most leases that `wanted` allows now, whatever their rules.
    pub fn room(&self, wanted: &Wanted) -> usize {
        let slots = wanted.concurrency.slots.saturating_sub(self.slots);
        slots.max(wanted.light.slots.saturating_sub(self.light))
    }

    /// The first of the due deliveries whose turn it is. Each candidate is a rule and the position
    /// of a delivery in its queue.
    pub fn next<'r, K: Ord>(
        &self,
        wanted: &Wanted,
        due: impl Iterator<Item = (&'r Arc<str>, K)>,
    ) -> Option<K> {
        let admitted = due.filter(|(rule, _)| self.admits(wanted, rule));
        let keyed = admitted.map(|(rule, key)| {
            let turn = self.last.get(rule).copied().unwrap_or(0);
            (self.leases_of(rule), turn, key)
        });
        keyed.min().map(|(.., key)| key)
    }

    /// Counts a lease of a rule, which has had its turn.
    pub fn begin(&mut self, rule: &Arc<str>, cost: LeaseCost) {
        if self.last.len() >= TURNS_KEPT {
            self.last.clear();
        }
        self.turn += 1;
        self.last.insert(Arc::clone(rule), self.turn);
        match cost {
            LeaseCost::Slot => self.slots += 1,
            LeaseCost::Light(bytes) => {
                self.light += 1;
                self.light_bytes += bytes;
            }
        }
        *self.by_rule.entry(Arc::clone(rule)).or_default() += 1;
    }

    /// Counts the end of a lease. `cost` is that of its begin.
    pub fn end(&mut self, rule: &Arc<str>, cost: LeaseCost) {
        if let Some(count) = self.by_rule.get_mut(rule) {
            match cost {
                LeaseCost::Slot => self.slots -= 1,
                LeaseCost::Light(bytes) => {
                    self.light -= 1;
                    self.light_bytes -= bytes;
                }
            }
            *count -= 1;
            if *count == 0 {
                self.by_rule.remove(rule);
            }
        }
    }

    /// Number of leases.
    pub fn leases(&self) -> usize {
        self.slots + self.light
    }

    /// True if anything was leased since the start.
    pub fn has_leased(&self) -> bool {
        self.turn > 0
    }

    fn leases_of(&self, rule: &str) -> usize {
        self.by_rule.get(rule).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        let few = Concurrency {
            slots: 8,
            per_rule: 64,
        };
        let light = Concurrency {
            slots: MAX_LIGHT,
            per_rule: MAX_LIGHT,
        };
        Wanted {
            concurrency: few,
            light,
            light_rules: Arc::new([Arc::from("record"), Arc::from("other")].into_iter().collect()),
            paused: Arc::default(),
            rules: WantedRules::All,
        }
    }

    fn lease(turns: &mut Turns, rule: &str, bytes: usize) -> LeaseCost {
        let cost = wanted().cost(rule, bytes);
        turns.begin(&Arc::from(rule), cost);
        cost
    }

    #[test]
    fn light_rules_and_others_take_no_slot_from_each_other() {
        let mut turns = Turns::default();
        for _ in 0..200 {
            assert!(turns.admits(&wanted(), "record"));
            lease(&mut turns, "record", 100);
        }
        assert!(turns.admits(&wanted(), "deploy"));
        for _ in 0..4 {
            lease(&mut turns, "deploy", 100);
        }
        assert!(!turns.admits(&wanted(), "deploy"));
        assert!(turns.admits(&wanted(), "record"));
        assert_eq!(turns.leases(), 204);
    }

    #[test]
    fn bodies_bound_the_leases_of_light_rules() {
        let mut turns = Turns::default();
        let cost = lease(&mut turns, "record", LIGHT_BYTES);
        assert!(!turns.admits(&wanted(), "record"));
        assert!(turns.admits(&wanted(), "other"));
        let more = lease(&mut turns, "other", MAX_LIGHT_BYTES - LIGHT_BYTES);
        turns.end(&Arc::from("record"), cost);
        assert!(turns.admits(&wanted(), "record"));
        lease(&mut turns, "record", LIGHT_BYTES);
        turns.end(&Arc::from("record"), LeaseCost::Light(LIGHT_BYTES));
        turns.end(&Arc::from("other"), more);
        assert_eq!((turns.leases(), turns.light_bytes), (0, 0));
    }
}
