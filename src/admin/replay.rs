//! Replay of an ignored arrival by the rules in force: the other end of `hookyard events replay`.

use serde::{Deserialize, Serialize};

use crate::admin::operation::Operation;

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
    pub dry_run: bool,
}

/// The answer to a request for a replay.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ReplayAnswer {
    /// The reason why the arrival cannot be replayed.
    pub refused: Option<String>,
    /// The decisions of the rules in force: rule, and the reason why it does not match.
    pub decisions: Vec<(String, Option<String>)>,
    /// Rules for which a delivery was made, or would be made.
    pub accepted: Vec<String>,
    /// Rules that accepted the same event before, each with the id of that event.
    pub duplicates: Vec<(String, String)>,
}
