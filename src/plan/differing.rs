//! Differences between two rendered values, each with its place.

use serde_json::Value;

/// Maximum differences that are listed of one arrival.
const LISTED: usize = 8;
/// Maximum depth of a place. Deeper differences belong to the value at this depth.
const DEPTH: usize = 4;

/// Maximum characters of a value that is kept. Of a longer one an excerpt is kept.
const KEPT: usize = 4096;
/// Characters of an excerpt before the first difference.
const BEFORE: usize = 20;

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
        (old, new) => {
            let (old, new) = excerpts(old, new, KEPT);
            found.push(Difference { place, old, new });
        }
    }
}

/// Returns both values, or as text the part of them where they begin to differ, if one of them has
/// more than `max` characters.
pub(super) fn excerpts(
    old: Option<&Value>,
    new: Option<&Value>,
    max: usize,
) -> (Option<Value>, Option<Value>) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let texts = [old.map(text), new.map(text)];
    let is_long = |text: &String| text.chars().nth(max).is_some();
    if !texts.iter().flatten().any(is_long) {
        return (old.cloned(), new.cloned());
    }
    let [old, new] = &texts;
    let same = old.iter().zip(new).map(|(old, new)| {
        let pairs = old.chars().zip(new.chars());
        pairs.take_while(|(old, new)| old == new).count()
    });
    let start = same.sum::<usize>().saturating_sub(BEFORE);
    let excerpt = |text: &String| {
        let before = if start > 0 { "…" } else { "" };
        let shown: String = text.chars().skip(start).take(max).collect();
        let after = text.chars().nth(start + max).map_or("", |_| "…");
        Value::String(format!("{before}{shown}{after}"))
    };
    (old.as_ref().map(excerpt), new.as_ref().map(excerpt))
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

    #[test]
    fn of_long_values_the_part_that_differs_is_kept() {
        let long = |middle: &str| json!(format!("{}{middle}{}", "é".repeat(5000), "z".repeat(9000)));
        let found = differing(&long("a"), &long("b"));
        let old = found[0].old.as_ref().and_then(Value::as_str).unwrap();
        assert!(old.starts_with(&format!("…{}az", "é".repeat(BEFORE))), "{old}");
        assert!(old.ends_with("z…"), "{old}");
        assert_eq!(old.chars().count(), KEPT + 2);
        let found = differing(&json!({"a": "short"}), &json!({"a": [1]}));
        assert_eq!(found[0].new, Some(json!([1])));
    }
}
