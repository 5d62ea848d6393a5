//! The answer to a verified event: `respond:` of an endpoint or a rule.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::template::Template;

/// Answer of an endpoint to a verified event.
#[derive(Clone, Debug)]
pub struct Respond {
    /// Status of success.
    pub status: StatusCode,
    /// Headers added to success.
    pub headers: HeaderMap,
    /// Template of the body. `None`: the status as JSON.
    pub body: Option<Template>,
    /// Maximum time for which the answer waits for the actions. `None`: the answer does not wait.
    pub wait: Option<Duration>,
}

impl Default for Respond {
    fn default() -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: None,
            wait: None,
        }
    }
}
