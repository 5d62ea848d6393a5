//! Replays of arrivals that were ignored: matched by the rules in force, and run.
//!
//! Verification is not repeated, because credentials are not stored. The record tells which
//! verifications succeeded, and only rules with one of these can match.

use std::sync::Arc;

use crate::event::{ArrivalOutcome, Decision, EventId, RuleDecision};
use crate::payload::{Event, Payload};
use crate::pipeline::arriving::decisions;
use crate::pipeline::authorization::{Authorization, Match};
use crate::pipeline::ingest::{Ingest, without_credentials};
use crate::pipeline::new_delivery::{new_deliveries, owners};
use crate::rules::RuleSet;
use crate::store::{ArrivalRecord, Enqueued, NewDelivery, NewEvent, ProofRecord};

/// The result of a replay.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The decisions of the rules in force.
    pub decisions: Vec<RuleDecision>,
    /// Rules for which a delivery was made. In a dry run, rules for which one would be made unless
    /// the event was accepted before.
    pub accepted: Vec<Arc<str>>,
    /// Rules that accepted the same event before, as another arrival.
    pub duplicates: Vec<(Arc<str>, EventId)>,
}

impl Replayed {
    /// True if the rule is in one of the lists.
    fn names(&self, rule: &Arc<str>) -> bool {
        self.accepted.contains(rule) || self.duplicates.iter().any(|(known, _)| known == rule)
    }
}

impl Ingest {
    /// Matches a recorded arrival by the rules in force, and runs it for the user `by` unless
    /// `dry_run`. The error is the reason why that is not possible.
    pub async fn replay(
        &self,
        rules: &RuleSet,
        record: ArrivalRecord,
        by: &Arc<str>,
        dry_run: bool,
    ) -> Result<Replayed, String> {
        check(&record)?;
        let path = &record.received.endpoint;
        let mut endpoints = rules.endpoints.iter();
        let endpoint = endpoints
            .find(|endpoint| endpoint.path == *path)
            .ok_or_else(|| format!("the rules in force have no endpoint `{path}`"))?;
        let received = without_credentials(endpoint, record.received.as_ref().clone());
        let authorization = Authorization::recorded(endpoint, &record.proofs, &received, |_| true);
        let received = Arc::new(received);
        let busy = || "too many large or compressed bodies at once; try again".to_owned();
        let payload = self
            .decode(endpoint, &received, &|index| authorization.trusts(index))
            .await;
        let (_memory, payload) = payload.ok_or_else(busy)?;
        let (payload, views) = payload.unwrap_or_else(|error| (Payload::unreadable(&error), Vec::new()));
        let event = Event {
            received: Arc::clone(&received),
            payload,
            views,
            fired_by: None,
        };
        let considered = |index: usize| authorization.trusts(index) && endpoint.can_act(index, &event);
        let matched = endpoint.matcher.matching(&event, &considered);
        let decided = decisions(endpoint, &event, &authorization, &matched);
        let recognised = authorization.recognised(&received);
        let matched: Vec<Match<'_>> = matched
            .into_iter()
            .filter_map(|index| authorization.matched(index))
            .map(|one| one.with_elements(endpoint, &event))
            .collect();
        let names: Vec<Arc<str>> = matched.iter().map(|one| Arc::clone(&one.rule.name)).collect();
        let mut replayed = Replayed {
            decisions: decided,
            ..Replayed::default()
        };
        if dry_run || matched.is_empty() {
            replayed.accepted = names;
            return Ok(replayed);
        }
        let now = self.clock.now();
        let late = now.since(received.at);
        let deliveries = new_deliveries(&matched, &recognised, &event, now).into_iter();
        // As long from now on as if it had arrived now.
        let deliveries = deliveries.map(|delivery| NewDelivery {
            remember_until: delivery.remember_until.plus(late),
            ..delivery
        });
        let new_event = NewEvent {
            received: Arc::clone(&received),
            decode: endpoint.decode.name().to_owned(),
            deliveries: deliveries.collect(),
            status: Some(record.status),
            // The decision stays that of the arrival.
            decision: Decision {
                verified: record.proofs.iter().map(ProofRecord::verified_by).collect(),
                ..record.decision
            },
            is_replay: true,
            fired_by: Some(Arc::clone(by)),
            now,
        };
        let enqueued = self.write(&received, new_event, Arc::new(())).await?;
        for (one, enqueued) in owners(&matched).zip(enqueued) {
            let rule = Arc::clone(&one.rule.name);
            match enqueued {
                // Only the first element stands for its rule.
                _ if replayed.names(&rule) => {}
                Enqueued::Duplicate { of } | Enqueued::Altered { of, .. } => {
                    replayed.duplicates.push((rule, of));
                }
                _ => replayed.accepted.push(rule),
            }
        }
        Ok(replayed)
    }
}

/// Checks that a recorded arrival can be replayed.
fn check(record: &ArrivalRecord) -> Result<(), String> {
    match record.outcome {
        ArrivalOutcome::Ignored | ArrivalOutcome::Unreadable if !record.proofs.is_empty() => {}
        ArrivalOutcome::Duplicate | ArrivalOutcome::Altered => {
            return Err("it is a repetition of another arrival; replay that one".to_owned());
        }
        outcome => {
            return Err(format!(
                "its outcome is `{outcome}`, and only verified arrivals that were ignored or unreadable can be replayed"
            ));
        }
    }
    record.check_whole()
}
