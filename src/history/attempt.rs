//! Attempts at the actions of a delivery.

use schemars::JsonSchema;
use serde::Serialize;

use super::content::Content;
use crate::store::AttemptRecord;

/// An attempt at an action, or a replay or drop by the operator.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AttemptView {
    /// Number of the action in its rule, from 1.
    pub action: usize,
    /// Number of the attempt at that action, from 1.
    pub attempt: u32,
    pub started_at: String,
    /// Duration in milliseconds.
    pub milliseconds: u64,
    /// `done`, `failed`, `dead`, `interrupted` or `cancelled`. `replayed` and `dropped` are actions
    /// of the operator.
    pub outcome: String,
    /// The outcome in words, such as `exit 3` or `HTTP 503`.
    pub detail: String,
    /// End of the standard output of a command, or the body of a response.
    pub stdout: Content,
    /// End of the standard error of a command.
    pub stderr: Content,
}

impl AttemptView {
    pub fn of(attempt: &AttemptRecord) -> Self {
        Self {
            action: attempt.action.saturating_add(1),
            attempt: attempt.number,
            started_at: attempt.started.to_string(),
            milliseconds: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
            outcome: attempt.outcome.clone(),
            detail: attempt.detail.clone(),
            stdout: Content::of(&attempt.stdout),
            stderr: Content::of(&attempt.stderr),
        }
    }
}
