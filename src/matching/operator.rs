//! Operators: tests of a single value.
//!
//! Every operator supports certain types and is *unknown* for a value of another type. `equals` of
//! a text and a number is unknown too: if it were false, `not: {$.approved: false}` would match the
//! text `"false"`. Null is comparable with every value, because it stands in place of one.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use regex::Regex;
use serde_json::Value;

use super::answer::Ternary;
use super::reading::ReadTest;
use super::scalar::ByScalar;
use super::selected::SelectedValue;
use super::selector::plain;
use super::threshold::{Relation, Threshold, instant};
use crate::base::jsonpath::{LargeIntegers, NumericValue, same};

/// Operators that must hold for the same value.
#[derive(Debug)]
pub(super) struct Operators {
    pub(super) list: Vec<Operator>,
    /// Ignores case; the operands are already folded.
    pub(super) ignore_case: bool,
}

/// An operator with its operand.
#[derive(Debug)]
pub(super) enum Operator {
    Equals(Value),
    In(Choices),
    Prefix(String),
    Suffix(String),
    Contains(Value),
    Matches(Regex),
    Glob(regex::bytes::Regex),
    Compare(Relation, Threshold<'static>),
    /// An operator beside `as`.
    Read(ReadTest),
    InCidr(Vec<IpNet>),
    Type(Vec<ValueType>),
    Length(Vec<(Relation, u64)>),
}

/// The operand of `in`.
#[derive(Debug)]
pub(super) struct Choices {
    pub(super) values: Vec<Value>,
    known: ByScalar<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueType {
    String,
    Number,
    Integer,
    Boolean,
    Null,
    Object,
    Array,
}

impl ValueType {
    /// All types, with their names in the rules file.
    pub(super) const ALL: [(&'static str, Self); 7] = [
        ("string", Self::String),
        ("number", Self::Number),
        ("integer", Self::Integer),
        ("boolean", Self::Boolean),
        ("null", Self::Null),
        ("object", Self::Object),
        ("array", Self::Array),
    ];

    /// The type of `value`. A whole number is [`Self::Number`].
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }

    fn fits(self, found: &SelectedValue<'_>) -> bool {
        match found {
            SelectedValue::Text(_) => self == Self::String,
            SelectedValue::Json(value @ Value::Number(_), integers) if self == Self::Integer => {
                matches!(
                    NumericValue::exact(value, integers),
                    Some(NumericValue::Whole(_) | NumericValue::Large(_))
                )
            }
            SelectedValue::Json(value, _) => self == Self::of(value),
            SelectedValue::Opaque => false,
        }
    }
}

impl Choices {
    pub(super) fn new(values: Vec<Value>) -> Self {
        let mut known = ByScalar::default();
        for value in &values {
            known.entry(value);
        }
        Self { values, known }
    }

    fn hold(&self, found: &SelectedValue<'_>) -> bool {
        match found {
            SelectedValue::Text(text) => self.known.get_text(text).is_some(),
            SelectedValue::Json(value @ (Value::Array(_) | Value::Object(_)), integers) => {
                self.values.iter().any(|choice| same(choice, value, integers))
            }
            SelectedValue::Json(value, integers) => self.known.get(value, integers).is_some(),
            SelectedValue::Opaque => false,
        }
    }
}

/// The text in lower case, character by character. `str::to_lowercase` writes a Greek sigma
/// differently at the end of a word, so that a part would not be found in the whole.
pub(super) fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// The value with all its texts folded.
pub(super) fn folded_value(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(folded(text)),
        Value::Array(items) => items.iter().map(folded_value).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), folded_value(value)))
            .collect(),
        other => other.clone(),
    }
}

impl Operators {
    /// The combined answer of all operators for `found`.
    pub(super) fn test(&self, found: &SelectedValue<'_>) -> Ternary {
        if !self.ignore_case {
            return Ternary::all(self.list.iter().map(|operator| operator.test(found)));
        }
        let value;
        let low = match found {
            SelectedValue::Text(text) => SelectedValue::Text(Cow::Owned(folded(text))),
            SelectedValue::Json(Value::String(text), _) => SelectedValue::Text(Cow::Owned(folded(text))),
            SelectedValue::Json(original @ (Value::Array(_) | Value::Object(_)), integers) => {
                if !integers.is_empty() {
                    // The copy would lose the digits of the large integers.
                    return Ternary::Unknown;
                }
                value = folded_value(original);
                SelectedValue::Json(&value, LargeIntegers::NONE)
            }
            SelectedValue::Json(scalar, integers) => SelectedValue::Json(scalar, integers),
            SelectedValue::Opaque => SelectedValue::Opaque,
        };
        let test = |operator: &Operator| operator.test(if operator.folds() { &low } else { found });
        Ternary::all(self.list.iter().map(test))
    }
}

