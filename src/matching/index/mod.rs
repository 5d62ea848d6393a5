//! The index of all rules of an endpoint, so that an event costs only the rules that could match
//! it.
//!
//! Every selector is in the table once and is evaluated at most once per event. A rule that
//! requires an exact value (`equals`, `in`) is in a hash map under that value. The map belongs to
//! the selector that distinguishes the endpoint's rules best. Such a rule is evaluated only if the
//! event has the value. All other rules are always evaluated.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::base::json_plan::Plan;
use crate::matching::answer::Ternary;
use crate::matching::condition::Condition;
use crate::matching::explanation::Explanation;
use crate::matching::facts::SelectedValues;
use crate::matching::for_each::{ElementTerms, Elements};
use crate::matching::scalar::ByScalar;
use crate::matching::selected::SelectedValue;
use crate::matching::selector::Selector;
use crate::matching::term::Term;
use crate::payload::Event;

/// Maximum number of rules that [`Matcher::nearest_miss`] evaluates.
pub const NEAREST_LOOKED_AT: usize = 32;

/// The conditions of all rules of an endpoint.
pub struct Matcher {
    /// The terms of each rule, in the order of the file.
    rules: Vec<Vec<Term>>,
    /// The parts of conditions that look at elements, by rule. Empty if no rule has a `for_each`.
    elements: Vec<Option<ElementTerms>>,
    selectors: Vec<Selector>,
    /// The rules that require an exact value, by selector.
    exact: Vec<Exact>,
    /// The rules that require no exact value.
    rest: Vec<usize>,
    /// The plan by which the endpoint's payloads are read.
    plan: Option<Arc<Plan>>,
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
        let SharedConditions {
            rules,
            mut elements,
            selectors,
        } = share_selectors(conditions);
        if elements.iter().all(Option::is_none) {
            elements.clear();
        }
        let (exact, rest) = by_exact_value(&rules, &selectors);
        Self {
            rules,
            elements,
            selectors,
            exact,
            rest,
            plan: None,
        }
    }

    /// The rules that match `event`, in the order of the file, among those that `considered`
    /// accepts.
    pub fn matching(&self, event: &Event, considered: &dyn Fn(usize) -> bool) -> Vec<usize> {
        let facts = self.facts(event);
        let mut rules = self.candidates(&facts);
        rules.extend(&self.rest);
        rules.sort_unstable();
        rules.dedup();
        rules.retain(|rule| considered(*rule) && self.matches(*rule, &facts, event));
        rules
    }

    /// The elements of `event` that match `rule`, if the rule has a `for_each`. The event fulfils
    /// the rule's other conditions.
    pub fn elements(&self, event: &Event, rule: usize) -> Option<Elements> {
        let elements = self.elements_of(rule)?;
        Some(elements.elements(self.facts(event)))
    }

    /// Explains the first elements, if `rule` has a `for_each`. The second value is the number of all
    /// elements, or the reason why there are too many.
    pub fn explain_elements(
        &self,
        event: &Event,
        rule: usize,
    ) -> Option<(Vec<Explanation>, Result<usize, String>)> {
        let elements = self.elements_of(rule)?;
        Some(elements.explain(self.facts(event)))
    }

    pub(in crate::matching) fn elements_of(&self, rule: usize) -> Option<&ElementTerms> {
        self.elements.get(rule)?.as_ref()
    }

    /// Adds the values that the conditions read of a JSON payload to `plan`.
    pub fn add_to(&self, plan: &mut Plan) {
        self.selectors.iter().for_each(|selector| selector.add_to(plan));
        let elements = self.elements.iter().flatten();
        let elements = elements.filter(|elements| elements.view.is_none());
        elements.for_each(|elements| elements.for_each.add_to(plan));
    }

    /// Sets the plan by which payloads are read. It must contain what [`Self::add_to`] adds. The
    /// values of such payloads are found without comparing each selector with the plan.
    pub fn read_by(&mut self, plan: &Arc<Plan>) {
        self.plan = Some(Arc::clone(plan));
    }

    pub(in crate::matching) fn facts<'e>(&self, event: &'e Event) -> SelectedValues<'_, 'e> {
        SelectedValues::new(event, &self.selectors, self.plan.as_ref())
    }

    /// True if `rule` matches `event` or its answer is unknown.
    pub fn might_want(&self, event: &Event, rule: usize) -> bool {
        let facts = self.facts(event);
        let answers = self.terms(rule).iter().map(|term| term.answer(&facts));
        Ternary::all(answers) != Ternary::False
    }

    /// Explains why `rule` does or does not match `event`.
    pub fn explain(&self, event: &Event, rule: usize) -> Explanation {
        self.explanation(rule, &self.facts(event), event)
    }

    /// Explains the conditions of the event, and if all of them hold those of the elements.
    fn explanation(&self, rule: usize, facts: &SelectedValues<'_, '_>, event: &Event) -> Explanation {
        let explanation = Explanation::of(self.terms(rule), facts);
        let elements = self.elements_of(rule).filter(|_| explanation.matched);
        let missed = elements.filter(|elements| !elements.any(self.facts(event)));
        match missed {
            None => explanation,
            Some(elements) => Explanation {
                matched: false,
                failed: Some(elements.miss(self.facts(event))),
                ..explanation
            },
        }
    }

    /// True if `rule` matches.
    fn matches(&self, rule: usize, facts: &SelectedValues<'_, '_>, event: &Event) -> bool {
        self.terms(rule).iter().all(|term| term.answer(facts).holds())
            && self
                .elements_of(rule)
                .is_none_or(|elements| elements.any(self.facts(event)))
    }

    /// The rule that matches `event` best without matching it: the one with most conditions held,
    /// the first of equals. At most [`NEAREST_LOOKED_AT`] of the considered rules are evaluated.
    /// Rules whose exact value the event has come first.
    pub fn nearest_miss(
        &self,
        event: &Event,
        considered: &dyn Fn(usize) -> bool,
    ) -> Option<(usize, Explanation)> {
        let facts = self.facts(event);
        let missed = |(rule, held): &(usize, usize)| {
            *held < self.terms(*rule).len() || !self.matches(*rule, &facts, event)
        };
        let (rule, _) = self.ranked(&facts, considered).into_iter().find(missed)?;
        Some((rule, self.explanation(rule, &facts, event)))
    }

    /// Returns explanations of the considered rules, the nearest first, at most `most`. The same
    /// rules are evaluated as in [`Self::nearest_miss`].
    pub fn nearest(
        &self,
        event: &Event,
        considered: &dyn Fn(usize) -> bool,
        most: usize,
    ) -> Vec<(usize, Explanation)> {
        let facts = self.facts(event);
        let ranked = self.ranked(&facts, considered).into_iter().take(most);
        ranked
            .map(|(rule, _)| (rule, self.explanation(rule, &facts, event)))
            .collect()
    }

    /// Returns the considered rules that are evaluated, each with the number of its conditions that
    /// hold, most first.
    fn ranked(
        &self,
        facts: &SelectedValues<'_, '_>,
        considered: &dyn Fn(usize) -> bool,
    ) -> Vec<(usize, usize)> {
        let mut rules: Vec<usize> = self
            .candidates(facts)
            .into_iter()
            .chain(0..self.rules.len())
            .filter(|rule| considered(*rule))
            .take(NEAREST_LOOKED_AT)
            .collect();
        rules.sort_unstable();
        rules.dedup();
        let held = |rule: usize| {
            let terms = self.terms(rule).iter();
            (rule, terms.filter(|term| term.answer(facts).holds()).count())
        };
        let mut ranked: Vec<(usize, usize)> = rules.into_iter().map(held).collect();
        ranked.sort_by_key(|(_, held)| std::cmp::Reverse(*held));
        ranked
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

    /// The text of the selector at `slot`.
    pub(in crate::matching) fn written_selector(&self, slot: usize) -> &str {
        self.selectors.get(slot).map_or("", |selector| &selector.written)
    }

    pub(in crate::matching) fn terms(&self, rule: usize) -> &[Term] {
        self.rules.get(rule).map_or(&[], Vec::as_slice)
    }
}

