//! A rule: the requests that it accepts, its actions, and how its deliveries run.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::respond::Respond;
use crate::act::{Action, Retry};
use crate::base::json_plan::Plan;
use crate::base::network::Networks;
use crate::base::written::Written;
use crate::matching::ForEach;
use crate::payload::{EventNameReader, View};
use crate::store::{Debounce, Overlap};
use crate::template::{KnownActions, NamedAction, Template};

/// Requests on an endpoint that are verified and matched in one way, and the actions for them.
#[derive(Debug)]
pub struct Rule {
    /// Name, unique in the set.
    pub name: Arc<str>,
    /// The rule, and the folder at which its paths start.
    pub written: Written,
    /// The text of the rule, for the operator. `None` until the whole file is compiled.
    pub source: Option<RuleSource>,
    /// False if the rule is switched off.
    pub enabled: bool,
    /// Names of the nodes that perform the rule. `None`: each may.
    pub nodes: Option<Vec<Arc<str>>>,
    /// Codes of the warnings that the rule allows.
    pub allowed_warnings: Vec<&'static str>,
    /// Longest time without an event for the rule. `None`: none is expected.
    pub expect_every: Option<Duration>,
    /// Networks whose requests the rule accepts, of those that the endpoint accepts. `None`: all.
    pub allow: Option<Networks>,
    /// Verifications of which one must accept a request. The first that accepts counts.
    pub alternatives: Vec<Alternative>,
    pub on_duplicate: OnDuplicate,
    /// True if the conditions read into a structured payload.
    pub needs_structure: bool,
    /// Part of the rule that reads the payload, which may be unreadable.
    pub payload_use: PayloadUse,
    /// Location of the sender's name of an event. `None` if the scheme does not say.
    pub event_name: Option<Arc<EventNameReader>>,
    /// Values of a JSON payload that the actions read, those of `on_failure` too.
    pub plan: Arc<Plan>,
    /// The view of the payload that the rule reads, if it unpacks fields. `None`: that of the
    /// endpoint.
    pub view: Option<View>,
    /// True if no delivery of the rule holds a process or a connection.
    pub is_light: bool,
    /// Actions in the order in which they run.
    pub actions: Vec<Action>,
    /// Ids of the actions, by the same index.
    pub ids: Vec<Option<Arc<str>>>,
    /// Retry policies of the actions, by the same index.
    pub retries: Vec<Retry>,
    /// Actions that run in order after a delivery has become a dead letter, each with its retry
    /// policy.
    pub on_failure: Vec<(Action, Retry)>,
    /// Ids of the `on_failure` actions, by the same index.
    pub failure_ids: Vec<Option<Arc<str>>>,
    /// Concurrency group of the deliveries. `None`: only the limits for all deliveries hold.
    pub concurrency: Option<GroupSettings>,
    /// Elements of an event that each have a delivery. `None`: an event has one.
    pub for_each: Option<ForEach>,
    /// Debounce of the deliveries. `None`: they do not wait.
    pub debounce: Option<Debounce>,
    /// Answers that this rule states, and its wait, which may be the endpoint's.
    pub respond: Respond,
}

/// The text of a rule as the file writes it, with its secrets masked.
#[derive(Clone, PartialEq, Eq)]
pub struct RuleSource {
    /// The path as the user gave it.
    pub file: PathBuf,
    /// Number of the first line, from 1.
    pub first_line: usize,
    pub text: String,
    /// Warnings of the load that point into the text, one line each.
    pub warnings: Vec<String>,
}

/// Without the text: it is long, and two texts may mean the same.
impl fmt::Debug for RuleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RuleSource")
    }
}

/// A verification by which a rule accepts requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// Index into the endpoint's `verifications`.
    pub verification: usize,
    /// Time for which an event is fresh and remembered.
    pub replay_window: Duration,
}

impl Rule {
    /// The alternative with the endpoint's verification at `index`, if the rule has it.
    pub fn alternative(&self, index: usize) -> Option<&Alternative> {
        self.alternatives
            .iter()
            .find(|alternative| alternative.verification == index)
    }

    /// True if the node of this name performs the rule.
    pub fn is_performed_by(&self, node: &str) -> bool {
        let nodes = self.nodes.as_ref();
        nodes.is_none_or(|nodes| nodes.iter().any(|name| **name == *node))
    }

    /// True if the rule allows the warning with this code.
    pub fn allows_warning(&self, code: &str) -> bool {
        self.allowed_warnings.contains(&code)
    }

    /// True if the rule accepts requests from this address.
    pub fn allows(&self, client: Option<IpAddr>) -> bool {
        is_allowed(self.allow.as_ref(), client)
    }

    /// Returns an action and its retry policy. `for_failure` selects the `on_failure` actions.
    pub fn step(&self, for_failure: bool, index: usize) -> Option<(&Action, &Retry)> {
        if for_failure {
            let (action, retry) = self.on_failure.get(index)?;
            Some((action, retry))
        } else {
            Some((self.actions.get(index)?, self.retries.get(index)?))
        }
    }

    /// All actions, as templates of answers name them.
    pub fn known_actions(&self) -> KnownActions {
        let named = self.ids.iter().zip(&self.actions);
        let named = named.map(|(id, action)| NamedAction {
            id: id.clone(),
            kind: action.name(),
        });
        KnownActions::Of {
            actions: named.collect(),
            earlier: self.actions.len(),
        }
    }

    /// Returns the id of an action. `for_failure` selects the `on_failure` actions.
    pub fn id(&self, for_failure: bool, index: usize) -> Option<&Arc<str>> {
        let ids = if for_failure { &self.failure_ids } else { &self.ids };
        ids.get(index)?.as_ref()
    }

    /// Returns the number of actions. `for_failure` selects the `on_failure` actions.
    pub fn steps(&self, for_failure: bool) -> usize {
        if for_failure {
            self.on_failure.len()
        } else {
            self.actions.len()
        }
    }

    /// True if the sender waits for this rule's outcome, so that the sender's own retries apply.
    pub fn is_awaited(&self) -> bool {
        self.respond.wait.is_some()
    }
}

/// Part of a rule that reads the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadUse {
    None,
    /// Only the conditions.
    Conditions,
    /// The actions, which cannot run if the payload is unreadable.
    Actions,
}

/// Concurrency group of a rule's deliveries.
#[derive(Debug)]
pub struct GroupSettings {
    /// Template of the group's name, which rules may share. `None`: the rule's name.
    pub group: Option<Template>,
    /// Maximum deliveries of the group that run at the same time.
    pub limit: u32,
    /// Treatment of a delivery that arrives while the group is full.
    pub overlap: Overlap,
}

/// Treatment of an event that a rule has already accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDuplicate {
    /// Answer success without running the rule.
    #[default]
    Ignore,
    /// Answer 409 without running the rule.
    Reject,
    /// Accept the event again.
    Run,
}

/// True if there is no list or the list contains the address. An unknown address is in no list.
pub(super) fn is_allowed(list: Option<&Networks>, client: Option<IpAddr>) -> bool {
    list.is_none_or(|list| client.is_some_and(|client| list.contains(client)))
}
