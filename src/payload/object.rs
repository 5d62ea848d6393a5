//! An object of what may repeat: the fields of a form, the children of an element.

use serde_json::{Map, Value};

/// Adds a value, itself no list, under a name; of a name that repeats the values become a list.
pub(super) fn add(fields: &mut Map<String, Value>, name: String, value: Value) {
    match fields.get_mut(&name) {
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
        None => {
            fields.insert(name, value);
        }
    }
}
