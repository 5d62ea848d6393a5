//! Tables of the bounds that a user can meet, from `limits.yaml`.
//!
//! The constants stand where they are used, most of them private. A test reads them from the source
//! and compares their values with the table.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::reference::markdown::table;

const TABLE: &str = include_str!("limits.yaml");

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    parts: BTreeMap<String, Vec<Limit>>,
    /// Constants that no user meets.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares it with the source"))]
    internal: Vec<String>,
}

/// A bound.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    /// Begin of the file and name of the constant.
    #[serde(rename = "const")]
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares it with the source"))]
    constant: String,
    what: String,
    bound: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    beyond: String,
}

#[expect(
    clippy::expect_used,
    reason = "the table is part of the program, and a test reads it"
)]
static LIMITS: LazyLock<Limits> =
    LazyLock::new(|| serde_yaml::from_str(TABLE).expect("limits.yaml is a table of limits"));

/// Returns the tables with the names of their parts of the page.
pub fn parts() -> Vec<(&'static str, String)> {
    let heads = ["what", "bound", "key", "beyond it"];
    let row = |limit: &Limit| {
        [
            limit.what.clone(),
            grouped(&limit.bound),
            limit.key.clone(),
            limit.beyond.clone(),
        ]
    };
    let parts = LIMITS.parts.iter();
    parts
        .map(|(name, limits)| (name.as_str(), table(heads, limits.iter().map(row))))
        .collect()
}

/// Writes the thousands of a number apart: `1,048,576 values`.
fn grouped(bound: &str) -> String {
    let (number, unit) = bound.split_at(bound.bytes().take_while(u8::is_ascii_digit).count());
    if number.len() < 5 {
        return bound.to_owned();
    }
    let mut grouped = String::new();
    for (at, digit) in number.chars().enumerate() {
        if at > 0 && (number.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + unit
}
