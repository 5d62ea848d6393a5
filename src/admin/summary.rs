//! What a person reads about the answer to an action, made from the answer.

use schemars::JsonSchema;
use serde::Serialize;

/// The answer to an action in words, for the page and for people who read the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Summary {
    /// Lines of text.
    #[serde(rename = "summary")]
    pub lines: Vec<String>,
    /// False if there is nothing to do: the action is refused, or would change nothing.
    pub possible: bool,
    /// Number of things that it is about, if there may be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Address of the page that shows the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

impl Summary {
    /// An action that was done, or could be.
    pub fn of(lines: Vec<String>) -> Self {
        Self {
            lines,
            possible: true,
            ..Self::default()
        }
    }

    /// An action that was not done, and the reason.
    pub fn refused(why: &str) -> Self {
        Self {
            lines: vec![why.to_owned()],
            ..Self::default()
        }
    }
}

/// An answer to an action.
pub trait Summarized: Serialize {
    fn summary(&self) -> Summary;
}

/// An answer with its summary, as the API sends it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Outcome<A> {
    #[serde(flatten)]
    pub answer: A,
    #[serde(flatten)]
    pub summary: Summary,
}

impl<A: Summarized> Outcome<A> {
    pub fn new(answer: A) -> Self {
        let summary = answer.summary();
        Self { answer, summary }
    }
}
