//! Merge keys (`<<`): a mapping, or a list of mappings, whose entries fill in missing keys.
//!
//! Values of another type are reported here and removed. `serde_yaml` then applies the valid
//! merges.

use serde_yaml::Value;

use super::Node;
use crate::base::diagnostic::{Diagnostic, Diagnostics};

const MERGE: &str = "<<";

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

/// Removes invalid merge keys, so that the rest can be read.
pub(super) fn mend(value: &mut Value) {
    match value {
        Value::Sequence(items) => items.iter_mut().for_each(mend),
        Value::Mapping(mapping) => {
            if mapping.get(MERGE).is_some_and(|merged| !fits(merged)) {
                mapping.shift_remove(MERGE);
            }
            mapping.values_mut().for_each(mend);
        }
        _ => {}
    }
}
