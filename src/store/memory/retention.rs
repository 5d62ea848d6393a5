//! Retention in memory: the rings of arrivals, the secrets in use, counts, and sweeps.

use std::convert::Infallible;
use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::decide::dedupe;
use crate::store::decide::ring::surplus;
use crate::store::{ArrivalRecord, Counts, DeliveryState, PerRing, Ring, RingSize, SECRETS_KEPT, SecretUse};

use super::contents::MemoryContents;

/// Maximum dedup keys, maximum sightings and maximum events that one sweep forgets.
const SWEPT_AT_ONCE: usize = 500;

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
            *match stored.delivery.state {
                DeliveryState::Running => &mut counts.leased,
                DeliveryState::Dead { .. } if stored.failure.is_none() => &mut counts.dead,
                _ if stored.delivery.state.is_pending() => &mut counts.waiting,
                _ => &mut counts.done,
            } += 1;
        }
        counts
    }

    /// Forgets one step of expired data. Returns the number of entries forgotten.
    pub fn sweep(&mut self, now: Timestamp) -> usize {
        let before = dedupe::forgotten_before(now);
        let mut expired: Vec<_> = self.dedup_keys.iter().collect();
        expired.retain(|(_, known)| known.until < before);
        let expired: Vec<_> = expired.into_iter().map(|(key, _)| key.clone()).collect();
        let expired: Vec<_> = expired.into_iter().take(SWEPT_AT_ONCE).collect();
        for key in &expired {
            self.dedup_keys.remove(key);
        }
        let mut unseen: Vec<_> = self.sightings.iter().collect();
        unseen.retain(|(_, seen)| seen.until < before);
        let unseen: Vec<_> = unseen.into_iter().map(|(key, _)| key.clone()).collect();
        let unseen: Vec<_> = unseen.into_iter().take(SWEPT_AT_ONCE).collect();
        for key in &unseen {
            self.sightings.remove(key);
        }
        let events = self.events.keys().copied();
        let past: Vec<_> = events
            .filter(|event| self.is_past(*event, now))
            .take(SWEPT_AT_ONCE)
            .collect();
        for event in &past {
            self.events.remove(event);
            self.deliveries.retain(|stored| stored.delivery.event != *event);
        }
        self.trim();
        expired.len() + unseen.len() + past.len()
    }

    /// True if the retention of an event is over.
    fn is_past(&self, event: EventId, now: Timestamp) -> bool {
        let mut keep = self.settings.keep.done;
        let mut last = Timestamp::from_millis(i64::MIN);
        for stored in self
            .deliveries
            .iter()
            .filter(|stored| stored.delivery.event == event)
        {
            let Some(at) = stored.delivery.state.ended_at() else {
                return false;
            };
            last = last.max(at);
            if matches!(stored.delivery.state, DeliveryState::Dead { .. }) && stored.failure.is_none() {
                keep = self.settings.keep.dead;
            }
        }
        now.since(last) > keep
    }
}
