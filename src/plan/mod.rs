//! Differences between two rule sets: what a change of the rules would have done with the arrivals
//! that are kept.
//!
//! [`Plan::new`] judges each arrival by the old and by the new rules. Nothing runs and nothing is
//! written. First it compares the old rules' decision with the stored one: if they differ, the
//! kept arrivals do not show all that the rules decide by, or other rules were in force then.
//! `kept.rs` reads the arrivals, `differing.rs` compares what is rendered.

mod deciding;
mod differing;
mod kept;
mod output;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::event::{ArrivalOutcome, Decision, EventId};
use crate::pipeline::{Unknown, Verdict};
use crate::plan::kept::each_kept;
use crate::rules::{Change, RuleSet};
use crate::store::{History, StoreError};

pub use deciding::differences_of;
pub use differing::Difference;
pub use kept::{Kept, Range, read_kept};
pub use output::{described, unknown_words};

/// The result of judging the arrivals that are kept, and what it is about.
#[derive(Debug)]
pub struct Plan {
    /// Names of the old and the new rules.
    pub old: String,
    pub new: String,
    pub report: Report,
    /// Time of the oldest arrival that was judged. `None` if there is none.
    pub oldest: Option<Timestamp>,
    /// True if time ran out before the whole range was judged.
    pub is_cut: bool,
}

/// A rule set with its name.
pub type NamedRules<'r> = (&'r RuleSet, String);

impl Plan {
    /// Judges the arrivals of `range` by both rule sets, for as long as `in_time` says.
    pub fn new(
        (old, old_name): NamedRules<'_>,
        (new, new_name): NamedRules<'_>,
        history: &History,
        range: Range,
        in_time: impl Fn() -> bool,
    ) -> Result<Self, StoreError> {
        let mut comparison = Comparison::new(old, new);
        let mut is_cut = false;
        let oldest = each_kept(history, range, |kept| {
            comparison.add(kept);
            is_cut = !in_time();
            !is_cut
        })?;
        Ok(Self {
            old: old_name,
            new: new_name,
            report: comparison.report,
            oldest,
            is_cut,
        })
    }

    /// True if the new rules act otherwise. `None` if no arrival could tell, or of some it is not
    /// known.
    pub fn differs(&self) -> Option<bool> {
        let report = &self.report;
        if !report.changes.is_empty() {
            Some(true)
        } else if report.judged == 0 || !report.unknown.is_empty() {
            None
        } else {
            Some(false)
        }
    }

    /// The changes, each with the number of its arrivals.
    pub fn changes(&self) -> impl Iterator<Item = (&Arc<str>, Change, u64, &BTreeMap<String, Changed>)> {
        self.report.changes.iter().map(|((rule, change), reasons)| {
            let arrivals = reasons.values().map(|changed| changed.sample.count).sum();
            (rule, *change, arrivals, reasons)
        })
    }
}

/// Ids that are listed of each group of arrivals.
pub const IDS_LISTED: usize = 5;

/// A comparison of two rule sets.
struct Comparison<'r> {
    old: &'r RuleSet,
    new: &'r RuleSet,
    report: Report,
}

/// The result of a comparison.
#[derive(Debug, Default)]
pub struct Report {
    /// Number of arrivals that were judged, unknown results included.
    pub judged: u64,
    /// Numbers of arrivals about which no rule decides, by outcome: repetitions, handshakes, and
    /// what was turned away before.
    pub left_out: BTreeMap<&'static str, u64>,
    pub fidelity: Fidelity,
    /// Arrivals that a rule gains, loses or performs in another way, by rule and kind, and then by
    /// reason.
    pub changes: BTreeMap<(Arc<str>, Change), BTreeMap<String, Changed>>,
    /// Arrivals of which it is not known whether a rule matches, by rule.
    pub unknown: BTreeMap<(Arc<str>, Unknown), Sample>,
}

/// Agreement of the old rules with the stored decisions.
#[derive(Debug, Default)]
pub struct Fidelity {
    /// Arrivals that the old rules decide as they were decided.
    pub same: u64,
    /// Arrivals that the old rules decide otherwise, although the same file decided then.
    pub different: Sample,
    /// Arrivals that the old rules decide otherwise, and that another file decided then.
    pub older: Sample,
}

/// Arrivals with the same change for the same reason.
#[derive(Debug, Default)]
pub struct Changed {
    pub sample: Sample,
    /// Differences of the first arrival, of [`Change::Differs`].
    pub differences: Vec<Difference>,
}

/// A number of arrivals, and the ids of the first ones that were judged.
#[derive(Debug, Default)]
pub struct Sample {
    pub count: u64,
    /// At most [`IDS_LISTED`].
    pub ids: Vec<EventId>,
}

