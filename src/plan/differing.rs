//! Differences between two rendered values, each with its place.

use serde_json::Value;

/// Maximum differences that are listed of one arrival.
const LISTED: usize = 8;
/// Maximum depth of a place. Deeper differences belong to the value at this depth.
const DEPTH: usize = 4;

/// A difference between what the old and the new rules would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Place of the value: `actions[0].run[1]`.
    pub place: String,
    /// `None` if only the other has a value here.
    pub old: Option<Value>,
    pub new: Option<Value>,
}

/// Lists the differences, at most [`LISTED`].
pub fn differing(old: &Value, new: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(Some(old), Some(new), String::new(), 0, &mut found);
    found
}

fn compare(
    old: Option<&Value>,
    new: Option<&Value>,
    place: String,
    depth: usize,
    found: &mut Vec<Difference>,
) {
    if old == new || found.len() >= LISTED {
        return;
    }
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) if depth < DEPTH => {
            let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
            for key in keys {
                let dot = if place.is_empty() { "" } else { "." };
                compare(
                    old.get(key),
                    new.get(key),
                    format!("{place}{dot}{key}"),
                    depth + 1,
                    found,
                );
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if depth < DEPTH => {
            for index in 0..old.len().max(new.len()) {
                compare(
                    old.get(index),
                    new.get(index),
                    format!("{place}[{index}]"),
                    depth + 1,
                    found,
                );
            }
        }
        (old, new) => found.push(Difference {
            place,
            old: old.cloned(),
            new: new.cloned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_has_its_place() {
        let old = json!({"actions": [{"run": ["./deploy", "a"]}, {"append": "x"}], "group": "g"});
        let new = json!({"actions": [{"run": ["./deploy", "b", "c"]}], "group": "g"});
        let places: Vec<String> = differing(&old, &new).into_iter().map(|one| one.place).collect();
        assert_eq!(places, ["actions[0].run[1]", "actions[0].run[2]", "actions[1]"]);
        assert_eq!(differing(&old, &old), []);
        let many = |value: i32| json!((0..100).map(|_| json!(value)).collect::<Vec<_>>());
        assert_eq!(differing(&many(1), &many(2)).len(), LISTED);
    }

    #[test]
    fn a_deep_difference_belongs_to_a_value_above_it() {
        let deep = |value: i32| json!({"a": {"b": {"c": {"d": {"e": value}}}}});
        let found = differing(&deep(1), &deep(2));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "a.b.c.d");
        assert_eq!(found[0].new, Some(json!({"e": 2})));
    }
}
