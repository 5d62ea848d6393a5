//! The decision of a rule with `for_each` about each element of an event.

use schemars::JsonSchema;
use serde::Serialize;

use crate::matching::Explanation;
use crate::payload::Event;
use crate::rules::Endpoint;

/// The decisions about the first elements.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ElementsExplanation {
    /// Number of all elements. Null if there are too many.
    pub number: Option<usize>,
    /// The reason why there are too many.
    pub too_many: Option<String>,
    pub explained: Vec<ElementExplanation>,
}

/// The decision about an element.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ElementExplanation {
    /// Index of the element, from 0.
    pub index: usize,
    pub matched: bool,
    pub explanation: Explanation,
}

impl ElementsExplanation {
    /// Explains the elements. `None` if the rule at `index` has no `for_each`.
    pub(super) fn of(endpoint: &Endpoint, index: usize, event: &Event) -> Option<Self> {
        let (explained, number) = endpoint.matcher.explain_elements(event, index)?;
        let (number, too_many) = match number {
            Ok(number) => (Some(number), None),
            Err(reason) => (None, Some(reason)),
        };
        let explained = explained.into_iter().enumerate();
        let explained = explained.map(|(index, explanation)| ElementExplanation {
            index,
            matched: explanation.matched,
            explanation,
        });
        Some(Self {
            number,
            too_many,
            explained: explained.collect(),
        })
    }

    /// The index of the first element that matches, of those that are explained.
    pub fn first(&self) -> Option<usize> {
        self.explained.iter().position(|element| element.matched)
    }
}
