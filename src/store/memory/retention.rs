//! Retention in memory: the rings of arrivals, the secrets in use, counts, and sweeps.

use std::convert::Infallible;
use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::decide::retention::{Expiry, STEP_ROWS, StepBudget, is_dead_letter};
use crate::store::decide::ring::surplus;
use crate::store::{ArrivalRecord, Counts, DeliveryState, PerRing, Ring, RingSize, SECRETS_KEPT, SecretUse};

use super::contents::MemoryContents;

impl MemoryContents {
    /// Keeps records of arrivals, and drops the oldest beyond the limits.
    pub fn record(&mut self, records: Vec<ArrivalRecord>) {
        for record in records {
            let (ring, endpoint) = (record.ring, Arc::clone(&record.received.endpoint));
            let limit = record.endpoint_limit;
            self.arrivals.push(record);
            let of_endpoint =
                |record: &ArrivalRecord| record.ring == ring && record.received.endpoint == endpoint;
            let kept = self.arrivals.iter().filter(|record| of_endpoint(record)).count();
            self.drop_oldest(limit.map_or(0, |limit| kept.saturating_sub(limit)), of_endpoint);
        }
        self.trim();
    }

    /// Drops the oldest records beyond the limits of their ring.
    pub fn trim(&mut self) {
        for ring in Ring::ALL {
            let of_ring = |record: &ArrivalRecord| record.ring == ring;
            let weights = self.arrivals.iter().filter(|record| of_ring(record));
            let weights = weights.map(|record| Ok::<_, Infallible>(record.weight()));
            let Ok(gone) = surplus(ring, self.ring_size(ring), &self.settings.keep, weights);
            self.drop_oldest(gone, of_ring);
        }
    }

    /// Drops the `number` oldest records that are of interest.
    fn drop_oldest(&mut self, mut number: usize, of_interest: impl Fn(&ArrivalRecord) -> bool) {
        self.arrivals.retain(|record| {
            let gone = number > 0 && of_interest(record);
            number -= usize::from(gone);
            !gone
        });
    }

    fn ring_size(&self, ring: Ring) -> RingSize {
        let records = self.arrivals.iter().filter(|record| record.ring == ring);
        records.fold(RingSize::default(), |size, record| RingSize {
            records: size.records + 1,
            bytes: size.bytes + record.weight(),
        })
    }

    /// Records the last use of secrets, and drops the oldest beyond the limit.
    pub fn note_secrets(&mut self, uses: Vec<SecretUse>) {
        for used in uses {
            let key = [used.endpoint, used.scheme, used.source];
            let known = self.secrets.entry(key).or_insert(used.last_matched);
            *known = (*known).max(used.last_matched);
        }
        let mut latest: Vec<_> = self.secrets.iter().collect();
        latest.sort_by_key(|(key, at)| (std::cmp::Reverse(**at), (*key).clone()));
        let gone: Vec<_> = latest.into_iter().skip(SECRETS_KEPT).collect();
        let gone: Vec<_> = gone.into_iter().map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.secrets.remove(&key);
        }
    }

    pub fn secrets(&self) -> Vec<SecretUse> {
        let listed = self.secrets.iter().map(|(key, at)| {
            let [endpoint, scheme, source] = key.clone();
            SecretUse {
                endpoint,
                scheme,
                source,
                last_matched: *at,
            }
        });
        listed.collect()
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            events: self.events.len() as u64,
            dedup_keys: self.dedup_keys.len() as u64,
            sightings: self.sightings.len() as u64,
            rings: PerRing {
                ignored: self.ring_size(Ring::Ignored),
                refused: self.ring_size(Ring::Refused),
            },
            ..Counts::default()
        };
        for stored in &self.deliveries {
            let state = &stored.delivery.state;
            *match state {
                DeliveryState::Running => &mut counts.leased,
                _ if is_dead_letter(state, stored.failure.is_some()) => &mut counts.dead,
                _ if state.is_pending() => &mut counts.waiting,
                _ => &mut counts.done,
            } += 1;
        }
        counts
    }

    /// Forgets one step of expired data. Returns the number of entries forgotten.
    pub fn sweep(&mut self, now: Timestamp) -> usize {
        let expiry = Expiry::at(now, &self.settings.keep);
        let mut expired: Vec<_> = self.dedup_keys.iter().collect();
        expired.retain(|(_, known)| known.until < expiry.remembered);
        let expired: Vec<_> = expired.into_iter().map(|(key, _)| key.clone()).collect();
        let expired: Vec<_> = expired.into_iter().take(STEP_ROWS).collect();
        for key in &expired {
            self.dedup_keys.remove(key);
        }
        let mut unseen: Vec<_> = self.sightings.iter().collect();
        unseen.retain(|(_, seen)| seen.until < expiry.remembered);
        let unseen: Vec<_> = unseen.into_iter().map(|(key, _)| key.clone()).collect();
        let unseen: Vec<_> = unseen.into_iter().take(STEP_ROWS).collect();
        for key in &unseen {
            self.sightings.remove(key);
        }
        let mut budget = StepBudget::default();
        let mut events = 0;
        for event in self.past(expiry) {
            if !budget.is_left() {
                break;
            }
            let kept = self.deliveries.len();
            self.deliveries.retain(|stored| stored.delivery.event != event);
            let body = self
                .events
                .remove(&event)
                .map_or(0, |event| event.received.body.len());
            budget.spend(kept - self.deliveries.len(), body as u64);
            events += 1;
        }
        self.trim();
        expired.len() + unseen.len() + events
    }

    /// The events whose retention is over. Those without dead letters come first, in the order in
    /// which they ended.
    fn past(&self, expiry: Expiry) -> Vec<EventId> {
        let mut past = Vec::new();
        for event in self.events.keys() {
            let deliveries = self.deliveries.iter();
            let (mut ended, mut dead) = (Some(Timestamp::from_millis(i64::MIN)), false);
            for stored in deliveries.filter(|stored| stored.delivery.event == *event) {
                let state = &stored.delivery.state;
                ended = ended.zip(state.ended_at()).map(|(last, at)| last.max(at));
                dead |= is_dead_letter(state, stored.failure.is_some());
            }
            if let Some(at) = ended.filter(|at| *at < expiry.ended(dead)) {
                past.push((dead, at, *event));
            }
        }
        past.sort();
        past.into_iter().map(|(.., event)| event).collect()
    }
}