/// Conditions with one table of selectors.
struct SharedConditions {
    rules: Vec<Vec<Term>>,
    elements: Vec<Option<ElementTerms>>,
    selectors: Vec<Selector>,
}

/// Builds one table of selectors for all rules, and moves the slots of the terms to it.
fn share_selectors(conditions: Vec<Condition>) -> SharedConditions {
    let mut selectors: Vec<Selector> = Vec::new();
    let mut slots: HashMap<String, usize> = HashMap::new();
    let mut rules = Vec::with_capacity(conditions.len());
    let mut elements = Vec::with_capacity(conditions.len());
    for condition in conditions {
        let view = condition.view;
        let mut moved = Vec::with_capacity(condition.selectors.len());
        for selector in condition.selectors {
            let key = selector.key().to_owned();
            let place = *slots.entry(key).or_insert_with(|| {
                selectors.push(selector);
                selectors.len() - 1
            });
            moved.push(place);
        }
        let (mut terms, mut element_terms) = (condition.terms, condition.element_terms);
        for term in terms.iter_mut().chain(&mut element_terms) {
            term.move_slots(&moved);
        }
        rules.push(terms);
        let of_element = |slot: &usize| selectors.get(*slot).is_some_and(Selector::is_of_element);
        elements.push(condition.for_each.map(|for_each| ElementTerms {
            for_each,
            terms: element_terms,
            slots: moved.into_iter().filter(of_element).collect(),
            view,
        }));
    }
    SharedConditions {
        rules,
        elements,
        selectors,
    }
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
    let mut slots: HashMap<usize, usize> = HashMap::new();
    let mut rest = Vec::new();
    for (rule, terms) in rules.iter().enumerate() {
        let Some((slot, values)) = equalities(terms)
            .into_iter()
            .max_by_key(|(slot, _)| values_of(*slot))
        else {
            rest.push(rule);
            continue;
        };
        let place = *slots.entry(slot).or_insert_with(|| {
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
mod tests;
