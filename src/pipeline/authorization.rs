//! Which rules of an endpoint trust a request: each verification computed once, freshness by each rule's own window.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::base::clock::Timestamp;
use crate::event::Received;
use crate::pipeline::usage::Usage;
use crate::rules::{Endpoint, Rule};
use crate::store::{Headers, Sighting};
use crate::verify::{DedupKey, Proof, Refusal};

/// What a request proves that was refused, and is taken all the same.
static NOTHING: Proof = Proof {
    timestamp: None,
    dedup_keys: Vec::new(),
    secret: None,
    read: None,
};

/// A rule that takes the event, with what proved it.
pub(super) struct Match<'e> {
    pub(super) rule: &'e Rule,
    pub(super) proof: &'e Proof,
    /// Why it was refused, where the rule takes it all the same (`mode: observe`).
    pub(super) unverified: Option<Cow<'e, Refusal>>,
}

/// By what a genuine request is recognised again.
#[derive(Default)]
pub(super) struct Recognised {
    /// What rules remember it by.
    pub(super) keys: Vec<DedupKey>,
    /// What the endpoint remembers of it.
    pub(super) sighting: Option<Arc<Sighting>>,
}

/// What each verification of an endpoint says of a request, and what follows for each rule.
pub(super) struct Authorization<'e> {
    endpoint: &'e Endpoint,
    proofs: Vec<Result<Proof, Refusal>>,
    client: Option<IpAddr>,
    now: Timestamp,
}

impl<'e> Authorization<'e> {
    /// Each verification is computed once, whatever the number of rules.
    pub(super) fn new(endpoint: &'e Endpoint, received: &Received) -> Self {
        let proofs = endpoint
            .verifications
            .iter()
            .map(|verification| verification.prove(received))
            .collect();
        Self {
            endpoint,
            proofs,
            client: received.client,
            now: received.at,
        }
    }

    /// Notes which secrets it was that held.
    pub(super) fn note(&self, usage: &Usage) {
        for (verification, proof) in self.endpoint.verifications.iter().zip(&self.proofs) {
            if let Ok(Proof {
                secret: Some(source), ..
            }) = proof
            {
                usage.note(&self.endpoint.path, verification.scheme(), source, self.now);
            }
        }
    }

    /// Whether a verification of the endpoint holds.
    pub(super) fn is_genuine(&self) -> bool {
        self.proofs.iter().any(Result::is_ok)
    }

    /// By what the request is recognised again, for each verification by which a rule trusts it.
    pub(super) fn recognised(&self, received: &Received) -> Vec<Recognised> {
        let proofs = self.proofs.iter().zip(&self.endpoint.recognitions).enumerate();
        let recognised = proofs.map(|(index, (proof, recognition))| {
            let (Ok(proof), Some(memory)) = (proof, self.memory(index)) else {
                return Recognised::default();
            };
            let keys = recognition.keys(proof, received);
            let remembered = recognition.reads_headers() && !keys.is_empty();
            let sighting = remembered.then(|| {
                Arc::new(Sighting {
                    endpoint: Arc::clone(&received.endpoint),
                    event: received.id,
                    at: received.at,
                    // Whatever the place: with another one a stranger could choose the headers anew.
                    keys: proof.dedup_keys.clone(),
                    headers: Headers::new(&recognition.headers(received)),
                    remember_until: received.at.plus(memory),
                })
            });
            Recognised { keys, sighting }
        });
        recognised.collect()
    }

    /// How long what the verification at `index` has proved is remembered for the endpoint: as long as by any rule that
    /// trusts it. `None` if none does.
    fn memory(&self, index: usize) -> Option<Duration> {
        let rules = self.endpoint.rules.iter();
        let rules = rules.filter(|rule| rule.enabled && rule.verification == index);
        let trusting = rules.filter_map(|rule| Some(self.judge(rule)?.ok()?.memory(rule.replay_window)));
        trusting.max()
    }

    /// Whether a verification other than `none` holds, so that not everybody can have sent it.
    pub(super) fn is_verified(&self) -> bool {
        let mut authorization = self.endpoint.verifications.iter().zip(&self.proofs);
        authorization.any(|(verification, proof)| proof.is_ok() && !verification.is_none())
    }

    /// The body as JSON, if a verification had to read it.
    pub(super) fn read(&self) -> Option<&Arc<Value>> {
        self.proofs
            .iter()
            .find_map(|proof| proof.as_ref().ok()?.read.as_ref())
    }

    /// What proves the request for this rule, or why it does not.
    fn judge(&self, rule: &Rule) -> Option<Result<&Proof, Cow<'_, Refusal>>> {
        // First, for whom a rule does not take from shall not learn that he is genuine and late.
        if !rule.lets_in(self.client) {
            let client = self.client;
            return Some(Err(Cow::Owned(Refusal::AddressNotAllowed { client })));
        }
        let proof = match self.proofs.get(rule.verification)? {
            Ok(proof) => proof,
            Err(refusal) => return Some(Err(Cow::Borrowed(refusal))),
        };
        let payload_cache = proof.freshness(rule.replay_window, self.now);
        Some(payload_cache.map(|()| proof).map_err(Cow::Owned))
    }

    /// The rule at `index` with its proof, if it is in force and takes the request: because it is genuine and fresh for
    /// it, or because its verification only observes.
    pub(super) fn matched(&self, index: usize) -> Option<Match<'_>> {
        let rule = self.endpoint.rules.get(index).filter(|rule| rule.enabled)?;
        let (proof, unverified) = match self.judge(rule)? {
            Ok(proof) => (proof, None),
            Err(refusal) => {
                let verification = self.endpoint.verifications.get(rule.verification)?;
                // What is only observed is the proof, not the list of whom it is taken from.
                if !verification.observes() || !rule.lets_in(self.client) {
                    return None;
                }
                (&NOTHING, Some(refusal))
            }
        };
        Some(Match {
            rule,
            proof,
            unverified,
        })
    }

    /// Whether the rule at `index` is in force and takes the request.
    pub(super) fn trusts(&self, index: usize) -> bool {
        self.matched(index).is_some()
    }

    /// Whether anybody takes it: a rule, or, where no rule is in force, the endpoint's own verification.
    pub(super) fn trusts_any(&self) -> bool {
        if self.endpoint.rules.iter().any(|rule| rule.enabled) {
            (0..self.endpoint.rules.len()).any(|index| self.trusts(index))
        } else {
            self.proofs.iter().any(Result::is_ok)
        }
    }

    /// Why it is refused: first what says that the sender is genuine, that it is stale or cannot be read.
    pub(super) fn refusal(&self) -> Option<Cow<'_, Refusal>> {
        let rules = || self.endpoint.rules.iter().filter(|rule| rule.enabled);
        let stale = rules()
            .filter_map(|rule| self.judge(rule)?.err())
            .find(|refusal| refusal.is_stale() || refusal.is_unreadable().is_some());
        stale
            .or_else(|| {
                // For a rule that would have taken it, had it come.
                let mut open = rules().filter(|rule| rule.lets_in(self.client));
                open.find_map(|rule| self.judge(rule)?.err())
            })
            .or_else(|| rules().find_map(|rule| self.judge(rule)?.err()))
            .or_else(|| {
                let mut proofs = self.proofs.iter();
                proofs.find_map(|proof| proof.as_ref().err().map(Cow::Borrowed))
            })
    }
}