impl Sample {
    fn add(&mut self, id: EventId) {
        self.count += 1;
        if self.ids.len() < IDS_LISTED {
            self.ids.push(id);
        }
    }
}

impl<'r> Comparison<'r> {
    fn new(old: &'r RuleSet, new: &'r RuleSet) -> Self {
        let report = Report::default();
        Self { old, new, report }
    }

    /// Judges one arrival by both rule sets.
    fn add(&mut self, kept: &Kept) {
        if !is_decided(kept.outcome) {
            *self.report.left_out.entry(kept.outcome.name()).or_default() += 1;
            return;
        }
        self.report.judged += 1;
        let id = kept.arrival.received.id;
        let old = Verdict::new(self.old, None, &kept.arrival);
        let new = Verdict::new(self.new, Some(self.old), &kept.arrival);
        let (before, after) = (names(&old), names(&new));
        let mut unknown: BTreeMap<&Arc<str>, Unknown> = old.unknown().collect();
        if unknown.is_empty() {
            self.compare_with_decision(id, &kept.decision, &before);
        }
        for (rule, why) in new.unknown() {
            // A rule that is written alike decides alike, also by what was not kept.
            if unknown.contains_key(rule) && self.old.has_like(self.new, rule) {
                unknown.remove(rule);
            } else {
                unknown.insert(rule, why);
            }
        }
        for (rule, why) in &unknown {
            let key = (Arc::clone(rule), *why);
            self.report.unknown.entry(key).or_default().add(id);
        }
        for rule in before.union(&after).filter(|rule| !unknown.contains_key(**rule)) {
            match (before.contains(rule), after.contains(rule)) {
                (true, false) => self.note(rule, Change::Loses, new.reason(rule)).sample.add(id),
                (false, true) => self.note(rule, Change::Gains, old.reason(rule)).sample.add(id),
                _ => self.compare_rendered(id, rule, &old, &new),
            }
        }
    }

    fn note(&mut self, rule: &Arc<str>, change: Change, reason: String) -> &mut Changed {
        let reasons = self.report.changes.entry((Arc::clone(rule), change)).or_default();
        reasons.entry(reason).or_default()
    }

    /// Compares what both rules would do with an arrival that both want.
    fn compare_rendered(&mut self, id: EventId, rule: &Arc<str>, old: &Verdict<'_>, new: &Verdict<'_>) {
        if self.old.has_like(self.new, rule) {
            return;
        }
        let differences = differences_of(rule, old, new);
        if differences.is_empty() {
            return;
        }
        let places: Vec<&str> = differences.iter().map(|one| &*one.place).collect();
        let changed = self.note(rule, Change::Differs, places.join(", "));
        if changed.sample.count == 0 {
            changed.differences = differences;
        }
        changed.sample.add(id);
    }

    /// Compares the decision of the old rules with the stored one.
    fn compare_with_decision(&mut self, id: EventId, decision: &Decision, before: &BTreeSet<&Arc<str>>) {
        let matched = decision.rules.iter().filter(|decided| decided.matched);
        let decided: BTreeSet<&Arc<str>> = matched.map(|decided| &decided.rule).collect();
        // Further rules that matched are not listed.
        let is_cut = decided.len() >= Decision::RULES;
        let is_same = *before == decided || (is_cut && before.is_superset(&decided));
        let digest = self.old.sha256.get(..Decision::DIGEST);
        let fidelity = &mut self.report.fidelity;
        match is_same {
            true => fidelity.same += 1,
            false if digest == Some(&*decision.rules_sha256) => fidelity.different.add(id),
            false => fidelity.older.add(id),
        }
    }
}

/// Names of the rules that match.
fn names<'r>(verdict: &Verdict<'r>) -> BTreeSet<&'r Arc<str>> {
    verdict.matched().collect()
}

/// True if rules decided about an arrival with this outcome, and would decide about it again.
fn is_decided(outcome: ArrivalOutcome) -> bool {
    match outcome {
        ArrivalOutcome::Accepted
        | ArrivalOutcome::Ignored
        | ArrivalOutcome::Unreadable
        | ArrivalOutcome::Refused
        | ArrivalOutcome::Stale => true,
        ArrivalOutcome::Fired
        | ArrivalOutcome::Duplicate
        | ArrivalOutcome::Handshake
        | ArrivalOutcome::Altered
        | ArrivalOutcome::TooLarge
        | ArrivalOutcome::TooSlow
        | ArrivalOutcome::Limited
        | ArrivalOutcome::Unavailable => false,
    }
}
