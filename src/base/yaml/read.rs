//! Deserialization of a [`Node`] into any serde type, with **all** errors.
//!
//! Serde stops at the first error. The reader removes the faulty part from a copy and reads the
//! rest again, until it succeeds or nothing can be removed. This file translates serde's errors
//! into the terms of YAML.

use std::collections::HashSet;

use serde::de::DeserializeOwned;
use serde_path_to_error::{Error, Segment};
use serde_yaml::Value;

use super::{Node, unknown};
use crate::base::diagnostic::{Diagnostic, Diagnostics, MAX_DIAGNOSTICS, did_you_mean};

/// Maximum number of errors reported for a node. Each one costs another read of the node.
pub(super) const MAX_ERRORS: usize = 64;
/// Maximum length of a wrong value in an error, in characters.
const MAX_SHOWN: usize = 80;
/// The expectation in `serde_yaml`'s error if an enum variant was expected.
const WORD: &str = "a Value::Tagged enum";

impl<'d> Node<'d> {
    /// Reads the value as `T` (a serde type with `deny_unknown_fields`) and adds **all** errors to
    /// `diagnostics`. If only parts are wrong, the rest is still returned, so that the caller can
    /// find more errors; `diagnostics` then has errors. A key without a value is an error too: it
    /// looks like a setting, but would have no effect.
    pub fn read<T: DeserializeOwned>(&self, diagnostics: &mut Diagnostics) -> Option<T> {
        let mut error = match serde_path_to_error::deserialize::<_, T>(self.value) {
            Ok(read) => {
                self.refuse_nulls(&HashSet::new(), diagnostics);
                return Some(read);
            }
            Err(error) => error,
        };
        let mut repair = Repair {
            node: *self,
            rest: self.value.clone(),
            taken_out: Vec::new(),
            unknown: HashSet::new(),
            error_count: 0,
        };
        let read = loop {
            if !repair.repair_next(&error, diagnostics) {
                break None;
            }
            match serde_path_to_error::deserialize::<_, T>(&repair.rest) {
                Ok(read) => break Some(read),
                Err(next) => error = next,
            }
        };
        self.refuse_nulls(&repair.unknown, diagnostics);
        read
    }

    /// Reports each key without a value, except those in `unknown`.
    fn refuse_nulls(&self, unknown: &HashSet<&str>, diagnostics: &mut Diagnostics) {
        for (key, node) in self.entries() {
            if node.value.is_null() && !unknown.contains(key) {
                let message = format!("`{key}` has no value; remove the key or give it one");
                diagnostics.push(Diagnostic::error(node.key_origin(), "null-value", message));
            }
        }
    }

    /// The node at `path`, or its nearest ancestor.
    fn at(&self, path: &[Segment]) -> Node<'d> {
        let mut node = *self;
        for segment in path {
            let next = match segment {
                Segment::Map { key } => node.get(key),
                Segment::Seq { index } => node.items().get(*index).copied(),
                Segment::Enum { variant } => node.get(variant),
                Segment::Unknown => None,
            };
            let Some(next) = next else { break };
            node = next;
        }
        node
    }
}

/// State of a read that continues after errors.
struct Repair<'d> {
    node: Node<'d>,
    /// The copy without the faulty parts.
    rest: Value,
    /// The removed parts: their paths in the original text.
    taken_out: Vec<Vec<Segment>>,
    /// Unknown keys of the node itself.
    unknown: HashSet<&'d str>,
    error_count: usize,
}

