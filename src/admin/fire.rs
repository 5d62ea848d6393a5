//! A rule that the operator runs by hand: the other end of `hookyard fire`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::admin::operation::Operation;
use crate::admin::summary::{Summarized, Summary};

/// Maximum size of a request without its body, in bytes.
pub const MAX_FIRE_HEAD: usize = 64 << 10;

/// The operation that runs a rule.
pub type Firer = Operation<FireRequest, FireAnswer>;

/// A request to run a rule.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FireRequest {
    #[schemars(skip)]
    pub rule: String,
    /// Name of the event, put where the sender puts it.
    pub event_name: Option<String>,
    /// The method. `None`: the first one of the endpoint.
    pub method: Option<String>,
    pub headers: Vec<(String, String)>,
    pub query: Vec<(String, String)>,
    /// Values of the parameters of the endpoint's path.
    pub path: Vec<(String, String)>,
    /// The body, in Base64.
    pub body: String,
    /// The body as text, in place of `body`.
    pub text: Option<String>,
    /// True if the rule is to run although its conditions do not hold.
    pub force: bool,
    /// True if only the decision and the actions are asked for.
    pub dry_run: bool,
}

/// The answer to a request to run a rule.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct FireAnswer {
    /// The reason why the rule does not run: it is disabled, or a condition does not hold.
    pub refused: Option<String>,
    /// The reason why there is no answer: no such rule, no such request, or no room in the store.
    pub failed: Option<String>,
    /// The condition that does not hold, if the rule was forced.
    pub missed: Option<String>,
    /// The reason why the delivery waits: the rule is paused.
    pub waits: Option<String>,
    /// Id of the event, unless it is a dry run.
    pub event: Option<String>,
    /// Id of its delivery.
    pub delivery: Option<String>,
    /// In a dry run: the actions as text.
    pub lines: Vec<String>,
    /// In a dry run: the actions, each described, or `{"error": …}`.
    pub actions: Vec<Value>,
    /// In a dry run: the `on_failure` actions.
    pub on_failure: Vec<Value>,
}

impl Summarized for FireAnswer {
    fn summary(&self) -> Summary {
        if let Some(why) = self.failed.as_ref().or(self.refused.as_ref()) {
            return Summary::refused(why);
        }
        let mut lines: Vec<String> = Vec::new();
        let missed = self.missed.iter();
        lines.extend(missed.map(|missed| format!("although this condition does not hold: {missed}")));
        lines.extend(self.lines.iter().cloned());
        lines.extend(
            self.delivery
                .iter()
                .map(|delivery| format!("fired: delivery {delivery}")),
        );
        lines.extend(self.waits.iter().cloned());
        Summary {
            location: self
                .delivery
                .as_ref()
                .map(|delivery| format!("/deliveries/{delivery}")),
            ..Summary::of(lines)
        }
    }
}
