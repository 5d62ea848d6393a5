//! Limits with which numbers and times are compared.

use std::cmp::Ordering;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::base::jsonpath::NumericValue;

/// The relation of a value to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Greater,
    AtLeast,
    Less,
    AtMost,
    Equal,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Threshold<'d> {
    Number(NumericValue<'d>),
    Instant(OffsetDateTime),
}

impl Relation {
    pub(super) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Greater => ordering == Ordering::Greater,
            Self::AtLeast => ordering != Ordering::Less,
            Self::Less => ordering == Ordering::Less,
            Self::AtMost => ordering != Ordering::Greater,
            Self::Equal => ordering == Ordering::Equal,
        }
    }
}

impl Threshold<'_> {
    /// The order of two limits; `None` if they are of different kinds.
    pub(super) fn order(self, other: Threshold<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(left), Threshold::Number(right)) => Some(left.compare(right)),
            (Self::Instant(left), Threshold::Instant(right)) => Some(left.cmp(&right)),
            _ => None,
        }
    }
}

/// Parses an RFC 3339 timestamp, to the nanosecond.
pub(super) fn instant(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}
