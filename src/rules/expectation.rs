//! Expected arrivals: `expect_every` of an endpoint or a rule, and its actions.

use std::sync::Arc;
use std::time::Duration;

use super::rule::Rule;
use crate::store::ExpectationSubject;

/// `expect_every` of an endpoint or a rule.
#[derive(Debug)]
pub struct ExpectedArrival {
    pub subject: ExpectationSubject,
    /// Path of the endpoint, also for a rule.
    pub endpoint: Arc<str>,
    /// Longest time without a genuine arrival.
    pub every: Duration,
    /// The actions of `on_silence`, as a rule of their own that no request matches. `None`: there
    /// are none.
    pub on_silence: Option<Rule>,
}

impl ExpectedArrival {
    /// Name of the rule of `on_silence`. No rule of the file can have it: it has a space.
    pub fn rule_name(subject: &ExpectationSubject) -> Arc<str> {
        format!("{} (silence)", subject.name()).into()
    }

    /// The rule that is expected to run. `None`: anything on the endpoint is expected.
    pub fn rule(&self) -> Option<&Arc<str>> {
        match &self.subject {
            ExpectationSubject::Rule(name) => Some(name),
            ExpectationSubject::Endpoint(_) => None,
        }
    }
}
