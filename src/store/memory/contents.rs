//! The contents of a store in memory, and the operations on them.
//!
//! Every operation walks over everything it needs. Groups are in `groups.rs`, retention is in
//! `retention.rs`.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use super::stored::StoredDelivery;
use crate::base::clock::Timestamp;
use crate::event::{DedupKey, EventId, Received};
use crate::store::decide::admission::{Admission, initial_state};
use crate::store::decide::dedupe::{Dedup, Remembered, dedup};
use crate::store::decide::settlement::{Effect, settle};
use crate::store::decide::sighting::{Altered, Seen, alteration, remembered};
use crate::store::decide::turns::Turns;
use crate::store::group::reason;
use crate::store::{
    ArrivalRecord, Delivery, DeliveryId, DeliveryState, Displaced, Enqueued, Expectation, ExpectationSubject,
    Health, Lease, Leased, NewDelivery, NewEvent, Pause, PauseSubject, Settings, Settled, Sighting,
    StoreError, Wanted,
};

/// Everything that the store remembers.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryContents {
    pub settings: Settings,
    /// Events by id, and therefore by time.
    pub events: BTreeMap<EventId, KeptEvent>,
    /// Deliveries in the order in which they were enqueued.
    pub deliveries: Vec<StoredDelivery>,
    /// Remembered dedup keys, by rule.
    pub dedup_keys: HashMap<(Arc<str>, Vec<u8>), Remembered>,
    /// Remembered sightings, by endpoint.
    pub sightings: HashMap<(Arc<str>, Vec<u8>), Seen>,
    /// Both rings of arrivals that became no event, oldest first.
    pub arrivals: Vec<ArrivalRecord>,
    /// Last use of secrets, by endpoint, scheme and source.
    pub secrets: BTreeMap<[Arc<str>; 3], Timestamp>,
    /// Pauses, by kind and name.
    pub pauses: BTreeMap<PauseSubject, Pause>,
    /// Expectations, by kind and name.
    pub expectations: BTreeMap<ExpectationSubject, Expectation>,
    /// Leases and turns since the store was opened.
    pub turns: Turns,
    /// True if the store was reopened after a crash.
    pub after_crash: bool,
    /// True if every call is refused because the store is closed.
    pub closed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct KeptEvent {
    pub received: Arc<Received>,
    /// The decoding of the body.
    pub decode: String,
    /// Name of the operator who made the event.
    pub fired_by: Option<Arc<str>>,
}

impl MemoryContents {
    /// Writes an event, or reports that it is a duplicate.
    pub fn enqueue(&mut self, new_event: NewEvent) -> Result<Vec<Enqueued>, StoreError> {
        let altered = |sighting: &Sighting| Ok(self.altered(sighting));
        let known = |rule: &Arc<str>, key: &DedupKey| {
            Ok::<_, Infallible>(self.dedup_keys.get(&entry_key(rule, key)).copied())
        };
        let Ok(decisions) = dedup(&new_event, altered, known);
        if decisions.contains(&Dedup::New) {
            self.check_space(new_event.received.id)?;
        }
        let event = new_event.received.id;
        let (at, now) = (new_event.received.at, new_event.now);
        let mut enqueued = Vec::with_capacity(decisions.len());
        for (delivery, dedup) in new_event.deliveries.into_iter().zip(decisions) {
            enqueued.push(match dedup {
                Dedup::Duplicate(of) => Enqueued::Duplicate { of },
                Dedup::Altered(of, header) => Enqueued::Altered { of, header },
                Dedup::New => {
                    self.remember(&delivery, event, at);
                    if let Some(sighting) = &delivery.sighting {
                        self.remember_sighting(sighting, true);
                    }
                    self.add_delivery(delivery, event, now)
                }
            });
        }
        if enqueued.iter().any(Enqueued::is_new) {
            if new_event.is_replay {
                self.arrivals.retain(|record| record.received.id != event);
            }
            let kept = KeptEvent {
                received: new_event.received,
                decode: new_event.decode,
                fired_by: new_event.fired_by.filter(|_| !new_event.is_replay),
            };
            self.events.insert(event, kept);
        }
        Ok(enqueued)
    }

