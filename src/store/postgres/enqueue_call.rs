//! Calls that write new events.

use std::sync::Arc;

use super::text::clean_shared;
use crate::event::EventId;
use crate::store::columns;
use crate::store::delivery_cache::FirstAttempt;
use crate::store::{DeliveryId, NewDelivery, NewEvent};

/// A write of an event. Its ids are made, and its columns are formatted, before the first try.
pub(super) struct Enqueue {
    pub new_event: NewEvent,
    /// Ids of the deliveries, in their order.
    pub deliveries: Vec<DeliveryId>,
    pub parameters: String,
    pub headers: String,
    pub client: Option<String>,
    pub decision: String,
}

impl Enqueue {
    /// Formats the columns.
    pub fn new(mut new_event: NewEvent) -> Self {
        for delivery in &mut new_event.deliveries {
            if let Some(text) = &mut delivery.unverified {
                clean_shared(text);
            }
            if let Some(group) = &mut delivery.group {
                clean_shared(&mut group.name);
            }
        }
        if let Some(user) = &mut new_event.fired_by {
            clean_shared(user);
        }
        let received = &new_event.received;
        Self {
            parameters: columns::parameters_column(&received.parameters),
            headers: columns::headers_column(&received.headers),
            client: received.client.map(|client| client.to_string()),
            decision: columns::json(&new_event.decision),
            deliveries: new_event
                .deliveries
                .iter()
                .map(|delivery| DeliveryId::of_new(delivery, received.id, received.at))
                .collect(),
            new_event,
        }
    }

    pub fn id(&self) -> EventId {
        self.new_event.received.id
    }

    /// Bytes of the request, as `tally.bytes` counts them.
    pub fn kept(&self) -> i64 {
        columns::integer(self.new_event.received.body.len() + self.headers.len())
    }

    pub fn first_attempt(&self, id: DeliveryId, delivery: &NewDelivery) -> FirstAttempt<EventId> {
        let new_event = &self.new_event;
        FirstAttempt {
            delivery: id,
            event: self.id(),
            rule: Arc::clone(&delivery.rule),
            item: delivery.item,
            received: Arc::clone(&new_event.received),
            decode: new_event.decode.clone(),
            fired_by: new_event.fired_by.clone().filter(|_| !new_event.is_replay),
            unverified: delivery.unverified.clone(),
            in_group: delivery.group.is_some(),
        }
    }
}
