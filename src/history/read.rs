//! Reader of one arrival with everything about it, or of one of its deliveries.

use serde_json::value::{RawValue, to_raw_value};

use super::arrival::{ArrivalDetail, RulesNow};
use super::delivery::{DeliveryDetail, pause_of};
use super::explain::{RuleExplanation, explain_event, target_of};
use super::names::EventNames;
use super::request::RequestView;
use super::stored::{StoredArrival, stored};
use crate::base::clock::Timestamp;
use crate::base::json::JsonTree;
use crate::event::EventId;
use crate::payload::{Event, Payload};
use crate::rules::RuleSet;
use crate::status::PauseStatus;
use crate::store::{AttemptRecord, History, ListedDelivery, Named, Pauses, StoreError};

/// An arrival with everything about it.
#[derive(Debug)]
pub struct ReadArrival {
    pub stored: StoredArrival,
    /// The event with its payload, or the reason why that cannot be decoded.
    pub event: Result<Event, String>,
    pub deliveries: Vec<ReadDelivery>,
    /// The decision of each rule by the rules in force, or the reason why they do not tell. `None`
    /// without rules, or if the payload cannot be read.
    pub explained: Option<Result<Vec<RuleExplanation>, String>>,
    event_name: Option<String>,
    pauses: Pauses,
}

/// A delivery with its attempts.
#[derive(Debug)]
pub struct ReadDelivery {
    pub entry: ListedDelivery,
    pub attempts: Vec<AttemptRecord>,
    /// Target of the next action.
    target: Option<String>,
}

impl ReadArrival {
    /// Reads an arrival, or of its deliveries the named one. `rules` are those in force, or the
    /// reason why they are not known. Returns `None` if the arrival is gone.
    pub fn read(
        history: &History,
        rules: Option<Result<&RuleSet, &str>>,
        named: Named,
    ) -> Result<Option<Self>, StoreError> {
        let id = event_of(named);
        let Some(stored) = stored(history, id)? else {
            return Ok(None);
        };
        let mut deliveries = Vec::new();
        for entry in history.of_event(id)? {
            let is_named = match named {
                Named::Event(_) => true,
                Named::Delivery { id, .. } => entry.delivery.id == id,
            };
            if is_named {
                deliveries.push(ReadDelivery {
                    attempts: history.attempts(entry.delivery.id)?,
                    entry,
                    target: None,
                });
            }
        }
        let event = stored.event();
        let explained = match (&event, rules) {
            (Ok(event), Some(rules)) => Some(
                rules
                    .map_err(str::to_owned)
                    .and_then(|rules| explain_event(rules, event)),
            ),
            _ => None,
        };
        let mut event_name = None;
        if let Some(Ok(rules)) = rules {
            let known = explained.as_ref().and_then(|explained| explained.as_deref().ok());
            for delivery in &mut deliveries {
                delivery.target = target_of(rules, known.unwrap_or_default(), &delivery.entry);
            }
            let event = event.as_ref().ok();
            event_name = event.and_then(|event| EventNames::of(rules).read(event));
        }
        Ok(Some(Self {
            stored,
            event,
            deliveries,
            explained,
            event_name,
            pauses: Pauses::new(history.pauses()?),
        }))
    }

    /// The reason why the payload cannot be decoded.
    pub fn fault(&self) -> Option<&str> {
        match &self.event {
            Ok(event) => event.payload.decode_error.as_deref(),
            Err(why) => Some(why),
        }
    }

    /// The pause that the delivery waits for.
    pub fn pause_of(&self, delivery: &ReadDelivery) -> Option<PauseStatus> {
        pause_of(&delivery.entry, &self.pauses, delivery.target.as_deref())
    }

    /// Returns the deliveries.
    pub fn deliveries(&self, now: Timestamp) -> Vec<DeliveryDetail> {
        let deliveries = self.deliveries.iter().map(|delivery| {
            let target = delivery.target.as_deref();
            DeliveryDetail::of(&delivery.entry, &delivery.attempts, &self.pauses, target, now)
        });
        deliveries.collect()
    }

    /// Returns everything as one struct.
    pub fn detail(self, now: Timestamp) -> ArrivalDetail {
        let deliveries = self.deliveries(now);
        let undecodable = self.fault().map(str::to_owned);
        let payload = self.event.as_ref().ok().and_then(|event| exact(&event.payload));
        let stored = self.stored;
        ArrivalDetail {
            event: RequestView::of(&stored.received),
            outcome: stored.outcome.name(),
            status: stored.status,
            reason: (!stored.reason.is_empty()).then_some(stored.reason),
            verified_by: stored.verified_by,
            decision: stored.decision,
            replayed: stored.is_replay,
            replayed_by: stored.replayed_by,
            fired_by: stored.fired_by,
            event_name: self.event_name,
            bytes: stored.size,
            decode: stored.decode,
            payload,
            undecodable,
            deliveries,
            rules: self.explained.map(RulesNow::from),
        }
    }
}

/// Returns the event of an id that may name a delivery.
pub fn event_of(named: Named) -> EventId {
    match named {
        Named::Event(event) | Named::Delivery { event, .. } => event,
    }
}

/// A payload as JSON, with all digits of its integers.
fn exact(payload: &Payload) -> Option<Box<RawValue>> {
    let JsonTree { value, integers } = payload.whole();
    to_raw_value(&integers.exactly(value)).ok()
}
