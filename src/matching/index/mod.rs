//! The index of all rules of an endpoint, so that an event costs only the rules that could match
//! it.
//!
//! Every selector is in the table once and is evaluated at most once per event. A rule that
//! requires an exact value (`equals`, `in`) is in a hash map under that value. The map belongs to
//! the selector that distinguishes the endpoint's rules best. Such a rule is evaluated only if the
//! event has the value. All other rules are always evaluated.

use std::collections::HashMap;
use std::fmt;

use super::answer::Ternary;
use super::condition::Condition;
use super::explanation::Explanation;
use super::facts::SelectedValues;
use super::scalar::ByScalar;
use super::selector::{SelectedValue, Selector};
use super::term::Term;
use crate::payload::Event;

/// Maximum number of rules that [`Matcher::nearest_miss`] evaluates.
pub const NEAREST_LOOKED_AT: usize = 32;

/// The conditions of all rules of an endpoint.
pub struct Matcher {
    /// The terms of each rule, in the order of the file.
    rules: Vec<Vec<Term>>,
    selectors: Vec<Selector>,
    /// The rules that require an exact value, by selector.
    exact: Vec<Exact>,
    /// The rules that require no exact value.
    rest: Vec<usize>,
}

/// The rules that require an exact value of one selector.
struct Exact {
    slot: usize,
    rules: ByScalar<Vec<usize>>,
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher")
            .field("rules", &self.rules.len())
            .field("selectors", &self.selectors.len())
            .finish_non_exhaustive()
    }
}

impl Matcher {
    /// Builds the index. `conditions` are those of the rules, in the order of the file.
    pub fn new(conditions: Vec<Condition>) -> Self {
        let (rules, selectors) = share_selectors(conditions);
        let (exact, rest) = by_exact_value(&rules, &selectors);
        Self {
            rules,
            selectors,
            exact,
            rest,
        }
    }

    /// The rules that match `event`, in the order of the file, among those that `considered`
    /// accepts.
    pub fn matching(&self, event: &Event, considered: &dyn Fn(usize) -> bool) -> Vec<usize> {
        let facts = SelectedValues::new(event, &self.selectors);
        let mut rules = self.candidates(&facts);
        rules.extend(&self.rest);
        rules.sort_unstable();
        rules.dedup();
        rules.retain(|rule| {
            considered(*rule) && self.terms(*rule).iter().all(|term| term.answer(&facts).holds())
        });
        rules
    }

    /// True if `rule` matches `event` or its answer is unknown.
    pub fn might_want(&self, event: &Event, rule: usize) -> bool {
        let facts = SelectedValues::new(event, &self.selectors);
        let answers = self.terms(rule).iter().map(|term| term.answer(&facts));
        Ternary::all(answers) != Ternary::False
    }

    /// Explains why `rule` does or does not match `event`.
    pub fn explain(&self, event: &Event, rule: usize) -> Explanation {
        Explanation::of(self.terms(rule), &SelectedValues::new(event, &self.selectors))
    }

    /// The rule that matches `event` best without matching it: the one with most conditions held,
    /// the first of equals. At most [`NEAREST_LOOKED_AT`] of the considered rules are evaluated.
    /// Rules whose exact value the event has come first.
    pub fn nearest_miss(
        &self,
        event: &Event,
        considered: &dyn Fn(usize) -> bool,
    ) -> Option<(usize, Explanation)> {
        let facts = SelectedValues::new(event, &self.selectors);
        let candidates = self.candidates(&facts);
        let mut looked_at: Vec<usize> = candidates
            .into_iter()
            .chain(0..self.rules.len())
            .filter(|rule| considered(*rule))
            .take(NEAREST_LOOKED_AT)
            .collect();
        looked_at.sort_unstable();
        looked_at.dedup();
        let mut nearest: Option<(usize, usize)> = None;
        for rule in looked_at {
            let terms = self.terms(rule);
            let held = terms.iter().filter(|term| term.answer(&facts).holds()).count();
            if held < terms.len() && nearest.is_none_or(|(_, most)| held > most) {
                nearest = Some((rule, held));
            }
        }
        nearest.map(|(rule, _)| (rule, Explanation::of(self.terms(rule), &facts)))
    }

    /// The rules whose exact value the event has.
    fn candidates(&self, facts: &SelectedValues<'_, '_>) -> Vec<usize> {
        let mut rules = Vec::new();
        for exact in &self.exact {
            for value in facts.found(exact.slot).values() {
                let found = match value {
                    SelectedValue::Text(text) => exact.rules.get_text(text),
                    SelectedValue::Json(value, integers) => exact.rules.get(value, integers),
                    SelectedValue::Opaque => None,
                };
                rules.extend(found.into_iter().flatten());
            }
        }
        rules
    }

