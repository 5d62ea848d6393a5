//! Senders' names of events, as the rules in force know where they stand.

use std::collections::HashMap;
use std::sync::Arc;

use super::stored::stored;
use crate::event::EventId;
use crate::payload::{Event, EventNameReader};
use crate::rules::RuleSet;
use crate::store::{History, ListedArrival, StoreError};

/// Maximum bytes of a body that is read for the name of its event in a list.
const BODY: u64 = 64 << 10;

/// Readers of names, by the endpoint.
#[derive(Debug, Default)]
pub struct EventNames(HashMap<Arc<str>, Arc<EventNameReader>>);

impl EventNames {
    /// Takes the readers of a rule set. On an endpoint with several schemes, the first rule counts.
    pub fn of(rules: &RuleSet) -> Self {
        let endpoints = rules.endpoints.iter();
        let known = endpoints.filter_map(|endpoint| {
            let reader = endpoint.rules.iter().find_map(|rule| rule.event_name.as_ref());
            Some((Arc::clone(&endpoint.path), Arc::clone(reader?)))
        });
        Self(known.collect())
    }

    /// Reads the name of an event.
    pub fn read(&self, event: &Event) -> Option<String> {
        self.0.get(&event.received.endpoint)?.read(event)
    }

    /// Reads the name of a listed arrival. A large body is not read for it.
    pub fn of_listed(
        &self,
        history: &History,
        arrival: &ListedArrival,
    ) -> Result<Option<String>, StoreError> {
        match self.0.get(&*arrival.endpoint) {
            Some(reader) if !reader.reads_payload() => {
                let name = reader
                    .headers()
                    .into_iter()
                    .find_map(|name| arrival.headers.get(name));
                let name = name.and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
                Ok(name.map(str::to_owned))
            }
            Some(reader) if arrival.size <= BODY => Self::of_stored(history, arrival.id, reader),
            _ => Ok(None),
        }
    }

    fn of_stored(
        history: &History,
        id: EventId,
        reader: &EventNameReader,
    ) -> Result<Option<String>, StoreError> {
        let event = stored(history, id)?.and_then(|stored| stored.event().ok());
        Ok(event.and_then(|event| reader.read(&event)))
    }
}
