//! Deliveries of a whole event to a rule with `for_each`.
//!
//! There is such a delivery if the event has too many elements, or if the rule got its `for_each`
//! after the event was accepted. It has no actions. Deliveries of the elements take its place, or it
//! is given up with the reason.

use std::sync::Arc;

use crate::matching::Elements;
use crate::payload::Event;
use crate::pipeline::decode_limits::{BodyLimits, DecodeLimits};
use crate::pipeline::dispatch::{Dispatcher, STORE_PAUSE};
use crate::pipeline::new_delivery::expanded;
use crate::report;
use crate::rules::{Endpoint, Rule};
use crate::store::group::reason;
use crate::store::{Enqueued, Expansion, Lease, NewDelivery, Settled, Settlement};

impl Dispatcher {
    /// Settles a delivery that is of a whole event, although its rule has a `for_each`, or of an
    /// element, although it has none. `None` if deliveries of elements have taken its place.
    pub(super) async fn expand_or_give_up(
        &self,
        lease: &Lease,
        endpoint: &Endpoint,
        rule: &Rule,
    ) -> Option<Settled> {
        let (Some(_), None) = (&rule.for_each, lease.item) else {
            let reason = format!("the rule `{}` has no `for_each` any more", rule.name);
            return Some(self.failed_as_a_whole(lease, rule, reason));
        };
        let (event, indices) = match self.elements(lease, endpoint, rule).await {
            Ok(elements) => elements,
            Err(reason) => return Some(self.failed_as_a_whole(lease, rule, reason)),
        };
        let at = self.clock.now();
        let deliveries = expanded(lease, rule, &indices, &event, at);
        if deliveries.is_empty() {
            let reason = "superseded: no element matches the rule".to_owned();
            report::superseded(&self.metrics, lease.received.id, &lease.rule, &reason);
            let settlement = Settlement::Superseded { at, reason };
            return Some(Settled::unattempted(lease.delivery, settlement));
        }
        self.write_expansion(lease, deliveries).await;
        None
    }

    /// Gives up a delivery of a whole event. `on_failure` runs.
    fn failed_as_a_whole(&self, lease: &Lease, rule: &Rule, reason: String) -> Settled {
        let alarm = (!rule.on_failure.is_empty()).then(|| "for_each".to_owned());
        self.undeliverable(lease, reason, alarm, rule.is_awaited())
    }

    /// The event, and the indices of the elements that the rule wants. The error is the reason why
    /// there are none.
    async fn elements(
        &self,
        lease: &Lease,
        endpoint: &Endpoint,
        rule: &Rule,
    ) -> Result<(Event, Vec<u32>), String> {
        let received = &lease.received;
        let limits = &self.decode_limits;
        let _memory = limits
            .delivery_memory(received, BodyLimits::of_rule(endpoint, rule), rule.is_light)
            .await;
        let decode = || {
            let (received, unpack) = (Arc::clone(received), endpoint.unpack_in(rule.view));
            Event::from_store(received, &lease.decode, unpack, &endpoint.plan)
        };
        let unreadable = |error: &str| format!("the stored body cannot be decoded: {error}");
        let event = DecodeLimits::aside(received, decode).map_err(|error| unreadable(&error))?;
        let event = Event {
            fired_by: lease.fired_by.clone(),
            ..event
        };
        if let Some(error) = &event.payload.decode_error {
            return Err(unreadable(error));
        }
        let index = endpoint.rules.iter().position(|known| known.name == rule.name);
        let elements = index.and_then(|index| endpoint.matcher.elements(&event, index));
        match elements {
            Some(Elements::Matching(indices)) => Ok((event, indices)),
            Some(Elements::TooMany(reason)) => Err(reason),
            None => Err(format!("the rule `{}` is gone from the rules file", rule.name)),
        }
    }

    /// Writes the deliveries of elements, and retries until the store accepts them.
    async fn write_expansion(&self, lease: &Lease, deliveries: Vec<NewDelivery>) {
        let expansion = Expansion {
            delivery: lease.delivery,
            event: lease.received.id,
            reason: format!(
                "superseded: each of its {} elements has a delivery",
                deliveries.len()
            ),
            deliveries,
            at: self.clock.now(),
        };
        let enqueued = loop {
            match self.store.expand(expansion.clone()).await {
                Ok(enqueued) => break enqueued,
                Err(error) => {
                    report::store_failed("expand", &error.to_string());
                    if !error.may_pass() {
                        // The lease ends with the store, or with this release.
                        if let Err(error) = self.store.release(lease.delivery).await {
                            report::store_failed("release", &error.to_string());
                        }
                        return;
                    }
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        };
        let (event, rule) = (lease.received.id, &lease.rule);
        report::superseded(&self.metrics, event, rule, &expansion.reason);
        for enqueued in &enqueued {
            match enqueued {
                Enqueued::InPlaceOf(_, displaced) => self.supersede.of(displaced),
                Enqueued::Skipped(_) => report::superseded(&self.metrics, event, rule, reason::SKIPPED),
                Enqueued::New(_) | Enqueued::Duplicate { .. } | Enqueued::Altered { .. } => {}
            }
        }
    }
}
