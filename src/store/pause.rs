//! Pauses of rules and targets, set by the operator.

use std::collections::HashSet;
use std::sync::Arc;

use crate::base::clock::Timestamp;

/// The rule or target that is paused. A target is scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseSubject {
    Rule(Arc<str>),
    Target(Arc<str>),
}

impl PauseSubject {
    /// The subject of a row. `None` if there is no such kind.
    pub fn from_columns(kind: &str, name: &str) -> Option<Self> {
        match kind {
            "rule" => Some(Self::Rule(name.into())),
            "target" => Some(Self::Target(name.into())),
            _ => None,
        }
    }

    /// The kind: `rule` or `target`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Rule(_) => "rule",
            Self::Target(_) => "target",
        }
    }

    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Rule(name) | Self::Target(name) => name,
        }
    }
}

/// A pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub subject: PauseSubject,
    pub since: Timestamp,
    /// The user who paused it.
    pub by: Arc<str>,
}

/// All pauses in force.
#[derive(Clone, Debug, Default)]
pub struct Pauses {
    /// Ordered by kind and name.
    pub all: Vec<Pause>,
    /// Names of the paused rules.
    pub rules: Arc<HashSet<Arc<str>>>,
}

impl Pauses {
    pub fn new(all: Vec<Pause>) -> Self {
        let rules = all.iter().filter_map(|pause| match &pause.subject {
            PauseSubject::Rule(name) => Some(Arc::clone(name)),
            PauseSubject::Target(_) => None,
        });
        Self {
            rules: Arc::new(rules.collect()),
            all,
        }
    }

    /// The pause of a rule or target.
    pub fn of(&self, subject: &PauseSubject) -> Option<&Pause> {
        self.all.iter().find(|pause| pause.subject == *subject)
    }

    /// Names of the paused targets.
    pub fn targets(&self) -> HashSet<Arc<str>> {
        let targets = self.all.iter().filter_map(|pause| match &pause.subject {
            PauseSubject::Target(name) => Some(Arc::clone(name)),
            PauseSubject::Rule(_) => None,
        });
        targets.collect()
    }
}
