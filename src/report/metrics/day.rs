//! Figures of the last 24 hours, in memory, since the start of the daemon.
//!
//! Everything together is counted by one atomic add, and attributed to a slot of [`SLOT`] when the
//! figures are sampled or read. Rules are counted in `rule_day.rs`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::rule_day::{RuleDays, RuleFigures};
use crate::base::clock::Timestamp;
use crate::event::ArrivalOutcome;

/// Length of a slot of the figures of everything together.
pub const SLOT: Duration = Duration::from_mins(15);
/// Slots kept: those of 24 hours, the current one included.
pub const SLOTS: usize = 96;

const OUTCOMES: usize = ArrivalOutcome::ALL.len();
const TURNED_AWAY: usize = OUTCOMES;
const DONE: usize = OUTCOMES + 1;
const FAILED: usize = OUTCOMES + 2;
const DEAD: usize = OUTCOMES + 3;
const COUNTERS: usize = OUTCOMES + 4;

/// Figures of the last 24 hours.
#[derive(Debug, Default)]
pub struct Day {
    /// Totals since the start.
    totals: [AtomicU64; COUNTERS],
    ring: Mutex<Ring>,
    pub(super) rules: Mutex<RuleDays>,
}

/// Slots, and the totals that they have counted.
#[derive(Debug, Default)]
struct Ring {
    slots: VecDeque<DaySlot>,
    counted: [u64; COUNTERS],
    /// Transactions of the store and their time, as last sampled.
    commits: Option<(u64, Duration)>,
}

/// State of the daemon at the time of a sample. `None`: unknown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Time for which the first delivery in the queue has been due.
    pub overdue: Option<Duration>,
    /// Resident memory, in bytes.
    pub resident: Option<u64>,
    /// Bytes in use in the store.
    pub store: Option<u64>,
    /// Transactions of the store since the start, and their time together.
    pub commits: Option<(u64, Duration)>,
}

/// Figures of one slot.
#[derive(Clone, Debug, Default)]
pub struct DaySlot {
    /// Number of slots between the epoch and this one.
    number: i64,
    counts: [u64; COUNTERS],
    /// The longest sampled time for which the first delivery in the queue had been due.
    pub overdue: Option<Duration>,
    /// The largest sampled resident memory, in bytes.
    pub resident: Option<u64>,
    /// Bytes in use in the store, as last sampled.
    pub store: Option<u64>,
    /// Transactions of the store in this slot, and their time together.
    pub commits: Option<(u64, Duration)>,
}

impl Day {
    /// Counts an answered request on an endpoint.
    pub(super) fn arrived(&self, outcome: &str) {
        let at = ArrivalOutcome::ALL.iter().position(|one| one.name() == outcome);
        if let Some(at) = at {
            self.count(at);
        }
    }

    pub(super) fn turned_away(&self) {
        self.count(TURNED_AWAY);
    }

    /// Counts an attempt. One that was interrupted or stopped is neither done nor failed.
    pub(super) fn attempted(&self, outcome: &str) {
        match outcome {
            "done" => self.count(DONE),
            "failed" | "dead" => self.count(FAILED),
            _ => {}
        }
    }

    pub(super) fn died(&self) {
        self.count(DEAD);
    }

    fn count(&self, at: usize) {
        if let Some(counter) = self.totals.get(at) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds a sample to the slot of `now`.
    pub fn sample(&self, now: Timestamp, sample: &Sample) {
        let mut ring = self.ring.lock();
        let commits = match (ring.commits, sample.commits) {
            (Some((before, spent)), Some((commits, time))) => {
                Some((commits.saturating_sub(before), time.saturating_sub(spent)))
            }
            (None, commits) => commits,
            (Some(_), None) => None,
        };
        ring.commits = sample.commits.or(ring.commits);
        let mut slot = self.roll(&mut ring, now);
        slot.overdue = slot.overdue.max(sample.overdue);
        slot.resident = slot.resident.max(sample.resident);
        slot.store = sample.store.or(slot.store);
        if let Some((number, time)) = commits {
            let (before, spent) = slot.commits.unwrap_or_default();
            slot.commits = Some((before + number, spent.saturating_add(time)));
        }
        ring.slots.push_back(slot);
    }

    /// The slots of the last 24 hours that have figures, oldest first.
    pub fn slots(&self, now: Timestamp) -> Vec<DaySlot> {
        let mut ring = self.ring.lock();
        let slot = self.roll(&mut ring, now);
        ring.slots.push_back(slot);
        ring.slots.iter().cloned().collect()
    }

    /// Attributes what was counted since the last call to the slot of `now`, and drops old slots.
    /// Takes the slot out of the ring.
    fn roll(&self, ring: &mut Ring, now: Timestamp) -> DaySlot {
        let length = i64::try_from(SLOT.as_millis()).unwrap_or(1);
        let last = ring.slots.pop_back();
        // A clock that was set back continues the last slot.
        let minimum = last.as_ref().map_or(i64::MIN, |slot| slot.number);
        let number = now.as_millis().div_euclid(length).max(minimum);
        let mut slot = DaySlot {
            number,
            ..DaySlot::default()
        };
        match last {
            Some(last) if last.number == number => slot = last,
            last => ring.slots.extend(last),
        }
        let kept = i64::try_from(SLOTS).unwrap_or(i64::MAX);
        while ring
            .slots
            .front()
            .is_some_and(|slot| slot.number <= number - kept)
        {
            ring.slots.pop_front();
        }
        let totals = self.totals.each_ref().map(|total| total.load(Ordering::Relaxed));
        for ((count, total), counted) in slot.counts.iter_mut().zip(totals).zip(ring.counted) {
            *count += total - counted;
        }
        ring.counted = totals;
        slot
    }

    /// Figures of the rules that had an attempt in the last 24 hours.
    pub fn rules(&self, now: Timestamp) -> Vec<(Arc<str>, RuleFigures)> {
        self.rules.lock().figures(now)
    }
}

impl DaySlot {
    /// Start of the slot.
    pub fn at(&self) -> Timestamp {
        let length = i64::try_from(SLOT.as_millis()).unwrap_or(1);
        Timestamp::from_millis(self.number.saturating_mul(length))
    }

