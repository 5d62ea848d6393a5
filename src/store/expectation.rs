//! Expected arrivals: the last genuine one on an endpoint or for a rule, and whether silence was
//! noticed since.

use std::sync::Arc;

use crate::base::clock::Timestamp;

/// The endpoint or rule that has `expect_every`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExpectationSubject {
    /// Path, as the rules file writes it.
    Endpoint(Arc<str>),
    Rule(Arc<str>),
}

impl ExpectationSubject {
    /// The subject of a row. `None` if there is no such kind.
    pub fn from_columns(kind: &str, name: &str) -> Option<Self> {
        match kind {
            "endpoint" => Some(Self::Endpoint(name.into())),
            "rule" => Some(Self::Rule(name.into())),
            _ => None,
        }
    }

    /// The kind: `endpoint` or `rule`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Endpoint(_) => "endpoint",
            Self::Rule(_) => "rule",
        }
    }

    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Endpoint(name) | Self::Rule(name) => name,
        }
    }
}

/// The state of an expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    pub subject: ExpectationSubject,
    /// Time at which `expect_every` came into force first.
    pub since: Timestamp,
    /// Time of the last genuine arrival. `None` if there was none since then.
    pub last_arrival: Option<Timestamp>,
    /// Time at which the current silence was noticed. `None` if there is none.
    pub noticed_at: Option<Timestamp>,
}

impl Expectation {
    /// A new expectation, without an arrival.
    pub fn new(subject: ExpectationSubject, since: Timestamp) -> Self {
        Self {
            subject,
            since,
            last_arrival: None,
            noticed_at: None,
        }
    }

    /// The time from which silence counts.
    pub fn quiet_since(&self) -> Timestamp {
        self.last_arrival.unwrap_or(self.since)
    }
}
