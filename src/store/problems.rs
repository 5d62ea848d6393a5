//! Dead letters and refused arrivals in groups, as the operator sees them.

use std::collections::HashMap;

use super::{DeliveryId, reason};
use crate::base::clock::Timestamp;
use crate::event::{ArrivalOutcome, EventId};

/// Maximum groups that are listed, those with the most members.
pub const MAX_GROUPS: usize = 200;
/// Maximum dead letters that are looked at, the latest ones.
pub const DEAD_LOOKED_AT: usize = 200_000;
/// Maximum records of each ring that are looked at, the latest ones.
pub const REFUSED_LOOKED_AT: usize = 20_000;
/// Maximum deliveries that are selected at once from a group.
pub const MAX_SELECTED: usize = 10_000;

/// Groups of one kind, with the limits that were reached.
#[derive(Clone, Debug)]
pub struct Groups<G> {
    /// The groups, those with the most members first. At most [`MAX_GROUPS`].
    pub groups: Vec<G>,
    /// Number of all groups.
    pub number: usize,
    /// Number of members that were looked at.
    pub looked_at: u64,
    /// True if there are older ones, which were not looked at.
    pub is_cut: bool,
}

/// Dead letters of a rule with the same stable part of their reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadGroup {
    pub rule: String,
    /// The stable part of the reason ([`reason`]).
    pub reason: String,
    pub count: u64,
    /// End of the first one and of the last one.
    pub first: Timestamp,
    pub last: Timestamp,
    /// A delivery of the group.
    pub sample: DeliveryId,
    pub sample_event: EventId,
    /// The whole reason of that delivery.
    pub sample_reason: String,
}

/// Arrivals on an endpoint that were refused for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedGroup {
    pub endpoint: String,
    pub outcome: ArrivalOutcome,
    /// The stable part of the reason ([`reason`]).
    pub reason: String,
    pub count: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// The latest of the group.
    pub sample: EventId,
    /// The whole reason of that arrival.
    pub sample_reason: String,
}

/// Deliveries of a group that are selected for a replay or a drop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectedDeliveries {
    /// At most [`MAX_SELECTED`], the first ones in the order of arrival.
    pub deliveries: Vec<DeliveryId>,
    /// Number of all deliveries of the group.
    pub count: u64,
}

/// Dead letters while they are grouped.
#[derive(Debug, Default)]
pub(super) struct DeadLetters {
    /// By rule and whole reason.
    rules: HashMap<String, HashMap<String, DeadRows>>,
    looked_at: u64,
}

/// Dead letters of one group while they are read.
#[derive(Clone, Debug, Default)]
pub(super) struct DeadRows {
    pub count: u64,
    /// End of the first one and of the last one, in milliseconds.
    pub first: i64,
    pub last: i64,
    /// The latest row.
    pub seq: i64,
}

impl DeadRows {
    pub fn one(ended_at: i64, seq: i64) -> Self {
        Self {
            count: 1,
            first: ended_at,
            last: ended_at,
            seq,
        }
    }

    /// Adds others. True if one of them is the latest row now.
    fn add(&mut self, other: &Self) -> bool {
        self.first = if self.count == 0 {
            other.first
        } else {
            self.first.min(other.first)
        };
        self.count += other.count;
        self.last = self.last.max(other.last);
        let is_later = other.seq > self.seq;
        self.seq = self.seq.max(other.seq);
        is_later
    }
}

impl DeadLetters {
    /// Adds dead letters of a rule with the same whole reason.
    pub fn add(&mut self, rule: &str, why: &str, rows: &DeadRows) {
        self.looked_at += rows.count;
        // Without a copy of names and reasons that are known.
        if !self.rules.contains_key(rule) {
            self.rules.insert(rule.to_owned(), HashMap::new());
        }
        let Some(reasons) = self.rules.get_mut(rule) else {
            return;
        };
        match reasons.get_mut(why) {
            Some(known) => drop(known.add(rows)),
            None => drop(reasons.insert(why.to_owned(), rows.clone())),
        }
    }

