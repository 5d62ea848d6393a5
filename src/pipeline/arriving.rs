//! A request on its way, and what is decided about it.
//!
//! Its record is left to `arrivals.rs`.

use std::sync::Arc;

use crate::event::{Decision, EventId, Received, RuleDecision};
use crate::payload::Event;
use crate::pipeline::authorization::Authorization;
use crate::report::{self, Arrival};
use crate::rules::{Endpoint, RuleSet};
use crate::store::Enqueued;

/// A request on its way, with the rules that decide about it.
#[derive(Clone, Copy)]
pub struct Arriving<'r> {
    pub rules: &'r RuleSet,
    pub endpoint: &'r Endpoint,
    pub received: &'r Received,
    /// True if the body may hold a secret, so that no record keeps it.
    pub(super) is_withheld: bool,
}

impl<'r> Arriving<'r> {
    pub fn new(rules: &'r RuleSet, endpoint: &'r Endpoint, received: &'r Received) -> Self {
        Self {
            rules,
            endpoint,
            received,
            is_withheld: false,
        }
    }

    /// The same request, of which no record keeps the body.
    pub(super) fn withheld(self) -> Self {
        Self {
            is_withheld: true,
            ..self
        }
    }

    /// The decision of these rules.
    pub(super) fn decision(&self, rules: Vec<RuleDecision>) -> Decision {
        let digest = self.rules.sha256.get(..Decision::DIGEST);
        Decision {
            generation: self.rules.generation,
            rules_sha256: digest.unwrap_or_default().into(),
            unlisted: self.endpoint.rules.len().saturating_sub(rules.len()),
            rules,
            verified: Vec::new(),
        }
    }
}

/// Decides for each rule why it does or does not match the event, in the order of
/// [`Decision::rules`]. `matched` are the indices of the rules that match.
pub(super) fn decisions(
    endpoint: &Endpoint,
    event: &Event,
    authorization: &Authorization<'_>,
    matched: &[usize],
) -> Vec<RuleDecision> {
    let mut decided: Vec<RuleDecision> = matched
        .iter()
        .filter_map(|index| {
            let decided = decision(endpoint, *index, None)?;
            Some(RuleDecision {
                verified_by: authorization.verified_by(*index).map(|by| by.to_string().into()),
                ..decided
            })
        })
        .take(Decision::RULES)
        .collect();
    if decided.len() == endpoint.rules.len() {
        return decided;
    }
    let left = Decision::RULES - decided.len();
    let considered = |index: usize| authorization.trusts(index) && !matched.contains(&index);
    for (index, explanation) in endpoint.matcher.nearest(event, &considered, left) {
        let reason = if explanation.matched {
            "its actions need the payload, which cannot be read".to_owned()
        } else {
            explanation.to_string()
        };
        decided.extend(decision(endpoint, index, Some(reason)));
    }
    distrusted(endpoint, authorization, &mut decided);
    decided
}

/// Adds the reasons of the rules that do not trust the request.
pub(super) fn distrusted(
    endpoint: &Endpoint,
    authorization: &Authorization<'_>,
    decided: &mut Vec<RuleDecision>,
) {
    for index in 0..endpoint.rules.len() {
        if decided.len() >= Decision::RULES {
            break;
        }
        let reason = authorization.distrust(index);
        decided.extend(reason.and_then(|reason| decision(endpoint, index, Some(reason))));
    }
}

/// The decision of the rule at `index`. It matches if there is no reason against it.
fn decision(endpoint: &Endpoint, index: usize, reason: Option<String>) -> Option<RuleDecision> {
    let matched = reason.is_none();
    let mut reason = reason.unwrap_or_default();
    reason.truncate(reason.floor_char_boundary(Decision::REASON));
    Some(RuleDecision {
        rule: Arc::clone(&endpoint.rules.get(index)?.name),
        matched,
        reason,
        verified_by: None,
    })
}

/// Describes an event of which nothing is new.
pub(super) fn taken_before(enqueued: &[Enqueued]) -> String {
    if let Some((of, header)) = altered_of(enqueued) {
        return report::altered(of, header);
    }
    let first = enqueued.iter().find_map(|enqueued| match enqueued {
        Enqueued::Duplicate { of } => Some(of),
        _ => None,
    });
    first.map_or_else(String::new, |of| format!("a duplicate of {of}"))
}

/// Returns the arrival with which an altered request shares its signed content, and the header that
/// differs, if nothing of the request was accepted.
pub(super) fn altered_of(enqueued: &[Enqueued]) -> Option<(EventId, &str)> {
    if enqueued.iter().any(Enqueued::is_new) {
        return None;
    }
    enqueued.iter().find_map(|enqueued| match enqueued {
        Enqueued::Altered { of, header } => Some((*of, &**header)),
        _ => None,
    })
}

/// Returns the log line of an altered request of which nothing was accepted.
pub(super) fn altered<'r>(
    received: &'r Received,
    rules: &[Arc<str>],
    enqueued: &[Enqueued],
) -> Option<Arrival<'r>> {
    let (of, header) = altered_of(enqueued)?;
    Some(Arrival::altered(
        received,
        rules.iter().map(|rule| &**rule),
        of,
        header,
    ))
}
