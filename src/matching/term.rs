//! The compiled form of a condition: tests of one selector, and groups of them.

use serde_json::Value;

use super::answer::Answer;
use super::facts::Facts;
use super::operator::{Operator, Operators};

/// One of the things that must hold.
#[derive(Debug)]
pub(super) enum Term {
    /// All of them, in a branch of a group.
    All(Vec<Term>),
    Any(Group),
    /// Not all of them.
    Not(Group),
    Test(Test),
}

/// An `any` or a `not`, and how it was written.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) terms: Vec<Term>,
    pub(super) written: String,
}

/// What is asked of the values of one selector.
#[derive(Debug)]
pub(super) struct Test {
    /// The selector's place in the table.
    pub(super) slot: usize,
    pub(super) exists: Option<bool>,
    pub(super) some: Option<Operators>,
    pub(super) every: Option<Operators>,
    pub(super) none: Option<Operators>,
    /// How it was written, shortened.
    pub(super) written: String,
}

impl Term {
    /// What it says of an event.
    pub(super) fn answer(&self, facts: &Facts<'_, '_>) -> Answer {
        let all = |terms: &[Self]| Answer::all(terms.iter().map(|term| term.answer(facts)));
        match self {
            Self::All(terms) => all(terms),
            Self::Any(group) => Answer::any(group.terms.iter().map(|term| term.answer(facts))),
            Self::Not(group) => all(&group.terms).negated(),
            Self::Test(test) => test.answer(facts),
        }
    }

    /// All tests in it, however deep.
    pub(super) fn each_test<'t>(&'t self, see: &mut dyn FnMut(&'t Test)) {
        match self {
            Self::All(terms) => terms.iter().for_each(|term| term.each_test(see)),
            Self::Any(group) | Self::Not(group) => group.terms.iter().for_each(|term| term.each_test(see)),
            Self::Test(test) => see(test),
        }
    }

    /// Moves all its slots to the places where `moved` has them.
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
    fn answer(&self, facts: &Facts<'_, '_>) -> Answer {
        let values = facts.found(self.slot).values();
        let over = |operators: &Option<Operators>, combine: &dyn Fn(&Operators) -> Answer| match operators {
            None => Answer::True,
            Some(_) if values.is_empty() => Answer::Unknown,
            Some(operators) => combine(operators),
        };
        let any = |operators: &Operators| Answer::any(values.iter().map(|value| operators.test(value)));
        let every = |operators: &Operators| Answer::all(values.iter().map(|value| operators.test(value)));
        let exists = self
            .exists
            .map_or(Answer::True, |wanted| (wanted != values.is_empty()).into());
        // One after the other, so that the first false spares the rest.
        Answer::all((0..4).map(|part| match part {
            0 => exists,
            1 => over(&self.some, &any),
            2 => over(&self.every, &every),
            _ => over(&self.none, &|operators| any(operators).negated()),
        }))
    }

    /// The scalars of which its value must be one, if it asks so: what the index is made of.
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
