//! Judgement of the file on disk against the rules in force: the other end of `hookyard plan`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::admin::operation::Operation;
use crate::admin::summary::{Summarized, Summary};

/// Maximum size of a request, in bytes.
pub const MAX_PLAN: usize = 1024;

/// The operation that judges the file on disk.
pub type Planner = Operation<PlanRequest, PlanAnswer>;

/// The arrivals to judge.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlanRequest {
    /// Milliseconds since the epoch of the earliest arrival.
    pub since: Option<i64>,
    /// Maximum number of arrivals.
    pub last: usize,
}

/// The answer to a request to judge the file on disk.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct PlanAnswer {
    /// The reason why nothing was judged: the file does not load, or the store cannot be read.
    pub failed: Option<String>,
    /// The result as text and as JSON.
    pub text: String,
    pub json: Value,
    /// True if the new rules act otherwise, `None` if that is not known.
    pub differs: Option<bool>,
}

impl Summarized for PlanAnswer {
    fn summary(&self) -> Summary {
        match &self.failed {
            Some(why) => Summary::refused(why),
            None => Summary::of(self.text.lines().map(str::to_owned).collect()),
        }
    }
}
