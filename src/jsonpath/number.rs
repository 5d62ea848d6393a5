//! Numbers compared by what they are worth: `1` is `1.0`, and integers beyond 2^53 keep every digit.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Below this, every whole floating point number is exactly an `i128`.
const WHOLE_BELOW: f64 = 1_267_650_600_228_229_401_496_703_205_376.0; // 2^100

/// The worth of a JSON number.
#[derive(Clone, Copy, Debug)]
pub enum Worth {
    /// A whole number of fewer than 100 bits, however it was written.
    Whole(i128),
    /// Any other: it has a fraction, or is very large.
    Other(f64),
}

impl Worth {
    /// What `number` is worth.
    pub fn of(number: &Number) -> Self {
        if let Some(whole) = number.as_i64() {
            Self::Whole(whole.into())
        } else if let Some(whole) = number.as_u64() {
            Self::Whole(whole.into())
        } else {
            Self::of_float(number.as_f64().unwrap_or(f64::MAX))
        }
    }

    fn of_float(number: f64) -> Self {
        if number.fract() == 0.0 && number.abs() < WHOLE_BELOW {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole, and of fewer than 100 bits"
            )]
            Self::Whole(number as i128)
        } else {
            Self::Other(number)
        }
    }

    /// Which is greater.
    pub fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(left), Self::Whole(right)) => left.cmp(&right),
            (Self::Other(left), Self::Other(right)) => left.total_cmp(&right),
            (Self::Whole(left), Self::Other(right)) => whole_to_other(left, right),
            (Self::Other(left), Self::Whole(right)) => whole_to_other(right, left).reverse(),
        }
    }
}

fn whole_to_other(whole: i128, other: f64) -> Ordering {
    if other.abs() >= WHOLE_BELOW {
        return if other > 0.0 {
            Ordering::Less
        } else {
            Ordering::Greater
        };
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it has a fraction, so it is below 2^53"
    )]
    let floor = other.floor() as i128;
    if whole <= floor {
        Ordering::Less
    } else {
        Ordering::Greater
    }
}

/// Whether two values are the same: types are strict, numbers compare by worth, objects have no order.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            Worth::of(left).compare(Worth::of(right)) == Ordering::Equal
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, left)| right.get(key).is_some_and(|right| same(left, right)))
        }
        (left, right) => left == right,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn numbers_compare_exactly() {
        // In rising order; each line holds ways to write the same number.
        let rising: &[&[&str]] = &[
            &["-1e300"],
            &["-9223372036854775808", "-9223372036854775808.0"],
            &["-1", "-1.0"],
            &["-0.5"],
            &["0", "-0.0", "0e5"],
            &["1e-17"],
            &["1", "1.0", "10e-1"],
            &["1.5"],
            &["9007199254740992", "9007199254740992.0"],
            &["9007199254740993"],
            &["1234567890123456788"],
            &["1234567890123456789"],
            &["18446744073709551615"],
            &["18446744073709551616"],
            &["1e300"],
        ];
        for (left_place, left) in rising.iter().enumerate() {
            for (right_place, right) in rising.iter().enumerate() {
                for (left, right) in left
                    .iter()
                    .flat_map(|left| right.iter().map(move |right| (left, right)))
                {
                    let compared = Worth::of(&number(left)).compare(Worth::of(&number(right)));
                    assert_eq!(compared, left_place.cmp(&right_place), "{left} and {right}");
                }
            }
        }
    }

    #[test]
    fn values_are_the_same_only_within_a_type() {
        assert!(same(
            &json!({"a": [1, null], "b": "x"}),
            &json!({"b": "x", "a": [1.0, null]})
        ));
        for (left, right) in [
            (json!("1"), json!(1)),
            (json!(null), json!(false)),
            (json!(0), json!(false)),
            (json!([1]), json!([1, 2])),
            (json!({"a": 1}), json!({"b": 1})),
        ] {
            assert!(!same(&left, &right), "{left} and {right}");
        }
    }
}
