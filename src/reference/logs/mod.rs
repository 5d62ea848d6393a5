//! Tables of the log lines, from `logs.yaml`.
//!
//! A test reads the calls of `tracing` from the source and compares message, levels and fields.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::reference::markdown::table;

const TABLE: &str = include_str!("logs.yaml");

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Logs {
    groups: BTreeMap<String, Vec<Line>>,
}

/// A log line.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// The message as the source has it, with `{…}` for what is filled in.
    message: String,
    levels: Vec<String>,
    fields: Vec<String>,
    says: String,
}

#[expect(
    clippy::expect_used,
    reason = "the table is part of the program, and a test reads it"
)]
static LOGS: LazyLock<Logs> =
    LazyLock::new(|| serde_yaml::from_str(TABLE).expect("logs.yaml is a table of log lines"));

/// Returns the tables with the names of their parts of the page.
pub fn parts() -> Vec<(&'static str, String)> {
    let row = |line: &Line| {
        let fields: Vec<String> = line.fields.iter().map(|field| format!("`{field}`")).collect();
        [
            shown(&line.message),
            line.levels.join(", "),
            fields.join(", "),
            line.says.clone(),
        ]
    };
    let groups = LOGS.groups.iter();
    groups
        .map(|(name, lines)| {
            let heads = ["message", "level", "fields", "what it says"];
            (name.as_str(), table(heads, lines.iter().map(row)))
        })
        .collect()
}

/// The message in Markdown, with `…` for what is filled in. Backticks inside become quotes, since a
/// code span cannot hold them.
fn shown(message: &str) -> String {
    let mut shown = String::new();
    let mut rest = message;
    while let Some((before, after)) = rest.split_once('{') {
        shown += before;
        shown.push('…');
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    shown += rest;
    if shown == "…" {
        return "(no fixed text)".to_owned();
    }
    format!("`{}`", shown.replace('`', "'"))
}
