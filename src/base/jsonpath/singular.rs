//! A `JSONPath` that selects one value at most: `$.a.b[0]['c']`.
//!
//! Verification reads timestamps, ids and tokens from bodies by such paths. A path that could
//! select several values is rejected at load, because it would be unclear which of them counts.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::walk::item;
use super::{JsonPath, Pick};
use crate::base::json_plan::Plan;

/// Maximum number of steps in a path.
const MAX_STEPS: usize = 32;

/// A singular `JSONPath` (RFC 9535, section 2.3.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingularPath {
    text: String,
    steps: Vec<SingularSegment>,
    /// Plan of a reader that needs a scalar at this path.
    plan: Plan,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SingularSegment {
    Name(String),
    /// An index, counted from the end if negative.
    Index(i64),
}

impl SingularSegment {
    /// The step of a segment, if the segment selects at most one value.
    fn of(segment: &super::PathSegment) -> Option<Self> {
        match segment.picks.as_slice() {
            [Pick::Name(name)] if !segment.descends => Some(Self::Name(name.clone())),
            [Pick::Index(index)] if !segment.descends => Some(Self::Index(*index)),
            _ => None,
        }
    }
}

impl SingularPath {
    /// Sets the value at the path. Missing members are added. The error is the reason why there can
    /// be no value.
    pub fn set(&self, root: &mut Value, value: Value) -> Result<(), String> {
        let mut place = root;
        for step in &self.steps {
            place = match (step, place) {
                (SingularSegment::Name(name), Value::Object(members)) => members
                    .entry(name.clone())
                    .or_insert_with(|| Value::Object(serde_json::Map::new())),
                (SingularSegment::Index(index), Value::Array(items)) => {
                    let length = items.len();
                    let from_end = length.checked_add_signed(isize::try_from(*index).unwrap_or(isize::MIN));
                    let at = if *index < 0 {
                        from_end
                    } else {
                        usize::try_from(*index).ok()
                    };
                    if at == Some(length) {
                        items.push(Value::Null);
                    }
                    let item = at.and_then(|at| items.get_mut(at));
                    item.ok_or_else(|| format!("`{}`: the list has {length} items", self.text))?
                }
                (step, found) => {
                    let (wanted, step) = match step {
                        SingularSegment::Name(name) => ("an object", name.clone()),
                        SingularSegment::Index(index) => ("a list", index.to_string()),
                    };
                    return Err(format!(
                        "`{}`: `{step}` needs {wanted}, and there is `{found}`",
                        self.text
                    ));
                }
            };
        }
        *place = value;
        Ok(())
    }

    /// Parses a path. The error names the fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid =
            |what: &str| format!("`{text}` {what}: write a path to one value, such as `$.data[0]['id']`");
        if !text.starts_with('$') {
            return Err(invalid("does not begin with `$`"));
        }
        let path = JsonPath::parse(text).map_err(|_refused| invalid("is not a singular JSONPath"))?;
        let steps: Option<Vec<SingularSegment>> = path.steps.iter().map(SingularSegment::of).collect();
        let steps = steps.ok_or_else(|| invalid("is not a singular JSONPath"))?;
        if steps.is_empty() || steps.len() > MAX_STEPS {
            return Err(invalid(&format!("has not between 1 and {MAX_STEPS} steps")));
        }
        let mut path = Self {
            text: text.to_owned(),
            steps,
            plan: Plan::default(),
        };
        let mut plan = Plan::default();
        path.add_to(&mut plan);
        path.plan = plan;
        Ok(path)
    }

    /// Adds the value at the path to `plan`. Of a list or an object, only the type is kept.
    pub fn add_to(&self, plan: &mut Plan) {
        self.steps.iter().fold(plan, |plan, step| match step {
            SingularSegment::Name(name) => plan.name(name),
            SingularSegment::Index(index) => plan.index(*index),
        });
    }

    /// Plan of a reader that needs a scalar at this path, and nothing else.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The names and indices.
    pub fn steps(&self) -> impl Iterator<Item = Result<&str, i64>> {
        self.steps.iter().map(|step| match step {
            SingularSegment::Name(name) => Ok(name.as_str()),
            SingularSegment::Index(index) => Err(*index),
        })
    }

    /// The selected value.
    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.steps.iter().try_fold(value, |value, step| match step {
            SingularSegment::Name(name) => value.as_object()?.get(name),
            SingularSegment::Index(index) => item(&value, *index),
        })
    }

    /// Returns the JSON `text` with the JSON `new` at the path, adding missing objects on the way.
    /// Everything else keeps its notation, every digit of it. `None` if another type of value
    /// stands in the way.
    pub fn splice(&self, text: &str, new: &str) -> Option<String> {
        spliced(text, &self.steps, new)
    }
}