impl Repair<'_> {
    /// Reports an error and removes its cause from the copy. Returns false if reading cannot
    /// continue.
    fn repair_next(&mut self, error: &Error<serde_yaml::Error>, diagnostics: &mut Diagnostics) -> bool {
        let path: Vec<Segment> = error.path().iter().cloned().collect();
        let original = self.original(&path);
        let message = error.inner().to_string();
        self.error_count += 1;
        if self.error_count > MAX_ERRORS {
            let diagnostic = self.node.error(
                "more",
                "more is wrong here; the rest is reported once this is fixed",
            );
            diagnostics.push(diagnostic);
            return false;
        }
        let mut quoted = message.split('`').skip(1).step_by(2);
        if message.starts_with("unknown field") {
            quoted.next();
            return self.unknown_keys(&path, &original, &quoted.collect::<Vec<_>>(), diagnostics);
        }
        let node = self.node.at(&original);
        if message.starts_with("missing field") {
            let key = quoted.next().unwrap_or_default();
            // A removed field counts as missing in the copy. The user has made only one error.
            if !self.is_taken_out(&original, key) {
                diagnostics.push(node.error("missing-key", format!("`{key}` is missing")));
            }
        } else if message.ends_with(WORD)
            && let Some(word) = word(node.value)
            && let Some(position) = find(&mut self.rest, &path)
        {
            // Reading it again as a string makes serde list the allowed words.
            *position = Value::String(word);
            return true;
        } else if message.starts_with("unknown variant") {
            let typed = quoted.next().unwrap_or_default();
            diagnostics.push(unknown(node.origin(), "unknown-value", "value", typed, quoted));
        } else if !(original.len() == 1 && node.value.is_null()) {
            diagnostics.push(node.error("wrong-value", in_words(&message)));
        }
        if !remove(&mut self.rest, &path) {
            return false;
        }
        self.taken_out.push(original);
        true
    }

    /// Reports all unknown keys of the mapping that contains `path`, and removes them.
    fn unknown_keys(
        &mut self,
        path: &[Segment],
        original: &[Segment],
        known: &[&str],
        diagnostics: &mut Diagnostics,
    ) -> bool {
        let (Some((_, above)), Some((_, parent))) = (path.split_last(), original.split_last()) else {
            return false;
        };
        let node = self.node.at(parent);
        let typed = node.entries().into_iter().filter(|(key, _)| !known.contains(key));
        let mut count = 0;
        for (key, child) in typed {
            count += 1;
            if count > MAX_DIAGNOSTICS {
                continue;
            }
            diagnostics.push(unknown(
                child.key_origin(),
                "unknown-key",
                "key",
                key,
                known.iter().copied(),
            ));
            if parent.is_empty() {
                self.unknown.insert(key);
            }
            if let Some(meant) = did_you_mean(key, known.iter().copied()) {
                let key = meant.to_owned();
                self.taken_out.push([parent, &[Segment::Map { key }]].concat());
            }
        }
        if count > MAX_DIAGNOSTICS {
            let message = format!("and {} more unknown keys", count - MAX_DIAGNOSTICS);
            diagnostics.push(node.error("unknown-key", message));
        }
        let Some(Value::Mapping(mapping)) = find(&mut self.rest, above) else {
            return false;
        };
        let before = mapping.len();
        mapping.retain(|key, _| key.as_str().is_some_and(|key| known.contains(&key)));
        mapping.len() < before
    }

    /// True if the field `key` of the mapping at `parent` was removed.
    fn is_taken_out(&self, parent: &[Segment], key: &str) -> bool {
        self.taken_out.iter().any(|taken| match taken.split_last() {
            Some((Segment::Map { key: taken }, above)) => taken == key && same(above, parent),
            _ => false,
        })
    }

    /// The path in the original text for `path` in the copy, where removed items have shifted the
    /// indexes.
    fn original(&self, path: &[Segment]) -> Vec<Segment> {
        let mut original: Vec<Segment> = Vec::with_capacity(path.len());
        for segment in path {
            let Segment::Seq { index } = segment else {
                original.push(segment.clone());
                continue;
            };
            let mut gaps: Vec<usize> = self
                .taken_out
                .iter()
                .filter_map(|taken| gap(taken, &original))
                .collect();
            gaps.sort_unstable();
            let index = gaps
                .into_iter()
                .fold(*index, |index, gap| if gap <= index { index + 1 } else { index });
            original.push(Segment::Seq { index });
        }
        original
    }
}

/// The index of `taken` in the sequence at `parent`, if it was an item of that sequence.
fn gap(taken: &[Segment], parent: &[Segment]) -> Option<usize> {
    let (last, above) = taken.split_last()?;
    match last {
        Segment::Seq { index } if same(above, parent) => Some(*index),
        _ => None,
    }
}

/// True if two paths are equal.
fn same(left: &[Segment], right: &[Segment]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|pair| match pair {
            (Segment::Seq { index: left }, Segment::Seq { index: right }) => left == right,
            (left, right) => left.to_string() == right.to_string(),
        })
}

/// The value at `path`.
fn find<'v>(value: &'v mut Value, path: &[Segment]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Map { key } | Segment::Enum { variant: key } => value.get_mut(key.as_str()),
        Segment::Seq { index } => value.get_mut(*index),
        Segment::Unknown => None,
    })
}

/// Removes the value at `path`. Returns false if there is nothing to remove.
fn remove(value: &mut Value, path: &[Segment]) -> bool {
    let Some((last, above)) = path.split_last() else {
        return false;
    };
    match (last, find(value, above)) {
        (Segment::Map { key } | Segment::Enum { variant: key }, Some(Value::Mapping(mapping))) => {
            mapping.shift_remove(key.as_str()).is_some()
        }
        (Segment::Seq { index }, Some(Value::Sequence(sequence))) if *index < sequence.len() => {
            drop(sequence.remove(*index));
            true
        }
        _ => false,
    }
}

/// A number or a boolean as the text that the user typed.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Serde's error in the terms of YAML.
fn in_words(message: &str) -> String {
    let (kind, rest) = match (
        message.strip_prefix("invalid type: "),
        message.strip_prefix("invalid value: "),
    ) {
        (Some(rest), _) => ("wrong type", rest),
        (_, Some(rest)) => ("wrong value", rest),
        _ => return message.to_owned(),
    };
    match rest.rsplit_once(", expected ") {
        Some((found, expected)) => format!(
            "{kind}: {}, expected {}",
            found_in_words(found),
            wanted_in_words(expected)
        ),
        None => format!("{kind}: {rest}"),
    }
}

fn found_in_words(found: &str) -> String {
    let words = match found {
        "unit value" | "null" => return "nothing".to_owned(),
        "sequence" => return "a list".to_owned(),
        "map" => return "a mapping".to_owned(),
        found => match found.split_once(' ') {
            Some(("string", text)) => format!("text {text}"),
            Some(("integer" | "boolean", value)) => value.to_owned(),
            _ => found.strip_prefix("floating point ").unwrap_or(found).to_owned(),
        },
    };
    if words.chars().count() <= MAX_SHOWN {
        return words;
    }
    words.chars().take(MAX_SHOWN).chain(['…']).collect()
}

fn wanted_in_words(expected: &str) -> String {
    let whole = |most: u64| format!("a whole number from 0 to {most}");
    match expected {
        "u8" => whole(u8::MAX.into()),
        "u16" => whole(u16::MAX.into()),
        "u32" => whole(u32::MAX.into()),
        "u64" | "usize" => whole(u64::MAX),
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a string" => "text".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" | "sequence" => "a list".to_owned(),
        "a map" | "map" => "a mapping".to_owned(),
        WORD => "one word".to_owned(),
        other if other.starts_with("struct ") => "a mapping".to_owned(),
        other => other.to_owned(),
    }
}
