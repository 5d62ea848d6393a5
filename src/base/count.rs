//! Numbers with their nouns: `1 rule`, `2 rules`.

/// A number with its noun, in the plural unless the number is 1: `1 error`, `2 errors`,
/// `3 deliveries`.
pub fn counted(number: impl TryInto<u64>, noun: &str) -> String {
    let number: u64 = number.try_into().unwrap_or(u64::MAX);
    if number == 1 {
        return format!("1 {noun}");
    }
    let stem = noun.strip_suffix('y');
    match stem.filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u'])) {
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noun_is_in_the_plural_unless_there_is_one() {
        for (number, noun, expected) in [
            (0, "rule", "0 rules"),
            (1, "rule", "1 rule"),
            (2, "rule", "2 rules"),
            (1, "delivery", "1 delivery"),
            (7, "delivery", "7 deliveries"),
            (2, "dedup key", "2 dedup keys"),
        ] {
            assert_eq!(counted(number, noun), expected);
        }
    }
}
