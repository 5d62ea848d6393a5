//! The decision of each rule about an arrival by the rules in force, with the actions as they would
//! be rendered. Nothing is verified, stored or run.

mod elements;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

pub use self::elements::{ElementExplanation, ElementsExplanation};
use crate::act::Action;
use crate::event::Received;
use crate::matching::Explanation;
use crate::payload::Event;
use crate::pipeline::{Preview, unstructured, without_credentials};
use crate::rules::{Endpoint, OnDuplicate, Rule, RuleSet};
use crate::store::{Delivery, ListedDelivery};
use crate::verify::Verification;

/// The decision of a rule by the rules in force.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RuleExplanation {
    pub rule: String,
    pub matched: bool,
    /// The decision in words: the condition that failed with the value found, or another reason.
    pub reason: String,
    /// The conditions. They may hold although the rule does not match for another reason.
    pub explanation: Explanation,
    /// Requests that count as the same event, and their treatment. Null if the rule does not match.
    pub duplicate: Option<String>,
    /// Decisions about the elements, of a rule with `for_each`.
    pub elements: Option<ElementsExplanation>,
    /// The actions as they would run. Empty if the rule does not match.
    pub actions: Vec<RenderedAction>,
    /// The `on_failure` actions as they would run.
    pub on_failure: Vec<RenderedAction>,
}

/// An action, rendered for an event.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RenderedAction {
    /// It cannot be rendered, and would fail.
    Failed {
        /// The reason.
        error: String,
    },
    /// The command, the request or the line.
    Rendered(Value),
}

impl From<Result<Value, String>> for RenderedAction {
    fn from(action: Result<Value, String>) -> Self {
        action.map_or_else(|error| Self::Failed { error }, Self::Rendered)
    }
}

/// Explains the rules of the endpoint on which an event arrived. The error is the reason why the
/// rules do not tell.
pub fn explain_event(rules: &RuleSet, event: &Event) -> Result<Vec<RuleExplanation>, String> {
    let path = &event.received.endpoint;
    let endpoint = endpoint_of(rules, path).ok_or_else(|| format!("the rules have no endpoint `{path}`"))?;
    Ok(explain_rules(endpoint, event).0)
}

/// The endpoint with this path, as the rules file writes it.
pub(super) fn endpoint_of<'r>(rules: &'r RuleSet, path: &str) -> Option<&'r Endpoint> {
    rules.endpoints.iter().find(|endpoint| *endpoint.path == *path)
}

/// Explains all rules of the endpoint. If none matches, also returns why a genuine request would be
/// refused.
pub fn explain_rules(endpoint: &Endpoint, event: &Event) -> (Vec<RuleExplanation>, Option<String>) {
    // Actions get less of the event than the conditions see.
    let stored = Event {
        received: Arc::new(without_credentials(endpoint, Received::clone(&event.received))),
        payload: event.payload.clone(),
        views: event.views.clone(),
        fired_by: None,
    };
    let rules = endpoint.rules.iter().enumerate();
    let explained: Vec<RuleExplanation> = rules
        .map(|(index, rule)| explain(endpoint, index, rule, event, &stored))
        .collect();
    let in_force = |index: usize| endpoint.rules.get(index).is_some_and(|rule| rule.enabled);
    let refused = if explained.iter().any(|rule| rule.matched) {
        None
    } else {
        unstructured(endpoint, event, &in_force)
    };
    (explained, refused)
}

/// Explains one rule. Conditions read `event`; actions read `stored`, the part of it that is
/// stored.
fn explain(endpoint: &Endpoint, index: usize, rule: &Rule, event: &Event, stored: &Event) -> RuleExplanation {
    let explanation = endpoint.matcher.explain(event, index);
    let client = event.received.client;
    // Without an address in the arguments, `allow` is not checked.
    let barred = client.filter(|_| !endpoint.allows(client) || !rule.allows(client));
    let blind = !endpoint.can_act(index, event);
    let matched = explanation.matched && rule.enabled && barred.is_none() && !blind;
    let reason = match barred {
        _ if !rule.enabled => "it is not enabled".to_owned(),
        _ if blind => "its actions need the payload, which cannot be read".to_owned(),
        Some(client) => format!("`allow` does not let {client} in"),
        None => explanation.to_string(),
    };
    let elements = ElementsExplanation::of(endpoint, index, event);
    // Actions are shown for the first element that matches.
    let first = elements.as_ref().and_then(ElementsExplanation::first);
    let preview = if matched {
        Preview::new(endpoint, rule, first, &stored.seen_in(rule.view))
    } else {
        Preview::default()
    };
    let rendered = |actions: Vec<Result<Value, String>>| actions.into_iter().map(Into::into).collect();
    RuleExplanation {
        rule: rule.name.to_string(),
        matched,
        reason,
        explanation,
        duplicate: matched.then(|| duplicate(endpoint, rule)),
        elements,
        actions: rendered(preview.actions),
        on_failure: rendered(preview.on_failure),
    }
}

/// The target that the next action of a delivery calls, by the rules in force. `explained`: the
/// rules of its endpoint. `None` if it calls none, or if that is not known.
pub(super) fn target_of(
    rules: &RuleSet,
    explained: &[RuleExplanation],
    entry: &ListedDelivery,
) -> Option<String> {
    let endpoint = endpoint_of(rules, &entry.endpoint)?;
    let Delivery {
        rule: name,
        action: index,
        failure_of,
        ..
    } = &entry.delivery;
    let rule = endpoint.rules.iter().find(|rule| rule.name == *name)?;
    let action = if failure_of.is_some() {
        rule.on_failure.get(*index).map(|(action, _)| action)
    } else {
        rule.actions.get(*index)
    };
    if let Some(target) = action.and_then(Action::target)? {
        return Some(target);
    }
    // The event names the target.
    let explained = explained.iter().find(|known| *known.rule == **name)?;
    let actions = if failure_of.is_some() {
        &explained.on_failure
    } else {
        &explained.actions
    };
    let RenderedAction::Rendered(action) = actions.get(*index)? else {
        return None;
    };
    let url = action.get("forward")?.get("url")?.as_str()?;
    Action::target_of(url).ok()
}

/// Explains which requests count as the same event for a rule, and their treatment.
fn duplicate(endpoint: &Endpoint, rule: &Rule) -> String {
    let indices = rule.alternatives.iter().map(|known| known.verification);
    let verifications: Vec<&Verification> = indices
        .filter_map(|index| endpoint.verifications.get(index))
        .collect();
    let by = recognised_by(&verifications);
    if by.is_empty() {
        return "the same event is not recognised if it comes again: it would run again".to_owned();
    }
    let then = match rule.on_duplicate {
        OnDuplicate::Ignore => "runs nothing",
        OnDuplicate::Reject => "is answered 409 and runs nothing",
        OnDuplicate::Run => "runs again",
    };
    let may_repeat = verifications.iter().any(|known| known.may_repeat());
    let hint = if rule.on_duplicate != OnDuplicate::Run && may_repeat {
        "; if the sender signs the same content for each event, set `on_duplicate: run`"
    } else {
        ""
    };
    format!("the same event, recognised by {by}, {then} if it comes again{hint}")
}

/// Describes the bytes by which events are recognised. Several alternatives are named. Empty if
/// there are none.
fn recognised_by(verifications: &[&Verification]) -> String {
    if let [single] = verifications {
        return single.recognised_by();
    }
    let each = verifications.iter().filter_map(|known| {
        let by = known.recognised_by();
        (!by.is_empty()).then(|| format!("{by} (`{}`)", known.scheme()))
    });
    each.collect::<Vec<_>>().join(", or by ")
}