    fn terms(&self, rule: usize) -> &[Term] {
        self.rules.get(rule).map_or(&[], Vec::as_slice)
    }
}

/// Builds one table of selectors for all rules, and moves the slots of the terms to it.
fn share_selectors(conditions: Vec<Condition>) -> (Vec<Vec<Term>>, Vec<Selector>) {
    let mut selectors: Vec<Selector> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut rules = Vec::with_capacity(conditions.len());
    for condition in conditions {
        let mut moved = Vec::with_capacity(condition.selectors.len());
        for selector in condition.selectors {
            let key = selector.key().to_owned();
            let place = *places.entry(key).or_insert_with(|| {
                selectors.push(selector);
                selectors.len() - 1
            });
            moved.push(place);
        }
        let mut terms = condition.terms;
        for term in &mut terms {
            term.move_slots(&moved);
        }
        rules.push(terms);
    }
    (rules, selectors)
}

/// Files each rule under its exact value for the selector with the most distinct values among all
/// rules. The second list holds the rules without an exact value.
fn by_exact_value(rules: &[Vec<Term>], selectors: &[Selector]) -> (Vec<Exact>, Vec<usize>) {
    let cheap = |slot: usize| selectors.get(slot).is_some_and(Selector::is_cheap);
    let equalities = |terms: &'_ [Term]| {
        let mut found = Vec::new();
        for term in terms {
            if let Term::Test(test) = term
                && cheap(test.slot)
            {
                found.extend(test.equalities().map(|values| {
                    let values: Vec<serde_json::Value> = values.into_iter().cloned().collect();
                    (test.slot, values)
                }));
            }
        }
        found
    };
    let mut distinct: HashMap<usize, ByScalar<()>> = HashMap::new();
    for (slot, values) in rules.iter().flat_map(|terms| equalities(terms)) {
        let seen = distinct.entry(slot).or_default();
        for value in &values {
            seen.entry(value);
        }
    }
    let values_of = |slot: usize| distinct.get(&slot).map_or(0, ByScalar::len);
    let mut exact: Vec<Exact> = Vec::new();
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut rest = Vec::new();
    for (rule, terms) in rules.iter().enumerate() {
        let Some((slot, values)) = equalities(terms)
            .into_iter()
            .max_by_key(|(slot, _)| values_of(*slot))
        else {
            rest.push(rule);
            continue;
        };
        let place = *places.entry(slot).or_insert_with(|| {
            exact.push(Exact {
                slot,
                rules: ByScalar::default(),
            });
            exact.len() - 1
        });
        for value in &values {
            let under = exact.get_mut(place).and_then(|exact| exact.rules.entry(value));
            if let Some(rules) = under
                && rules.last() != Some(&rule)
            {
                rules.push(rule);
            }
        }
    }
    (exact, rest)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use std::fmt::Write as _;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::matching::testing::{condition, event};

    fn matcher(rules: &[&str]) -> Matcher {
        Matcher::new(rules.iter().map(|text| condition(text)).collect())
    }

    #[test]
    fn rules_are_found_in_the_order_of_the_file() {
        let mut conditions: Vec<Condition> =
            ["$.n: [2, 1, 1.0]", "$.n: '1'", "$.n: 1", "$.n: {gt: 0}", "$.m: 7"]
                .iter()
                .map(|text| condition(text))
                .collect();
        conditions.insert(2, Condition::always());
        let matcher = Matcher::new(conditions);
        assert_eq!(
            matcher.matching(&event(json!({"n": 1.0})), &|_| true),
            [0, 2, 3, 4]
        );
        assert_eq!(
            matcher.matching(&event(json!({"n": "1", "m": 7})), &|_| true),
            [1, 2, 5]
        );
        assert_eq!(
            matcher.matching(&event(json!({"n": 1})), &|rule| rule > 2),
            [3, 4]
        );
        assert_eq!(matcher.matching(&event(json!(null)), &|_| true), [2]);
        assert_eq!(
            Matcher::new(Vec::new()).matching(&event(json!(1)), &|_| true),
            [0_usize; 0]
        );
    }

    #[test]
    fn the_selector_that_tells_the_rules_apart_is_the_key() {
        let rules: Vec<String> = (0..1000)
            .map(|rule| format!("{{header.X-GitHub-Event: push, $.repository: r{rule}, $.ref: main}}"))
            .collect();
        let texts: Vec<&str> = rules.iter().map(String::as_str).collect();
        let matcher = matcher(&texts);
        assert_eq!(matcher.selectors.len(), 3);
        assert!(matcher.rest.is_empty());
        let event = event(json!({"repository": "r7", "ref": "main"}));
        assert_eq!(
            matcher.candidates(&SelectedValues::new(&event, &matcher.selectors)),
            [7]
        );
        assert_eq!(matcher.matching(&event, &|_| true), [7]);
    }

    fn shown(text: &str, payload: Value) -> String {
        matcher(&[text]).explain(&event(payload), 0).to_string()
    }

    #[test]
    fn an_explanation_names_the_first_condition_that_was_not_true() {
        let cases = [
            (
                "{method: POST, $.ref: main, $.x: 1}",
                "$.ref: expected \"main\", found \"dev\"",
            ),
            ("{$.x: 1, $.ref: main}", "$.x: expected 1, found nothing"),
            (
                "$.ref: {prefix: v, length: 9}",
                "$.ref: expected {\"length\":9,\"prefix\":\"v\"}, found \"dev\"",
            ),
            (
                "$.ref: [a, b]",
                "$.ref: expected one of [\"a\",\"b\"], found \"dev\"",
            ),
            (
                "header.X-Many: three",
                "header.X-Many: expected \"three\", found \"one\", \"two\"",
            ),
            (
                "header.X-Bytes: a",
                "header.X-Bytes: expected \"a\", found bytes that are not UTF-8",
            ),
            (
                "header.X-Hub-Signature-256: sha256=11",
                "header.X-Hub-Signature-256: expected [redacted], found [redacted]",
            ),
            (
                "query.token: t1p",
                "query.token: expected [redacted], found [redacted]",
            ),
            (
                "header.X-My-Secret: a",
                "header.X-My-Secret: expected [redacted], found nothing",
            ),
            (
                "all: [{method: POST}, {$.ref: main}]",
                "$.ref: expected \"main\", found \"dev\"",
            ),
            (
                "any: [{$.ref: main}, {$.forced: true}]",
                "any: expected [{\"$.ref\":\"main\"},{\"$.forced\":true}], found $.ref: \"dev\"; $.forced: nothing",
            ),
            (
                "not: {$.ref: dev}",
                "not: expected {\"$.ref\":\"dev\"}, found $.ref: \"dev\"",
            ),
            (
                "not: {query.token: t0p}",
                "not: expected [redacted], found query.token: [redacted]",
            ),
            ("$.ref: dev", "every condition holds"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text, json!({"ref": "dev"})), expected, "{text}");
        }
        let long = shown("$.ref: main", json!({"ref": "x".repeat(100_000)}));
        assert!(long.chars().count() < 300, "{long}");
        let explanation =
            matcher(&["{method: POST, $.x: 1, $.ref: dev}"]).explain(&event(json!({"ref": "dev"})), 0);
        assert_eq!(
            serde_json::to_value(explanation).unwrap(),
            json!({
                "matched": false,
                "failed": {"selector": "$.x", "expected": "1", "found": "nothing", "unknown": true},
                "held": 2
            })
        );
    }

    #[test]
    fn the_nearest_miss_is_the_rule_of_which_most_held() {
        let rules: Vec<String> = (0..5000)
            .map(|rule| format!("{{method: POST, $.repository: r{rule}, $.ref: main}}"))
            .collect();
        let texts: Vec<&str> = rules.iter().map(String::as_str).collect();
        let matcher = matcher(&texts);
        let nearest = |payload: Value, considered: &dyn Fn(usize) -> bool| {
            let nearest = matcher.nearest_miss(&event(payload), considered);
            nearest.map(|(rule, explanation)| (rule, explanation.to_string()))
        };
        assert_eq!(
            nearest(json!({"repository": "r4321", "ref": "dev"}), &|_| true),
            Some((4321, "$.ref: expected \"main\", found \"dev\"".to_owned()))
        );
        assert_eq!(
            nearest(json!({"repository": "x", "ref": "main"}), &|rule| rule > 10),
            Some((11, "$.repository: expected \"r11\", found \"x\"".to_owned()))
        );
        assert_eq!(nearest(json!({}), &|_| false), None);
        assert_eq!(
            Matcher::new(vec![Condition::always()]).nearest_miss(&event(json!({})), &|_| true),
            None
        );
    }

    /// A condition of a few selectors and values, so that many of them hold.
    fn any_match() -> impl Strategy<Value = String> {
        let selector = prop::sample::select(vec![
            "$.a",
            "$.b",
            "$.l[*]",
            "header.X-Many",
            "query.tag",
            "method",
        ]);
        let value = prop::sample::select(vec![
            "1",
            "1.0",
            "'1'",
            "x",
            "null",
            "[x, 1]",
            "['1', y, two]",
            "{prefix: o}",
            "{exists: false}",
            "{exists: true}",
            "{every: x}",
            "{none: [1, y]}",
            "{contains: x}",
            "{equals: X, ignore_case: true}",
            "{equals: x, length: 1}",
            "{in: [b c, x, POST]}",
            "{type: [string, 'null']}",
        ]);
        let leaf = (selector, value).prop_map(|(selector, value)| format!("{{'{selector}': {value}}}"));
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4)
                    .prop_map(|terms| format!("{{all: [{}]}}", terms.join(", "))),
                prop::collection::vec(inner.clone(), 1..4)
                    .prop_map(|terms| format!("{{any: [{}]}}", terms.join(", "))),
                inner.prop_map(|term| format!("{{not: {term}}}")),
            ]
        })
    }

    fn compiled(text: &str) -> Option<Condition> {
        let document = crate::matching::testing::document(text);
        Condition::compile(
            document.root(),
            None,
            &mut crate::base::diagnostic::Diagnostics::new(),
        )
    }

    /// The answer of the condition alone, without an index.
    fn naive(text: &str, event: &Event) -> bool {
        let condition = compiled(text).unwrap();
        let facts = SelectedValues::new(event, &condition.selectors);
        Ternary::all(condition.terms.iter().map(|term| term.answer(&facts))).holds()
    }

    fn any_payload() -> impl Strategy<Value = Value> {
        let value = prop::sample::select(vec![
            json!(1),
            json!(1.0),
            json!("1"),
            json!("x"),
            json!(null),
            json!([1, "x"]),
        ]);
        (
            prop::option::of(value.clone()),
            prop::option::of(value.clone()),
            prop::collection::vec(value, 0..3),
        )
            .prop_map(|(a, b, l)| {
                let mut payload = json!({"l": l});
                for (name, value) in [("a", a), ("b", b)] {
                    if let Some(value) = value {
                        payload[name] = value;
                    }
                }
                payload
            })
    }

    proptest! {
        #[test]
        fn the_index_finds_what_looking_at_every_rule_finds(
            texts in prop::collection::vec(any_match(), 0..20),
            payload in any_payload(),
            skipped in 0..20_usize,
        ) {
            // Conditions that can never hold do not load.
            let texts: Vec<String> = texts.into_iter().filter(|text| compiled(text).is_some()).collect();
            let event = event(payload);
            let considered = |rule: usize| rule != skipped;
            let expected: Vec<usize> = (0..texts.len())
                .filter(|rule| considered(*rule) && naive(&texts[*rule], &event))
                .collect();
            let matcher = Matcher::new(texts.iter().map(|text| compiled(text).unwrap()).collect());
            prop_assert_eq!(matcher.matching(&event, &considered), &expected[..]);
            for (rule, text) in texts.iter().enumerate() {
                let explanation = matcher.explain(&event, rule);
                let matched = naive(text, &event);
                prop_assert_eq!((explanation.matched, explanation.failed.is_none()), (matched, matched));
            }
            if let Some((rule, explanation)) = matcher.nearest_miss(&event, &considered) {
                prop_assert!(considered(rule) && !explanation.matched);
            }
        }

        #[test]
        fn no_payload_panics(payload in "[\\[\\]{}\",:0-9a-e. -]{0,60}", body in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut event = event(serde_json::from_str(&payload).unwrap_or(json!(payload)));
            Arc::make_mut(&mut event.received).body = body.into();
            let mut rules = String::new();
            for selector in ["$", "$.a", "$[*]", "$..a", "$[?@.a > 1]", "$[-1:0:-1]", "body", "client.ip"] {
                for operator in ["equals: a", "in: [1, a]", "prefix: a", "gt: 1", "type: array", "in_cidr: '::1'"] {
                    writeln!(rules, "{selector}|{{{operator}}}").unwrap();
                }
            }
            let compile = |line: &str| {
                let (selector, operators) = line.split_once('|').unwrap();
                compiled(&format!("{{'{selector}': {operators}}}"))
            };
            let matcher = Matcher::new(rules.lines().filter_map(compile).collect());
            drop(matcher.matching(&event, &|_| true));
            for rule in 0..50 {
                prop_assert!(matcher.explain(&event, rule).to_string().len() < 3000);
            }
        }
    }
}
