//! Answers of the single tests of a rule's conditions, for the coverage of a rules file by its tests.

use super::facts::SelectedValues;
use super::index::Matcher;
use super::term::{Term, Test};
use crate::payload::Event;

/// Answers of one test of a selector, for an event or for its elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TestAnswers {
    /// True if the answer was true.
    pub held: bool,
    /// True if the answer was false or unknown.
    pub missed: bool,
}

impl TestAnswers {
    fn add(&mut self, held: bool) {
        self.held |= held;
        self.missed |= !held;
    }

    /// Adds the answers for another event.
    pub fn merge(&mut self, other: Self) {
        self.held |= other.held;
        self.missed |= other.missed;
    }
}

impl Matcher {
    /// The tests of selectors in the conditions of `rule`, as `selector: operand`, in the order of the
    /// file. Those of elements come last.
    pub fn tests(&self, rule: usize) -> Vec<String> {
        let mut written = Vec::new();
        let elements = self.elements_of(rule).map(|elements| elements.terms.as_slice());
        for term in self.terms(rule).iter().chain(elements.unwrap_or_default()) {
            term.each_test(&mut |test| {
                let selector = self.written_selector(test.slot);
                written.push(format!("{selector}: {}", test.written));
            });
        }
        written
    }

    /// The answers of [`Self::tests`] for an event, in their order. Tests of elements are only asked
    /// if the event fulfils the other conditions.
    pub fn test_answers(&self, event: &Event, rule: usize) -> Vec<TestAnswers> {
        let facts = self.facts(event);
        let mut answers = of_terms(self.terms(rule), &facts);
        let Some(elements) = self.elements_of(rule) else {
            return answers;
        };
        let mut of_elements: Vec<TestAnswers> = Vec::new();
        elements.each(self.facts(event), &mut |facts| {
            let one = of_terms(&elements.terms, facts);
            of_elements.resize(one.len(), TestAnswers::default());
            for (all, one) in of_elements.iter_mut().zip(one) {
                all.merge(one);
            }
        });
        let mut number = 0;
        for term in &elements.terms {
            term.each_test(&mut |_| number += 1);
        }
        of_elements.resize(number, TestAnswers::default());
        answers.extend(of_elements);
        answers
    }
}

fn of_terms(terms: &[Term], facts: &SelectedValues<'_, '_>) -> Vec<TestAnswers> {
    let mut answers = Vec::new();
    for term in terms {
        term.each_test(&mut |test: &Test| {
            let mut one = TestAnswers::default();
            one.add(test.answer(facts).holds());
            answers.push(one);
        });
    }
    answers
}
