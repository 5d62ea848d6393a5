//! Trust of an endpoint's rules in a request.
//!
//! Each verification is computed once. Freshness is checked against each rule's own replay window.
//! The answers to refused requests are left to `ingest.rs`.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::event::{DedupKey, Received, VerifiedBy};
use crate::matching::Elements;
use crate::payload::Event;
use crate::pipeline::usage::Usage;
use crate::rules::{Alternative, Endpoint, Rule};
use crate::store::{Headers, ProofRecord, Sighting};
use crate::verify::{Proof, Recognition, Refusal, SentAt, Verification};

/// Proof of a refused request that a rule accepts in `mode: observe`, and of an event that an
/// operator makes.
static NOTHING: Proof = Proof {
    timestamp: None,
    dedup_keys: Vec::new(),
    secret: None,
};

/// A rule that accepts the event, with its proof.
pub(super) struct Match<'e> {
    /// Index of the rule in the endpoint.
    pub(super) index: usize,
    pub(super) rule: &'e Rule,
    pub(super) proof: &'e Proof,
    /// Index of the verification that accepts it: the first of the rule's alternatives that does.
    pub(super) verification: usize,
    /// Time for which the rule remembers the event.
    pub(super) memory: Duration,
    /// Reason of the refusal, if the rule accepts the request all the same (`mode: observe`).
    pub(super) unverified: Option<Cow<'e, Refusal>>,
    /// Elements of the event that the rule wants. `None` for a rule without `for_each`.
    pub(super) elements: Option<Elements>,
}

impl Match<'_> {
    /// The same match, with the elements that the rule wants.
    pub(super) fn with_elements(self, endpoint: &Endpoint, event: &Event) -> Self {
        let elements = endpoint.matcher.elements(event, self.index);
        Self { elements, ..self }
    }

    /// Number of deliveries that the rule gets.
    pub(super) fn deliveries(&self) -> usize {
        self.elements.as_ref().map_or(1, Elements::deliveries)
    }
}

impl<'e> Match<'e> {
    /// A rule that the operator chose: nothing recognises the event if it comes again.
    pub(super) fn by_operator(index: usize, rule: &'e Rule) -> Self {
        Self {
            index,
            rule,
            proof: &NOTHING,
            verification: usize::MAX,
            memory: Duration::ZERO,
            unverified: None,
            elements: None,
        }
    }
}

/// Keys by which a genuine request is deduplicated.
#[derive(Default)]
pub(super) struct Recognised {
    /// Keys that the rules remember.
    pub(super) keys: Vec<DedupKey>,
    /// Record that the endpoint remembers.
    pub(super) sighting: Option<Arc<Sighting>>,
}

/// Results of an endpoint's verifications for one request.
pub(super) struct Authorization<'e> {
    endpoint: &'e Endpoint,
    proofs: Vec<Result<Proof, Refusal>>,
    client: Option<IpAddr>,
    now: Timestamp,
}

impl<'e> Authorization<'e> {
    /// Computes each verification once, whatever the number of rules.
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

    /// The results of a recorded arrival. A verification that `is_known` succeeded if it is the same
    /// scheme with a secret from the same source. With `verify: none`, every request is genuine.
    pub(super) fn recorded(
        endpoint: &'e Endpoint,
        records: &[ProofRecord],
        received: &Received,
        is_known: impl Fn(&Verification) -> bool,
    ) -> Self {
        let proofs = endpoint.verifications.iter().map(|verification| {
            if verification.is_none() {
                return Ok(NOTHING.clone());
            }
            let record = recorded_by(records, verification).filter(|_| is_known(verification));
            record.map(proof).ok_or(Refusal::VerifiedOtherwise)
        });
        Self {
            endpoint,
            proofs: proofs.collect(),
            client: received.client,
            now: received.at,
        }
    }

    /// Records which secrets have matched.
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

    /// True if a verification of the endpoint succeeded.
    pub(super) fn is_genuine(&self) -> bool {
        self.proofs.iter().any(Result::is_ok)
    }

