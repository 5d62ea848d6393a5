//! Completions of the last term of a query line.

use schemars::JsonSchema;
use serde::Serialize;

use super::FILTERS;
use super::lexer::last_start;
use crate::event::ArrivalOutcome;
use crate::history::DeliveryStatus;

/// Maximum suggestions.
const SUGGESTIONS: usize = 12;
/// Durations that are suggested.
const DURATIONS: [&str; 5] = ["15m", "1h", "6h", "1d", "7d"];

/// Names that the line may complete to.
#[derive(Clone, Copy, Debug, Default)]
pub struct KnownNames<'k> {
    /// Endpoints as the rules file writes them.
    pub endpoints: &'k [&'k str],
    pub rules: &'k [&'k str],
}

/// A completion of the term at the cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Suggestion {
    /// The term, or its beginning with the colon.
    pub text: String,
    /// The meaning, in words.
    pub meaning: String,
    /// Number of characters before the cursor that the text replaces.
    pub replaces: usize,
}

/// Completes the term before the cursor. `cursor` counts characters.
pub fn suggestions(line: &str, cursor: usize, known: KnownNames<'_>) -> Vec<Suggestion> {
    let end = line.char_indices().nth(cursor).map_or(line.len(), |(at, _)| at);
    let before = line.get(..end).unwrap_or(line);
    let term = before.get(last_start(before)..).unwrap_or_default();
    let replaces = term.chars().count();
    let suggest = |(text, meaning): (String, String)| Suggestion {
        text,
        meaning,
        replaces,
    };
    let all = match term.split_once(':') {
        None => names(term),
        Some((name, value)) => values(name, value.trim_start_matches('"'), known),
    };
    all.into_iter()
        .filter(|(text, _)| text != term)
        .take(SUGGESTIONS)
        .map(suggest)
        .collect()
}

fn names(typed: &str) -> Vec<(String, String)> {
    let selectors = [
        ("$.", "a value of the payload"),
        ("header.", "a header"),
        ("query.", "a query parameter"),
    ];
    let filters = FILTERS
        .iter()
        .map(|(name, meaning)| (format!("{name}:"), *meaning));
    let selectors = selectors
        .iter()
        .map(|(name, meaning)| ((*name).to_owned(), *meaning));
    let all = filters.chain(selectors);
    all.filter(|(name, _)| name.starts_with(typed))
        .map(|(name, meaning)| (name, meaning.to_owned()))
        .collect()
}

fn values(name: &str, typed: &str, known: KnownNames<'_>) -> Vec<(String, String)> {
    let pairs: Vec<(&str, &str)> = match name {
        "outcome" => ArrivalOutcome::ALL
            .map(|known| (known.name(), known.meaning()))
            .to_vec(),
        "state" => DeliveryStatus::ALL
            .map(|known| (known.name(), known.meaning()))
            .to_vec(),
        "rule" => known.rules.iter().map(|rule| (*rule, "")).collect(),
        "endpoint" => known.endpoints.iter().map(|endpoint| (*endpoint, "")).collect(),
        "since" | "until" => DURATIONS.map(|duration| (duration, "ago")).to_vec(),
        _ => Vec::new(),
    };
    let pairs = pairs.into_iter().filter(|(value, _)| value.starts_with(typed));
    let written = |value: &str| {
        if value.contains(char::is_whitespace) || value.starts_with('"') {
            serde_json::Value::from(value).to_string()
        } else {
            value.to_owned()
        }
    };
    pairs
        .map(|(value, meaning)| (format!("{name}:{}", written(value)), meaning.to_owned()))
        .collect()
}
