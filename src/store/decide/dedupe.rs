//! Deduplication: the decision whether a delivery is new.
//!
//! The store tells the decision which keys are remembered. The decision writes nothing. The store
//! remembers the dedup keys in the same write as the event.

use std::collections::HashSet;
use std::sync::Arc;

use super::sighting::Altered;
use crate::base::clock::Timestamp;
use crate::event::{DedupKey, EventId};
use crate::store::{NewDelivery, NewEvent, Sighting};

/// The decision for one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dedup {
    /// The delivery is to be written.
    New,
    /// The rule has received it before, first with this event.
    Duplicate(EventId),
    /// The endpoint has seen the content before, with this arrival and another value of this
    /// header.
    Altered(EventId, Arc<str>),
}

/// A remembered dedup key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The first event with the key.
    pub event: EventId,
    /// The last moment at which the key counts. An event is fresh up to and including the end of
    /// its window.
    pub until: Timestamp,
}

impl Remembered {
    /// True if the key still counts for an arrival at `at`.
    fn counts_at(&self, at: Timestamp) -> bool {
        self.until >= at
    }

    /// Decides what is remembered after a new delivery with this key. A key that counts keeps its
    /// first event and is never shortened.
    pub fn renewed(self, by: Self, at: Timestamp) -> Self {
        if !self.counts_at(at) {
            return by;
        }
        Self {
            event: self.event,
            until: self.until.max(by.until),
        }
    }
}

/// Decides for each delivery of an event. `altered` looks up whether a header of a sighting has
/// changed. `remembered` looks up a dedup key for a rule.
pub fn dedup<E>(
    new_event: &NewEvent,
    mut altered: impl FnMut(&Sighting) -> Result<Option<Altered>, E>,
    mut remembered: impl FnMut(&Arc<str>, &DedupKey) -> Result<Option<Remembered>, E>,
) -> Result<Vec<Dedup>, E> {
    // If one event has two deliveries for a rule, the second is a duplicate of the first.
    let mut keys_here: HashSet<(&str, &[u8])> = HashSet::new();
    let several = new_event.deliveries.len() > 1;
    let mut decided = Vec::with_capacity(new_event.deliveries.len());
    // Deliveries of one verification share a sighting, so one lookup serves them all.
    let mut last_lookup: Option<(&Arc<Sighting>, Option<Altered>)> = None;
    let mut before: Option<&NewDelivery> = None;
    for delivery in &new_event.deliveries {
        // Elements of one event are new or known together.
        let is_further = |first: &NewDelivery| first.item.is_some() && first.rule == delivery.rule;
        if delivery.item.is_some()
            && before.replace(delivery).is_some_and(is_further)
            && let Some(decision) = decided.last().cloned()
        {
            decided.push(decision);
            continue;
        }
        before = Some(delivery);
        let mut dedup = Dedup::New;
        if let Some(sighting) = &delivery.sighting {
            let found = match &last_lookup {
                Some((last, found)) if Arc::ptr_eq(last, sighting) => found.clone(),
                _ => altered(sighting)?,
            };
            if let Some((of, header)) = &found {
                dedup = Dedup::Altered(*of, Arc::clone(header));
            }
            last_lookup = Some((sighting, found));
        }
        if dedup == Dedup::New && !delivery.run_duplicates {
            for dedup_key in &delivery.dedup_keys {
                let known = remembered(&delivery.rule, dedup_key)?;
                if let Some(known) = known.filter(|known| known.counts_at(new_event.received.at)) {
                    dedup = Dedup::Duplicate(known.event);
                    break;
                }
                if keys_here.contains(&(&*delivery.rule, dedup_key.as_bytes())) {
                    dedup = Dedup::Duplicate(new_event.received.id);
                    break;
                }
            }
        }
        if several && dedup == Dedup::New {
            let dedup_keys = delivery.dedup_keys.iter();
            keys_here.extend(dedup_keys.map(|dedup_key| (&*delivery.rule, dedup_key.as_bytes())));
        }
        decided.push(dedup);
    }
    Ok(decided)
}
