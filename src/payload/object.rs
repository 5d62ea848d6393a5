//! Objects with repeating names: the fields of a form, the children of an element.

use serde_json::{Map, Value};

/// Adds a value, which is not a list, under a name. The values of a repeated name become a list.
pub(super) fn add(fields: &mut Map<String, Value>, name: String, value: Value) {
    match fields.get_mut(&name) {
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
        None => {
            fields.insert(name, value);
        }
    }
}
