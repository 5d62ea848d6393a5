//! The state of an expected arrival, for the status and the metrics.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::units::HumanDuration;
use crate::store::{Expectation, ExpectationSubject};

/// An endpoint or rule with `expect_every`, and what came.
#[derive(Clone, Debug)]
pub struct ExpectationState {
    /// Path of the endpoint, also for a rule.
    pub endpoint: Arc<str>,
    /// Longest time without a genuine arrival.
    pub every: Duration,
    pub known: Expectation,
}

impl ExpectationState {
    /// The rule that is expected to run. `None`: anything on the endpoint is expected.
    pub fn rule(&self) -> Option<&Arc<str>> {
        match &self.known.subject {
            ExpectationSubject::Rule(name) => Some(name),
            ExpectationSubject::Endpoint(_) => None,
        }
    }

    /// True if nothing genuine came for too long.
    pub fn is_silent(&self) -> bool {
        self.known.noticed_at.is_some()
    }

    /// Time since the last genuine arrival, else since the expectation began.
    pub fn quiet_for(&self, now: Timestamp) -> Duration {
        now.since(self.known.quiet_since())
    }

    /// The problem in words, if there is silence.
    pub fn problem(&self) -> Option<String> {
        self.is_silent().then(|| {
            let since = match self.known.last_arrival {
                Some(at) => format!("since {at}"),
                None => format!("yet, expected since {}", self.known.since),
            };
            format!(
                "nothing genuine has come for the {} `{}` {since}; `expect_every` is {}",
                self.known.subject.kind(),
                self.known.subject.name(),
                HumanDuration(self.every)
            )
        })
    }
}
