//! A map keyed by scalar values: `1` and `1.0` are one key, `"1"` is another.

use std::collections::HashMap;

use serde_json::Value;

use crate::base::jsonpath::{LargeIntegers, NumericValue};

/// A map keyed by strings, numbers, booleans and null. Strings have their own map, so that a lookup
/// copies nothing.
#[derive(Debug)]
pub(super) struct ByScalar<T> {
    texts: HashMap<Box<str>, T>,
    others: HashMap<Scalar, T>,
}

/// A scalar that is not a string.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Scalar {
    Null,
    Bool(bool),
    Whole(i128),
    /// The bits of a number that is not whole. `-0.0` does not occur: `NumericValue` makes it
    /// `Whole(0)`.
    Other(u64),
}

impl Scalar {
    /// `None` also for a large integer: a rules file has none, so it is never a key.
    fn of(value: &Value, integers: &LargeIntegers) -> Option<Self> {
        match value {
            Value::Null => Some(Self::Null),
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Number(_) => match NumericValue::exact(value, integers)? {
                NumericValue::Whole(whole) => Some(Self::Whole(whole)),
                NumericValue::Other(other) => Some(Self::Other(other.to_bits())),
                NumericValue::Large(_) => None,
            },
            Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl<T> Default for ByScalar<T> {
    fn default() -> Self {
        Self {
            texts: HashMap::new(),
            others: HashMap::new(),
        }
    }
}

impl<T: Default> ByScalar<T> {
    /// The entry for `value`, inserted if missing; `None` if `value` is not a scalar.
    pub(super) fn entry(&mut self, value: &Value) -> Option<&mut T> {
        if let Value::String(text) = value {
            // `HashMap::entry` would copy the text for keys that exist already.
            if !self.texts.contains_key(text.as_str()) {
                self.texts.insert(text.as_str().into(), T::default());
            }
            return self.texts.get_mut(text.as_str());
        }
        Some(
            self.others
                .entry(Scalar::of(value, LargeIntegers::NONE)?)
                .or_default(),
        )
    }
}

impl<T> ByScalar<T> {
    /// The entry for `value`.
    pub(super) fn get(&self, value: &Value, integers: &LargeIntegers) -> Option<&T> {
        match value {
            Value::String(text) => self.get_text(text),
            other => self.others.get(&Scalar::of(other, integers)?),
        }
    }

    pub(super) fn get_text(&self, text: &str) -> Option<&T> {
        self.texts.get(text)
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len() + self.others.len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_has_a_value_and_a_type() {
        let mut map: ByScalar<Vec<u8>> = ByScalar::default();
        for (mark, key) in [json!(1), json!("1"), json!(true), json!(null), json!(0.5)]
            .iter()
            .enumerate()
        {
            map.entry(key).unwrap().push(u8::try_from(mark).unwrap());
        }
        map.entry(&json!(1.0)).unwrap().push(9);
        assert_eq!(map.get(&json!(1), LargeIntegers::NONE), Some(&vec![0, 9]));
        assert_eq!(map.get(&json!("1"), LargeIntegers::NONE), Some(&vec![1]));
        assert_eq!(map.get_text("1"), Some(&vec![1]));
        assert_eq!(map.get(&json!(true), LargeIntegers::NONE), Some(&vec![2]));
        assert_eq!(map.get(&json!(null), LargeIntegers::NONE), Some(&vec![3]));
        assert_eq!(map.get(&json!(0.5), LargeIntegers::NONE), Some(&vec![4]));
        assert_eq!(
            map.get(&json!(9_007_199_254_740_993_u64), LargeIntegers::NONE),
            None
        );
        assert_eq!(map.len(), 5);
        assert!(map.entry(&json!([])).is_none());
    }
}
