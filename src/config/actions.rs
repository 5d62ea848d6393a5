//! `actions:` and `on_failure:` of a rule, each action with its retries.

use std::sync::Arc;

use crate::act::{Action, CompileContext, Retry};
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::template::{KnownActions, NamedAction};

/// Maximum number of actions in a list.
const MAX_ACTIONS: usize = 64;

/// Compiles `actions:`, each with its retries. `retry`: that of the rule or of the defaults.
pub fn compile(
    node: Node<'_>,
    retry: Option<&Retry>,
    awaited: bool,
    names: &Arc<[NamedAction]>,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> (Vec<Action>, Vec<Retry>) {
    let actions = match node.given("actions") {
        Some(node) => list(node, "actions", names, context, diagnostics),
        None => Vec::new(),
    };
    let mut retries = Vec::new();
    for (action, own) in &actions {
        retries.push(match (own.as_ref(), retry) {
            (Some(retry), _) | (None, Some(retry)) => retry.clone(),
            // The sender waits and retries itself: one attempt, unless the rule sets `retry`.
            _ if awaited => Retry {
                attempts: 1,
                ..action.default_retry()
            },
            _ => action.default_retry(),
        });
    }
    (actions.into_iter().map(|(action, _)| action).collect(), retries)
}

/// Compiles the list `on_failure:`, each action with its own retries or the default ones. The rule's `retry`
/// applies to `actions` only.
pub fn on_failure(
    node: Node<'_>,
    names: &Arc<[NamedAction]>,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<(Action, Retry)> {
    let context = CompileContext {
        templates: &context.templates.for_failures(),
        ..*context
    };
    with_retries(list(node, "on_failure", names, &context, diagnostics))
}

/// Compiles the list `on_silence:` in the same way.
pub fn on_silence(
    node: Node<'_>,
    names: &Arc<[NamedAction]>,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<(Action, Retry)> {
    let context = CompileContext {
        templates: &context.templates.for_silence(),
        ..*context
    };
    with_retries(list(node, "on_silence", names, &context, diagnostics))
}

/// Gives each action its own retries or the default ones.
fn with_retries(actions: Vec<(Action, Option<Retry>)>) -> Vec<(Action, Retry)> {
    let with_retry = |(action, own): (Action, Option<Retry>)| {
        let retry = own.unwrap_or_else(|| action.default_retry());
        (action, retry)
    };
    actions.into_iter().map(with_retry).collect()
}

/// Compiles a list of actions, each with its own `retry`.
fn list(
    list: Node<'_>,
    key: &'static str,
    names: &Arc<[NamedAction]>,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<(Action, Option<Retry>)> {
    if !list.value().is_sequence() {
        let diagnostic = list.error("actions", format!("`{key}` is a list"));
        diagnostics.push(diagnostic.hint(format!("write `{key}:`, then `- run: [program, argument]`")));
        return Vec::new();
    }
    let items = list.items();
    if items.is_empty() || items.len() > MAX_ACTIONS {
        let message = format!(
            "a rule has 1 to {MAX_ACTIONS} {key}, this one has {}",
            items.len()
        );
        diagnostics.push(list.error("actions", message));
    }
    let compiled = items.into_iter().enumerate().filter_map(|(index, item)| {
        let known = KnownActions::Of {
            actions: Arc::clone(names),
            earlier: index,
        };
        let context = CompileContext {
            templates: &context.templates.with_actions(known),
            ..*context
        };
        let retry = item
            .given("retry")
            .and_then(|retry| Retry::compile(retry, diagnostics));
        Some((Action::compile(item, &context, diagnostics)?, retry))
    });
    compiled.collect()
}
