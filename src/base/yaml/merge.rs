//! `<<`: a mapping, or a list of them, whose keys stand in for those that are missing.

use serde_yaml::Value;

use super::Node;
use crate::base::diagnostic::{Diagnostic, Diagnostics};

/// The key.
const MERGE: &str = "<<";

/// Whether a value can be merged.
fn fits(value: &Value) -> bool {
    match value {
        Value::Mapping(_) => true,
        Value::Sequence(items) => items.iter().all(Value::is_mapping),
        _ => false,
    }
}

/// Finds every merge of what is no mapping, at its place.
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

/// Takes them out, so that the rest can be read.
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
