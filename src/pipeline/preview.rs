//! Actions as they would run for an event: rendered, and not performed.

use std::sync::Arc;

use minijinja::Value as TemplateValue;
use serde_json::{Value, json};

use crate::act::{self, Action, ActionContext, FailureContext, PerformedAction};
use crate::payload::Event;
use crate::rules::{Endpoint, Rule};

/// The actions of a rule, each described, or the reason why it would fail.
#[derive(Debug, Default)]
pub struct Preview {
    pub actions: Vec<Result<Value, String>>,
    /// The `on_failure` actions.
    pub on_failure: Vec<Result<Value, String>>,
}

/// Placeholder values, since no failure has happened yet.
const FAILURE: FailureContext<'_> = FailureContext {
    action: "<action>",
    reason: "<reason>",
    output: "<output>",
};

impl Preview {
    /// Renders the actions of a rule. `stored` is the part of the event that is stored. With
    /// `for_each`, `item` is the index of the element; without it there is nothing to be run.
    pub fn new(endpoint: &Endpoint, rule: &Rule, item: Option<usize>, stored: &Event) -> Self {
        let for_each = rule.for_each.as_ref();
        let item = for_each.and_then(|for_each| act::items(stored, &for_each.path).into_iter().nth(item?));
        if for_each.is_some() && item.is_none() {
            return Self::default();
        }
        let performed = placeholders(&rule.actions, &rule.ids);
        let context = ActionContext {
            event: stored,
            rule: &rule.name,
            delivery: "00000000-0000-0000-0000-000000000000".to_owned(),
            attempt: 1,
            verified: true,
            replays: 0,
            withheld: &endpoint.credentials,
            event_name: rule.event_name.as_ref(),
            actions: &performed,
            item,
            failure: None,
            live: None,
        };
        let on_failure = rule.on_failure.iter().map(|(action, _)| action);
        let handled = placeholders(on_failure.clone(), &rule.failure_ids);
        let failed = ActionContext {
            failure: Some(FAILURE),
            actions: &handled,
            ..context.clone()
        };
        Self {
            actions: described(rule.actions.iter(), &context.values()),
            on_failure: described(on_failure, &failed.values()),
        }
    }

    /// Lists the actions as JSON: each described, or `{"error": …}`. The second list is that of
    /// `on_failure`.
    pub fn to_json(&self) -> (Vec<Value>, Vec<Value>) {
        let listed = |actions: &[Result<Value, String>]| {
            let actions = actions.iter().cloned();
            let actions = actions.map(|action| action.unwrap_or_else(|error| json!({"error": error})));
            actions.collect()
        };
        (listed(&self.actions), listed(&self.on_failure))
    }

    /// Formats the actions as lines of text.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let line = |words: &'static str| {
            move |action: &Result<Value, String>| match action {
                Ok(action) => format!("{words} do {action}"),
                Err(error) => format!("{words} fail: {error}"),
            }
        };
        let actions = self.actions.iter().map(line("would"));
        actions.chain(self.on_failure.iter().map(line("on failure would")))
    }
}

/// Placeholder outputs, since no action has run.
fn placeholders<'a>(
    actions: impl IntoIterator<Item = &'a Action>,
    ids: &[Option<Arc<str>>],
) -> Vec<PerformedAction> {
    let actions = actions.into_iter().zip(ids);
    let placeholders = actions.map(|(action, id)| PerformedAction::placeholder(id.clone(), action.name()));
    placeholders.collect()
}

/// Describes the actions, rendered for the event.
fn described<'a>(
    actions: impl Iterator<Item = &'a Action>,
    values: &TemplateValue,
) -> Vec<Result<Value, String>> {
    actions
        .map(|action| action.describe(values).map_err(|error| error.to_string()))
        .collect()
}
