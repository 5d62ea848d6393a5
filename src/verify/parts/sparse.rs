//! Reader for a few values of a JSON text that does not build the rest.
//!
//! If a proof is in the body, the body of a stranger is read before anything is verified. A
//! [`Plan`] names the required values. All other values are validated and dropped while reading. A
//! body is repaired in the same way as by [`json`]. Input that `serde_json` rejects when it builds
//! the whole tree is rejected here too: numbers out of range, nesting deeper than 127, trailing
//! data. `IgnoredAny` would accept these.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::base::json;

/// Prefix of keys by which `serde_json` marks objects of its own.
const RESERVED: &str = "$serde_json::private::";

/// Values to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    names: BTreeMap<String, Self>,
    indices: BTreeMap<usize, Self>,
    /// Maximum elements of a list to read, and the plan for each of them.
    each: Option<(usize, Box<Self>)>,
    /// True if the whole value is read.
    whole: bool,
}

impl Plan {
    /// Adds the member with this name, and returns its plan.
    pub fn name(&mut self, name: &str) -> &mut Self {
        self.names.entry(name.to_owned()).or_default()
    }

    /// Adds the element at this index, and returns its plan.
    ///
    /// A negative index counts from the end, so it requires the whole list.
    pub fn index(&mut self, index: i64) -> &mut Self {
        if let Ok(index) = usize::try_from(index) {
            return self.indices.entry(index).or_default();
        }
        self.whole = true;
        self
    }

    /// Adds the first `count` elements, and returns their plan.
    pub fn each(&mut self, count: usize) -> &mut Self {
        &mut self.each.get_or_insert_with(|| (count, Box::default())).1
    }

    /// Reads a body.
    ///
    /// Values outside the plan are missing, or null if later elements of their list are planned. A
    /// list or an object at the end of a path is empty.
    pub fn read(&self, body: &[u8]) -> Result<Value, json::JsonError> {
        json::read_with(body, |text| {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            let value = SparseReader(Some(self)).deserialize(&mut deserializer)?;
            deserializer.end()?;
            Ok(value)
        })
    }

    fn of_name(&self, name: &str) -> Option<(&str, &Self)> {
        let found = self.names.get_key_value(name);
        found.map(|(name, plan)| (name.as_str(), plan))
    }

    fn of_index(&self, index: usize) -> Option<&Self> {
        let each = self.each.as_ref().filter(|(count, _)| index < *count);
        let named = self.indices.get(&index);
        named.or(each.map(|(_, plan)| &**plan))
    }

    /// Number of list elements to keep.
    fn length(&self) -> usize {
        let last = self.indices.last_key_value();
        let last = last.map(|(index, _)| index.saturating_add(1));
        let each = self.each.as_ref().map(|(count, _)| *count);
        last.max(each).unwrap_or_default()
    }
}

/// Reader of one value by its plan. Without a plan, the value is validated and dropped.
struct SparseReader<'p>(Option<&'p Plan>);

impl<'de> DeserializeSeed<'de> for SparseReader<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0.is_some_and(|plan| plan.whole) {
            return Value::deserialize(deserializer);
        }
        // Not `deserialize_ignored_any`, which validates less.
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SparseReader<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(self.0.map_or(Value::Null, |_| value.into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let length = self.0.map_or(0, Plan::length);
        let (mut kept, mut index) = (Vec::new(), 0);
        while let Some(value) =
            list.next_element_seed(SparseReader(self.0.and_then(|plan| plan.of_index(index))))?
        {
            if index < length {
                kept.push(value);
            }
            index += 1;
        }
        Ok(Value::Array(kept))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(found) = object.next_key_seed(SparseKey(self.0))? {
            let value = object.next_value_seed(SparseReader(found.map(|(_, plan)| plan)))?;
            // If a name occurs more than once, the last member counts, as in a whole tree.
            if let Some((name, _)) = found {
                kept.insert(name.to_owned(), value);
            }
        }
        Ok(Value::Object(kept))
    }
}

/// Reader of a member's name. Returns the plan of the member, if it has one.
struct SparseKey<'p>(Option<&'p Plan>);

