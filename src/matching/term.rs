//! Terms, the compiled form of a condition: tests of one selector, and groups of tests.
//!
//! A term gives a three-valued answer. Values come from `facts.rs`, and operators test them.

use serde_json::Value;

use super::answer::Ternary;
use super::facts::SelectedValues;
use super::operator::{Operator, Operators};
use super::reading::Reading;

/// A part of a condition.
#[derive(Debug)]
pub(super) enum Term {
    /// A branch of a group: all terms must hold.
    All(Vec<Term>),
    Any(TermGroup),
    /// Holds unless all terms hold.
    Not(TermGroup),
    Test(Test),
}

/// An `any` or a `not`, with its text.
#[derive(Debug)]
pub(super) struct TermGroup {
    pub(super) terms: Vec<Term>,
    pub(super) written: String,
}

/// The test of the values of one selector. All of its parts must hold.
#[derive(Debug)]
pub(super) struct Test {
    /// Index of the selector in the table.
    pub(super) slot: usize,
    pub(super) exists: Option<bool>,
    pub(super) some: Option<Operators>,
    pub(super) every: Option<Operators>,
    pub(super) none: Option<Operators>,
    /// The text as written in the rules file, shortened.
    pub(super) written: String,
}

impl Term {
    /// The answer of the term for an event.
    pub(super) fn answer(&self, facts: &SelectedValues<'_, '_>) -> Ternary {
        let all = |terms: &[Self]| Ternary::all(terms.iter().map(|term| term.answer(facts)));
        match self {
            Self::All(terms) => all(terms),
            Self::Any(group) => Ternary::any(group.terms.iter().map(|term| term.answer(facts))),
            Self::Not(group) => all(&group.terms).negated(),
            Self::Test(test) => test.answer(facts),
        }
    }

    /// Visits all tests in the term, at any depth.
    pub(super) fn each_test<'t>(&'t self, see: &mut dyn FnMut(&'t Test)) {
        match self {
            Self::All(terms) => terms.iter().for_each(|term| term.each_test(see)),
            Self::Any(group) | Self::Not(group) => group.terms.iter().for_each(|term| term.each_test(see)),
            Self::Test(test) => see(test),
        }
    }

    /// Replaces each slot by its new index in `moved`.
    pub(super) fn move_slots(&mut self, moved: &[usize]) {
        match self {
            Self::All(terms) => terms.iter_mut().for_each(|term| term.move_slots(moved)),
            Self::Any(group) | Self::Not(group) => {
                group.terms.iter_mut().for_each(|term| term.move_slots(moved));
            }
            Self::Test(test) => test.slot = moved.get(test.slot).copied().unwrap_or(usize::MAX),
        }
    }
}

impl Test {
    pub(super) fn answer(&self, facts: &SelectedValues<'_, '_>) -> Ternary {
        let values = facts.found(self.slot).values();
        // Even `exists: false` is unknown if the payload could not be decoded.
        if facts.fault(self.slot).is_some() {
            return Ternary::Unknown;
        }
        let over = |operators: &Option<Operators>, combine: &dyn Fn(&Operators) -> Ternary| match operators {
            None => Ternary::True,
            Some(_) if values.is_empty() => Ternary::Unknown,
            Some(operators) => combine(operators),
        };
        let any = |operators: &Operators| Ternary::any(values.iter().map(|value| operators.test(value)));
        let every = |operators: &Operators| Ternary::all(values.iter().map(|value| operators.test(value)));
        let exists = self
            .exists
            .map_or(Ternary::True, |wanted| (wanted != values.is_empty()).into());
        // Evaluated lazily, so that the first false answer saves the rest.
        Ternary::all((0..4).map(|part| match part {
            0 => exists,
            1 => over(&self.some, &any),
            2 => over(&self.every, &every),
            _ => over(&self.none, &|operators| any(operators).negated()),
        }))
    }

