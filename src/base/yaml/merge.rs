//! Merge keys (`<<`): a mapping, or a list of mappings, whose entries fill in missing keys.
//!
//! The mapping's own keys win, then the first of the list. Values of another type are reported and
//! removed, so that the rest can be read.

use serde_yaml::Value;

use super::Node;
use crate::base::diagnostic::{Diagnostic, Diagnostics};

pub(super) const MERGE: &str = "<<";

/// True for a mapping or a list of mappings.
fn fits(value: &Value) -> bool {
    match value {
        Value::Mapping(_) => true,
        Value::Sequence(items) => items.iter().all(Value::is_mapping),
        _ => false,
    }
}

/// Reports every merge key whose value is not a mapping.
pub(super) fn check(node: Node<'_>, diagnostics: &mut Diagnostics) {
    for item in node.items() {
        check(item, diagnostics);
    }
    for (key, value) in node.entries() {
        if key == MERGE && !fits(value.value()) {
            let message = "`<<` takes a mapping, or a list of mappings";
            diagnostics.push(
                Diagnostic::error(value.key_origin(), "merge", message)
                    .hint("write `<<: *name`, after `&name`"),
            );
        } else {
            check(value, diagnostics);
        }
    }
}

/// Replaces every merge key by the entries that it adds. The order of the other keys stays.
pub(super) fn apply(value: &mut Value) {
    match value {
        Value::Sequence(items) => items.iter_mut().for_each(apply),
        Value::Mapping(mapping) => {
            // First below, so that a merged mapping has its own merges already.
            mapping.values_mut().for_each(apply);
            let merged = match mapping.shift_remove(MERGE) {
                Some(Value::Sequence(items)) => items,
                Some(one) => vec![one],
                None => return,
            };
            let merged = merged.into_iter().filter_map(|one| match one {
                Value::Mapping(entries) => Some(entries),
                _ => None,
            });
            for (key, value) in merged.flatten() {
                mapping.entry(key).or_insert(value);
            }
        }
        _ => {}
    }
}