impl<'de, 'p> DeserializeSeed<'de> for SparseKey<'p> {
    type Value = Option<(&'p str, &'p Plan)>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for SparseKey<'p> {
    type Value = Option<(&'p str, &'p Plan)>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        if name.starts_with(RESERVED) {
            return Err(E::custom("a reserved name"));
        }
        Ok(self.0.and_then(|plan| plan.of_name(name)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn plan() -> Plan {
        let mut plan = Plan::default();
        plan.name("a").name("b");
        plan.name("a").name("c").index(1);
        plan.name("é");
        plan.name("l").each(2).name("x");
        plan.name("e").index(-1);
        plan
    }

    #[test]
    fn what_is_needed_is_read_and_the_rest_is_not_kept() {
        for (text, expected) in [
            (
                r#"{"a":{"b":"x","z":[1,2]},"z":{"a":1}}"#,
                json!({"a": {"b": "x"}}),
            ),
            (r#"{"a":{"c":[1,2,3,4]}}"#, json!({"a": {"c": [1, 2]}})),
            (
                r#"{"\u0061":{"b":1},"\u00e9":2.5}"#,
                json!({"a": {"b": 1}, "é": 2.5}),
            ),
            (r#"{"a":{"b":1},"a":{"b":2}}"#, json!({"a": {"b": 2}})),
            (r#"{"a":{"b":1},"a":7}"#, json!({"a": 7})),
            (r#"{"a":{"b":[[[1]]],"b":{"q":1}}}"#, json!({"a": {"b": {}}})),
            (
                r#"{"l":[{"x":1,"y":2},{"x":3},{"x":4}]}"#,
                json!({"l": [{"x": 1}, {"x": 3}]}),
            ),
            ("[1,{\"a\":2}]", json!([])),
            (r#"{"e":[1,{"z":2}]}"#, json!({"e": [1, {"z": 2}]})),
            ("true", json!(true)),
        ] {
            assert_eq!(plan().read(text.as_bytes()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_a_whole_tree_refuses_is_refused_where_nothing_is_needed_of_it() {
        let deep = |depth| format!("{{\"z\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let (deep, too_deep) = (deep(126), deep(127));
        for text in [
            &b"{\"z\":1e999}"[..],
            b"{\"z\":\"\\ud83d\",\"y\":1e999}",
            b"{\"z\":\"\\ud83\"}",
            b"{\"z\":\xff}",
            b"{\xef\xbb\xbf}",
            b"{\"z\":01}",
            b"{\"z\":1,}",
            b"{\"z\":[1,]}",
            b"{\"z\":\"\n\"}",
            b"{\"z\":nul}",
            b"{\"z\":1}x",
            b"{\"z\":1",
            b"\xef\xbb\xbf",
            b"",
            too_deep.as_bytes(),
        ] {
            assert!(json::read(text).is_err(), "{}", text.escape_ascii());
            assert!(plan().read(text).is_err(), "{}", text.escape_ascii());
        }
        assert!(plan().read(deep.as_bytes()).is_ok());
    }

    #[test]
    fn what_a_whole_reading_repairs_is_repaired() {
        for (text, expected) in [
            (&b"\xef\xbb\xbf\xef\xbb\xbf{\"a\":{\"b\":1}}"[..], json!(1)),
            (
                b"{\"z\":\"\\ud83d\",\"a\":{\"b\":\"x\\ude00\"}}",
                json!("x\u{FFFD}"),
            ),
            (
                b"{\"\xff\":\"\xff\",\"a\":{\"b\":\"na\xefve\"}}",
                json!("na\u{FFFD}ve"),
            ),
            // Two names that become equal through repair: the last one counts.
            (b"{\"a\":{\"b\":1},\"\\ud83d\":2,\"\xff\":3}", json!(1)),
        ] {
            let whole = json::read(text).unwrap();
            let sparse = plan().read(text).unwrap();
            assert_eq!(whole.value.pointer("/a/b"), Some(&expected));
            assert_eq!(sparse.pointer("/a/b"), Some(&expected));
        }
    }

    fn json_like() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("1".to_owned()),
            Just("1e400".to_owned()),
            Just("-0".to_owned()),
            Just("\"\\ud83d\\ude00\"".to_owned()),
            Just("\"\\ud83d\"".to_owned()),
            Just("18446744073709551616".to_owned()),
            Just("nul".to_owned()),
            "[a-z]{0,3}".prop_map(|text| format!("\"{text}\"")),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let member =
                ("(a|b|c|l|x|z)", inner.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(", "))),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn sparse_and_whole_refuse_and_find_the_same(text in json_like()) {
            let whole = json::read(text.as_bytes()).map(|json| Value::clone(&json.value));
            let sparse = plan().read(text.as_bytes());
            prop_assert_eq!(whole.is_ok(), sparse.is_ok(), "{}", text);
            if let (Ok(whole), Ok(sparse)) = (whole, sparse) {
                for pointer in ["/a/b", "/a/c/1", "/l/0/x", "/l/1/x"] {
                    let scalar = |value: Option<&Value>| value.filter(|value| !value.is_object() && !value.is_array()).cloned();
                    prop_assert_eq!(scalar(whole.pointer(pointer)), scalar(sparse.pointer(pointer)), "{}", text);
                    prop_assert_eq!(whole.pointer(pointer).is_some(), sparse.pointer(pointer).is_some(), "{}", text);
                }
            }
        }
    }
}
