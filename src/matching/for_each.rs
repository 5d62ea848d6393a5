//! Elements of an event, for a rule with `for_each`: one delivery for each element that matches.
//!
//! An element has the index that RFC 9535 gives it in the selection. The conditions of the rule are
//! in two parts: those of the event, which are in the index like those of other rules, and those
//! that look at the element (`@`). Elements are not selected before the event fulfils its part.

use std::fmt;
use std::sync::Arc;

use super::answer::Ternary;
use super::explanation::{Explanation, Miss};
use super::facts::SelectedValues;
use super::selected::Element;
use super::term::Term;
use crate::base::json::JsonDocument;
use crate::base::json_plan::Plan;
use crate::base::jsonpath::JsonPath;
use crate::payload::View;

/// Maximum elements of an event whose decisions are explained.
pub const ELEMENTS_EXPLAINED: usize = 32;

/// The elements for which a rule makes deliveries.
#[derive(Clone)]
pub struct ForEach {
    /// The path as written in the rules file.
    pub written: Arc<str>,
    pub path: Arc<JsonPath>,
    /// Maximum elements of an event.
    pub limit: usize,
}

impl fmt::Debug for ForEach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForEach({}, {})", self.written, self.limit)
    }
}

/// The elements of an event that a rule wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elements {
    /// Indices of the elements that match.
    Matching(Vec<u32>),
    /// There are more than the limit, so that none is looked at. Their number, as a reason.
    TooMany(String),
}

impl Elements {
    /// Number of deliveries: one for each element, or one for the event, which fails.
    pub fn deliveries(&self) -> usize {
        match self {
            Self::Matching(indices) => indices.len(),
            Self::TooMany(_) => 1,
        }
    }
}

impl ForEach {
    /// Adds the elements to `plan`, whole.
    pub fn add_to(&self, plan: &mut Plan) {
        self.path.add_to(plan);
    }

    /// The elements, or their number as a reason if there are more than the limit.
    fn select<'e>(&self, document: &'e JsonDocument) -> Result<Vec<Element<'e>>, String> {
        let tree = document.tree_for(&self.path);
        let selected = self.path.select(&*tree.value, &tree.integers);
        if selected.len() > self.limit {
            return Err(format!(
                "{} elements; for_each takes {}",
                selected.len(),
                self.limit
            ));
        }
        let element = |value| Element { value, tree };
        Ok(selected.into_iter().map(element).collect())
    }

    /// The reason why there are too many elements, if there are.
    pub fn excess(&self, document: &JsonDocument) -> Option<String> {
        self.select(document).err()
    }
}

/// The part of a rule's conditions that looks at elements.
pub(super) struct ElementTerms {
    pub for_each: ForEach,
    pub terms: Vec<Term>,
    /// Slots of the selectors that look at the element.
    pub slots: Vec<usize>,
    /// The view of the payload that holds the elements.
    pub view: Option<View>,
}

impl ElementTerms {
    /// The elements that match. `facts` are those of an event that fulfils the other conditions.
    pub fn elements(&self, mut facts: SelectedValues<'_, '_>) -> Elements {
        let elements = match self.for_each.select(facts.document(self.view)) {
            Ok(elements) => elements,
            Err(reason) => return Elements::TooMany(reason),
        };
        let matching = (0..).zip(elements).filter(|(_, element)| {
            facts.look_at(*element, &self.slots);
            self.answer(&facts).holds()
        });
        Elements::Matching(matching.map(|(index, _)| index).collect())
    }

    /// True if there is an element that matches, or too many of them.
    pub fn any(&self, mut facts: SelectedValues<'_, '_>) -> bool {
        let Ok(elements) = self.for_each.select(facts.document(self.view)) else {
            return true;
        };
        elements.into_iter().any(|element| {
            facts.look_at(element, &self.slots);
            self.answer(&facts).holds()
        })
    }

    /// Calls `see` for each element.
    pub fn each<'m, 'e>(
        &self,
        mut facts: SelectedValues<'m, 'e>,
        see: &mut dyn FnMut(&SelectedValues<'m, 'e>),
    ) {
        for element in self
            .for_each
            .select(facts.document(self.view))
            .unwrap_or_default()
        {
            facts.look_at(element, &self.slots);
            see(&facts);
        }
    }

    fn answer(&self, facts: &SelectedValues<'_, '_>) -> Ternary {
        Ternary::all(self.terms.iter().map(|term| term.answer(facts)))
    }

    /// Explains the first elements. The second value is the number of all elements, or the reason
    /// why there are too many.
    pub fn explain(&self, mut facts: SelectedValues<'_, '_>) -> (Vec<Explanation>, Result<usize, String>) {
        let elements = match self.for_each.select(facts.document(self.view)) {
            Ok(elements) => elements,
            Err(reason) => return (Vec::new(), Err(reason)),
        };
        let number = elements.len();
        let first = elements.into_iter().take(ELEMENTS_EXPLAINED);
        let explained = first.map(|element| {
            facts.look_at(element, &self.slots);
            Explanation::of(&self.terms, &facts)
        });
        (explained.collect(), Ok(number))
    }

    /// The reason why none of the elements matches.
    pub fn miss(&self, facts: SelectedValues<'_, '_>) -> Miss {
        let unreadable = facts.fault_of_payload(self.view).is_some();
        let (explained, number) = self.explain(facts);
        let nearest = explained
            .iter()
            .enumerate()
            .max_by_key(|(at, explained)| (explained.held, std::cmp::Reverse(*at)));
        let found = match (number, nearest) {
            _ if unreadable => "a payload that cannot be read".to_owned(),
            (Err(reason), _) => reason,
            (Ok(0), _) | (Ok(_), None) => "nothing".to_owned(),
            (Ok(number), Some((at, nearest))) => format!("{number}, of which the nearest is {at}: {nearest}"),
        };
        Miss {
            selector: format!("for_each {}", self.for_each.written),
            expected: "an element that matches".to_owned(),
            found,
            unknown: unreadable,
        }
    }
}