    /// Arrivals by outcome, without outcomes that did not happen.
    pub fn arrivals(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = ArrivalOutcome::ALL.iter().zip(self.counts);
        counts
            .filter(|(_, count)| *count > 0)
            .map(|(outcome, count)| (outcome.name(), count))
    }

    /// Requests that met no endpoint, or were rejected before they became an arrival.
    pub fn turned_away(&self) -> u64 {
        self.counts[TURNED_AWAY]
    }

    pub fn attempts_done(&self) -> u64 {
        self.counts[DONE]
    }

    pub fn attempts_failed(&self) -> u64 {
        self.counts[FAILED]
    }

    pub fn dead_letters(&self) -> u64 {
        self.counts[DEAD]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_100 + minutes * 60)
    }

    #[test]
    fn counts_go_to_the_slot_in_which_they_are_sampled() {
        let day = Day::default();
        day.arrived("accepted");
        day.arrived("no such outcome");
        day.attempted("done");
        day.sample(at(0), &Sample::default());
        day.arrived("refused");
        day.attempted("dead");
        day.attempted("interrupted");
        day.died();
        day.turned_away();
        let slots = day.slots(at(15));
        assert_eq!(slots.len(), 2);
        assert_eq!(slots[0].arrivals().collect::<Vec<_>>(), [("accepted", 1)]);
        assert_eq!((slots[0].attempts_done(), slots[0].attempts_failed()), (1, 0));
        assert_eq!(slots[1].arrivals().collect::<Vec<_>>(), [("refused", 1)]);
        assert_eq!((slots[1].attempts_done(), slots[1].attempts_failed()), (0, 1));
        assert_eq!((slots[1].dead_letters(), slots[1].turned_away()), (1, 1));
        assert_eq!(slots[1].at().since(slots[0].at()), SLOT);
    }

    #[test]
    fn a_day_is_kept_and_a_clock_that_is_set_back_loses_nothing() {
        let day = Day::default();
        for slot in 0..200 {
            day.attempted("done");
            day.sample(at(slot * 15), &Sample::default());
        }
        assert_eq!(day.slots(at(199 * 15)).len(), SLOTS);
        day.attempted("done");
        let slots = day.slots(at(0));
        assert_eq!((slots.len(), slots[SLOTS - 1].attempts_done()), (SLOTS, 2));
        // After a day without anything, only the current slot is left.
        assert_eq!(day.slots(at(1000 * 15)).len(), 1);
    }

    #[test]
    fn gauges_keep_the_worst_of_a_slot_and_commits_are_differences() {
        let day = Day::default();
        let sample = |overdue, commits| Sample {
            overdue: Some(Duration::from_secs(overdue)),
            resident: Some(overdue),
            store: Some(overdue),
            commits: Some((commits, Duration::from_secs(commits))),
        };
        day.sample(at(0), &sample(9, 10));
        day.sample(at(1), &sample(3, 14));
        day.sample(at(15), &sample(1, 15));
        day.sample(at(16), &Sample::default());
        let slots = day.slots(at(16));
        assert_eq!(
            (slots[0].overdue, slots[0].resident),
            (Some(Duration::from_secs(9)), Some(9))
        );
        assert_eq!(
            (slots[0].store, slots[0].commits),
            (Some(3), Some((14, Duration::from_secs(14))))
        );
        assert_eq!(
            (slots[1].store, slots[1].commits),
            (Some(1), Some((1, Duration::from_secs(1))))
        );
    }
}
