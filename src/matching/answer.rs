//! Three-valued answers of conditions, and how they combine (Kleene's strong logic).

/// The answer of a condition for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ternary {
    True,
    False,
    /// Undecidable: nothing was selected, or the operator does not support the value's type.
    Unknown,
}

impl From<bool> for Ternary {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl Ternary {
    /// True for [`Self::True`] only: an unknown condition does not hold.
    pub(super) fn holds(self) -> bool {
        self == Self::True
    }

    /// The opposite; the negation of unknown is unknown.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }

    /// False if an answer is false, else unknown if one is unknown, else true. Stops at the first
    /// false.
    pub(super) fn all(answers: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::True;
        for answer in answers {
            match answer {
                Self::False => return Self::False,
                Self::Unknown => all = Self::Unknown,
                Self::True => {}
            }
        }
        all
    }

    /// True if an answer is true, else unknown if one is unknown, else false. Stops at the first
    /// true.
    pub(super) fn any(answers: impl IntoIterator<Item = Self>) -> Self {
        Self::all(answers.into_iter().map(Self::negated)).negated()
    }
}

#[cfg(test)]
mod tests {
    use super::Ternary::{self, False, True, Unknown};

    #[test]
    fn the_truth_tables_are_kleenes() {
        let table = [
            // left, right, all, any
            (True, True, True, True),
            (True, Unknown, Unknown, True),
            (True, False, False, True),
            (Unknown, True, Unknown, True),
            (Unknown, Unknown, Unknown, Unknown),
            (Unknown, False, False, Unknown),
            (False, True, False, True),
            (False, Unknown, False, Unknown),
            (False, False, False, False),
        ];
        for (left, right, all, any) in table {
            assert_eq!(Ternary::all([left, right]), all, "{left:?} and {right:?}");
            assert_eq!(Ternary::any([left, right]), any, "{left:?} or {right:?}");
        }
        assert_eq!(
            [True, False, Unknown].map(Ternary::negated),
            [False, True, Unknown]
        );
        assert_eq!((Ternary::all([]), Ternary::any([])), (True, False));
        assert_eq!([True, False, Unknown].map(Ternary::holds), [true, false, false]);
    }
}
