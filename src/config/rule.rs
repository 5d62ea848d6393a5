//! One of `rules:`.

use super::document::RuleShape;
use super::endpoint::{Drafts, respond};
use crate::act::{Action, Retry};
use crate::diagnostic::Findings;
use crate::matching::Condition;
use crate::rules::Rule;
use crate::yaml::Node;

/// The longest name of a rule, in bytes.
const MAX_NAME: usize = 128;
/// How many actions a rule may have.
const MAX_ACTIONS: usize = 64;

/// Reads a rule and adds it to its endpoint. All that is wrong with it is found, whatever part is wrong.
pub fn compile<'d>(node: Node<'d>, drafts: &mut Drafts<'d, '_>, findings: &mut Findings) {
    let Some(shape) = node.read::<RuleShape>(findings) else {
        return;
    };
    check_name(&shape.name, node.get("name").unwrap_or(node), findings);
    let place = node.get("endpoint").unwrap_or(node);
    let Some(index) = drafts.named(&shape.endpoint, place, findings) else {
        return;
    };
    let Some((draft, public_url, workshop)) = drafts.at(index) else {
        return;
    };

    let verification = if let Some(verify) = node.get("verify").or(draft.verify) {
        draft.verification(verify, public_url, workshop, findings)
    } else {
        let finding = node.get("name").unwrap_or(node).error(
            "unverified",
            format!(
                "no verification covers the rule `{}`: anyone could fire it",
                shape.name
            ),
        );
        findings.push(finding.hint(
            "add `verify: {github: {secret: env:GITHUB_SECRET}}` or another scheme, or say `verify: none`",
        ));
        None
    };
    let verified = verification.and_then(|index| draft.verification_at(index));
    let default_window = verified.map(crate::verify::Verification::default_window);
    let condition = match node.get("match") {
        Some(conditions) => Condition::compile(
            conditions,
            verified.and_then(|verified| verified.event_name()),
            findings,
        ),
        None => Some(Condition::always()),
    };
    let rule_respond = respond(shape.respond.as_ref(), node.get("respond"), workshop, findings);
    let awaited = rule_respond.as_ref().unwrap_or(&draft.respond).wait.is_some();
    let (actions, retries) = actions(node, awaited, workshop, findings);
    let window = shape.replay_window.or(draft.shape.replay_window);
    if window.is_some_and(|window| window.0.is_zero()) {
        let place = node.get("replay_window").unwrap_or(node);
        findings.push(place.error("replay-window", "a window of `0s` would call every event stale"));
    }
    let (Some(verification), Some(condition), Some(default_window)) =
        (verification, condition, default_window)
    else {
        return;
    };
    let rule = Rule {
        name: shape.name.into(),
        enabled: shape.enabled.unwrap_or(true),
        verification,
        replay_window: window.map_or(default_window, |window| window.0),
        on_duplicate: shape
            .on_duplicate
            .or(draft.shape.on_duplicate)
            .unwrap_or_default(),
        needs_structure: condition.needs_structure(),
        actions,
        retries,
        respond: rule_respond,
    };
    draft.add(rule, condition);
}

/// `actions:`, each with how often it is tried.
fn actions(
    node: Node<'_>,
    awaited: bool,
    workshop: &crate::act::Workshop<'_>,
    findings: &mut Findings,
) -> (Vec<Action>, Vec<Retry>) {
    let list = node.get("actions").unwrap_or(node);
    let items = list.items();
    if items.is_empty() || items.len() > MAX_ACTIONS {
        let message = format!(
            "a rule has 1 to {MAX_ACTIONS} actions, this one has {}",
            items.len()
        );
        findings.push(list.error("actions", message));
    }
    let retry = node.get("retry").map(|retry| Retry::compile(retry, findings));
    let mut actions = Vec::new();
    let mut retries = Vec::new();
    for item in items {
        let Some(action) = Action::compile(item, workshop, findings) else {
            continue;
        };
        retries.push(match &retry {
            Some(Some(retry)) => retry.clone(),
            // The sender waits and tries again itself: one attempt, unless the rule says otherwise.
            _ if awaited => Retry {
                attempts: 1,
                ..action.default_retry()
            },
            _ => action.default_retry(),
        });
        actions.push(action);
    }
    (actions, retries)
}

/// Letters, digits, `-`, `_`, `.`.
fn check_name(name: &str, node: Node<'_>, findings: &mut Findings) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
        let message =
            format!("`{name}` is not a rule's name: 1 to {MAX_NAME} letters, digits, `-`, `_`, `.`");
        findings.push(node.error("rule-name", message));
    }
}
