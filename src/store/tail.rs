//! Position of a tail in the arrivals.

use std::collections::{BTreeMap, HashSet};

use super::TailCursor;

/// Time after which a number that is missing belongs to no transaction any more, in milliseconds.
const LATE_FOR: i64 = 10_000;

/// Maximum numbers of rows that are missing. The lowest ones go.
const MAX_LATE: usize = 10_000;

/// Position up to which a tail has read the arrivals.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    pub(super) cursor: TailCursor,
    /// Rows before the cursor that may still appear.
    pub(super) events: LateRows,
    pub(super) records: LateRows,
}

/// Numbers of rows that are missing, with the time at which that was noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LateRows(BTreeMap<i64, i64>);

impl LateRows {
    pub fn numbers(&self) -> Vec<i64> {
        self.0.keys().copied().collect()
    }

    /// Notes which rows of a range, and of those that were missing, can be seen at `now`. Returns
    /// those that were missing and have appeared.
    pub fn note(&mut self, (after, until): (i64, i64), seen: &[i64], now: i64) -> Vec<i64> {
        let appeared: Vec<i64> = seen
            .iter()
            .copied()
            .filter(|row| self.0.contains_key(row))
            .collect();
        for row in &appeared {
            self.0.remove(row);
        }
        self.0
            .retain(|_, noticed| now.saturating_sub(*noticed) <= LATE_FOR);
        let seen: HashSet<i64> = seen.iter().copied().collect();
        let missing = (after.saturating_add(1)..=until).filter(|row| !seen.contains(row));
        self.0.extend(missing.map(|row| (row, now)));
        while self.0.len() > MAX_LATE {
            self.0.pop_first();
        }
        appeared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_appears_late_is_found_once_and_a_number_without_a_row_is_forgotten() {
        let mut late = LateRows::default();
        assert_eq!(late.note((0, 5), &[1, 2, 5], 100), [] as [i64; 0]);
        assert_eq!(late.numbers(), [3, 4]);
        assert_eq!(late.note((5, 6), &[3, 6], 200), [3]);
        assert_eq!(late.numbers(), [4]);
        assert_eq!(late.note((6, 6), &[], 100 + LATE_FOR), [] as [i64; 0]);
        assert_eq!(late.numbers(), [4]);
        assert_eq!(late.note((6, 8), &[8], 101 + LATE_FOR), [] as [i64; 0]);
        assert_eq!(late.numbers(), [7]);
    }

    #[test]
    fn the_missing_numbers_are_bounded() {
        let mut late = LateRows::default();
        late.note((0, 20_000), &[], 0);
        assert_eq!(late.numbers().len(), MAX_LATE);
        assert_eq!(late.numbers().first(), Some(&10_001));
    }
}
