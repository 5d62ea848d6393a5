//! Readers of single values of a test file. Each adds a diagnostic if the value is wrong.

use std::ops::Range;
use std::time::Duration;

use serde_json::Value;

use crate::base::clock::Timestamp;
use crate::base::diagnostic::{Diagnostic, Diagnostics, Origin};
use crate::base::units::HumanDuration;
use crate::base::yaml::{Node, unknown};

/// Place of a value in a test file.
#[derive(Clone, Debug)]
pub struct Place {
    pub origin: Origin,
    /// Begin and end of a scalar, or the begin of a mapping or list.
    pub range: Range<usize>,
}

impl Place {
    pub(super) fn of(node: Node<'_>) -> Self {
        Self {
            origin: node.origin(),
            range: node.range(),
        }
    }
}

/// Checks that a node is a mapping with known keys that have values. False if it is no mapping.
pub(super) fn keys(node: Node<'_>, known: &[&str], diagnostics: &mut Diagnostics) -> bool {
    keys_or(node, known, &[], diagnostics)
}

/// As [`keys`], for a mapping whose other keys are names, of which `names` are known.
pub(super) fn keys_or(node: Node<'_>, known: &[&str], names: &[&str], diagnostics: &mut Diagnostics) -> bool {
    if !is_mapping(node, diagnostics) {
        return false;
    }
    for (key, value) in node.entries() {
        if !known.contains(&key) && !names.contains(&key) {
            let all = known.iter().chain(names).copied();
            let noun = if names.is_empty() { "key" } else { "key or rule" };
            diagnostics.push(unknown(value.key_origin(), "unknown-key", noun, key, all));
        } else if value.value().is_null() {
            let message = format!("`{key}` has no value; remove the key or give it one");
            diagnostics.push(Diagnostic::error(value.key_origin(), "null-value", message));
        }
    }
    true
}

pub(super) fn is_mapping(node: Node<'_>, diagnostics: &mut Diagnostics) -> bool {
    if !node.is_mapping() {
        wrong(node, "a mapping", diagnostics);
    }
    node.is_mapping()
}

fn wrong(node: Node<'_>, wanted: &str, diagnostics: &mut Diagnostics) {
    diagnostics.push(node.error("wrong-value", format!("this must be {wanted}")));
}

/// A text. Numbers and booleans count as the text that is written.
pub(super) fn text(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    let value = node.value();
    let text = match value {
        serde_yaml::Value::String(text) => Some(text.clone()),
        serde_yaml::Value::Number(_) | serde_yaml::Value::Bool(_) => Some(scalar(value)),
        _ => None,
    };
    if text.is_none() {
        wrong(node, "text", diagnostics);
    }
    text
}

/// A number or a boolean as text.
fn scalar(value: &serde_yaml::Value) -> String {
    match value {
        serde_yaml::Value::Bool(value) => value.to_string(),
        serde_yaml::Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

pub(super) fn integer(node: Node<'_>, range: Range<u64>, diagnostics: &mut Diagnostics) -> Option<u64> {
    let number = node.value().as_u64().filter(|number| range.contains(number));
    if number.is_none() {
        let wanted = format!("a whole number from {} to {}", range.start, range.end - 1);
        wrong(node, &wanted, diagnostics);
    }
    number
}

pub(super) fn duration(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Duration> {
    match node.as_str().map(HumanDuration::parse) {
        Some(Ok(duration)) => Some(duration.0),
        Some(Err(message)) => {
            diagnostics.push(node.error("wrong-value", message));
            None
        }
        None => {
            wrong(node, "a duration, such as `90s`, `10m` or `24h`", diagnostics);
            None
        }
    }
}

pub(super) fn instant(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Timestamp> {
    let instant = node.as_str().and_then(Timestamp::parse_rfc3339);
    if instant.is_none() {
        wrong(
            node,
            "an RFC 3339 instant, such as `2026-11-24T12:00:00Z`",
            diagnostics,
        );
    }
    instant
}

/// The items of a list.
pub(super) fn list<'d>(node: Node<'d>, diagnostics: &mut Diagnostics) -> Vec<Node<'d>> {
    if !node.value().is_sequence() {
        wrong(node, "a list", diagnostics);
    }
    node.items()
}

/// The texts of a mapping, by name.
pub(super) fn pairs(node: Option<Node<'_>>, diagnostics: &mut Diagnostics) -> Vec<(String, String)> {
    let Some(node) = node.filter(|node| is_mapping(*node, diagnostics)) else {
        return Vec::new();
    };
    let entries = node.entries().into_iter();
    let pair = |(name, value): (&str, Node<'_>)| Some((name.to_owned(), text(value, diagnostics)?));
    entries.filter_map(pair).collect()
}

/// A value as JSON.
pub(super) fn json(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Value> {
    let value = serde_json::to_value(node.value());
    if value.is_err() {
        wrong(node, "a value that JSON has", diagnostics);
    }
    value.ok()
}

/// One of some words.
pub(super) fn word(
    node: Node<'_>,
    noun: &str,
    known: &[&str],
    diagnostics: &mut Diagnostics,
) -> Option<String> {
    let text = text(node, diagnostics)?;
    if !known.contains(&text.as_str()) {
        diagnostics.push(unknown(
            node.origin(),
            "wrong-value",
            noun,
            &text,
            known.iter().copied(),
        ));
        return None;
    }
    Some(text)
}