/// The members of an object as they are written.
struct Members<'t>(Vec<(String, &'t RawValue)>);

impl<'de: 't, 't> Deserialize<'de> for Members<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Keeps the order and duplicate keys.
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn spliced(text: &str, steps: &[SingularSegment], new: &str) -> Option<String> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(new.to_owned());
    };
    match step {
        SingularSegment::Name(name) => {
            let Members(members) = if text.trim() == "null" {
                Members(Vec::new())
            } else {
                serde_json::from_str(text).ok()?
            };
            let mut written = Vec::with_capacity(members.len() + 1);
            let mut found = false;
            for (key, value) in members {
                let here = key == *name;
                found |= here;
                let value = if here {
                    spliced(value.get(), rest, new)?
                } else {
                    value.get().to_owned()
                };
                written.push(format!("{}:{value}", Value::String(key)));
            }
            if !found {
                let value = spliced("null", rest, new)?;
                written.push(format!("{}:{value}", Value::String(name.clone())));
            }
            Some(format!("{{{}}}", written.join(",")))
        }
        SingularSegment::Index(index) => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            let index = usize::try_from(*index).ok()?;
            let value = spliced(elements.get(index)?.get(), rest, new)?;
            let written = elements.iter().enumerate().map(|(at, element)| {
                if at == index {
                    value.as_str()
                } else {
                    element.get()
                }
            });
            Some(format!("[{}]", written.collect::<Vec<_>>().join(",")))
        }
    }
}

impl fmt::Display for SingularPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_singular_path_finds_its_value() {
        let value = json!({"a": {"b": [1, {"c d": "x"}]}, "é": 2, "it's": 3, "\u{9}": 4});
        for (path, expected) in [
            ("$.a.b[0]", Some(json!(1))),
            ("$.a.b[-1]['c d']", Some(json!("x"))),
            ("$['a'][\"b\"][1][\"c d\"]", Some(json!("x"))),
            ("$.é", Some(json!(2))),
            ("$['\\u00e9']", Some(json!(2))),
            ("$['it\\'s']", Some(json!(3))),
            ("$['\\t']", Some(json!(4))),
            // RFC 9535 allows these spaces.
            ("$[ 'é' ]", Some(json!(2))),
            ("$.a.b[2]", None),
            ("$.a.b[-3]", None),
            ("$.a.b[-9007199254740991]", None),
            ("$.a.b.c", None),
            ("$.a[0]", None),
            ("$.none.at.all", None),
        ] {
            assert_eq!(
                SingularPath::parse(path).unwrap().find(&value),
                expected.as_ref(),
                "{path}"
            );
        }
    }

    #[test]
    fn a_value_is_written_where_the_path_leads_and_the_rest_stays() {
        for (before, path, after) in [
            ("{}", "$.a.b", Some(r#"{"a":{"b":7}}"#)),
            (
                r#"{"z": 1.10,"a": {"c": 1e2 }}"#,
                "$.a.b",
                Some(r#"{"z":1.10,"a":{"c":1e2,"b":7}}"#),
            ),
            (
                r#"{"n":12345678901234567890123,"a":{"b":1},"é":"\u00e9"}"#,
                "$.a.b",
                Some(r#"{"n":12345678901234567890123,"a":{"b":7},"é":"\u00e9"}"#),
            ),
            (r#"[{"y":0.10}, 2]"#, "$[0].x", Some(r#"[{"y":0.10,"x":7},2]"#)),
            (r#"{"a":null}"#, "$.a.b", Some(r#"{"a":{"b":7}}"#)),
            ("[]", "$[0].x", None),
            (r#"{"a":"text"}"#, "$.a.b", None),
            ("\"text\"", "$.a", None),
            ("{", "$.a", None),
            ("", "$.a", None),
        ] {
            let spliced = SingularPath::parse(path).unwrap().splice(before, "7");
            assert_eq!(spliced.as_deref(), after, "{before} {path}");
        }
    }

    #[test]
    fn a_path_that_is_not_singular_or_not_a_path_is_refused() {
        for path in [
            "",
            "$",
            "a",
            ".a",
            "$.",
            "$..a",
            "$.*",
            "$.a[*]",
            "$[0,1]",
            "$[0:1]",
            "$[?@.a]",
            "$.a-b",
            "$.0a",
            "$[01]",
            "$[+1]",
            "$[-0]",
            "$['a'",
            "$['a",
            "$[a]",
            "$['\\x']",
            "$['\\u00e']",
            "$['\\ud800']",
            "$a",
            "$.a ",
            "$[99999999999999999999]",
            "$[-9223372036854775808]",
        ] {
            assert!(SingularPath::parse(path).is_err(), "{path}");
        }
        assert!(SingularPath::parse(&format!("${}", ".a".repeat(33))).is_err());
    }
}