    /// The operand of the first `as`.
    pub(super) fn reading(&self) -> Option<Reading> {
        let parts = [&self.some, &self.every, &self.none].into_iter().flatten();
        let reading = |operator: &Operator| match operator {
            Operator::Read(test) => Some(test.reading),
            _ => None,
        };
        parts.flat_map(|part| &part.list).find_map(reading)
    }

    /// The scalars of which the value must be one, if the test has such an operator. The index is
    /// built from them.
    pub(super) fn equalities(&self) -> Option<Vec<&Value>> {
        let some = self.some.as_ref().filter(|some| !some.ignore_case)?;
        let scalar = |value: &Value| !value.is_array() && !value.is_object();
        some.list.iter().find_map(|operator| match operator {
            Operator::Equals(value) if scalar(value) => Some(vec![value]),
            Operator::In(choices) if choices.values.iter().all(scalar) => {
                Some(choices.values.iter().collect())
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::answer::Ternary::{self, False, True, Unknown};
    use super::*;
    use crate::matching::testing::{condition, diagnostics, event, event_of_text};
    use crate::payload::Event;

    fn answer(text: &str, event: &Event) -> Ternary {
        let condition = condition(text);
        let facts = SelectedValues::new(event, &condition.selectors, None);
        Ternary::all(condition.terms.iter().map(|term| term.answer(&facts)))
    }

    fn check(cases: &[(&str, Ternary)], event: &Event) {
        for (text, expected) in cases {
            assert_eq!(answer(text, event), *expected, "{text}");
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "it is one table")]
    fn operators_say_true_false_or_unknown() {
        let event = event(json!({
            "s": "refs/tags/v1", "n": 5, "f": 1.0, "big": 1_234_567_890_123_456_789_u64, "t": true, "z": null,
            "list": ["a", 1, null], "none": [], "o": {"a": 1}, "at": "2026-01-31T12:00:00+01:00",
            "ip": "192.0.2.7", "ip6": "2001:db8::1", "greek": "ΟΔΟΣ", "one": "1", "lines": "a\nb", "e": "é"
        }));
        check(
            &[
                // Equality is of one type, and null is comparable with every value.
                ("$.s: refs/tags/v1", True),
                ("$.s: refs/tags/v", False),
                ("$.s: {equals: refs/tags/v1}", True),
                ("$.n: 5", True),
                ("$.n: 5.0", True),
                ("$.n: '5'", Unknown),
                ("$.n: ['5', 6]", False),
                ("$.o: {in: [1, x]}", Unknown),
                ("not: {$.t: 'true'}", Unknown),
                ("$.one: 1", Unknown),
                ("$.one: '1'", True),
                ("$.f: 1", True),
                ("$.t: true", True),
                ("$.t: 1", Unknown),
                ("$.z: null", True),
                ("$.s: null", False),
                ("$.z: {equals: a}", False),
                ("$.missing: null", Unknown),
                ("$.big: 1234567890123456789", True),
                ("$.big: 1234567890123456788", False),
                ("$.big: {in: [1234567890123456788, 1234567890123456789]}", True),
                ("$.list: {equals: [a, 1.0, null]}", True),
                ("$.o: {equals: {a: 1}}", True),
                ("$.s: [x, refs/tags/v1]", True),
                ("$.s: [x, y]", False),
                ("$.n: [x, 5]", True),
                ("$.z: [x, null]", True),
                ("$.o: {in: [1, {a: 1}]}", True),
                ("$.missing: [x]", Unknown),
                // Text.
                ("$.s: {prefix: refs/tags/}", True),
                ("$.s: {prefix: refs/heads/}", False),
                ("$.n: {prefix: '5'}", Unknown),
                ("$.s: {suffix: v1}", True),
                ("$.s: {suffix: v2}", False),
                ("$.s: {contains: tags}", True),
                ("$.s: {contains: x}", False),
                ("$.s: {contains: 1}", Unknown),
                ("$.list: {contains: a}", True),
                ("$.list: {contains: 1.0}", True),
                ("$.list: {contains: null}", True),
                ("$.list: {contains: b}", False),
                ("$.o: {contains: a}", Unknown),
                // Patterns match the whole value.
                ("$.s: {matches: 'refs/tags/v[0-9]'}", True),
                ("$.s: {matches: refs/tags}", False),
                ("$.s: {matches: 'x|refs/tags/v1'}", True),
                ("$.lines: {matches: a}", False),
                ("$.lines: {matches: '(?m)a$'}", False),
                ("$.lines: {matches: '(?s)a.b'}", True),
                ("$.n: {matches: '5'}", Unknown),
                ("$.s: {glob: 'refs/tags/*'}", True),
                ("$.s: {glob: 'refs/*'}", False),
                ("$.s: {glob: 'refs/**'}", True),
                ("$.s: {glob: '**/v?'}", True),
                ("$.s: {glob: 'refs/{heads,tags}/v[0-9]'}", True),
                ("$.n: {glob: '*'}", Unknown),
                // Order.
                ("$.n: {gt: 4, lt: 6}", True),
                ("$.n: {gt: 5}", False),
                ("$.n: {gte: 5, lte: 5.0}", True),
                ("$.n: {lt: 4.5}", False),
                ("$.one: {gt: 0}", Unknown),
                ("$.big: {gt: 1234567890123456788}", True),
                ("$.big: {lt: 1234567890123456789}", False),
                ("$.at: {gt: 2026-01-31T10:59:59Z}", True),
                (
                    "$.at: {gte: 2026-01-31T11:00:00Z, lte: 2026-01-31T11:00:00.000Z}",
                    True,
                ),
                ("$.at: {gt: 2026-01-31T11:00:00.000000001Z}", False),
                ("$.s: {gt: 2026-01-31T11:00:00Z}", Unknown),
                ("$.at: {gt: 5}", Unknown),
                // Networks.
                ("$.ip: {in_cidr: 192.0.2.0/24}", True),
                ("$.ip: {in_cidr: [10.0.0.0/8, 192.0.2.7]}", True),
                ("$.ip: {in_cidr: 192.0.2.8}", False),
                ("$.ip: {in_cidr: '::ffff:192.0.2.0/120'}", True),
                ("$.ip: {in_cidr: '::/0'}", False),
                ("$.ip6: {in_cidr: 2001:db8::/32}", True),
                ("$.ip6: {in_cidr: 2001:db8::2}", False),
                ("$.s: {in_cidr: 0.0.0.0/0}", Unknown),
                // Types and lengths.
                ("$.s: {type: string}", True),
                ("$.f: {type: integer}", True),
                ("$.n: {type: [string, number]}", True),
                ("$.z: {type: 'null'}", True),
                ("$.t: {type: boolean}", True),
                ("$.o: {type: object}", True),
                ("$.list: {type: array}", True),
                ("$.n: {type: string}", False),
                ("$.missing: {type: string}", Unknown),
                ("$.e: {length: 1}", True),
                ("$.list: {length: {gt: 2, lt: 4}}", True),
                ("$.o: {length: {gte: 2}}", False),
                ("$.n: {length: 1}", Unknown),
                // Case.
                ("$.s: {prefix: REFS/, ignore_case: true}", True),
                ("$.s: {prefix: REFS/}", False),
                ("$.s: {equals: Refs/Tags/V1, ignore_case: true}", True),
                ("$.s: {in: [X, REFS/TAGS/V1], ignore_case: true}", True),
                ("$.s: {matches: 'REFS/.*', ignore_case: true}", True),
                ("$.s: {glob: 'REFS/**', ignore_case: true}", True),
                ("$.list: {contains: A, ignore_case: true}", True),
                ("$.greek: {equals: οδοσ, ignore_case: true}", True),
                ("$.greek: {suffix: ΔΟΣ, ignore_case: true}", True),
                ("$.e: {glob: É, ignore_case: true}", True),
                // All operators of a mapping must hold.
                ("$.s: {prefix: refs/, suffix: v2}", False),
                // Existence is never unknown.
                ("$.z: {exists: true}", True),
                ("$.z: {exists: false}", False),
                ("$.missing: {exists: false}", True),
                ("$.missing: {exists: true}", False),
                ("$.missing: {exists: true, prefix: a}", False),
            ],
            &event,
        );
    }

    #[test]
    fn integers_beyond_64_bits_compare_exactly() {
        let event = event_of_text(
            r#"{"a": 18446744073709551617, "b": 18446744073709551618, "c": 18446744073709551617,
                "n": -18446744073709551617, "huge": 340282366920938463463374607431768211457,
                "list": [18446744073709551617], "f": 1e20, "i": 100000000000000000001,
                "items": [{"id": 18446744073709551617, "name": "x"}, {"id": 18446744073709551618, "name": "y"}]}"#,
        );
        check(
            &[
                ("$.items[?@.id == $.a].name: {every: x}", True),
                ("$.items[?@.id != $.a].name: {every: y}", True),
                ("$.items[?@.id > $.a].name: {every: y}", True),
                ("$.items[?@.id < $.a].name: {exists: false}", True),
                ("$.items[?@.id >= $.b].name: {every: y}", True),
                ("$[?@ == $.list]: {exists: true}", True),
                ("$.a: {gt: 18446744073709551615}", True),
                ("$.a: {lt: 1.8446744073709556e19}", True),
                ("$.a: 1.8446744073709552e19", False),
                ("$.n: {lt: -9223372036854775808}", True),
                ("$.huge: {gt: 1e38, lt: 1e39}", True),
                ("$.huge: {in: [5, 3.4028236692093846e38]}", False),
                ("$.huge: {type: integer}", True),
                ("$.f: {equals: 1e20}", True),
                ("$.i: {equals: 1e20}", False),
                ("$.i: {gt: 1e20}", True),
                ("$.list: {contains: 1.8446744073709552e19}", False),
                ("$.list: {equals: [1.8446744073709552e19]}", False),
                (
                    "$.list: {equals: [1.8446744073709552e19], ignore_case: true}",
                    Unknown,
                ),
            ],
            &event,
        );
    }

    #[test]
    fn a_large_integer_in_the_rules_is_an_error() {
        for number in ["18446744073709551617", "-9223372036854775809", &"9".repeat(60)] {
            for text in [
                format!("$.a: {number}"),
                format!("$.a: [1, {number}]"),
                format!("$.a: {{equals: {{b: [{number}]}}}}"),
                format!("$.a: {{gt: {number}}}"),
            ] {
                let found = diagnostics(&text);
                assert!(found[0].contains("does not fit 64 bits"), "{text}: {found:?}");
            }
        }
        for number in ["18446744073709551615", "-9223372036854775808", "1e20", "1.5e300"] {
            assert!(diagnostics(&format!("$.a: {number}")).is_empty(), "{number}");
        }
    }

    #[test]
    fn some_every_and_none_test_several_values() {
        let event = event(json!({
            "commits": [{"files": ["docs/a", "src/b"]}, {"files": ["docs/c"]}], "none": [], "mixed": [5, "x"]
        }));
        check(
            &[
                ("$.commits[*].files[*]: {glob: 'docs/**'}", True),
                ("$.commits[*].files[*]: {glob: 'tests/**'}", False),
                ("$.commits[*].files[*]: src/b", True),
                ("$.commits[*].files[*]: [x, docs/c]", True),
                // All operators apply to the same value.
                ("$.commits[*].files[*]: {prefix: docs/, suffix: b}", False),
                ("$.commits[*].files[*]: {prefix: docs/, suffix: c}", True),
                ("$.commits[*].files[*]: {every: {glob: 'docs/**'}}", False),
                ("$.commits[1].files[*]: {every: {glob: 'docs/**'}}", True),
                ("$.commits[*].files[*]: {every: [docs/a, src/b, docs/c]}", True),
                ("$.commits[*].files[*]: {none: {glob: 'tests/**'}}", True),
                ("$.commits[*].files[*]: {none: {glob: 'docs/**'}}", False),
                ("$.commits[*].files[*]: {none: src/b}", False),
                (
                    "$.commits[*].files[*]: {prefix: src/, none: {prefix: tests/}}",
                    True,
                ),
                // No values.
                ("$.none[*]: x", Unknown),
                ("$.none[*]: {every: x}", Unknown),
                ("$.none[*]: {none: x}", Unknown),
                ("$.none[*]: {exists: false}", True),
                // A value of the wrong type among others.
                ("$.mixed[*]: {prefix: x}", True),
                ("$.mixed[*]: {prefix: y}", Unknown),
                ("$.mixed[*]: {every: {prefix: x}}", Unknown),
                ("$.mixed[*]: {none: {prefix: y}}", Unknown),
                ("$.mixed[*]: {none: {prefix: x}}", False),
            ],
            &event,
        );
    }

    #[test]
    fn groups_are_three_valued() {
        let event = event(json!({"t": "yes"}));
        // True, false and unknown for the payload.
        let (t, f, u) = ("$.t: yes", "$.t: no", "$.u: yes");
        let cases = [
            (format!("not: {{{t}}}"), False),
            (format!("not: {{{f}}}"), True),
            (format!("not: {{{u}}}"), Unknown),
            (format!("not: {{not: {{{u}}}}}"), Unknown),
            (format!("any: [{{{f}}}, {{{t}}}, {{{u}}}]"), True),
            (format!("any: [{{{f}}}, {{{u}}}]"), Unknown),
            (format!("any: [{{{f}}}, {{{f}}}]"), False),
            (format!("all: [{{{t}}}, {{{u}}}]"), Unknown),
            (
                format!("any: [{{all: [{{{u}}}, {{{f}}}]}}, {{not: {{{f}}}}}]"),
                True,
            ),
            (format!("not: {{any: [{{{f}}}, {{{u}}}]}}"), Unknown),
            (format!("not: {{{t}, $.v: 1}}"), Unknown),
            (format!("not: {{{f}, $.v: 1}}"), True),
            (format!("{{{t}, not: {{$.sender: bot}}}}"), Unknown),
            (
                format!("{{{t}, any: [{{$.sender: {{exists: false}}}}, {{not: {{$.sender: bot}}}}]}}"),
                True,
            ),
        ];
        for (text, expected) in &cases {
            assert_eq!(answer(text, &event), *expected, "{text}");
        }
    }

    #[test]
    fn the_request_is_selected_too() {
        let mut event = event(json!({"a": 1}));
        check(
            &[
                ("header.X-GitHub-Event: push", True),
                ("header.x-GITHUB-event: push", True),
                ("header.X-Many: two", True),
                ("header.X-Many: {every: {length: 3}}", True),
                ("header.X-Many: three", False),
                ("header.X-Missing: a", Unknown),
                ("header.X-Bytes: a", Unknown),
                ("header.X-Bytes: {exists: true}", True),
                ("query.tag: b c", True),
                ("query.tag: {none: c}", True),
                ("query.x: c", Unknown),
                ("path.app: site", True),
                ("path.x: site", Unknown),
                ("method: POST", True),
                ("method: GET", False),
                ("client.ip: 10.1.2.3", True),
                ("client.ip: {in_cidr: 10.0.0.0/8}", True),
                ("body: '{\"a\":1}'", True),
                ("body: {contains: a}", True),
                ("$: {type: object}", True),
            ],
            &event,
        );
        Arc::make_mut(&mut event.received).client = None;
        Arc::make_mut(&mut event.received).body = bytes::Bytes::from_static(b"\xFF");
        check(
            &[
                ("client.ip: {in_cidr: 0.0.0.0/0}", Unknown),
                ("body: {contains: a}", Unknown),
            ],
            &event,
        );
        check(
            &[
                ("not: {body: {contains: a}}", Unknown),
                ("client.ip: {exists: false}", True),
            ],
            &event,
        );
    }
}
