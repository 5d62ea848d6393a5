//! Decision of other rules about one request, beside that of the rules in force. Nothing runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::operation::Operation;
use crate::admin::summary::{Summarized, Summary};

/// Maximum size of a request, in bytes, as a form or as JSON.
pub const MAX_TRY: usize = 4 << 20;

/// The operation that tries rules.
pub type Tryer = Operation<TryRequest, TryAnswer>;

/// What is tried.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TryRequest {
    /// Id of a stored arrival.
    pub arrival: Option<String>,
    /// A request as text, in place of an arrival: `POST /path?query`, lines of headers, an empty
    /// line, and the body. It counts as verified.
    pub request: Option<String>,
    /// Text of the rules file to be tried. Null: only the rules in force decide.
    pub rules: Option<String>,
}

/// The decisions of the rules in force and of the copy.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct TryAnswer {
    /// The reason why nothing was decided.
    pub failed: Option<String>,
    /// Id of the arrival.
    pub arrival: Option<String>,
    /// Text of the copy. If none was given: that of the rules file on disk, with its secrets masked.
    pub rules: String,
    /// What is wrong with the copy, as text. Null if it loads.
    pub diagnostics: Option<String>,
    /// The request as text, without credentials.
    pub request: String,
    /// The rules of the endpoint, those that change first.
    pub decisions: Vec<TriedRule>,
    /// Number of rules that are left out.
    pub left_out: usize,
    /// The request as a test for `rules.test.yaml`, with the decision of the copy.
    pub as_test: Option<String>,
}

/// Decisions about the request for one rule.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TriedRule {
    pub rule: String,
    pub change: TriedChange,
    /// Decision of the rules in force.
    pub before: TriedDecision,
    /// Decision of the copy. The same as before if no copy was given.
    pub after: TriedDecision,
    /// Places at which what it would do differs, such as `actions[0].run[1]`.
    pub differences: Vec<String>,
}

/// The change that the copy makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TriedChange {
    /// Only the rule in force matches.
    Loses,
    /// Only the rule of the copy matches.
    Gains,
    /// Both match, and do something else.
    Differs,
    /// What was not kept, or a masked value, decides.
    Unknown,
    Same,
}

impl TriedChange {
    pub fn name(self) -> &'static str {
        match self {
            Self::Loses => "loses",
            Self::Gains => "gains",
            Self::Differs => "differs",
            Self::Unknown => "unknown",
            Self::Same => "same",
        }
    }
}

/// The decision of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TriedDecision {
    /// Null if it is not known.
    pub matched: Option<bool>,
    /// The reason why it does not match, or why that is not known.
    pub reason: Option<String>,
    /// What it would do, as JSON text. Null if it does not match.
    pub actions: Option<String>,
}

impl Summarized for TryAnswer {
    fn summary(&self) -> Summary {
        if let Some(why) = self.failed.as_ref().or(self.diagnostics.as_ref()) {
            return Summary::refused(why);
        }
        let lines = self.decisions.iter();
        Summary::of(
            lines
                .map(|one| format!("{}: {}", one.rule, one.change.name()))
                .collect(),
        )
    }
}
