//! Analysis of the first character that a condition allows in a text.
//!
//! Used to tell whether a value could be mistaken for an option of a command. The analysis excludes
//! a character only where that is certain.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::Value;

use super::Condition;
use super::operator::{Operator, Operators};
use super::term::{Term, Test};
use crate::template::Place;

impl Condition {
    /// True if no event that fulfils the condition has a text at `place` that begins with `letter`.
    /// Numbers are not checked.
    pub fn excludes(&self, place: &Place, letter: char) -> bool {
        let query = ExclusionQuery {
            condition: self,
            place,
            letter,
        };
        let mut terms = self.terms.iter().chain(&self.element_terms);
        terms.any(|term| query.excluded_by(term))
    }
}

/// The question that is asked of the terms.
struct ExclusionQuery<'w> {
    condition: &'w Condition,
    place: &'w Place,
    letter: char,
}

impl ExclusionQuery<'_> {
    fn excluded_by(&self, term: &Term) -> bool {
        match term {
            Term::All(terms) => terms.iter().any(|term| self.excluded_by(term)),
            Term::Any(group) => {
                !group.terms.is_empty() && group.terms.iter().all(|term| self.excluded_by(term))
            }
            // With several terms, any of them could be the one that does not hold.
            Term::Not(group) => match group.terms.as_slice() {
                [Term::Test(test)] => {
                    let only = test.exists.is_none() && test.every.is_none() && test.none.is_none();
                    only && self.is_of(test) && self.all_hold(test.some.as_ref())
                }
                _ => false,
            },
            Term::Test(test) => self.is_of(test) && self.excluded_by_test(test),
        }
    }

    /// True if the test is about `place`.
    fn is_of(&self, test: &Test) -> bool {
        let selector = self.condition.selectors.get(test.slot);
        selector.is_some_and(|selector| Place::of_selector(&selector.written).as_ref() == Some(self.place))
    }

    fn excluded_by_test(&self, test: &Test) -> bool {
        let selector = self.condition.selectors.get(test.slot);
        let single = selector.is_some_and(super::selector::Selector::is_single);
        let excludes = |operators: &Option<Operators>| {
            let list = operators.as_ref().map(|operators| operators.list.as_slice());
            list.unwrap_or_default()
                .iter()
                .any(|operator| self.excluded_by_operator(operator))
        };
        // With several values, `some` may be about another value.
        single && excludes(&test.some) || excludes(&test.every) || self.all_hold(test.none.as_ref())
    }

    /// True if every text that begins with the letter satisfies all operators.
    fn all_hold(&self, operators: Option<&Operators>) -> bool {
        let Some(operators) = operators else { return false };
        let holds = |operator: &Operator| matches!(operator, Operator::Prefix(prefix) if prefix.chars().eq([self.letter]));
        operators.list.iter().all(holds)
    }

    /// True if no text that begins with the letter satisfies the operator.
    fn excluded_by_operator(&self, operator: &Operator) -> bool {
        let begins = |text: &str| text.starts_with(self.letter);
        let value_begins = |value: &Value| value.as_str().is_some_and(begins);
        match operator {
            Operator::Equals(value) => !value_begins(value),
            Operator::In(choices) => !choices.values.iter().any(value_begins),
            Operator::Prefix(prefix) => !prefix.is_empty() && !begins(prefix),
            Operator::Matches(regex) => !can_begin(regex.as_str(), self.letter),
            Operator::Glob(glob) => !can_begin(glob.as_str(), self.letter),
            // These hold for numbers, timestamps and addresses only.
            Operator::Compare(..) | Operator::InCidr(_) => true,
            Operator::Read(test) => !test.may_begin(self.letter),
            Operator::Type(kinds) => !kinds.contains(&super::operator::ValueType::String),
            Operator::Suffix(_) | Operator::Contains(_) | Operator::Length(_) => false,
        }
    }
}

/// True if a text that matches the regular expression from its start can begin with the letter.
fn can_begin(pattern: &str, letter: char) -> bool {
    let parsed = ParserBuilder::new().utf8(false).build().parse(pattern);
    parsed.map_or(true, |hir| beginning(&hir, letter).0)
}