impl Operator {
    /// True if the operator supports `ignore_case` by folding the value.
    pub(super) fn folds(&self) -> bool {
        match self {
            Self::Equals(_)
            | Self::In(_)
            | Self::Prefix(_)
            | Self::Suffix(_)
            | Self::Contains(_)
            | Self::Glob(_) => true,
            Self::Matches(_)
            | Self::Compare(..)
            | Self::Read(_)
            | Self::InCidr(_)
            | Self::Type(_)
            | Self::Length(_) => false,
        }
    }

    /// The answer of the operator for `found`.
    pub(super) fn test(&self, found: &SelectedValue<'_>) -> Ternary {
        if matches!(found, SelectedValue::Opaque) {
            return Ternary::Unknown;
        }
        let of_text =
            |holds: &dyn Fn(&str) -> bool| found.text().map_or(Ternary::Unknown, |text| holds(text).into());
        match self {
            Self::Equals(operand) => {
                let equal = match found {
                    SelectedValue::Json(value, integers) => same(value, operand, integers),
                    found => found.text() == operand.as_str(),
                };
                unless_incomparable(equal, found, std::slice::from_ref(operand))
            }
            Self::In(choices) => unless_incomparable(choices.hold(found), found, &choices.values),
            Self::Prefix(prefix) => of_text(&|text| text.starts_with(prefix.as_str())),
            Self::Suffix(suffix) => of_text(&|text| text.ends_with(suffix.as_str())),
            Self::Contains(operand) => contains(found, operand),
            Self::Matches(regex) => of_text(&|text| regex.is_match(text)),
            Self::Glob(glob) => of_text(&|text| glob.is_match(text.as_bytes())),
            Self::Compare(relation, Threshold::Number(limit)) => match found {
                SelectedValue::Json(value, integers) => match NumericValue::exact(value, integers) {
                    Some(worth) => relation.holds(worth.compare(*limit)).into(),
                    None => Ternary::Unknown,
                },
                _ => Ternary::Unknown,
            },
            Self::Compare(relation, Threshold::Instant(limit)) => match found.text().and_then(instant) {
                Some(at) => relation.holds(at.cmp(limit)).into(),
                None => Ternary::Unknown,
            },
            Self::Read(test) => test.test(found),
            Self::InCidr(nets) => match found.text().map(str::parse::<IpAddr>) {
                Some(Ok(address)) => nets.iter().any(|net| net.contains(&plain(address))).into(),
                _ => Ternary::Unknown,
            },
            Self::Type(kinds) => kinds.iter().any(|kind| kind.fits(found)).into(),
            Self::Length(bounds) => length(found).map_or(Ternary::Unknown, |length| {
                bounds
                    .iter()
                    .all(|(relation, bound)| relation.holds(length.cmp(bound)))
                    .into()
            }),
        }
    }
}

/// The answer of an equality test. Unknown if no operand is comparable with the value's type.
fn unless_incomparable(equal: bool, found: &SelectedValue<'_>, operands: &[Value]) -> Ternary {
    let kind = match found {
        SelectedValue::Json(value, _) => ValueType::of(value),
        _ => ValueType::String,
    };
    let comparable = |operand: &Value| {
        let other = ValueType::of(operand);
        kind == other || kind == ValueType::Null || other == ValueType::Null
    };
    if equal || operands.iter().any(comparable) {
        equal.into()
    } else {
        Ternary::Unknown
    }
}

fn contains(found: &SelectedValue<'_>, operand: &Value) -> Ternary {
    match (found, operand) {
        (SelectedValue::Json(Value::Array(items), integers), operand) => {
            items.iter().any(|item| same(item, operand, integers)).into()
        }
        (found, Value::String(part)) => found
            .text()
            .map_or(Ternary::Unknown, |text| text.contains(part.as_str()).into()),
        _ => Ternary::Unknown,
    }
}

/// Number of characters of a text, items of a list, or members of an object.
fn length(found: &SelectedValue<'_>) -> Option<u64> {
    let length = match found {
        SelectedValue::Json(Value::Array(items), _) => items.len(),
        SelectedValue::Json(Value::Object(members), _) => members.len(),
        found => found.text()?.chars().count(),
    };
    u64::try_from(length).ok()
}
