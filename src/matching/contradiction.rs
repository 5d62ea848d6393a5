//! Detection of operators that no value can satisfy together.
//!
//! Only certain contradictions are reported: types that exclude each other, bounds that cross, and
//! an exact value that fails the other operators.

use std::cmp::Ordering;
use std::slice;

use serde_json::Value;

use super::operator::{Operator, ValueType, folded, folded_value};
use super::selected::SelectedValue;
use super::threshold::{Relation, Threshold};
use crate::base::jsonpath::LargeIntegers;

/// Maximum number of values in an `in` beside `as` that are compared with other bounds. A longer
/// list is not compared.
const COMPARED_LIMITS: usize = 64;

/// An operator that must hold for the same value as the others.
#[derive(Clone, Copy)]
pub(super) struct Requirement<'c> {
    pub(super) operator: &'c Operator,
    pub(super) ignore_case: bool,
}

/// A requirement that cannot hold, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contradiction {
    /// The index of the first requirement that conflicts with those before it.
    pub(super) at: usize,
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

/// The first contradiction among `claims`. `text` names the selector if its values are always text.
pub(super) fn contradiction(claims: &[Requirement<'_>], text: Option<&str>) -> Option<Contradiction> {
    types(claims, text)
        .or_else(|| bounds(claims))
        .or_else(|| lengths(claims))
        .or_else(|| exact_values(claims))
}

fn found_at(at: usize, message: impl Into<String>) -> Contradiction {
    Contradiction {
        at,
        message: message.into(),
        hint: None,
    }
}

const ANY: u8 = u8::MAX;

fn bit(kind: ValueType) -> u8 {
    match kind {
        ValueType::String => 1,
        ValueType::Number | ValueType::Integer => 2,
        ValueType::Boolean => 4,
        ValueType::Null => 8,
        ValueType::Object => 16,
        ValueType::Array => 32,
    }
}

/// The types of the values for which the operator can be true, as bits.
fn accepted(operator: &Operator) -> u8 {
    let of = |values: &[Value]| {
        values
            .iter()
            .fold(0, |all, value| all | bit(ValueType::of(value)))
    };
    let string = bit(ValueType::String);
    match operator {
        Operator::Equals(value) => bit(ValueType::of(value)),
        Operator::In(choices) => of(&choices.values),
        Operator::Contains(Value::String(_)) => string | bit(ValueType::Array),
        Operator::Contains(_) => bit(ValueType::Array),
        Operator::Compare(_, Threshold::Number(_)) => bit(ValueType::Number),
        Operator::Read(_) => string | bit(ValueType::Number),
        Operator::Type(kinds) => kinds.iter().fold(0, |all, kind| all | bit(*kind)),
        Operator::Length(_) => string | bit(ValueType::Array) | bit(ValueType::Object),
        Operator::Prefix(_)
        | Operator::Suffix(_)
        | Operator::Matches(_)
        | Operator::Glob(_)
        | Operator::Compare(_, Threshold::Instant(_))
        | Operator::InCidr(_) => string,
    }
}

fn types(claims: &[Requirement<'_>], text: Option<&str>) -> Option<Contradiction> {
    let string = bit(ValueType::String);
    let mut left = if text.is_some() { string } else { ANY };
    for (at, claim) in claims.iter().enumerate() {
        let accepted = accepted(claim.operator);
        left &= accepted;
        if left != 0 {
            continue;
        }
        return Some(match text {
            Some(selector) if accepted & string == 0 => Contradiction {
                hint: Some(text_hint(claim.operator)),
                ..found_at(at, format!("`{selector}` is always text, so this can never hold"))
            },
            _ => found_at(
                at,
                "this can never hold: the operators beside it want a value of another type",
            ),
        });
    }
    None
}

/// The way out for an operator that no text satisfies.
fn text_hint(operator: &Operator) -> &'static str {
    let numbers = |values: &[Value]| values.iter().any(Value::is_number);
    match operator {
        Operator::Compare(_, Threshold::Number(_)) => "read the text as a number: `{as: number, gt: 5}`",
        Operator::Equals(Value::Number(_)) => {
            "put the value in quotes, or read the text as a number: `{as: number, equals: 5}`"
        }
        Operator::In(choices) if numbers(&choices.values) => {
            "put the values in quotes, or read the text as a number: `{as: number, in: [5, 6]}`"
        }
        Operator::Type(_) => "the type of text is `string`; `as: number` reads text as a number",
        _ => "text is compared with text: put the value in quotes",
    }
}

/// A bound on a number or a time: the relation to one of the limits must hold.
#[derive(Clone, Copy)]
struct Bound<'c> {
    relation: Relation,
    limits: &'c [Threshold<'static>],
}

