//! Pauses of rules and targets: the other end of `hookyard rules`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::operation::Operation;
use crate::admin::summary::{Summarized, Summary};
use crate::status::PauseStatus;

/// Maximum size of a request for a pause, in bytes.
pub const MAX_RULES_REQUEST: usize = 8 << 10;

/// The operation that pauses and resumes rules and targets.
pub type RuleOperator = Operation<RulesRequest, RulesAnswer>;

/// A request for a pause, or for its end.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RulesRequest {
    Pause(Paused),
    Resume(Paused),
}

/// The rule or target to pause or resume.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paused {
    Rule(String),
    Target(String),
}

/// The answer to a request for a pause, or for its end.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RulesAnswer {
    /// The reason why nothing was done: no such rule or target, or a store that cannot be written.
    pub failed: Option<String>,
    /// True if the request has changed something.
    pub changed: bool,
    /// The pause that is in force now, or that has ended.
    pub pause: Option<PauseStatus>,
}

/// A target, as the body of a request names it.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "describes the body for the API's documentation")]
pub struct TargetName {
    /// Scheme, host and port: `https://example.com`.
    pub target: String,
}

impl Summarized for RulesAnswer {
    fn summary(&self) -> Summary {
        if let Some(why) = &self.failed {
            return Summary::refused(why);
        }
        let pause = self.pause.as_ref();
        let lines = pause.map(|pause| {
            let PauseStatus { kind, name, .. } = pause;
            if self.changed {
                format!("the {kind} {name}: {}", pause.text())
            } else {
                format!("the {kind} {name} was not changed: {}", pause.text())
            }
        });
        Summary::of(lines.into_iter().collect())
    }
}
