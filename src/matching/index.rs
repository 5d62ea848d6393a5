//! All rules of one endpoint, so arranged that an event costs what the rules that could want it cost.
//!
//! Every selector stands once in a table and is evaluated at most once an event. A rule that asks for an exact
//! value (`equals`, `in`) stands in a hash map under that value, with the selector that tells the endpoint's rules
//! apart best; it is looked at only when the event has the value. All other rules are always looked at.

use std::collections::HashMap;
use std::fmt;

use super::condition::Condition;
use super::explanation::Explanation;
use super::facts::Facts;
use super::scalar::ByScalar;
use super::selector::{Found, Selector};
use super::term::Term;
use crate::payload::Event;

/// How many rules [`Matcher::nearest_miss`] looks at.
pub const NEAREST_LOOKED_AT: usize = 64;

/// The conditions of all rules of one endpoint.
pub struct Matcher {
    /// Of each rule, in the order of the file.
    rules: Vec<Vec<Term>>,
    selectors: Vec<Selector>,
    /// The rules by the exact value that they ask of a selector.
    exact: Vec<Exact>,
    /// The rules that ask for no exact value.
    rest: Vec<usize>,
}

/// The rules that ask one selector for an exact value.
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
    /// Of the rules' conditions, in the order of the file.
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

    /// The rules that want `event`, in the order of the file, of those that `considered` lets through.
    pub fn matching(&self, event: &Event, considered: &dyn Fn(usize) -> bool) -> Vec<usize> {
        let facts = Facts::new(event, &self.selectors);
        let mut rules = self.candidates(&facts);
        rules.extend(&self.rest);
        rules.sort_unstable();
        rules.dedup();
        rules.retain(|rule| {
            considered(*rule) && self.terms(*rule).iter().all(|term| term.answer(&facts).holds())
        });
        rules
    }

    /// Why `rule` does or does not want `event`.
    pub fn explain(&self, event: &Event, rule: usize) -> Explanation {
        Explanation::of(self.terms(rule), &Facts::new(event, &self.selectors))
    }

    /// Of the considered rules that do not want `event` the one of which most conditions held, the first of equals.
    /// At most [`NEAREST_LOOKED_AT`] are looked at: those whose exact value the event has, then the first.
    pub fn nearest_miss(
        &self,
        event: &Event,
        considered: &dyn Fn(usize) -> bool,
    ) -> Option<(usize, Explanation)> {
        let facts = Facts::new(event, &self.selectors);
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
    fn candidates(&self, facts: &Facts<'_, '_>) -> Vec<usize> {
        let mut rules = Vec::new();
        for exact in &self.exact {
            for value in facts.found(exact.slot).values() {
                let found = match value {
                    Found::Text(text) => exact.rules.get_text(text),
                    Found::Json(value) => exact.rules.get(value),
                    Found::Opaque => None,
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

/// One table of selectors for all rules, and the rules' terms with their slots moved to it.
fn share_selectors(conditions: Vec<Condition>) -> (Vec<Vec<Term>>, Vec<Selector>) {
    let mut selectors: Vec<Selector> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut rules = Vec::with_capacity(conditions.len());
    for condition in conditions {
        let mut moved = Vec::with_capacity(condition.selectors.len());
        for selector in condition.selectors {
            let key = selector.key().into_owned();
            let place = *places.entry(key).or_insert_with(|| {
                selectors.push(selector);
                selectors.len() - 1
            });
            moved.push(place);
        }
        let mut terms = condition.terms;
        terms.iter_mut().for_each(|term| term.move_slots(&moved));
        rules.push(terms);
    }
    (rules, selectors)
}

/// Each rule under the exact value that it asks of the selector with the most values among all rules.
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
