//! The durable write of an event, and what follows it.

use std::sync::Arc;

use crate::event::Received;
use crate::pipeline::arriving::altered;
use crate::pipeline::ingest::{Hold, Ingest};
use crate::report::{self, Arrival};
use crate::store::group::reason;
use crate::store::{Enqueued, NewEvent};

impl Ingest {
    /// Writes the event and logs the arrival. The error is the reason why the event
    /// cannot be written.
    ///
    /// Runs as its own task: a sender that disconnects cancels the request's task. The event would
    /// then be stored without a log line.
    pub(super) async fn write(
        &self,
        kept: &Arc<Received>,
        new_event: NewEvent,
        hold: Hold,
    ) -> Result<Vec<Enqueued>, String> {
        let (store, kept) = (Arc::clone(&self.store), Arc::clone(kept));
        let (supersede, metrics) = (self.supersede.clone(), Arc::clone(&self.metrics));
        let written = self.writing.spawn(async move {
            let _hold = hold;
            let rules: Vec<Arc<str>> = new_event
                .deliveries
                .iter()
                .map(|delivery| Arc::clone(&delivery.rule))
                .collect();
            let mut unverified = new_event.deliveries.iter().filter_map(|delivery| {
                let why = delivery.unverified.as_ref()?;
                Some((Arc::clone(&delivery.rule), Arc::clone(why)))
            });
            let unverified = unverified.next();
            let verified_by = new_event.decision.verified_by();
            let fired_by = new_event.fired_by.clone().filter(|_| !new_event.is_replay);
            let enqueued = match store.enqueue(new_event).await {
                Ok(enqueued) => enqueued,
                Err(error) => {
                    let why = error.to_string();
                    report::arrival(&metrics, &Arrival::failed(&kept, &why));
                    return Err(why);
                }
            };
            let mut last: Option<&Arc<str>> = None;
            for (rule, enqueued) in rules.iter().zip(&enqueued) {
                // Elements of a rule follow each other, and are one event.
                let is_first = last.replace(rule) != Some(rule);
                if is_first && enqueued.is_new() {
                    metrics.accepted(rule, kept.at);
                }
                match enqueued {
                    Enqueued::InPlaceOf(_, displaced) => supersede.of(displaced),
                    Enqueued::Skipped(_) => report::superseded(&metrics, kept.id, rule, reason::SKIPPED),
                    Enqueued::New(_) | Enqueued::Duplicate { .. } | Enqueued::Altered { .. } => {}
                }
            }
            if let Some(arrival) = altered(&kept, &rules, &enqueued) {
                report::arrival(&metrics, &arrival);
                return Ok(enqueued);
            }
            let arrival = match (&fired_by, rules.first()) {
                (Some(user), Some(rule)) => Arrival::fired(&kept, rule, user),
                _ => taken(&kept, &rules, &enqueued).verified_by(verified_by),
            };
            let arrival = match &unverified {
                Some((rule, why)) => arrival.unverified(rule, why),
                None => arrival,
            };
            report::arrival(&metrics, &arrival);
            Ok(enqueued)
        });
        written.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// Returns the log line of an event with the rules for which it is new, and those for which it is
/// not.
fn taken<'r>(received: &'r Received, rules: &[Arc<str>], enqueued: &[Enqueued]) -> Arrival<'r> {
    let named = |new: bool| {
        let mut last: Option<&Arc<str>> = None;
        let pairs = rules.iter().zip(enqueued);
        pairs
            .filter(move |(_, enqueued)| enqueued.is_new() == new)
            // Elements of a rule follow each other, and the rule is named once.
            .filter(move |(rule, _)| last.replace(rule) != Some(*rule))
            .map(|(rule, _)| &**rule)
    };
    Arrival::taken(received, named(true), named(false))
}
