//! Output of `hookyard plan`, as text and as JSON.

use serde_json::{Value, json};

use crate::base::count::counted;
use crate::event::EventId;
use crate::pipeline::Unknown;
use crate::plan::differing::excerpts;
use crate::plan::{Changed, Difference, Plan, Sample};
use crate::rules::Change;

/// Maximum characters of a value in text.
const SHOWN: usize = 160;

impl Plan {
    /// Formats the result as text.
    pub fn text(&self) -> String {
        let mut lines = vec![self.heading()];
        for kind in Change::ALL {
            for (rule, change, arrivals, reasons) in self.changes().filter(|(_, change, ..)| *change == kind)
            {
                let sign = match change {
                    Change::Loses => '-',
                    Change::Gains => '+',
                    Change::Differs => '~',
                };
                lines.push(String::new());
                lines.push(format!("{sign} {rule} {}", described(change, arrivals)));
                let reasons = reasons.iter();
                lines.extend(reasons.flat_map(|(reason, changed)| because(change, reason, changed)));
            }
        }
        lines.extend(self.unknown());
        lines.push(String::new());
        lines.extend(self.fidelity());
        lines.push(self.conclusion());
        lines.join("\n")
    }

    fn heading(&self) -> String {
        let judged = counted(self.report.judged, "arrival");
        let since = self
            .oldest
            .map_or_else(String::new, |oldest| format!(" since {oldest}"));
        let cut = if self.is_cut {
            " (older ones were not judged for lack of time)"
        } else {
            ""
        };
        let left_out: Vec<String> = self
            .report
            .left_out
            .iter()
            .map(|(outcome, count)| format!("{count} {outcome}"))
            .collect();
        let left_out = if left_out.is_empty() {
            String::new()
        } else {
            format!("; left out: {}", left_out.join(", "))
        };
        format!(
            "{judged}{since}{cut}, judged by {} and by {}{left_out}",
            self.old, self.new
        )
    }

    fn unknown(&self) -> Vec<String> {
        let unknown = self.report.unknown.iter();
        let lines = unknown.flat_map(|((rule, why), sample)| {
            let arrivals = counted(sample.count, "arrival");
            let why = unknown_words(*why);
            [
                String::new(),
                format!("? {rule} may gain or lose {arrivals}: {why}"),
                format!("      {}", ids(sample)),
            ]
        });
        lines.collect()
    }

    /// Says whether the old rules give the decisions that are stored.
    fn fidelity(&self) -> Vec<String> {
        let fidelity = &self.report.fidelity;
        let mut lines = Vec::new();
        if fidelity.older.count > 0 {
            let arrivals = counted(fidelity.older.count, "arrival");
            let rest = ids(&fidelity.older);
            lines.push(format!(
                "note: other rules than {} decided {arrivals}: {rest}",
                self.old
            ));
        }
        if fidelity.different.count > 0 {
            let arrivals = counted(fidelity.different.count, "arrival");
            lines.push(format!(
                "warning: {} would decide {arrivals} otherwise than then, so something that counts \
                 is not kept: {}",
                self.old,
                ids(&fidelity.different)
            ));
        }
        if lines.is_empty() && self.report.judged > 0 {
            lines.push(format!(
                "{} would decide all of them as they were decided",
                self.old
            ));
        }
        lines
    }

    fn conclusion(&self) -> String {
        match self.differs() {
            Some(false) => "no difference",
            Some(true) => "the new rules act otherwise",
            None if self.report.judged == 0 => "no arrival is kept that could tell",
            None => "no difference is known",
        }
        .to_owned()
    }

    /// Formats the result as JSON.
    pub fn json(&self) -> Value {
        let report = &self.report;
        let changes = report.changes.iter().flat_map(|((rule, change), reasons)| {
            reasons.iter().map(move |(reason, changed)| {
                json!({
                    "rule": &**rule,
                    "change": change.name(),
                    "reason": reason,
                    "arrivals": changed.sample.count,
                    "ids": listed(&changed.sample),
                    "differences": changed.differences.iter().map(difference_json).collect::<Vec<_>>(),
                })
            })
        });
        let unknown = report.unknown.iter().map(|((rule, why), sample)| {
            json!({
                "rule": &**rule,
                "reason": unknown_words(*why),
                "arrivals": sample.count,
                "ids": listed(sample),
            })
        });
        let sample = |sample: &Sample| json!({"arrivals": sample.count, "ids": listed(sample)});
        json!({
            "old": self.old,
            "new": self.new,
            "since": self.oldest.map(|oldest| oldest.to_string()),
            "judged": report.judged,
            "cut": self.is_cut,
            "left_out": report.left_out,
            "changes": changes.collect::<Vec<_>>(),
            "unknown": unknown.collect::<Vec<_>>(),
            "fidelity": {
                "same": report.fidelity.same,
                "different": sample(&report.fidelity.different),
                "other_rules": sample(&report.fidelity.older),
            },
        })
    }
}

/// Describes a change of a rule: `loses 2 arrivals`.
pub fn described(change: Change, arrivals: u64) -> String {
    let arrivals = counted(arrivals, "arrival");
    match change {
        Change::Loses => format!("loses {arrivals}"),
        Change::Gains => format!("gains {arrivals}"),
        Change::Differs => format!("does something else for {arrivals}"),
    }
}

/// Formats one reason of a change, its arrivals and their differences.
fn because(change: Change, reason: &str, changed: &Changed) -> Vec<String> {
    let count = changed.sample.count;
    let by = match change {
        Change::Loses => "the new rules: ",
        Change::Gains => "the old rules: ",
        Change::Differs => "",
    };
    let mut lines = vec![
        format!("  {count:>4}  {by}{reason}"),
        format!("        {}", ids(&changed.sample)),
    ];
    for Difference { place, old, new } in &changed.differences {
        let (old, new) = excerpts(old.as_ref(), new.as_ref(), SHOWN);
        let sides = [("-", old), ("+", new)].into_iter();
        let sides = sides.filter_map(|(sign, value)| Some((sign, value?)));
        lines.extend(sides.map(|(sign, value)| format!("      {sign} {place}: {value}")));
    }
    lines
}

/// Lists the ids of the first arrivals.
fn ids(sample: &Sample) -> String {
    let listed = listed(sample);
    let more = sample.count.saturating_sub(listed.len() as u64);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", listed.join(", "))
}

fn listed(sample: &Sample) -> Vec<String> {
    sample.ids.iter().map(EventId::to_string).collect()
}

fn difference_json(difference: &Difference) -> Value {
    let Difference { place, old, new } = difference;
    json!({"place": place, "old": old, "new": new})
}

pub fn unknown_words(unknown: Unknown) -> &'static str {
    match unknown {
        Unknown::Body => "the body was not kept whole",
        Unknown::Verification => "its verification has changed, and signatures are not kept",
    }
}
