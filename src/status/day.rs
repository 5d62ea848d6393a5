//! Figures of the last 24 hours, as series for small charts.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::report::metrics::{DAY_SLOT, DaySlot};

/// Figures of the last 24 hours, in slots of 15 minutes. They are kept in memory: those from before
/// the start of the daemon are unknown, and have no slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DaySeries {
    /// Time from which the figures are known: the start of the daemon, or 24 hours ago.
    pub since: String,
    /// Time of this answer. The last slot has not ended yet.
    pub at: String,
    /// Length of a slot, in seconds.
    pub slot: u64,
    /// The slots, oldest first.
    pub slots: Vec<SlotStatus>,
}

/// Figures of one slot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlotStatus {
    /// Start of the slot.
    pub at: String,
    /// Arrivals by outcome. An outcome that did not happen is left out.
    pub arrivals: BTreeMap<String, u64>,
    /// Requests that met no endpoint, or were rejected before they became an arrival.
    pub turned_away: u64,
    /// Attempts that succeeded.
    pub attempts_done: u64,
    /// Attempts that failed.
    pub attempts_failed: u64,
    /// Deliveries that became dead letters.
    pub dead_letters: u64,
    /// The longest time in seconds for which the first delivery in the queue had been due, of
    /// samples every minute. `null` without a sample.
    pub overdue: Option<f64>,
    /// The largest resident memory in bytes, of the same samples.
    pub resident_bytes: Option<u64>,
    /// Bytes in use in the store at the last sample.
    pub store_bytes: Option<u64>,
    /// Mean time in seconds of a transaction of the store, for which an answer waits. `null` without
    /// one.
    pub commit: Option<f64>,
}

impl DaySeries {
    /// Makes the series at `now` of a daemon that started at `started`.
    pub fn new(slots: &[DaySlot], started: Timestamp, now: Timestamp) -> Self {
        let first = now.minus(Duration::from_hours(24));
        Self {
            since: started.max(first).to_string(),
            at: now.to_string(),
            slot: DAY_SLOT.as_secs(),
            slots: slots.iter().map(SlotStatus::of).collect(),
        }
    }
}

impl SlotStatus {
    fn of(slot: &DaySlot) -> Self {
        let arrivals = slot.arrivals();
        let commit = slot.commits.filter(|(number, _)| *number > 0);
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        let commit = commit.map(|(number, time)| time.as_secs_f64() / number as f64);
        Self {
            at: slot.at().to_string(),
            arrivals: arrivals
                .map(|(outcome, count)| (outcome.to_owned(), count))
                .collect(),
            turned_away: slot.turned_away(),
            attempts_done: slot.attempts_done(),
            attempts_failed: slot.attempts_failed(),
            dead_letters: slot.dead_letters(),
            overdue: slot.overdue.map(|overdue| overdue.as_secs_f64()),
            resident_bytes: slot.resident,
            store_bytes: slot.store,
            commit,
        }
    }
}
