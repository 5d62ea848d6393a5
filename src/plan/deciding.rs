//! Differences between what two rule sets would do with one arrival that both want.

use std::collections::HashSet;

use serde_json::json;

use crate::pipeline::Verdict;
use crate::plan::differing::{Difference, differing};

/// Elements of one arrival whose actions are compared. Later ones count as the same.
const ELEMENTS_COMPARED: usize = 100;

/// Lists the differences between what both rules would do: of the elements, and of the first element
/// with a difference.
pub fn differences_of(rule: &str, old: &Verdict<'_>, new: &Verdict<'_>) -> Vec<Difference> {
    let (before, after) = (old.elements(rule), new.elements(rule));
    let mut differences = Vec::new();
    if before != after {
        let elements = |indices: &Option<Vec<u32>>| indices.as_ref().map(|indices| json!(indices));
        differences.push(Difference {
            place: "elements".to_owned(),
            old: elements(&before),
            new: elements(&after),
        });
    }
    let common: Option<Vec<u32>> = before.zip(after).map(|(before, after)| {
        let after: HashSet<u32> = after.into_iter().collect();
        let common = before.into_iter().filter(|index| after.contains(index));
        common.take(ELEMENTS_COMPARED).collect()
    });
    let old = old.rendered(rule, common.as_deref());
    let new = new.rendered(rule, common.as_deref());
    let mut each = old.iter().zip(&new).map(|(old, new)| differing(old, new));
    differences.extend(each.find(|found| !found.is_empty()).unwrap_or_default());
    differences
}
