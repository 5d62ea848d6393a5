//! The choice of what is asked outside of `match`: signatures, tokens and addresses.
//!
//! A signature is always asked. A token or an address is, if the hook could not fire without it, so
//! that nothing changes.

use super::checks::{Candidate, Kind};
use super::logic::{Condition, Formula};
use super::notes::Notes;
use super::yaml::{Map, Yaml};

/// The parts of a trigger rule, by the keys of the rule that ask them.
pub(super) struct Chosen {
    /// `None`: anyone can fire the hook.
    pub(super) verify: Option<Yaml>,
    /// True if what is verified tells one event from another.
    pub(super) tells_events_apart: bool,
    pub(super) allow: Vec<String>,
    pub(super) condition: Condition,
}

/// The formula of a trigger rule with its outer conditions.
struct Choice<'c, 'd> {
    formula: Formula,
    candidates: &'c [Candidate<'d>],
    /// The conditions that are asked outside.
    asked: Vec<usize>,
}

/// Chooses what is asked outside of `match`.
pub(super) fn choose(formula: Formula, candidates: &[Candidate<'_>], notes: &mut Notes) -> Chosen {
    let of = |wanted: fn(&Kind) -> bool| -> Vec<usize> {
        let all = candidates.iter().enumerate();
        all.filter(|(_, candidate)| wanted(&candidate.kind))
            .map(|(at, _)| at)
            .collect()
    };
    let mut choice = Choice {
        formula,
        candidates,
        asked: Vec::new(),
    };
    let signatures = choice.signatures(of(|kind| matches!(kind, Kind::Signature(_))), notes);
    let tokens = if signatures.is_empty() {
        choice.needed(&of(|kind| matches!(kind, Kind::Token(_))))
    } else {
        Vec::new()
    };
    choice.asked.extend(&tokens);
    let addresses = choice.needed(&of(|kind| matches!(kind, Kind::Address(_))));
    choice.asked.extend(&addresses);
    let mut schemes: Vec<Map> = Vec::new();
    let mut allow = Vec::new();
    for candidate in signatures
        .iter()
        .chain(&tokens)
        .chain(&addresses)
        .filter_map(|at| candidates.get(*at))
    {
        match &candidate.kind {
            Kind::Signature(all) => schemes.extend(all.iter().cloned()),
            Kind::Token(scheme) => schemes.push(scheme.clone()),
            Kind::Address(networks) => allow.extend(networks.iter().cloned()),
        }
    }
    // The scheme `gitlab` knows where the sender's id stands.
    let has_id = !schemes.is_empty() && schemes.iter().all(|scheme| scheme.has("gitlab"));
    Chosen {
        verify: verify(schemes),
        tells_events_apart: !signatures.is_empty() || has_id,
        allow,
        condition: choice.condition(&[]),
    }
}

/// `verify` of these schemes, any of which may hold.
fn verify(mut schemes: Vec<Map>) -> Option<Yaml> {
    match schemes.len() {
        0 => None,
        1 => Some(schemes.remove(0).into()),
        _ => {
            let schemes = schemes.into_iter().map(Yaml::from).collect();
            Some(Map::new().with("any", Yaml::List(schemes)).into())
        }
    }
}

impl Choice<'_, '_> {
    /// The condition under which the hook fires, if the conditions of `failing` fail.
    fn condition(&self, failing: &[usize]) -> Condition {
        let replacement = |at: usize| {
            if failing.contains(&at) {
                Formula::Constant(false)
            } else if self.asked.contains(&at) {
                Formula::Constant(true)
            } else {
                let inside = self.candidates.get(at).map(|candidate| candidate.inside.clone());
                inside.unwrap_or(Formula::Constant(false))
            }
        };
        self.formula.with(&replacement).fires()
    }

    /// Asks for all signatures, and tells where that changes something. Returns those to verify.
    fn signatures(&mut self, mut all: Vec<usize>, notes: &mut Notes) -> Vec<usize> {
        self.asked.extend(&all);
        let together = self.condition(&[]);
        let is_open = self.condition(&all) != Condition::Never;
        let needed = |at: &usize| self.condition(&[*at]) == Condition::Never;
        if let Some(first) = all.iter().copied().find(needed)
            && all.len() > 1
        {
            for candidate in all
                .iter()
                .filter(|at| **at != first)
                .filter_map(|at| self.candidates.get(*at))
            {
                notes.changed(
                    candidate.node,
                    "verify",
                    "signatures",
                    "this signature is not checked, because another one is needed as well",
                    "`verify` takes one: choose the stronger one",
                );
            }
            all = vec![first];
        } else {
            for at in &all {
                let others: Vec<usize> = all.iter().copied().filter(|other| other != at).collect();
                let Some(candidate) = self.candidates.get(*at) else {
                    continue;
                };
                if is_open {
                    notes.changed(
                        candidate.node,
                        "verify",
                        "unsafe",
                        "the hook could fire without this signature",
                        "now each event needs a signature, and `match` asks for the rest",
                    );
                } else if self.condition(&others) != together {
                    notes.changed(
                        candidate.node,
                        "verify",
                        "signatures",
                        "this signature was asked together with other conditions",
                        "now one valid signature is enough, whatever `match` asks beside it",
                    );
                }
            }
        }
        all
    }

    /// Those of `all` that can be asked outside of `match` without a change.
    fn needed(&self, all: &[usize]) -> Vec<usize> {
        if all.is_empty() {
            return Vec::new();
        }
        let with = |asked: &[usize]| Self {
            formula: self.formula.clone(),
            candidates: self.candidates,
            asked: self.asked.iter().chain(asked).copied().collect(),
        };
        let asked = with(all);
        let together = asked.condition(&[]);
        let alone = |at: &usize| {
            let others: Vec<usize> = all.iter().copied().filter(|other| other != at).collect();
            asked.condition(&others) == together
        };
        if asked.condition(all) == Condition::Never && all.iter().all(alone) {
            return all.to_vec();
        }
        let needed = |at: &&usize| with(&[**at]).condition(&[**at]) == Condition::Never;
        all.iter().find(needed).copied().into_iter().collect()
    }
}