/// Returns two answers: can a match begin with the letter, and can it be empty?
fn beginning(hir: &Hir, letter: char) -> (bool, bool) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => (false, true),
        HirKind::Literal(literal) => {
            let mut encoded = [0; 4];
            (
                literal.0.starts_with(letter.encode_utf8(&mut encoded).as_bytes()),
                false,
            )
        }
        HirKind::Class(Class::Unicode(class)) => (
            class
                .ranges()
                .iter()
                .any(|range| (range.start()..=range.end()).contains(&letter)),
            false,
        ),
        HirKind::Class(Class::Bytes(class)) => (
            class
                .ranges()
                .iter()
                .any(|range| (range.start()..=range.end()).contains(&first_byte(letter))),
            false,
        ),
        HirKind::Repetition(repetition) => {
            let (begins, empty) = beginning(&repetition.sub, letter);
            (begins, empty || repetition.min == 0)
        }
        HirKind::Capture(capture) => beginning(&capture.sub, letter),
        HirKind::Concat(parts) => {
            let mut begins = false;
            for part in parts {
                let (part_begins, empty) = beginning(part, letter);
                begins |= part_begins;
                if !empty {
                    return (begins, false);
                }
            }
            (begins, true)
        }
        HirKind::Alternation(parts) => parts.iter().fold((false, false), |(begins, empty), part| {
            let (part_begins, part_empty) = beginning(part, letter);
            (begins || part_begins, empty || part_empty)
        }),
    }
}

/// The first byte of the letter in UTF-8.
fn first_byte(letter: char) -> u8 {
    let mut encoded = [0; 4];
    letter
        .encode_utf8(&mut encoded)
        .bytes()
        .next()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::testing::condition;

    #[test]
    fn a_condition_that_says_how_a_text_begins_excludes_others() {
        let place = Place::of_selector("$.x").unwrap();
        for (text, excludes) in [
            ("$.x: refs/heads/main", true),
            ("$.x: -rf", false),
            ("$.x: {in: [a, b]}", true),
            ("$.x: {in: [a, -b]}", false),
            ("$.x: {matches: '[0-9a-f]{40}'}", true),
            ("$.x: {matches: '[0-9a-f]*'}", true),
            ("$.x: {matches: '[^-].*'}", true),
            ("$.x: {matches: '(v?|x)[0-9.]+'}", true),
            ("$.x: {matches: '.*'}", false),
            ("$.x: {matches: '[a-z-]+'}", false),
            ("$.x: {matches: 'a*-b'}", false),
            ("$.x: {matches: '\\w+', ignore_case: true}", true),
            ("$.x: {prefix: v}", true),
            ("$.x: {prefix: ''}", false),
            ("$.x: {prefix: '-'}", false),
            ("$.x: {glob: 'v*'}", true),
            ("$.x: {glob: '[a-f]?'}", true),
            ("$.x: {glob: '*'}", false),
            ("$.x: {glob: '{v,-}*'}", false),
            ("$.x: {suffix: a}", false),
            ("$.x: {contains: a}", false),
            ("$.x: {length: 40}", false),
            ("$.x: {exists: true}", false),
            ("$.x: {gt: 5}", true),
            ("$.x: {as: number, gt: 5}", true),
            ("$.x: {as: number, gte: 0}", false),
            ("$.x: {as: number, lt: 5}", false),
            ("$.x: {as: number, in: [1, 2]}", true),
            ("$.x: {as: number, in: [1, -2]}", false),
            ("$.x: {as: time, gt: 2026-01-01T00:00:00Z}", true),
            ("$.x: {as: time, lt: 2026-01-01T00:00:00Z}", false),
            ("$.x: {type: integer}", true),
            ("$.x: {type: [integer, string]}", false),
            ("$.x: {none: {prefix: '-'}}", true),
            ("$.x: {none: {prefix: '--'}}", false),
            ("$.x: {every: {prefix: a}}", true),
            ("not: {$.x: {prefix: '-'}}", true),
            ("not: {$.x: {prefix: '-'}, $.y: 1}", false),
            ("not: {$.x: a}", false),
            ("any: [{$.x: a}, {$.x: b}]", true),
            ("any: [{$.x: a}, {$.y: b}]", false),
            ("all: [{$.x: {length: 1}}, {$.x: {prefix: a}}]", true),
            ("$['x']: a", true),
            ("$.y: a", false),
            ("$.x.y: a", false),
        ] {
            assert_eq!(condition(text).excludes(&place, '-'), excludes, "{text}");
        }
    }

    #[test]
    fn every_value_of_a_repeated_header_must_be_excluded() {
        for (text, place, excludes) in [
            ("header.X-Kind: a", "header.x-kind", false),
            ("header.X-Kind: {every: {prefix: a}}", "header.x-kind", true),
            ("header.X-Kind: {none: {prefix: '-'}}", "header.x-kind", true),
            ("query.a: b", "query.a", false),
            ("query.a: {every: b}", "query.a", true),
            ("path.app: b", "path.app", true),
        ] {
            let place = Place::of_selector(place).unwrap();
            assert_eq!(condition(text).excludes(&place, '-'), excludes, "{text}");
        }
    }
}