    /// The rules that have verified the request and state an answer which is given before a rule is
    /// chosen, in the order of the file.
    pub(super) fn early_answering(&self) -> impl Iterator<Item = &'e Rule> {
        let stating = self.endpoint.early_answering.iter();
        let stating = stating.filter_map(|index| self.endpoint.rules.get(*index));
        stating.filter(|rule| self.has_proven(rule))
    }

    /// True if the rule is enabled and has verified the request. A rule in `mode: observe` may trust
    /// a request without.
    fn has_proven(&self, rule: &Rule) -> bool {
        rule.enabled && self.accepting(rule).is_some()
    }

    /// True if an enabled rule has verified the request. If no rule is enabled, a verification
    /// decides.
    pub(super) fn is_proven(&self) -> bool {
        if self.endpoint.rules.iter().any(|rule| rule.enabled) {
            self.endpoint.rules.iter().any(|rule| self.has_proven(rule))
        } else {
            self.is_genuine()
        }
    }

    /// Returns the deduplication keys of the request, for each verification by which a rule trusts
    /// it.
    pub(super) fn recognised(&self, received: &Received) -> Vec<Recognised> {
        let proofs = self.proofs.iter().zip(&self.endpoint.recognitions).enumerate();
        let recognised = proofs.map(|(index, (proof, recognition))| {
            let (Ok(proof), Some(memory)) = (proof, self.memory(index)) else {
                return Recognised::default();
            };
            let sighting =
                reads_headers(recognition, proof).then(|| sighting(recognition, proof, received, memory));
            Recognised {
                keys: recognition.keys(proof, received),
                sighting: sighting.map(Arc::new),
            }
        });
        recognised.collect()
    }

    /// Records that the endpoint remembers of a genuine request, whether a rule matches or not.
    pub(super) fn sightings(&self, received: &Received) -> impl Iterator<Item = Sighting> {
        (0..self.proofs.len()).filter_map(|index| self.sighting(index, received))
    }

    fn sighting(&self, index: usize, received: &Received) -> Option<Sighting> {
        let recognition = self.endpoint.recognitions.get(index)?;
        let proof = self.proofs.get(index)?.as_ref().ok()?;
        if !reads_headers(recognition, proof) {
            return None;
        }
        let memory = self.memory(index)?;
        Some(sighting(recognition, proof, received, memory))
    }

    /// Time for which the endpoint remembers a proof of the verification at `index`: that of the
    /// longest window of its rules. `None` if no rule trusts the request.
    fn memory(&self, index: usize) -> Option<Duration> {
        let proof = self.proofs.get(index)?.as_ref().ok()?;
        let window = self.endpoint.recognitions.get(index)?.window()?;
        // A proof that is stale for the longest window is stale for all.
        proof.freshness(window, self.now).ok()?;
        let mut rules = self.endpoint.rules.iter();
        let trusted =
            rules.any(|rule| rule.enabled && rule.alternative(index).is_some() && rule.allows(self.client));
        trusted.then(|| proof.memory(window))
    }

    /// True if a verification other than `none` succeeded, so that the sender knew a secret.
    pub(super) fn is_verified(&self) -> bool {
        let mut authorization = self.endpoint.verifications.iter().zip(&self.proofs);
        authorization.any(|(verification, proof)| proof.is_ok() && !verification.is_none())
    }

    /// Returns the first alternative of the rule that accepts the request, with its proof, or the
    /// reason for refusing it.
    fn judge(&self, rule: &Rule) -> Option<Result<(Alternative, &Proof), Cow<'_, Refusal>>> {
        // Check `allow` first, so that a blocked client cannot tell a valid but stale signature
        // from an invalid one.
        if !rule.allows(self.client) {
            let client = self.client;
            return Some(Err(Cow::Owned(Refusal::AddressNotAllowed { client })));
        }
        if let Some(accepted) = self.accepting(rule) {
            return Some(Ok(accepted));
        }
        if let [single] = rule.alternatives.as_slice() {
            return Some(Err(self.judge_alternative(single)?.err()?));
        }
        let refusals = rule.alternatives.iter().filter_map(|alternative| {
            let refusal = self.judge_alternative(alternative)?.err()?;
            let scheme = self
                .endpoint
                .verifications
                .get(alternative.verification)?
                .scheme();
            Some((Arc::clone(scheme), refusal.into_owned()))
        });
        let refusals = refusals.collect();
        Some(Err(Cow::Owned(Refusal::NoAlternative { refusals })))
    }

    /// Returns the first alternative of the rule that accepts the request, with its proof.
    fn accepting(&self, rule: &Rule) -> Option<(Alternative, &Proof)> {
        if !rule.allows(self.client) {
            return None;
        }
        rule.alternatives.iter().find_map(|alternative| {
            let proof = self.judge_alternative(alternative)?.ok()?;
            Some((*alternative, proof))
        })
    }

    /// Returns the first alternative of a rule in `mode: observe`, which holds for all of them. The
    /// mode waives the proof, but not the list of allowed networks.
    fn observing(&self, rule: &Rule) -> Option<Alternative> {
        let alternative = *rule.alternatives.first()?;
        let verification = self.endpoint.verifications.get(alternative.verification)?;
        (verification.observes() && rule.allows(self.client)).then_some(alternative)
    }

    /// Returns the proof of the request for one alternative, or the reason why that refuses it.
    fn judge_alternative(&self, alternative: &Alternative) -> Option<Result<&Proof, Cow<'_, Refusal>>> {
        let proof = match self.proofs.get(alternative.verification)? {
            Ok(proof) => proof,
            Err(refusal) => return Some(Err(Cow::Borrowed(refusal))),
        };
        let fresh = proof.freshness(alternative.replay_window, self.now);
        Some(fresh.map(|()| proof).map_err(Cow::Owned))
    }

    /// Time for which the rule remembers the request: the longest of the alternatives that accept
    /// it, because the dedup keys of each are remembered.
    fn rule_memory(&self, rule: &Rule) -> Duration {
        let memories = rule.alternatives.iter().filter_map(|alternative| {
            let proof = self.judge_alternative(alternative)?.ok()?;
            Some(proof.memory(alternative.replay_window))
        });
        memories.max().unwrap_or_default()
    }

    /// Returns the rule at `index` with its proof, if the rule is enabled and accepts the request.
    /// Either the request is genuine and fresh, or the rule only observes.
    pub(super) fn matched(&self, index: usize) -> Option<Match<'_>> {
        let rule = self.endpoint.rules.get(index).filter(|rule| rule.enabled)?;
        let (alternative, proof, unverified) = if let Some((alternative, proof)) = self.accepting(rule) {
            (alternative, proof, None)
        } else {
            let alternative = self.observing(rule)?;
            (alternative, &NOTHING, Some(self.judge(rule)?.err()?))
        };
        let memory = match unverified {
            None => self.rule_memory(rule),
            Some(_) => proof.memory(alternative.replay_window),
        };
        Some(Match {
            index,
            rule,
            proof,
            verification: alternative.verification,
            memory,
            unverified,
            elements: None,
        })
    }

    /// Names the alternative by which the rule at `index` accepts the request. `None` if the rule
    /// has a single verification, or accepts without a proof.
    pub(super) fn verified_by(&self, index: usize) -> Option<VerifiedBy> {
        let one = self.matched(index)?;
        if one.rule.alternatives.len() < 2 || one.unverified.is_some() {
            return None;
        }
        let verification = self.endpoint.verifications.get(one.verification)?;
        Some(verified_by(verification, one.proof))
    }

    /// Returns the reason why the rule at `index` does not trust the request. `None` if it does.
    pub(super) fn distrust(&self, index: usize) -> Option<String> {
        if self.trusts(index) {
            return None;
        }
        let rule = self.endpoint.rules.get(index)?;
        if !rule.enabled {
            return Some("it is not enabled".to_owned());
        }
        Some(self.judge(rule)?.err()?.to_string())
    }

    /// Like [`Self::distrust`], as one word without values of the request.
    pub(super) fn refusal_word(&self, index: usize) -> Option<&'static str> {
        let rule = self.endpoint.rules.get(index).filter(|_| !self.trusts(index))?;
        Some(self.judge(rule)?.err()?.reason())
    }

    /// Returns records of the verifications that succeeded.
    pub(super) fn records(&self) -> Vec<ProofRecord> {
        let proofs = self.endpoint.verifications.iter().zip(&self.proofs);
        let records = proofs.filter_map(|(verification, proof)| {
            let proof = proof.as_ref().ok()?;
            Some(ProofRecord {
                scheme: Arc::clone(verification.scheme()),
                secret: proof.secret.clone(),
                sent_at: proof.timestamp.map(|sent| sent.at.as_millis()),
                signed: proof.timestamp.is_some_and(|sent| sent.signed),
                dedup_keys: proof.dedup_keys.clone(),
            })
        });
        records.collect()
    }

    /// Names the verifications that succeeded, without `none`.
    pub(super) fn verified(&self) -> Vec<VerifiedBy> {
        let proofs = self.endpoint.verifications.iter().zip(&self.proofs);
        let verified = proofs.filter_map(|(verification, proof)| {
            let proof = proof.as_ref().ok().filter(|_| !verification.is_none())?;
            Some(verified_by(verification, proof))
        });
        verified.collect()
    }

    /// True if the rule at `index` is enabled and accepts the request.
    pub(super) fn trusts(&self, index: usize) -> bool {
        let rule = self.endpoint.rules.get(index);
        rule.is_some_and(|rule| {
            rule.enabled && (self.accepting(rule).is_some() || self.observing(rule).is_some())
        })
    }

    /// True if a rule accepts the request. If no rule is enabled, a verification decides.
    pub(super) fn trusts_any(&self) -> bool {
        if self.endpoint.rules.iter().any(|rule| rule.enabled) {
            (0..self.endpoint.rules.len()).any(|index| self.trusts(index))
        } else {
            self.proofs.iter().any(Result::is_ok)
        }
    }

    /// Returns the reason for the refusal. A genuine sender comes first: its request is stale or
    /// unreadable.
    pub(super) fn refusal(&self) -> Option<Cow<'_, Refusal>> {
        let rules = || self.endpoint.rules.iter().filter(|rule| rule.enabled);
        let stale = rules()
            .filter_map(|rule| self.judge(rule)?.err())
            .find(|refusal| refusal.is_stale() || refusal.is_unreadable().is_some());
        stale
            .or_else(|| {
                // Prefer a rule that allows the client's address.
                let mut open = rules().filter(|rule| rule.allows(self.client));
                open.find_map(|rule| self.judge(rule)?.err())
            })
            .or_else(|| rules().find_map(|rule| self.judge(rule)?.err()))
            .or_else(|| {
                let mut proofs = self.proofs.iter();
                proofs.find_map(|proof| proof.as_ref().err().map(Cow::Borrowed))
            })
    }
}