    /// The groups of equal rules and stable reasons, those with the most members.
    pub fn groups(self) -> FoundGroups {
        let mut found: HashMap<(String, String), (DeadRows, String)> = HashMap::new();
        for (rule, reasons) in self.rules {
            for (why, rows) in reasons {
                let stable = reason::of_dead_letter(&why);
                let (group, sample_reason) = found.entry((rule.clone(), stable)).or_default();
                if group.add(&rows) {
                    *sample_reason = why;
                }
            }
        }
        let number = found.len();
        let groups = found
            .into_iter()
            .map(|((rule, reason), (rows, sample_reason))| FoundGroup {
                rule,
                reason,
                rows,
                sample_reason,
            });
        let mut groups: Vec<FoundGroup> = groups.collect();
        groups.sort_by(|this, that| {
            let by_count = that.rows.count.cmp(&this.rows.count);
            by_count.then_with(|| (&this.rule, &this.reason).cmp(&(&that.rule, &that.reason)))
        });
        groups.truncate(MAX_GROUPS);
        FoundGroups {
            groups,
            number,
            looked_at: self.looked_at,
        }
    }
}

/// Groups of dead letters whose samples are rows without their ids.
#[derive(Debug)]
pub(super) struct FoundGroups {
    groups: Vec<FoundGroup>,
    number: usize,
    looked_at: u64,
}

#[derive(Debug)]
struct FoundGroup {
    rule: String,
    reason: String,
    rows: DeadRows,
    sample_reason: String,
}

impl FoundGroups {
    /// The rows whose ids are needed.
    pub fn samples(&self) -> impl Iterator<Item = i64> {
        self.groups.iter().map(|group| group.rows.seq)
    }

    /// The groups. `ids` reads the ids of a row: those of the delivery and of its event.
    pub fn with_ids<E>(
        self,
        mut ids: impl FnMut(i64) -> Result<(DeliveryId, EventId), E>,
    ) -> Result<Groups<DeadGroup>, E> {
        let groups = self.groups.into_iter().map(|group| {
            let (sample, sample_event) = ids(group.rows.seq)?;
            Ok(DeadGroup {
                rule: group.rule,
                reason: group.reason,
                count: group.rows.count,
                first: Timestamp::from_millis(group.rows.first),
                last: Timestamp::from_millis(group.rows.last),
                sample,
                sample_event,
                sample_reason: group.sample_reason,
            })
        });
        Ok(Groups {
            groups: groups.collect::<Result<_, E>>()?,
            number: self.number,
            looked_at: self.looked_at,
            is_cut: self.looked_at > DEAD_LOOKED_AT as u64,
        })
    }
}

/// Refused arrivals while they are grouped.
#[derive(Debug, Default)]
pub(super) struct RefusedArrivals {
    found: HashMap<(String, ArrivalOutcome, String), RefusedGroup>,
    looked_at: u64,
    is_cut: bool,
}

impl RefusedArrivals {
    /// Counts the records of a ring: its latest ones, at most one more than are looked at.
    pub fn look_at(&mut self, records: u64) {
        self.looked_at += records.min(REFUSED_LOOKED_AT as u64);
        self.is_cut |= records > REFUSED_LOOKED_AT as u64;
    }

    /// Adds arrivals with the same whole reason, which is their `sample_reason`.
    pub fn add(&mut self, new: RefusedGroup) {
        let new = RefusedGroup {
            reason: reason::of_refusal(&new.sample_reason),
            ..new
        };
        let key = (new.endpoint.clone(), new.outcome, new.reason.clone());
        match self.found.get_mut(&key) {
            Some(group) => group.add(new),
            None => drop(self.found.insert(key, new)),
        }
    }

    pub fn groups(self) -> Groups<RefusedGroup> {
        let number = self.found.len();
        let mut groups: Vec<RefusedGroup> = self.found.into_values().collect();
        groups.sort_by(|one, other| {
            let by_count = other.count.cmp(&one.count);
            by_count.then_with(|| (&one.endpoint, &one.reason).cmp(&(&other.endpoint, &other.reason)))
        });
        groups.truncate(MAX_GROUPS);
        Groups {
            groups,
            number,
            looked_at: self.looked_at,
            is_cut: self.is_cut,
        }
    }
}

impl RefusedGroup {
    /// Adds arrivals whose reason has the same stable part.
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        if other.sample > self.sample {
            self.sample = other.sample;
            self.sample_reason = other.sample_reason;
        }
    }
}