impl<'c> Bound<'c> {
    fn of(operator: &'c Operator) -> Option<Self> {
        match operator {
            Operator::Compare(relation, limit) => Some(Self {
                relation: *relation,
                limits: slice::from_ref(limit),
            }),
            Operator::Read(test) if test.limits.len() <= COMPARED_LIMITS => Some(Self {
                relation: test.relation,
                limits: &test.limits,
            }),
            _ => None,
        }
    }

    /// True if each of the limits conflicts with one of `bounds`.
    fn conflicts(self, bounds: &[Bound<'_>]) -> bool {
        let crosses = |limit: Threshold<'_>, other: &Bound<'_>| {
            let mut others = other.limits.iter();
            others.all(|bound| cross(self.relation, other.relation, limit.order(*bound)))
        };
        self.limits
            .iter()
            .all(|limit| bounds.iter().any(|other| crosses(*limit, other)))
    }
}

fn bounds(claims: &[Requirement<'_>]) -> Option<Contradiction> {
    let mut seen: Vec<Bound<'_>> = Vec::new();
    for (at, claim) in claims.iter().enumerate() {
        let Some(bound) = Bound::of(claim.operator) else {
            continue;
        };
        seen.push(bound);
        if seen.iter().any(|bound| bound.conflicts(&seen)) {
            return Some(found_at(
                at,
                "this can never hold: the bounds leave nothing between them",
            ));
        }
    }
    None
}

/// True if no value satisfies both relations, given the order of their limits.
fn cross(this: Relation, other: Relation, order: Option<Ordering>) -> bool {
    use Relation::{AtLeast, AtMost, Equal, Greater, Less};
    let Some(order) = order else { return false };
    match (this, other) {
        (AtLeast, AtMost) => order == Ordering::Greater,
        (Greater, AtMost) | (AtLeast | Greater, Less) => order != Ordering::Less,
        (AtMost, AtLeast) => order == Ordering::Less,
        (Less, AtLeast | Greater) | (AtMost, Greater) => order != Ordering::Greater,
        (Equal, other) => !other.holds(order),
        (this, Equal) => !this.holds(order.reverse()),
        (AtLeast | Greater, AtLeast | Greater) | (AtMost | Less, AtMost | Less) => false,
    }
}

fn lengths(claims: &[Requirement<'_>]) -> Option<Contradiction> {
    let (mut least, mut most) = (0, u64::MAX);
    for (at, claim) in claims.iter().enumerate() {
        let Operator::Length(bounds) = claim.operator else {
            continue;
        };
        for (relation, bound) in bounds {
            let (low, high) = match relation {
                Relation::Greater => (bound.checked_add(1), Some(u64::MAX)),
                Relation::AtLeast => (Some(*bound), Some(u64::MAX)),
                Relation::Less => (Some(0), bound.checked_sub(1)),
                Relation::AtMost => (Some(0), Some(*bound)),
                Relation::Equal => (Some(*bound), Some(*bound)),
            };
            let (Some(low), Some(high)) = (low, high) else {
                return Some(found_at(at, "this can never hold: nothing has such a length"));
            };
            least = least.max(low);
            most = most.min(high);
        }
        if least > most {
            return Some(found_at(
                at,
                "this can never hold: no length lies between the bounds",
            ));
        }
    }
    None
}

fn exact_values(claims: &[Requirement<'_>]) -> Option<Contradiction> {
    for (at, claim) in claims.iter().enumerate() {
        let values = match claim.operator {
            Operator::Equals(value) => slice::from_ref(value),
            Operator::In(choices) => choices.values.as_slice(),
            _ => continue,
        };
        let possible = |value: &Value| {
            claims
                .iter()
                .all(|other| other.may_hold(value, claim.ignore_case))
        };
        if values.iter().any(possible) {
            continue;
        }
        return Some(found_at(
            at,
            match claim.operator {
                Operator::Equals(_) => "this can never hold: the operators beside it refuse that value",
                _ => "this can never hold: the operators beside it refuse every value of the list",
            },
        ));
    }
    None
}

impl Requirement<'_> {
    /// True if the operator can hold for `value`, or, if `in_any_case`, for a value that differs
    /// from it in case.
    fn may_hold(self, value: &Value, in_any_case: bool) -> bool {
        match (self.ignore_case && self.operator.folds(), in_any_case) {
            (true, _) => {
                let value = match value {
                    Value::String(text) => Value::String(folded(text)),
                    other => folded_value(other),
                };
                self.operator
                    .test(&SelectedValue::Json(&value, LargeIntegers::NONE))
                    .holds()
            }
            // Assumes that some spelling satisfies the operator.
            (false, true) => true,
            (false, false) => self
                .operator
                .test(&SelectedValue::Json(value, LargeIntegers::NONE))
                .holds(),
        }
    }
}
