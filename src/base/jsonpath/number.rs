//! Comparison of numbers by value: `1` equals `1.0`, and integers of any size keep every digit.
//!
//! The digits of integers beyond 64 bits come from `large.rs`.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::LargeIntegers;

/// Bound below which every whole floating point number is exactly an `i128`.
const WHOLE_BELOW: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0; // 2^127

/// The value of a JSON number. Each value has exactly one representation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NumericValue<'d> {
    /// A whole number of fewer than 128 bits, in whatever notation.
    Whole(i128),
    /// The digits of a larger integer that is not exactly a floating point number.
    Large(&'d str),
    /// Any other number: it has a fraction, or is very large.
    Other(f64),
}

impl<'d> NumericValue<'d> {
    /// The value of a number as `serde_json` has it, which rounds large integers.
    pub fn of(number: &Number) -> Self {
        if let Some(whole) = number.as_i64() {
            Self::Whole(whole.into())
        } else if let Some(whole) = number.as_u64() {
            Self::Whole(whole.into())
        } else {
            Self::of_float(number.as_f64().unwrap_or(f64::MAX))
        }
    }

    /// The exact value, if `value` is a number.
    pub fn exact(value: &Value, integers: &'d LargeIntegers) -> Option<Self> {
        let Value::Number(number) = value else {
            return None;
        };
        Some(match integers.digits(value) {
            Some(digits) => Self::of_digits(digits),
            None => Self::of(number),
        })
    }

    /// The value of a text in JSON's notation of numbers, which may have leading zeros. `None` for
    /// any other text, and for a number beyond JSON's range.
    pub fn of_text(text: &'d str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let significant = digits.trim_start_matches('0');
        let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if ![whole, fraction, exponent].into_iter().all(is_digits) {
            return None;
        }
        if !is_digits(digits) {
            let float: f64 = text.parse().ok()?;
            return float.is_finite().then(|| Self::of_float(float));
        }
        match text.parse() {
            Ok(whole) => Some(Self::Whole(whole)),
            Err(_) if significant.len() == digits.len() => Some(Self::of_digits(text)),
            Err(_) if text.len() == digits.len() => Some(Self::of_digits(significant)),
            // The digits with their sign stand nowhere in the text.
            Err(_) => None,
        }
    }

    fn of_digits(digits: &'d str) -> Self {
        if let Ok(whole) = digits.parse() {
            return Self::Whole(whole);
        }
        match digits.parse() {
            Ok(float) if written_out(float) == digits => Self::Other(float),
            _ => Self::Large(digits),
        }
    }

    fn of_float(number: f64) -> Self {
        if number.fract() == 0.0 && number.abs() < WHOLE_BELOW {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole, and of fewer than 128 bits"
            )]
            Self::Whole(number as i128)
        } else {
            Self::Other(number)
        }
    }

    pub fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(left), Self::Whole(right)) => left.cmp(&right),
            (Self::Other(left), Self::Other(right)) => left.total_cmp(&right),
            (Self::Whole(left), Self::Other(right)) => whole_to_other(left, right),
            (Self::Other(left), Self::Whole(right)) => whole_to_other(right, left).reverse(),
            (Self::Large(left), Self::Large(right)) => digits_to_digits(left, right),
            (Self::Large(left), Self::Whole(_)) => sign(left),
            (Self::Whole(_), Self::Large(right)) => sign(right).reverse(),
            (Self::Large(left), Self::Other(right)) => digits_to_other(left, right),
            (Self::Other(left), Self::Large(right)) => digits_to_other(right, left).reverse(),
        }
    }
}

/// A whole floating point number with all its digits.
fn written_out(number: f64) -> String {
    format!("{number:.0}")
}

/// The order of a large integer and zero, or any number of smaller magnitude.
fn sign(digits: &str) -> Ordering {
    if digits.starts_with('-') {
        Ordering::Less
    } else {
        Ordering::Greater
    }
}

fn digits_to_digits(left: &str, right: &str) -> Ordering {
    let size = |digits: &str| digits.trim_start_matches('-').len();
    match (left.starts_with('-'), right.starts_with('-')) {
        (false, false) => size(left).cmp(&size(right)).then_with(|| left.cmp(right)),
        (true, true) => size(right).cmp(&size(left)).then_with(|| right.cmp(left)),
        _ => sign(left),
    }
}

fn digits_to_other(digits: &str, other: f64) -> Ordering {
    if other.abs() < WHOLE_BELOW {
        sign(digits)
    } else {
        digits_to_digits(digits, &written_out(other))
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

/// True if two values are equal: types are strict, numbers compare by value, objects have no order.
/// The large integers are those of the payload, from which one or both values come.
pub fn same(left: &Value, right: &Value, integers: &LargeIntegers) -> bool {
    match (left, right) {
        (Value::Number(_), Value::Number(_)) => {
            NumericValue::exact(left, integers) == NumericValue::exact(right, integers)
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same(left, right, integers))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, left)| right.get(key).is_some_and(|right| same(left, right, integers)))
        }
        (left, right) => left == right,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn number(text: &str) -> (Arc<Value>, LargeIntegers) {
        let value = Arc::new(serde_json::from_str(text).unwrap());
        let integers = LargeIntegers::read(text, &value);
        (value, integers)
    }

    #[test]
    fn numbers_compare_exactly() {
        // In rising order. Each line holds notations of the same number.
        let rising: &[&[&str]] = &[
            &["-1e300"],
            &["-340282366920938463463374607431768211458"],
            &["-340282366920938463463374607431768211457"],
            &["-18446744073709551617"],
            &["-9223372036854775809"],
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
            &["18446744073709551616", "18446744073709551616.0"],
            &["18446744073709551617"],
            &["100000000000000000000", "1e20"],
            &["100000000000000000001"],
            &["170141183460469231731687303715884105727"],
            &[
                "170141183460469231731687303715884105728",
                "170141183460469231731687303715884105728.0",
            ],
            &["340282366920938463463374607431768211457"],
            &["340282366920938463463374607431768211458"],
            &["999999999999999939709166371603178586111"],
            // All digits of the floating point number 1e39.
            &["999999999999999939709166371603178586112", "1e39"],
            &["1000000000000000000000000000000000000000"],
            &["1e300"],
        ];
        for (left_place, left) in rising.iter().enumerate() {
            for (right_place, right) in rising.iter().enumerate() {
                for (left, right) in left
                    .iter()
                    .flat_map(|left| right.iter().map(move |right| (left, right)))
                {
                    let (left_value, left_integers) = number(left);
                    let (right_value, right_integers) = number(right);
                    let left_worth = NumericValue::exact(&left_value, &left_integers).unwrap();
                    let right_worth = NumericValue::exact(&right_value, &right_integers).unwrap();
                    let compared = left_worth.compare(right_worth);
                    assert_eq!(left_worth == right_worth, compared.is_eq(), "{left} and {right}");
                    assert_eq!(compared, left_place.cmp(&right_place), "{left} and {right}");
                }
            }
        }
    }

    #[test]
    fn values_are_the_same_only_within_a_type() {
        assert!(same(
            &json!({"a": [1, null], "b": "x"}),
            &json!({"b": "x", "a": [1.0, null]}),
            &LargeIntegers::default()
        ));
        for (left, right) in [
            (json!("1"), json!(1)),
            (json!(null), json!(false)),
            (json!(0), json!(false)),
            (json!([1]), json!([1, 2])),
            (json!({"a": 1}), json!({"b": 1})),
        ] {
            assert!(
                !same(&left, &right, &LargeIntegers::default()),
                "{left} and {right}"
            );
        }
    }
}
