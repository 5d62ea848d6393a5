//! Replay of an ignored arrival by the rules in force: the other end of `hookyard events replay`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::operation::Operation;
use crate::admin::summary::{Summarized, Summary};

/// Maximum size of a request, in bytes.
pub const MAX_REPLAY: usize = 1024;

/// The operation that replays arrivals.
pub type Replayer = Operation<ReplayRequest, ReplayAnswer>;

/// A request for a replay.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReplayRequest {
    /// Id of the arrival.
    pub id: String,
    /// True if only the decision is asked for.
    #[serde(default)]
    pub dry_run: bool,
}

/// The answer to a request for a replay.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReplayAnswer {
    /// The reason why the arrival cannot be replayed.
    pub refused: Option<String>,
    /// The decisions of the rules in force: rule, and the reason why it does not match.
    pub decisions: Vec<(String, Option<String>)>,
    /// Rules for which a delivery was made, or would be made.
    pub accepted: Vec<String>,
    /// Reasons why their deliveries wait: rules that are paused.
    pub waits: Vec<String>,
    /// Rules that accepted the same event before, each with the id of that event.
    pub duplicates: Vec<(String, String)>,
}

/// Decisions that the summary names.
const NAMED: usize = 10;

impl Summarized for ReplayAnswer {
    fn summary(&self) -> Summary {
        if let Some(why) = &self.refused {
            return Summary::refused(why);
        }
        let mut lines = Vec::new();
        if !self.accepted.is_empty() {
            lines.push(format!("accepted by {}", self.accepted.join(", ")));
        }
        lines.extend(self.waits.iter().cloned());
        let duplicates = self.duplicates.iter();
        lines.extend(duplicates.map(|(rule, of)| format!("{rule}: a duplicate of {of}, runs nothing")));
        if lines.is_empty() {
            lines.push("no rule in force matches".to_owned());
            let decisions = self.decisions.iter().take(NAMED);
            lines.extend(decisions.map(|(rule, reason)| {
                let reason = reason.as_deref().unwrap_or("matches");
                format!("  {rule}: {reason}")
            }));
        }
        Summary {
            possible: !self.accepted.is_empty(),
            ..Summary::of(lines)
        }
    }
}
