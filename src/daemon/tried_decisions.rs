//! Decisions of the rules in force and of a copy about one request, rule by rule.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use crate::admin::{TriedChange, TriedDecision, TriedRule};
use crate::base::url_path;
use crate::config::RulesCopy;
use crate::pipeline::{KeptArrival, Unknown, Verdict};
use crate::plan::{differences_of, unknown_words};
use crate::rules::{Endpoint, RuleSet};
use crate::store::ProofRecord;

/// Maximum rules that are listed.
pub const TRIED_LISTED: usize = 200;
/// Maximum bytes of what a rule would do.
pub const ACTIONS_SHOWN: usize = 16 << 10;
/// Elements of an event whose actions are shown.
const ELEMENTS_SHOWN: usize = 3;
/// Replaces a value that is not shown.
const MASK: &str = "[redacted]";

/// The rules that decide.
pub struct Trial<'r> {
    /// Rules in force.
    pub live: &'r RuleSet,
    /// The same with masked secrets. `None` if the file on disk is another one.
    pub basis: Option<&'r RuleSet>,
    /// The copy.
    pub new: Option<&'r RuleSet>,
    /// True if the request was pasted, so that it counts as verified.
    pub is_pasted: bool,
}

/// The decision of a rule set, and the rules that it is about.
struct Decided<'r> {
    verdict: Verdict<'r>,
    matched: HashSet<&'r Arc<str>>,
    unknown: HashMap<&'r Arc<str>, Unknown>,
}

impl<'r> Decided<'r> {
    fn new(rules: &'r RuleSet, before: Option<&RuleSet>, arrival: &KeptArrival) -> Self {
        let verdict = Verdict::new(rules, before, arrival);
        Self {
            matched: verdict.matched().collect(),
            unknown: verdict.unknown().collect(),
            verdict,
        }
    }

    /// The decision of a rule. `by` renders what it would do.
    fn of(&self, rule: &Arc<str>, by: &Verdict<'_>, copy: &RulesCopy) -> TriedDecision {
        if let Some(why) = self.unknown.get(rule) {
            return TriedDecision {
                matched: None,
                reason: Some(unknown_words(*why).to_owned()),
                actions: None,
            };
        }
        let matched = self.matched.contains(rule);
        let reason = || copy.without_secrets(&self.verdict.reason(rule));
        TriedDecision {
            matched: Some(matched),
            reason: (!matched).then(reason),
            actions: matched.then(|| rendered(by, rule, copy)),
        }
    }
}

/// Decides about a request. Returns the rules, those that change first, and the number of those that
/// are left out.
pub fn decisions(trial: &Trial<'_>, mut arrival: KeptArrival, copy: &RulesCopy) -> (Vec<TriedRule>, usize) {
    let all = [Some(trial.live), trial.basis, trial.new];
    let path = url_path::normalized(&arrival.received.path).into_owned();
    if trial.is_pasted {
        let endpoints = all.iter().flatten().filter_map(|rules| rules.endpoint(&path));
        arrival.proofs = endpoints.flat_map(|(endpoint, _)| verified(endpoint)).collect();
    }
    let old = trial.basis.unwrap_or(trial.live);
    let today = Decided::new(trial.live, None, &arrival);
    let basis = Verdict::new(old, None, &arrival);
    let before = Some(old).filter(|_| !trial.is_pasted);
    let new = trial
        .new
        .map(|rules| (rules, Decided::new(rules, before, &arrival)));
    let mut names: Vec<Arc<str>> = Vec::new();
    for rules in [Some(trial.live), trial.new].into_iter().flatten() {
        if let Some((endpoint, _)) = rules.endpoint(&path) {
            names.extend(endpoint.rules.iter().map(|rule| Arc::clone(&rule.name)));
        }
    }
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(Arc::clone(name)));
    let tried = names.iter().map(|rule| {
        let before = today.of(rule, &basis, copy);
        match &new {
            Some((rules, new)) if !old.has_like(rules, rule) => {
                let after = new.of(rule, &new.verdict, copy);
                let both = before.matched == Some(true) && after.matched == Some(true);
                let differences = if both {
                    differences_of(rule, &basis, &new.verdict)
                } else {
                    Vec::new()
                };
                let differences = differences.into_iter().map(|one| one.place).collect();
                changed(rule, before, after, differences)
            }
            _ => changed(rule, before.clone(), before, Vec::new()),
        }
    });
    let mut tried: Vec<TriedRule> = tried.collect();
    tried.sort_by_key(|one| one.change);
    let left_out = tried.len().saturating_sub(TRIED_LISTED);
    tried.truncate(TRIED_LISTED);
    (tried, left_out)
}

fn changed(
    rule: &Arc<str>,
    before: TriedDecision,
    mut after: TriedDecision,
    differences: Vec<String>,
) -> TriedRule {
    let is_masked = after.reason.as_ref().is_some_and(|reason| reason.contains(MASK));
    if before.matched == Some(true) && after.matched == Some(false) && is_masked {
        after.matched = None;
        after.reason = Some("a condition compares with a masked value".to_owned());
    }
    let change = match (before.matched, after.matched) {
        (Some(true), Some(false)) => TriedChange::Loses,
        (Some(false), Some(true)) => TriedChange::Gains,
        (None, _) | (_, None) if before != after => TriedChange::Unknown,
        _ if differences.is_empty() => TriedChange::Same,
        _ => TriedChange::Differs,
    };
    TriedRule {
        rule: rule.to_string(),
        change,
        before,
        after,
        differences,
    }
}

/// Records of success of all verifications of an endpoint.
fn verified(endpoint: &Endpoint) -> impl Iterator<Item = ProofRecord> {
    let verifications = endpoint.verifications.iter();
    verifications.map(|verification| ProofRecord {
        scheme: Arc::clone(verification.scheme()),
        secret: verification
            .secrets()
            .into_iter()
            .next()
            .map(|(source, _)| source),
        sent_at: None,
        signed: false,
        dedup_keys: Vec::new(),
    })
}

/// What a rule would do, as JSON text without secrets.
fn rendered(verdict: &Verdict<'_>, rule: &str, copy: &RulesCopy) -> String {
    let elements = verdict.elements(rule).map(|mut elements| {
        elements.truncate(ELEMENTS_SHOWN);
        elements
    });
    let rendered = verdict.rendered(rule, elements.as_deref());
    let all = match <[Value; 1]>::try_from(rendered) {
        Ok([one]) => one,
        Err(several) => several.into(),
    };
    let mut text = copy.without_secrets(&serde_json::to_string_pretty(&all).unwrap_or_default());
    if text.len() > ACTIONS_SHOWN {
        text.truncate(text.floor_char_boundary(ACTIONS_SHOWN));
        text.push('…');
    }
    text
}
