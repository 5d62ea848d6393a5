//! `hookyard events problems`: dead letters and refused arrivals in groups.

use super::look;
use crate::cli::location::unusable;
use crate::cli::table::{aligned, one_line};
use crate::cli::{Format, NO, YES, complain, say};
use crate::status::ProblemGroups;
use crate::store::Place;

/// Maximum length of a reason in a row, in characters.
const REASON: usize = 100;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(place: &Place, arguments: &Arguments) -> Result<u8, u8> {
    let history = look(place)?;
    let groups = ProblemGroups::read(&history).map_err(|error| unusable(place, &error))?;
    let is_empty = groups.dead.is_empty() && groups.refused.is_empty();
    let text = match arguments.format {
        Format::Json => serde_json::to_string(&groups).unwrap_or_default(),
        Format::Text if is_empty => {
            complain(&format!("no dead letter and no refused arrival in `{place}`"));
            return Ok(NO);
        }
        Format::Text => tables(&groups),
    };
    if groups.dead_cut || groups.refused_cut {
        complain("there are older ones, which were not read");
    }
    Ok(say(&text, if is_empty { NO } else { YES }))
}

fn tables(groups: &ProblemGroups) -> String {
    let mut tables = Vec::new();
    if !groups.dead.is_empty() {
        let mut rows = vec![["dead letters", "rule", "reason", "first", "last", "sample"].map(str::to_owned)];
        rows.extend(groups.dead.iter().map(|group| {
            [
                group.count.to_string(),
                one_line(&group.rule, REASON),
                one_line(&group.reason, REASON),
                group.first.clone(),
                group.last.clone(),
                group.sample_delivery.clone(),
            ]
        }));
        tables.push(aligned(&rows));
    }
    if !groups.refused.is_empty() {
        let heads = [
            "arrivals", "endpoint", "outcome", "reason", "first", "last", "sample",
        ];
        let mut rows = vec![heads.map(str::to_owned)];
        rows.extend(groups.refused.iter().map(|group| {
            [
                group.count.to_string(),
                one_line(&group.endpoint, REASON),
                group.outcome.clone(),
                one_line(&group.reason, REASON),
                group.first.clone(),
                group.last.clone(),
                group.sample.clone(),
            ]
        }));
        tables.push(aligned(&rows));
    }
    tables.join("\n\n")
}