/// Returns the record of a success of this verification.
fn recorded_by<'r>(records: &'r [ProofRecord], verification: &Verification) -> Option<&'r ProofRecord> {
    let sources = verification.secrets();
    records.iter().find(|record| {
        let source = record.secret.as_ref();
        record.scheme == *verification.scheme()
            && source.is_none_or(|source| sources.iter().any(|(known, _)| known == source))
    })
}

/// Restores the proof of a record.
fn proof(record: &ProofRecord) -> Proof {
    Proof {
        timestamp: record.sent_at.map(|at| SentAt {
            at: Timestamp::from_millis(at),
            signed: record.signed,
        }),
        dedup_keys: record.dedup_keys.clone(),
        secret: record.secret.clone(),
    }
}

/// Names a verification that succeeded.
fn verified_by(verification: &Verification, proof: &Proof) -> VerifiedBy {
    VerifiedBy {
        scheme: Arc::clone(verification.scheme()),
        secret: proof.secret.clone(),
    }
}

/// True if the endpoint remembers the headers of a request with this proof.
fn reads_headers(recognition: &Recognition, proof: &Proof) -> bool {
    recognition.reads_headers() && !proof.dedup_keys.is_empty()
}

/// Creates the record of a genuine request.
fn sighting(recognition: &Recognition, proof: &Proof, received: &Received, memory: Duration) -> Sighting {
    Sighting {
        endpoint: Arc::clone(&received.endpoint),
        event: received.id,
        at: received.at,
        // Without path and query: otherwise an attacker could change those to choose new headers.
        keys: proof.dedup_keys.clone(),
        headers: Headers::new(&recognition.headers(received)),
        remember_until: received.at.plus(memory),
    }
}
