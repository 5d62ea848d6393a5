//! Rules that an operator runs by hand: `hookyard fire`.
//!
//! The event is decoded, matched and stored like one that arrived, and runs by its rule's group,
//! debounce and retries. Nothing is verified: a user of the daemon's socket counts as
//! verified. Nothing recognises the event, so it runs as often as it is fired.

use std::sync::Arc;

use crate::base::diagnostic::did_you_mean;
use crate::event::{EventId, Received, RuleDecision};
use crate::matching::Elements;
use crate::payload::{Event, Payload};
use crate::pipeline::arriving::Arriving;
use crate::pipeline::authorization::Match;
use crate::pipeline::fire_request::Firing;
use crate::pipeline::ingest::{Ingest, without_credentials};
use crate::pipeline::new_delivery::new_deliveries;
use crate::pipeline::preview::Preview;
use crate::rules::{Endpoint, Rule, RuleSet};
use crate::store::{DeliveryId, Enqueued, NewEvent};

/// A rule that was fired, or would be.
#[derive(Debug)]
pub struct Fired {
    pub event: EventId,
    /// `None` in a dry run.
    pub delivery: Option<DeliveryId>,
    /// The condition that does not hold, if the rule was forced.
    pub missed: Option<String>,
    /// The actions as they would run, in a dry run.
    pub preview: Preview,
}

/// The reason why nothing was fired.
#[derive(Debug)]
pub enum NotFired {
    /// The rule is disabled, or a condition does not hold.
    Refused(String),
    /// The rule is unknown, the request cannot be made, or the event cannot be stored.
    Failed(String),
}

impl Ingest {
    /// Runs a rule for the request that the operator describes, unless it is a dry run.
    pub async fn fire(&self, rules: &RuleSet, firing: Firing) -> Result<Fired, NotFired> {
        let (endpoint, index, rule) = find(rules, &firing.rule).map_err(NotFired::Failed)?;
        if !rule.enabled {
            return Err(NotFired::Refused("it is not enabled".to_owned()));
        }
        let received = firing.received(rules, endpoint, rule, self.clock.now());
        let received = received.map_err(NotFired::Failed)?;
        let busy = || NotFired::Failed("too many large or compressed bodies at once; try again".to_owned());
        let (_memory, payload) = self
            .decode(endpoint, &received, &|known| known == index)
            .await
            .ok_or_else(busy)?;
        let unreadable = |error| NotFired::Failed(format!("the body cannot be decoded: {error}"));
        let (payload, views) = payload.map_err(unreadable)?;
        if let Some((
            _,
            Payload {
                decode_error: Some(error),
                ..
            },
        )) = views.first()
        {
            return Err(NotFired::Failed(format!("the body cannot be decoded: {error}")));
        }
        let event = Event {
            received: Arc::new(received),
            payload,
            views,
            fired_by: Some(Arc::clone(&firing.by)),
        };
        let missed = endpoint.matcher.explain(&event, index).failed;
        let missed = missed.map(|miss| miss.to_string());
        if let Some(missed) = missed.as_ref().filter(|_| !firing.force) {
            return Err(NotFired::Refused(missed.clone()));
        }
        let elements = endpoint.matcher.elements(&event, index);
        if elements == Some(Elements::Matching(Vec::new())) {
            return Err(NotFired::Refused(missed.unwrap_or_default()));
        }
        let event = Event {
            received: Arc::new(without_credentials(endpoint, Received::clone(&event.received))),
            ..event
        };
        let (id, mut preview, mut delivery) = (event.received.id, Preview::default(), None);
        if firing.dry_run {
            let first = match &elements {
                Some(Elements::Matching(indices)) => indices.first(),
                _ => None,
            };
            let first = first.and_then(|first| usize::try_from(*first).ok());
            preview = Preview::new(endpoint, rule, first, &event.seen_in(rule.view));
        } else {
            let new_event =
                self.fired_event(rules, endpoint, (index, rule), &event, &firing.by, missed.clone());
            let enqueued = self.write(&event.received, new_event, Arc::new(())).await;
            let enqueued = enqueued.map_err(NotFired::Failed)?;
            delivery = enqueued.first().and_then(Enqueued::delivery);
        }
        Ok(Fired {
            event: id,
            delivery,
            missed,
            preview,
        })
    }

    /// The event with its only delivery.
    fn fired_event(
        &self,
        rules: &RuleSet,
        endpoint: &Endpoint,
        (index, rule): (usize, &Rule),
        event: &Event,
        by: &Arc<str>,
        missed: Option<String>,
    ) -> NewEvent {
        let now = self.clock.now();
        let decided = RuleDecision {
            rule: Arc::clone(&rule.name),
            matched: missed.is_none(),
            reason: missed.unwrap_or_default(),
            verified_by: None,
        };
        let chosen = Match::by_operator(index, rule).with_elements(endpoint, event);
        NewEvent {
            received: Arc::clone(&event.received),
            decode: endpoint.decode.name().to_owned(),
            deliveries: new_deliveries(&[chosen], &[], event, now),
            // No sender was answered.
            status: None,
            decision: Arriving::new(rules, endpoint, &event.received).decision(vec![decided]),
            is_replay: false,
            fired_by: Some(Arc::clone(by)),
            now,
        }
    }
}

/// Finds a rule by its name, with its endpoint and its index there.
fn find<'r>(rules: &'r RuleSet, name: &str) -> Result<(&'r Endpoint, usize, &'r Rule), String> {
    let found = rules.names.get(name).and_then(|(endpoint, index)| {
        let endpoint = rules.endpoints.get(*endpoint)?;
        Some((endpoint, *index, endpoint.rules.get(*index)?))
    });
    found.ok_or_else(|| {
        let near = did_you_mean(name, rules.names.keys().map(|name| &**name));
        let near = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
        format!("the rules in force have no rule `{name}`{near}")
    })
}
