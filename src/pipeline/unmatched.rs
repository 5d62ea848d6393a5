//! Reasons why no rule of an endpoint matches an event.

use std::fmt::Display;

use crate::payload::{BodyKind, Event};
use crate::rules::{Endpoint, PayloadUse};

/// Explains why an event is ignored if there is no nearest rule.
pub(super) fn no_rule(endpoint: &Endpoint) -> String {
    let mut rules = endpoint.rules.iter().peekable();
    if rules.peek().is_none() || rules.any(|rule| rule.enabled) {
        return "no rule looks at such an event".to_owned();
    }
    let named: Vec<&str> = endpoint
        .rules
        .iter()
        .take(NAMED)
        .map(|rule| &*rule.name)
        .collect();
    let more = if endpoint.rules.len() > NAMED { " …" } else { "" };
    let named = named.join(", ");
    format!("every rule of this endpoint is disabled (`enabled: false`): {named}{more}")
}

/// Names the rule that matches an event best, and the reason why it does not.
pub(super) fn nearest(rule: &str, why: &dyn Display) -> String {
    format!("nearest rule {rule}: {why}")
}

/// Maximum disabled rules named in a log line.
const NAMED: usize = 5;

/// Returns the `trusted` rules that might match the event but have to read its payload, which is
/// unreadable to them, each with the reason.
pub(super) fn blind<'e>(
    endpoint: &'e Endpoint,
    event: &'e Event,
    trusted: impl Fn(usize) -> bool,
) -> impl Iterator<Item = (&'e str, &'e str)> {
    let rules = endpoint.rules.iter().enumerate();
    rules.filter_map(move |(index, rule)| {
        let fault = event.payload_in(rule.view).decode_error.as_deref()?;
        let reads = rule.payload_use != PayloadUse::None;
        let blind = reads && trusted(index) && endpoint.matcher.might_want(event, index);
        blind.then_some((&*rule.name, fault))
    })
}

/// Explains why no rule could match the event, if so. Either its body is text and every trusting
/// rule reads a structure, or its body is unreadable and a rule might otherwise have matched.
pub fn unstructured(endpoint: &Endpoint, event: &Event, trusted: &dyn Fn(usize) -> bool) -> Option<String> {
    if event.has_fault()
        && let Some((_, fault)) = blind(endpoint, event, trusted).next()
    {
        return Some(fault.to_owned());
    }
    if event.payload.kind != BodyKind::Text {
        return None;
    }
    let mut trusting = endpoint
        .rules
        .iter()
        .enumerate()
        .filter(|(index, _)| trusted(*index))
        .peekable();
    trusting.peek()?;
    let what = if event.received.body.is_empty() {
        "the body is empty"
    } else {
        "the body is text"
    };
    trusting.all(|(_, rule)| rule.needs_structure).then(|| {
        format!("{what}, and every rule reads into it: send `Content-Type: application/json`, or set `decode: json`")
    })
}
