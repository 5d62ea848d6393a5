//! Genuine arrivals on endpoints and for rules that have `expect_every`. They are written to the
//! store in the background, never on the way to an answer.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::clock::Timestamp;
use crate::rules::{Endpoint, Rule};
use crate::store::ExpectationSubject;

/// Times of genuine arrivals since the last look. Its size is bounded by the rules file.
#[derive(Debug, Default)]
pub struct Heard {
    latest: Mutex<HashMap<ExpectationSubject, Timestamp>>,
}

impl Heard {
    /// Records a verified request on an endpoint.
    pub(super) fn on_endpoint(&self, endpoint: &Endpoint, at: Timestamp) {
        if endpoint.expect_every.is_some() {
            self.note(ExpectationSubject::Endpoint(Arc::clone(&endpoint.path)), at);
        }
    }

    /// Records an event that a rule has accepted, now or before.
    pub(super) fn for_rule(&self, rule: &Rule, at: Timestamp) {
        if rule.expect_every.is_some() {
            self.note(ExpectationSubject::Rule(Arc::clone(&rule.name)), at);
        }
    }

    fn note(&self, subject: ExpectationSubject, at: Timestamp) {
        let mut latest = self.latest.lock();
        let known = latest.entry(subject).or_insert(at);
        *known = at.max(*known);
    }

    /// Takes the times recorded since the last call.
    pub fn take(&self) -> HashMap<ExpectationSubject, Timestamp> {
        std::mem::take(&mut *self.latest.lock())
    }
}
