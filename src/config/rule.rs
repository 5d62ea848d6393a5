//! An entry of `rules:`, from its mapping to a [`Rule`] on its endpoint.
//!
//! Every part is checked, whichever part is wrong. Agreement with other rules is left to
//! `cross_checks.rs`.

use super::concurrency;
use super::cross_checks::Agreements;
use super::debounce;
use super::document::RuleShape;
use super::endpoint::{EndpointBuilder, EndpointBuilders, respond};
use crate::act::{Action, Retry};
use crate::base::diagnostic::{Diagnostic, Diagnostics, did_you_mean};
use crate::base::network::Networks;
use crate::base::yaml::Node;
use crate::matching::Condition;
use crate::rules::{PayloadUse, Rule};
use crate::template::Place;
use crate::verify::{EventName, Verification};

/// Maximum length of a rule's name, in bytes.
const MAX_NAME: usize = 128;
/// Maximum number of actions in a list.
const MAX_ACTIONS: usize = 64;

/// Compiles a rule and adds it to its endpoint. Reports all errors, whichever part is wrong.
pub fn compile<'d>(
    node: Node<'d>,
    drafts: &mut EndpointBuilders<'d, '_>,
    agreements: &mut Agreements,
    diagnostics: &mut Diagnostics,
) {
    if !node.is_mapping() {
        let diagnostic = node.error("wrong-value", "a rule is a mapping");
        diagnostics.push(diagnostic.hint("write `- name: …`, and its other keys below `name`"));
        return;
    }
    let shape: RuleShape = node.read(diagnostics).unwrap_or_default();
    for key in ["name", "endpoint", "actions"] {
        diagnostics.extend(node.missing(key));
    }
    if let (Some(name), Some(place)) = (&shape.name, node.get("name")) {
        check_name(name, place, diagnostics);
    }
    let place = node.get("endpoint").unwrap_or(node);
    let index = shape
        .endpoint
        .as_deref()
        .and_then(|endpoint| drafts.named(endpoint, place, diagnostics));
    let (public_url, room, context) = (drafts.public_url, drafts.room, drafts.context);
    let patterns = drafts.patterns;
    let mut nowhere = drafts.nowhere(node);
    let draft = index.and_then(|index| drafts.at(index));
    let somewhere = draft.is_some();
    let draft = draft.unwrap_or(&mut nowhere);

    let verify = node.given("verify").or(draft.verify);
    // An endpoint that was not found might have a `verify`.
    if verify.is_none() && somewhere && node.missing("verify").is_some() {
        diagnostics.push(unverified(node, shape.name.as_deref().unwrap_or_default()));
    }
    let verification = verify.and_then(|verify| draft.verification(verify, public_url, context, diagnostics));
    let verified = verification.and_then(|index| draft.verification_at(index));
    let default_window = verified.map(Verification::default_window);
    // If the verification is invalid, assume that it knows the event's name: the condition is not
    // at fault.
    let guessed = EventName::Payload("$.event".to_owned());
    let event_name = match verified {
        Some(verified) => verified.event_name(),
        None => Some(&guessed),
    };
    let condition = match node.given("match") {
        Some(conditions) => {
            if somewhere {
                parameters(conditions, draft, diagnostics);
            }
            Condition::compile_with(conditions, event_name, patterns, diagnostics)
        }
        None => Some(Condition::always()),
    };
    let allow = node
        .given("allow")
        .and_then(|node| allow(node, draft, diagnostics));
    let rule_respond = respond(node.given("respond"), context, diagnostics);
    let awaited = rule_respond.as_ref().unwrap_or(&draft.respond).wait.is_some();
    // A condition on a value also protects the actions that receive this value. An invalid
    // condition counts as protecting all.
    let excludes_dash = |place: &Place| {
        condition
            .as_ref()
            .is_none_or(|condition| condition.excludes(place, '-'))
    };
    let guarded = crate::act::CompileContext {
        excludes_dash: Some(&excludes_dash),
        ..*context
    };
    let (actions, retries) = actions(node, awaited, &guarded, diagnostics);
    let on_failure = on_failure(node, &guarded, diagnostics);
    let concurrency = node
        .given("concurrency")
        .and_then(|node| concurrency::compile(node, awaited, room, context, diagnostics));
    let debounce = node
        .given("debounce")
        .and_then(|node| debounce::compile(node, awaited, diagnostics));
    let window = shape.replay_window.or(draft.shape.replay_window);
    if window.is_some_and(|window| window.0.is_zero()) {
        let place = node.get("replay_window").unwrap_or(node);
        diagnostics.push(place.error("replay-window", "a window of `0s` would call every event stale"));
    }
    let (Some(name), Some(verification), Some(condition), Some(default_window)) =
        (shape.name, verification, condition, default_window)
    else {
        return;
    };
    let rule = Rule {
        name: name.into(),
        enabled: shape.enabled.unwrap_or(true),
        allow,
        verification,
        replay_window: window.map_or(default_window, |window| window.0),
        on_duplicate: shape
            .on_duplicate
            .or(draft.shape.on_duplicate)
            .unwrap_or_default(),
        needs_structure: condition.needs_structure(),
        payload_use: payload_use(&condition, &actions),
        actions,
        retries,
        on_failure,
        concurrency,
        debounce,
        respond: rule_respond,
    };
    agreements.look_at(&rule, node, diagnostics);
    let silent = shape.on_duplicate.or(draft.shape.on_duplicate).is_none();
    draft.add(rule, condition, silent);
}

