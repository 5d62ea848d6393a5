//! `as: number` and `as: time`: text that is read as a number or a time before it is compared.
//!
//! A text is a number if it has JSON's notation, also with leading zeros. It is a time if it is an
//! RFC 3339 timestamp or a number of seconds since 1970. Anything else is *unknown*.

use time::OffsetDateTime;

use crate::base::jsonpath::NumericValue;
use crate::matching::answer::Ternary;
use crate::matching::selected::SelectedValue;
use crate::matching::threshold::{Relation, Threshold, instant};

/// Maximum length in bytes of a text that is read. Longer text is neither a number nor a time.
const MAX_READ: usize = 100;
/// Number of decimal places of a second that count.
const NANOSECOND_DIGITS: usize = 9;

/// The operand of `as`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    Number,
    Time,
}

/// A comparison of the value that was read.
#[derive(Debug)]
pub(super) struct ReadTest {
    pub(super) reading: Reading,
    pub(super) relation: Relation,
    /// The relation to one of them must hold.
    pub(super) limits: Vec<Threshold<'static>>,
}

impl Reading {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Number, Self::Time];

    /// The operand as the rules file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Time => "time",
        }
    }

    /// The value as a number or a time; `None` if it is neither.
    pub(super) fn read<'v>(self, found: &'v SelectedValue<'_>) -> Option<Threshold<'v>> {
        let text = found.text().filter(|text| text.len() <= MAX_READ);
        match (self, found) {
            (Self::Number, SelectedValue::Json(value, integers)) if value.is_number() => {
                NumericValue::exact(value, integers).map(Threshold::Number)
            }
            (Self::Number, _) => NumericValue::of_text(text?).map(Threshold::Number),
            // The shortest notation of the number has the decimal places that the sender wrote.
            (Self::Time, SelectedValue::Json(value, _)) if value.is_number() => {
                unix_time(&value.to_string()).map(Threshold::Instant)
            }
            (Self::Time, _) => instant(text?)
                .or_else(|| unix_time(text?))
                .map(Threshold::Instant),
        }
    }

    fn zero(self) -> Threshold<'static> {
        match self {
            Self::Number => Threshold::Number(NumericValue::Whole(0)),
            Self::Time => Threshold::Instant(OffsetDateTime::UNIX_EPOCH),
        }
    }
}

impl ReadTest {
    pub(super) fn test(&self, found: &SelectedValue<'_>) -> Ternary {
        let Some(value) = self.reading.read(found) else {
            return Ternary::Unknown;
        };
        let holds = |limit: &Threshold<'_>| {
            let order = value.order(*limit);
            order.is_some_and(|order| self.relation.holds(order))
        };
        self.limits.iter().any(holds).into()
    }

    /// True if a text for which the test holds may begin with the letter.
    pub(super) fn may_begin(&self, letter: char) -> bool {
        // What begins with a minus sign is zero or less, also as seconds since 1970.
        let zero_or_less = |limit: &Threshold<'_>| {
            let order = limit.order(self.reading.zero());
            order.is_none_or(|order| match self.relation {
                Relation::Greater => order.is_lt(),
                Relation::AtLeast | Relation::Equal => order.is_le(),
                Relation::Less | Relation::AtMost => true,
            })
        };
        letter.is_ascii_digit() || letter == '-' && self.limits.iter().any(zero_or_less)
    }
}

/// The time of a number of seconds since 1970, which may have decimal places.
fn unix_time(text: &str) -> Option<OffsetDateTime> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (seconds, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(seconds) || !is_digits(fraction) {
        return None;
    }
    let fraction: String = fraction
        .chars()
        .chain(std::iter::repeat('0'))
        .take(NANOSECOND_DIGITS)
        .collect();
    let nanoseconds: i128 = format!("{seconds}{fraction}").parse().ok()?;
    OffsetDateTime::from_unix_timestamp_nanos(sign * nanoseconds).ok()
}

#[cfg(test)]
mod tests;