    /// Checks that another event may be written.
    fn check_space(&self, event: EventId) -> Result<(), StoreError> {
        let size = self.size();
        if let Some(max_size) = self.settings.max_size.filter(|max_size| size >= *max_size) {
            return Err(StoreError::Full {
                detail: format!("it holds {size} bytes, and its limit is {max_size}"),
            });
        }
        // There is no disk: free is everything that is not in use.
        let free = u64::MAX - size;
        let min_free = self.settings.min_free;
        if free < min_free {
            return Err(StoreError::Full {
                detail: format!("{free} bytes are free, and {min_free} are to stay free"),
            });
        }
        if self.events.contains_key(&event) {
            return Err(StoreError::IdTaken { event });
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        let sizes = self.events.values().map(|event| event.received.body.len() as u64);
        sizes.sum()
    }

    pub fn health(&self) -> Health {
        let new = EventId::new(Timestamp::from_millis(0));
        Health {
            size: self.size(),
            full: self.check_space(new).err().map(|full| full.to_string()),
            ..Health::default()
        }
    }

    fn remember(&mut self, delivery: &NewDelivery, event: EventId, at: Timestamp) {
        let until = delivery.remember_until;
        let new = Remembered { event, until };
        for key in &delivery.dedup_keys {
            let known = self
                .dedup_keys
                .entry(entry_key(&delivery.rule, key))
                .or_insert(new);
            *known = known.renewed(new, at);
        }
    }

    /// The first arrival with the content of `sighting` and the header that was different then, if
    /// there is one.
    pub fn altered(&self, sighting: &Sighting) -> Option<Altered> {
        let seen = |key: &DedupKey| Ok::<_, Infallible>(self.seen(sighting, key));
        let Ok(found) = alteration(sighting, seen);
        found
    }

    fn seen(&self, sighting: &Sighting, key: &DedupKey) -> Option<Seen> {
        self.sightings.get(&entry_key(&sighting.endpoint, key)).cloned()
    }

    /// Remembers a sighting that alters nothing. `prolong` prolongs a known sighting.
    pub fn remember_sighting(&mut self, sighting: &Sighting, prolong: bool) {
        for key in &sighting.keys {
            if let Some(seen) = remembered(sighting, self.seen(sighting, key), prolong) {
                self.sightings.insert(entry_key(&sighting.endpoint, key), seen);
            }
        }
    }

    pub fn add_delivery(&mut self, delivery: NewDelivery, event: EventId, at: Timestamp) -> Enqueued {
        let id = DeliveryId::of_known(&delivery, event, self.deliveries.len());
        let mut displaced = Displaced::default();
        // A delivery without a debounce supersedes too, because the rules may have changed in
        // between. An older one must never run after it.
        let since = self.supersede_debounced(&delivery, at, &mut displaced);
        let mut state = initial_state(&delivery, at, since);
        let admission = match (&state, &delivery.group) {
            (DeliveryState::Ready { .. }, Some(group)) => self.enter(group, at, &mut displaced),
            _ => Admission::Run,
        };
        if let (Admission::Queue, Some(due)) = (admission, state.due()) {
            state = DeliveryState::Queued { due };
        }
        let new = Delivery {
            id,
            event,
            rule: delivery.rule,
            item: delivery.item,
            action: 0,
            attempt: 1,
            state,
            unverified: delivery.unverified,
            failure_of: None,
        };
        let mut stored = StoredDelivery::new(new, delivery.group, at);
        let skipped = admission == Admission::Skip;
        if skipped {
            stored.supersede(at, reason::SKIPPED);
        }
        self.deliveries.push(stored);
        if skipped {
            return Enqueued::Skipped(id);
        }
        Enqueued::in_place_of(id, displaced)
    }

    /// Leases due deliveries, in order.
    pub fn lease(&mut self, wanted: &Wanted, now: Timestamp) -> Leased {
        let (mut leases, mut displaced) = (Vec::new(), Displaced::default());
        let due = |stored: &StoredDelivery| stored.due_at().filter(|due| *due <= now);
        loop {
            let waiting = self.deliveries.iter().enumerate();
            let waiting =
                waiting.filter_map(|(index, stored)| Some((&stored.delivery.rule, (due(stored)?, index))));
            let Some((_, index)) = self.turns.next(wanted, waiting) else {
                break;
            };
            if self.end_debounce(index, now, &mut displaced) {
                continue;
            }
            let Some(stored) = self.deliveries.get_mut(index) else {
                break;
            };
            let Some(event) = self.events.get(&stored.delivery.event) else {
                break;
            };
            stored.delivery.state = DeliveryState::Running;
            stored.leased_at = now;
            stored.cost = wanted.cost(&stored.delivery.rule, event.received.body.len());
            self.turns.begin(&stored.delivery.rule, stored.cost);
            leases.push(Lease {
                delivery: stored.delivery.id,
                rule: Arc::clone(&stored.delivery.rule),
                item: stored.delivery.item,
                action: stored.delivery.action,
                attempt: stored.delivery.attempt,
                received: Arc::clone(&event.received),
                decode: event.decode.clone(),
                fired_by: event.fired_by.clone(),
                unverified: stored.delivery.unverified.clone(),
                in_group: stored.group.is_some(),
                superseded: stored.superseded.clone(),
                replays: 0,
                failure: stored.failure.clone(),
                interrupted: stored.interrupted,
                suspect: stored.suspect,
            });
        }
        let mut waiting = self.deliveries.iter();
        let held_back =
            waiting.any(|stored| due(stored).is_some() && !wanted.excludes(&stored.delivery.rule));
        Leased {
            leases,
            held_back,
            displaced,
        }
    }

    /// The earliest due time of the deliveries that `wanted` allows.
    pub fn next_due(&self, wanted: &Wanted) -> Option<Timestamp> {
        let waiting = self.deliveries.iter();
        let admitted = waiting.filter(|stored| self.turns.admits(wanted, &stored.delivery.rule));
        admitted.filter_map(StoredDelivery::due_at).min()
    }

    fn running(&mut self, delivery: DeliveryId) -> Option<&mut StoredDelivery> {
        let mut running = self.deliveries.iter_mut();
        running.find(|stored| stored.is_running() && stored.delivery.id == delivery)
    }

    /// Records that an attempt begins.
    pub fn begin(&mut self, delivery: DeliveryId) {
        if let Some(stored) = self.running(delivery) {
            stored.begun.get_or_insert(stored.leased_at);
        }
    }

    /// Records which attempts have begun.
    pub fn mark_begun(&mut self, leased_by: Timestamp) {
        for stored in &mut self.deliveries {
            if stored.is_running() && !stored.begins_by_itself() && stored.leased_at <= leased_by {
                stored.begun.get_or_insert(stored.leased_at);
            }
        }
    }

    /// Ends a lease without an attempt.
    pub fn release(&mut self, delivery: DeliveryId) {
        if let Some(stored) = self.running(delivery) {
            stored.begun = None;
            stored.make_ready(stored.snapshot());
            let (rule, cost) = (Arc::clone(&stored.delivery.rule), stored.cost);
            self.turns.end(&rule, cost);
        }
    }

    /// Ends a lease and records the new state of the delivery.
    pub fn settle(&mut self, settled: Settled) -> Result<(), StoreError> {
        let id = settled.delivery;
        let Some(stored) = self.running(id) else {
            return Err(StoreError::NotLeased { delivery: id });
        };
        stored.attempts.extend(settled.attempt);
        stored.begun = None;
        let cost = stored.cost;
        let Delivery { event, rule, .. } = stored.delivery.clone();
        match settle(stored.snapshot(), &settled.settlement) {
            Effect::Continue(next) => stored.make_ready(next),
            Effect::End {
                state,
                forget_dedup_keys,
                failure,
            } => {
                let at = state.ended_at().unwrap_or(stored.due);
                let made = failure.map(|(failure, due)| stored.for_failure(failure, due, at));
                stored.delivery.state = state;
                let group = stored.group.as_ref().map(|group| Arc::clone(&group.name));
                if forget_dedup_keys {
                    self.dedup_keys
                        .retain(|(of, _), known| *of != rule || known.event != event);
                }
                if let Some(group) = group {
                    self.leave(&group);
                }
                self.deliveries.extend(made);
            }
        }
        self.turns.end(&rule, cost);
        Ok(())
    }
}

/// The key of a map of dedup keys or sightings.
fn entry_key(owner: &Arc<str>, key: &DedupKey) -> (Arc<str>, Vec<u8>) {
    (Arc::clone(owner), key.as_bytes().to_vec())
}
