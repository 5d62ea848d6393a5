//! Conditions as numbers: equal terms have equal numbers, whatever the order of their keys.

use std::collections::HashMap;

use serde_yaml::Value;

use crate::base::yaml::Node;

/// The terms of one endpoint, by their text.
#[derive(Default)]
pub struct Terms {
    numbers: HashMap<String, u32>,
}

impl Terms {
    /// The number of a text.
    pub fn number(&mut self, text: String) -> u32 {
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(text).or_insert(next)
    }

    /// The number of a value. `None` if there is none.
    pub fn of_value(&mut self, node: Option<Node<'_>>) -> Option<u32> {
        let mut text = String::new();
        normalize(node?.value(), &mut text);
        Some(self.number(text))
    }

    /// The numbers of the terms of `match`, which must all hold: sorted, each once.
    pub fn of_conditions(&mut self, conditions: Option<Node<'_>>) -> Vec<u32> {
        let mut terms = Vec::new();
        if let Some(conditions) = conditions {
            self.add(conditions.value(), &mut terms);
        }
        terms.sort_unstable();
        terms.dedup();
        terms
    }

    fn add(&mut self, conditions: &Value, terms: &mut Vec<u32>) {
        let Value::Mapping(entries) = conditions else {
            return;
        };
        for (key, value) in entries {
            let Some(key) = key.as_str() else { continue };
            match (key, value) {
                ("all", Value::Sequence(branches)) => {
                    for branch in branches {
                        self.add(branch, terms);
                    }
                }
                ("all", branch) => self.add(branch, terms),
                _ => {
                    let mut text = match key.strip_prefix("header.") {
                        Some(name) => format!("header.{}", name.to_ascii_lowercase()),
                        None => key.to_owned(),
                    };
                    text += ": ";
                    // `x` is short for `{equals: x}`, and a list for `{in: […]}`.
                    match value {
                        Value::Mapping(_) => normalize(value, &mut text),
                        _ if ["any", "not"].contains(&key) => normalize(value, &mut text),
                        Value::Sequence(items) => normalize_set("in", items, &mut text),
                        _ => {
                            text += "{equals:";
                            normalize(value, &mut text);
                            text += ",}";
                        }
                    }
                    let number = self.number(text);
                    terms.push(number);
                }
            }
        }
    }
}

/// Writes a value in one form: with sorted keys, and text apart from numbers.
fn normalize(value: &Value, text: &mut String) {
    match value {
        Value::Mapping(entries) => {
            let mut entries: Vec<(&str, &Value)> = entries
                .iter()
                .filter_map(|(key, value)| Some((key.as_str()?, value)))
                .collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            if let [("in", Value::Sequence(items))] = entries.as_slice() {
                return normalize_set("in", items, text);
            }
            text.push('{');
            for (key, value) in entries {
                text.push_str(key);
                text.push(':');
                normalize(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Sequence(items) => {
            text.push('[');
            for item in items {
                normalize(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::String(string) => {
            text.push('"');
            text.extend(string.escape_debug());
            text.push('"');
        }
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::Bool(value) => text.push_str(&value.to_string()),
        Value::Null => text.push_str("null"),
        Value::Tagged(tagged) => normalize(&tagged.value, text),
    }
}

/// Writes a list whose order has no meaning.
fn normalize_set(key: &str, items: &[Value], text: &mut String) {
    let mut written: Vec<String> = items
        .iter()
        .map(|item| {
            let mut text = String::new();
            normalize(item, &mut text);
            text
        })
        .collect();
    written.sort_unstable();
    text.push('{');
    text.push_str(key);
    text.push_str(":[");
    text.push_str(&written.join(","));
    text.push_str("]}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diagnostic::{Diagnostics, Source};
    use crate::base::yaml::Document;

    #[test]
    fn conditions_are_equal_whatever_the_order_and_the_short_forms() {
        let mut terms = Terms::default();
        let mut of = |text: &str| {
            let source = Source {
                path: "m".into(),
                text: text.to_owned(),
            };
            let document = Document::parse(source, &mut Diagnostics::new()).unwrap();
            terms.of_conditions(Some(document.root()))
        };
        for (one, other) in [
            ("{$.a: x, $.b: 1}", "{$.b: {equals: 1}, $.a: {equals: x}}"),
            ("{$.a: [x, y]}", "{$.a: {in: [y, x]}}"),
            ("{all: [{$.a: x}, {$.b: y}]}", "{$.a: x, $.b: y}"),
            ("{header.X-Kind: a}", "{header.x-kind: a}"),
            ("{$.a: {gt: 1, lt: 5}}", "{$.a: {lt: 5, gt: 1}}"),
        ] {
            assert_eq!(of(one), of(other), "{one} {other}");
        }
        for (one, other) in [
            ("{$.a: '1'}", "{$.a: 1}"),
            ("{$.a: x}", "{$.A: x}"),
            ("{any: [{$.a: x}]}", "{not: [{$.a: x}]}"),
            ("{$.a: x}", "{not: {$.a: x}}"),
        ] {
            assert_ne!(of(one), of(other), "{one} {other}");
        }
    }
}
