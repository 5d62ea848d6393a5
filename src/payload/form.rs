//! The fields of an `application/x-www-form-urlencoded` body.

use serde_json::{Map, Value};

/// How many fields a form may have.
pub(super) const MAX_FIELDS: usize = 10_000;

/// The fields as an object of strings, a list where a field repeats; `None` if there are more than
/// [`MAX_FIELDS`].
pub(super) fn fields(body: &[u8]) -> Option<Map<String, Value>> {
    let mut fields = Map::new();
    for (count, (name, value)) in form_urlencoded::parse(body).enumerate() {
        if count == MAX_FIELDS {
            return None;
        }
        let value = Value::String(value.into_owned());
        match fields.get_mut(name.as_ref()) {
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => {
                fields.insert(name.into_owned(), value);
            }
        }
    }
    Some(fields)
}
