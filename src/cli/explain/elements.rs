//! The decision of a rule with `for_each` about each element of an event.

use serde_json::{Value, json};

use crate::matching::Explanation;
use crate::payload::Event;
use crate::rules::Endpoint;

/// The decisions about the first elements.
pub(super) struct ExplainedElements {
    explained: Vec<Explanation>,
    /// Number of all elements, or the reason why there are too many.
    number: Result<usize, String>,
}

impl ExplainedElements {
    /// Explains the elements. `None` if the rule at `index` has no `for_each`.
    pub(super) fn of(endpoint: &Endpoint, index: usize, event: &Event) -> Option<Self> {
        let (explained, number) = endpoint.matcher.explain_elements(event, index)?;
        Some(Self { explained, number })
    }

    /// The index of the first element that matches, of those that are explained.
    pub(super) fn first(&self) -> Option<usize> {
        self.explained.iter().position(|element| element.matched)
    }

    /// Formats the decisions as text.
    pub(super) fn lines(&self) -> Vec<String> {
        let number = match &self.number {
            Ok(number) => *number,
            Err(reason) => return vec![format!("it would be a dead letter at once: {reason}")],
        };
        let elements = self.explained.iter().enumerate();
        let mut lines: Vec<String> = elements
            .map(|(index, element)| {
                let word = if element.matched { "yes" } else { "no" };
                format!("element {index}: {word}, {element}")
            })
            .collect();
        if number > self.explained.len() {
            lines.push(format!("and {} more elements", number - self.explained.len()));
        }
        if let Some(first) = self.first() {
            lines.push(format!("for element {first}:"));
        }
        lines
    }

    /// Formats the decisions as JSON.
    pub(super) fn to_json(&self) -> Value {
        let elements = self.explained.iter().enumerate().map(
            |(index, element)| json!({"index": index, "matched": element.matched, "explanation": element}),
        );
        json!({
            "number": self.number.as_ref().ok(),
            "too_many": self.number.as_ref().err(),
            "explained": elements.collect::<Vec<_>>(),
        })
    }
}
