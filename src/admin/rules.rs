//! Rules and their pauses: the other end of `hookyard rules`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::operation::Operation;
use crate::admin::summary::{Summarized, Summary};
use crate::status::{PauseStatus, RuleStatus};

/// Maximum size of a request about rules, in bytes.
pub const MAX_RULES_REQUEST: usize = 8 << 10;

/// The operation that lists, pauses and resumes rules.
pub type RuleOperator = Operation<RulesRequest, RulesAnswer>;

/// A request about rules.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RulesRequest {
    /// With braces, since a request is a JSON object.
    List {},
    /// One rule, by its name.
    Show(String),
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

/// The answer to a request about rules.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RulesAnswer {
    /// The reason why nothing was done: no such rule or target, or a store that cannot be written.
    pub failed: Option<String>,
    /// True if the request has changed something.
    pub changed: bool,
    /// The pause that is in force now, or that has ended.
    pub pause: Option<PauseStatus>,
    /// All rules: those in force, then those that are gone but paused or waited for. Or the one that
    /// was asked for.
    pub rules: Vec<RuleStatus>,
    /// Paused targets.
    pub targets: Vec<PauseStatus>,
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
