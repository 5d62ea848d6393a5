//! The nodes of a store that several daemons share.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;

/// The rules that a node has in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    pub generation: u64,
    /// SHA-256 of the rules file, as `status` shows it.
    pub sha256: String,
    /// Rules that this node performs.
    pub rules: Arc<HashSet<Arc<str>>>,
    /// All rules of the rules file, also those that only other nodes perform.
    pub known: Arc<HashSet<Arc<str>>>,
}

/// A node as the others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    pub name: Arc<str>,
    /// True for the node that was asked.
    pub is_self: bool,
    /// Version of hookyard.
    pub version: String,
    /// Start of the node.
    pub since: Timestamp,
    /// Time since the last heartbeat.
    pub silent_for: Duration,
    pub generation: u64,
    pub sha256: String,
    /// Deliveries that are leased to it.
    pub leases: u64,
}

/// The rules whose deliveries are leased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WantedRules {
    #[default]
    All,
    /// Rules that this node performs. Deliveries for other rules wait for another node.
    Only(Arc<HashSet<Arc<str>>>),
}

impl WantedRules {
    pub fn contains(&self, rule: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(rules) => rules.contains(rule),
        }
    }
}
