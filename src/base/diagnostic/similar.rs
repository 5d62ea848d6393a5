//! Suggestions for mistyped words.

/// Maximum length of a word for which a similar one is looked for, in bytes. The comparison takes
/// time in proportion to it, for every known word.
const MAX_TYPED: usize = 200;

/// The candidate closest to a mistyped word, if at most a third of the word's letters differ.
pub fn did_you_mean<'c>(typed: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if typed.len() > MAX_TYPED {
        return None;
    }
    let bound = (typed.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (edits(&typed.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The edit distance of two words: insertions, deletions, replacements and swaps of neighbours.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous_letter = None;
    for (row, letter) in from.chars().enumerate() {
        let mut next = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, column) + usize::from(letter != *other);
            let mut best = replaced.min(at(&last, column + 1) + 1).min(at(&next, column) + 1);
            let swapped =
                column > 0 && previous_letter == Some(*other) && to.get(column - 1) == Some(&letter);
            if swapped && row > 0 {
                best = best.min(at(&before, column - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut last, next);
        previous_letter = Some(letter);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        let schemes = ["github", "gitlab", "stripe"];
        assert_eq!(did_you_mean("githbu", schemes), Some("github"));
        assert_eq!(did_you_mean("Stripe", schemes), Some("stripe"));
        assert_eq!(did_you_mean("paypal", schemes), None);
    }
}
