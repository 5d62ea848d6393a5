//! Attempts that the operator stops: the other end of `hookyard events stop`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::operation::Operation;
use crate::admin::summary::{Summarized, Summary};

/// Maximum size of a request, in bytes.
pub const MAX_STOP: usize = 1024;

/// The operation that stops attempts.
pub type Stopper = Operation<StopRequest, StopAnswer>;

/// A request to stop the attempts in progress of a delivery or an event.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StopRequest {
    #[schemars(skip)]
    pub target: StopTargetId,
    pub after: AfterStopName,
}

/// The id of what is stopped.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StopTargetId {
    Delivery(String),
    Event(String),
}

/// Fate of a delivery after its attempt was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AfterStopName {
    Retry,
    Drop,
}

/// The answer to a request to stop attempts.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct StopAnswer {
    /// The reason why nothing was asked for: the id is none.
    pub failed: Option<String>,
    /// Attempts that are being stopped. None: nothing was in progress.
    pub stopped: Vec<StoppedAttempt>,
}

/// An attempt that is being stopped.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StoppedAttempt {
    pub delivery: String,
    pub rule: String,
    /// Index of the action.
    pub action: usize,
    /// Number of the attempt at that action, from 1.
    pub attempt: u32,
    /// The time at which the delivery was leased for it.
    pub since: String,
}

impl Summarized for StopAnswer {
    fn summary(&self) -> Summary {
        if let Some(why) = &self.failed {
            return Summary::refused(why);
        }
        if self.stopped.is_empty() {
            return Summary::refused("nothing is in progress");
        }
        let stopped = self.stopped.iter().map(|one| {
            let (rule, attempt, action) = (&one.rule, one.attempt, one.action + 1);
            format!("stopping attempt {attempt} at action {action} of {rule}")
        });
        Summary::of(stopped.collect())
    }
}