/// Returns the part of a rule that reads the payload.
fn payload_use(condition: &Condition, actions: &[Action]) -> PayloadUse {
    if actions.iter().any(Action::reads_payload) {
        PayloadUse::Actions
    } else if condition.reads_payload() {
        PayloadUse::Conditions
    } else {
        PayloadUse::None
    }
}

/// Reports a rule that no verification covers.
fn unverified(node: Node<'_>, name: &str) -> Diagnostic {
    let message = format!("no verification covers the rule `{name}`: anyone could fire it");
    let diagnostic = node.get("name").unwrap_or(node).error("unverified", message);
    diagnostic
        .hint("add `verify: {github: {secret: env:GITHUB_SECRET}}` or another scheme, or say `verify: none`")
}

/// Compiles a rule's `allow`. Reports if the endpoint's `allow` excludes all of it.
fn allow(node: Node<'_>, draft: &EndpointBuilder<'_>, diagnostics: &mut Diagnostics) -> Option<Networks> {
    let own = Networks::compile(node, "allow", diagnostics)?;
    if draft.allow.as_ref().is_some_and(|outer| !outer.meets(&own)) {
        let message = format!("the endpoint `{}` lets none of these in", draft.path);
        let diagnostic = node.error("never-holds", message);
        diagnostics.push(diagnostic.hint("a rule's `allow` narrows that of its endpoint"));
    }
    Some(own)
}

/// Reports `path.NAME` if the endpoint has no parameter of that name: the value would always be
/// unknown.
fn parameters(conditions: Node<'_>, draft: &EndpointBuilder<'_>, diagnostics: &mut Diagnostics) {
    for (key, value) in conditions.entries() {
        match key {
            "all" | "any" | "not" => {
                for branch in value.one_or_many() {
                    parameters(branch, draft, diagnostics);
                }
            }
            _ => {
                let known = draft.parameters();
                if let Some(name) = key.strip_prefix("path.")
                    && !name.is_empty()
                    && !known.contains(&name)
                {
                    let message = format!("the endpoint `{}` has no parameter `{name}`", draft.path);
                    let hint = match did_you_mean(name, known.iter().copied()) {
                        Some(near) => format!("did you mean `path.{near}`?"),
                        None if known.is_empty() => {
                            "a parameter is written in the endpoint: `/deploy/{app}`".to_owned()
                        }
                        None => format!("known here: {}", known.join(", ")),
                    };
                    diagnostics
                        .push(Diagnostic::error(value.key_origin(), "unknown-parameter", message).hint(hint));
                }
            }
        }
    }
}

/// Compiles `actions:`, each with its retries.
fn actions(
    node: Node<'_>,
    awaited: bool,
    context: &crate::act::CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> (Vec<Action>, Vec<Retry>) {
    let retry = node
        .given("retry")
        .map(|retry| Retry::compile(retry, diagnostics));
    let actions = list(node, "actions", context, diagnostics);
    let mut retries = Vec::new();
    for action in &actions {
        retries.push(match &retry {
            Some(Some(retry)) => retry.clone(),
            // The sender waits and retries itself: one attempt, unless the rule sets `retry`.
            _ if awaited => Retry {
                attempts: 1,
                ..action.default_retry()
            },
            _ => action.default_retry(),
        });
    }
    (actions, retries)
}

/// Compiles `on_failure:`, each action with its default retries. The rule's `retry` applies to
/// `actions` only.
fn on_failure(
    node: Node<'_>,
    context: &crate::act::CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<(Action, Retry)> {
    let context = crate::act::CompileContext {
        templates: &context.templates.for_failures(),
        ..*context
    };
    let actions = list(node, "on_failure", &context, diagnostics).into_iter();
    actions
        .map(|action| {
            let retry = action.default_retry();
            (action, retry)
        })
        .collect()
}

/// Compiles a list of actions. Empty if the key is missing.
fn list(
    node: Node<'_>,
    key: &'static str,
    context: &crate::act::CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Action> {
    let Some(list) = node.given(key) else {
        return Vec::new();
    };
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
    let compiled = items
        .into_iter()
        .filter_map(|item| Action::compile(item, context, diagnostics));
    compiled.collect()
}

/// Checks that a rule's name has only letters, digits, `-`, `_` and `.`.
fn check_name(name: &str, node: Node<'_>, diagnostics: &mut Diagnostics) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
        let message =
            format!("`{name}` is not a rule's name: 1 to {MAX_NAME} letters, digits, `-`, `_`, `.`");
        diagnostics.push(node.error("rule-name", message));
    }
}
