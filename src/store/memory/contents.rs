//! The contents of a store in memory, and the operations on them.
//!
//! Every operation walks over everything it needs. The decisions about groups and debouncing are in
//! `groups.rs`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use super::groups::Admission;
use crate::base::clock::Timestamp;
use crate::event::{DedupKey, EventId, Received};
use crate::store::dedupe::{self, Dedup};
use crate::store::group::reason;
use crate::store::interruption::record;
use crate::store::sighting::{Headers, Seen, alteration};
use crate::store::{
    AttemptRecord, Concurrency, Counts, Delivery, DeliveryFailure, DeliveryId, DeliveryState, Displaced,
    Enqueued, Group, Health, Interruption, Lease, Leased, NewDelivery, NewEvent, RefusedRequest,
    SECRETS_KEPT, SecretUse, Settings, Settled, Settlement, Sighting, StoreError,
};

/// Maximum dedup keys, maximum sightings and maximum events that one sweep forgets.
const SWEPT_AT_ONCE: usize = 500;

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
    /// Remembered sightings and the moment until which they count, by endpoint.
    pub sightings: HashMap<(Arc<str>, Vec<u8>), (Seen, Timestamp)>,
    /// Ring of refusals, oldest first.
    pub refused: VecDeque<RefusedRequest>,
    /// Last use of secrets, by endpoint, scheme and source.
    pub secrets: BTreeMap<[Arc<str>; 3], Timestamp>,
    /// Number of each rule's last turn since the store was opened.
    pub turns: HashMap<Arc<str>, u64>,
    /// Number of turns since the store was opened.
    pub turn: u64,
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
}

/// A delivery with its attempts.
#[derive(Clone, Debug)]
pub(super) struct StoredDelivery {
    /// The delivery as history lists it.
    pub delivery: Delivery,
    /// Due time before the lease.
    pub due: Timestamp,
    /// The attempts, oldest first.
    pub attempts: Vec<AttemptRecord>,
    /// The concurrency group.
    pub group: Option<Group>,
    /// True if the delivery still waits for its turn in the group.
    pub held: bool,
    /// The reason why the delivery is no longer to be performed.
    pub superseded: Option<String>,
    /// Set while the delivery waits for quiet and is not in its group yet: arrival of the first
    /// delivery that it has superseded.
    pub debounced_since: Option<Timestamp>,
    /// The failure of another delivery for which this one was made.
    pub failure: Option<Arc<DeliveryFailure>>,
    /// Time of the lease.
    pub leased_at: Timestamp,
    /// Start of the attempt that is recorded as begun.
    pub begun: Option<Timestamp>,
    /// Set if the latest attempt was interrupted.
    pub interrupted: Option<Interruption>,
    /// True if the delivery may have ended the last daemon.
    pub suspect: bool,
}

/// A remembered dedup key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remembered {
    /// The first event with the key.
    pub event: EventId,
    /// The last moment at which the key counts.
    pub until: Timestamp,
}

impl MemoryContents {
    /// Writes an event, or reports that it is a duplicate.
    pub fn enqueue(&mut self, new_event: NewEvent) -> Result<Vec<Enqueued>, StoreError> {
        let altered = |sighting: &Sighting| Ok(self.altered(sighting));
        let decisions = match dedupe::dedup(&new_event, altered, |rule, dedup_key, at| {
            let known = self
                .dedup_keys
                .get(&(Arc::from(rule), dedup_key.as_bytes().to_vec()));
            let known = known.filter(|known| dedupe::is_remembered(known.until, at));
            Ok::<_, Infallible>(known.map(|known| known.event))
        }) {
            Ok(decisions) => decisions,
            Err(never) => match never {},
        };
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
            let received = new_event.received;
            let decode = new_event.decode;
            self.events.insert(event, KeptEvent { received, decode });
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
        for dedup_key in &delivery.dedup_keys {
            let key = (Arc::clone(&delivery.rule), dedup_key.as_bytes().to_vec());
            let known = self.dedup_keys.entry(key).or_insert(Remembered { event, until });
            if dedupe::is_remembered(known.until, at) {
                known.until = known.until.max(until);
            } else {
                *known = Remembered { event, until };
            }
        }
    }

    /// The first arrival with the content of `sighting` and the header that was different then, if
    /// there is one.
    pub fn altered(&self, sighting: &Sighting) -> Option<(EventId, Arc<str>)> {
        let found = alteration(sighting, |key| Ok::<_, Infallible>(self.seen(sighting, key)));
        match found {
            Ok(found) => found,
            Err(never) => match never {},
        }
    }

    fn seen(&self, sighting: &Sighting, key: &DedupKey) -> Option<Seen> {
        let known = (Arc::clone(&sighting.endpoint), key.as_bytes().to_vec());
        let (seen, until) = self.sightings.get(&known)?;
        dedupe::is_remembered(*until, sighting.at).then(|| seen.clone())
    }

    /// Remembers a sighting that alters nothing. `longer` prolongs a known sighting.
    pub fn remember_sighting(&mut self, sighting: &Sighting, longer: bool) {
        for key in &sighting.keys {
            let seen = self.seen(sighting, key);
            let known = seen.is_some();
            let mut now = seen.clone().unwrap_or_else(|| Seen {
                event: sighting.event,
                headers: Headers::default(),
            });
            now.headers = sighting.headers.added_to(&now.headers);
            if !longer && seen.is_some_and(|seen| seen.headers == now.headers) {
                continue;
            }
            let key = (Arc::clone(&sighting.endpoint), key.as_bytes().to_vec());
            let before = self.sightings.get(&key).filter(|_| known);
            let until = before.map_or(sighting.remember_until, |(_, until)| {
                sighting.remember_until.max(*until)
            });
            self.sightings.insert(key, (now, until));
        }
    }

    fn add_delivery(&mut self, delivery: NewDelivery, event: EventId, at: Timestamp) -> Enqueued {
        let id = DeliveryId::new(at);
        let mut displaced = Displaced::default();
        // A delivery without a debounce supersedes too, because the rules may have changed in
        // between. An older one must never run after it.
        let since = self.supersede_debounced(&delivery, at, &mut displaced);
        let debounced_since = delivery.debounce.map(|_| since);
        let due = match (delivery.debounce, debounced_since) {
            (Some(debounce), Some(since)) => debounce.due(at, since),
            _ => delivery.due,
        };
        let turn = match &delivery.group {
            Some(group) if debounced_since.is_none() => self.enter(group, at, &mut displaced),
            _ => Admission::Run,
        };
        self.deliveries.push(StoredDelivery {
            delivery: Delivery {
                id,
                event,
                rule: delivery.rule,
                action: 0,
                attempt: 1,
                state: DeliveryState::Waiting { due },
                unverified: delivery.unverified,
                failure_of: None,
            },
            due,
            attempts: Vec::new(),
            group: delivery.group,
            held: matches!(turn, Admission::Queue),
            superseded: None,
            debounced_since,
            failure: None,
            leased_at: at,
            begun: None,
            interrupted: None,
            suspect: false,
        });
        if let (Admission::Skip, Some(stored)) = (turn, self.deliveries.last_mut()) {
            drop(stored.supersede(at, reason::SKIPPED));
            return Enqueued::Skipped(id);
        }
        Enqueued::in_place_of(id, displaced)
    }

    /// Leases due deliveries, in order.
    pub fn lease(&mut self, limits: Concurrency, now: Timestamp) -> Leased {
        let (mut leases, mut displaced) = (Vec::new(), Displaced::default());
        let mut under_way = self.under_way();
        let due = |stored: &StoredDelivery| stored.due_at().filter(|due| *due <= now);
        loop {
            let waiting = self.deliveries.iter().enumerate();
            let admitted = waiting.filter(|(_, stored)| under_way.leave(limits, &stored.delivery.rule));
            let first = admitted.filter_map(|(at, stored)| {
                let rule = &stored.delivery.rule;
                let turn = self.turns.get(rule).copied().unwrap_or(0);
                Some((under_way.of(rule), turn, due(stored)?, at))
            });
            // Rules are ordered by turn, the deliveries of a rule by due time.
            let Some((.., at)) = first.min() else { break };
            if self.end_debounce(at, now, &mut displaced) {
                continue;
            }
            let Some(stored) = self.deliveries.get_mut(at) else {
                break;
            };
            let Some(event) = self.events.get(&stored.delivery.event) else {
                break;
            };
            stored.delivery.state = DeliveryState::Leased;
            stored.leased_at = now;
            under_way.add(&stored.delivery.rule);
            self.turn += 1;
            self.turns.insert(Arc::clone(&stored.delivery.rule), self.turn);
            leases.push(Lease {
                delivery: stored.delivery.id,
                rule: Arc::clone(&stored.delivery.rule),
                action: stored.delivery.action,
                attempt: stored.delivery.attempt,
                received: Arc::clone(&event.received),
                decode: event.decode.clone(),
                unverified: stored.delivery.unverified.clone(),
                in_group: stored.group.is_some(),
                superseded: stored.superseded.clone(),
                replays: 0,
                failure: stored.failure.clone(),
                interrupted: stored.interrupted,
                suspect: stored.suspect,
            });
        }
        let held_back = self.deliveries.iter().any(|stored| due(stored).is_some());
        Leased {
            leases,
            held_back,
            displaced,
        }
    }

    /// The earliest due time of the deliveries that `limits` allows.
    pub fn next_due(&self, limits: Concurrency) -> Option<Timestamp> {
        let under_way = self.under_way();
        let waiting = self.deliveries.iter();
        let admitted = waiting.filter(|stored| under_way.leave(limits, &stored.delivery.rule));
        admitted.filter_map(StoredDelivery::due_at).min()
    }

    fn under_way(&self) -> UnderWay {
        let mut under_way = UnderWay::default();
        for stored in &self.deliveries {
            if matches!(stored.delivery.state, DeliveryState::Leased) {
                under_way.add(&stored.delivery.rule);
            }
        }
        under_way
    }

    /// Records that an attempt begins.
    pub fn begin(&mut self, delivery: DeliveryId) {
        for stored in &mut self.deliveries {
            let is_leased = matches!(stored.delivery.state, DeliveryState::Leased);
            if is_leased && stored.delivery.id == delivery {
                stored.begun.get_or_insert(stored.leased_at);
            }
        }
    }

    /// Records which attempts have begun.
    pub fn mark_begun(&mut self, leased_by: Timestamp) {
        for stored in &mut self.deliveries {
            let is_leased = matches!(stored.delivery.state, DeliveryState::Leased);
            if is_leased && !stored.begins_by_itself() && stored.leased_at <= leased_by {
                stored.begun.get_or_insert(stored.leased_at);
            }
        }
    }

    /// Ends a lease and records the new state of the delivery.
    pub fn settle(&mut self, settled: Settled) -> Result<(), StoreError> {
        let id = settled.delivery;
        let mut leased = self.deliveries.iter_mut();
        let Some(stored) = leased.find(|stored| {
            stored.delivery.id == id && matches!(stored.delivery.state, DeliveryState::Leased)
        }) else {
            return Err(StoreError::NotLeased { delivery: id });
        };
        stored.attempts.extend(settled.attempt);
        stored.begun = None;
        let ends = !matches!(
            settled.settlement,
            Settlement::Next { .. } | Settlement::Retry { .. } | Settlement::Interrupted { .. }
        );
        let group = stored.group.as_ref().map(|group| Arc::clone(&group.name));
        let ended_group = group.filter(|_| ends);
        let mut made = None;
        match settled.settlement {
            Settlement::Next { action, due } => {
                stored.delivery.action = action;
                stored.delivery.attempt = 1;
                stored.interrupted = None;
                stored.wait(due);
            }
            Settlement::Retry { due } => {
                stored.delivery.attempt = stored.delivery.attempt.saturating_add(1);
                stored.interrupted = None;
                stored.wait(due);
            }
            Settlement::Interrupted { since, due, counts } => {
                stored.interrupt(since, counts);
                stored.wait(due.unwrap_or(stored.due));
            }
            Settlement::Wait { due } => stored.wait(due),
            Settlement::Done { at } => stored.delivery.state = DeliveryState::Done { at },
            Settlement::Superseded { at, reason } => {
                stored.delivery.state = DeliveryState::Superseded { at, reason }
            }
            Settlement::Dead {
                at,
                reason,
                forget_dedup_keys,
                failure,
            } => {
                if let Some(failure) = failure.filter(|_| stored.failure.is_none()) {
                    made = Some(stored.make_for_failure(*failure, at));
                }
                stored.delivery.state = DeliveryState::Dead { at, reason };
                if forget_dedup_keys {
                    let Delivery { event, rule, .. } = stored.delivery.clone();
                    self.dedup_keys
                        .retain(|(of, _), known| *of != rule || known.event != event);
                }
            }
        }
        if let Some(group) = ended_group {
            self.leave(&group);
        }
        self.deliveries.extend(made);
        Ok(())
    }

    /// Drops the oldest refusals beyond the limit.
    pub fn trim(&mut self) {
        while self.refused.len() > self.settings.keep.refused {
            self.refused.pop_front();
        }
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
            refused: self.refused.len() as u64,
            ..Counts::default()
        };
        for stored in &self.deliveries {
            *match stored.delivery.state {
                DeliveryState::Waiting { .. } => &mut counts.waiting,
                DeliveryState::Leased => &mut counts.leased,
                DeliveryState::Done { .. } | DeliveryState::Superseded { .. } => &mut counts.done,
                DeliveryState::Dead { .. } if stored.failure.is_some() => &mut counts.done,
                DeliveryState::Dead { .. } => &mut counts.dead,
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
        unseen.retain(|(_, (_, until))| *until < before);
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
            match stored.delivery.state {
                DeliveryState::Waiting { .. } | DeliveryState::Leased => return false,
                DeliveryState::Done { at } | DeliveryState::Superseded { at, .. } => last = last.max(at),
                DeliveryState::Dead { at, .. } if stored.failure.is_some() => last = last.max(at),
                DeliveryState::Dead { at, .. } => {
                    last = last.max(at);
                    keep = self.settings.keep.dead;
                }
            }
        }
        now.since(last) > keep
    }
}

/// Numbers of leased deliveries.
#[derive(Default)]
struct UnderWay {
    all: usize,
    of: HashMap<Arc<str>, usize>,
}

impl UnderWay {
    fn add(&mut self, rule: &Arc<str>) {
        self.all += 1;
        *self.of.entry(Arc::clone(rule)).or_default() += 1;
    }

    /// Number of leased deliveries of a rule.
    fn of(&self, rule: &str) -> usize {
        self.of.get(rule).copied().unwrap_or(0)
    }

    /// True if the limits allow another delivery of a rule.
    fn leave(&self, limits: Concurrency, rule: &str) -> bool {
        limits.admits(self.of(rule), self.all)
    }
}

impl StoredDelivery {
    /// Makes the delivery for the failure of this one.
    fn make_for_failure(&self, failure: DeliveryFailure, at: Timestamp) -> Self {
        let due = self.due.min(at);
        Self {
            delivery: Delivery {
                id: DeliveryId::new(at),
                action: 0,
                attempt: 1,
                state: DeliveryState::Waiting { due },
                failure_of: Some(self.delivery.id),
                ..self.delivery.clone()
            },
            due,
            attempts: Vec::new(),
            group: None,
            held: false,
            superseded: None,
            debounced_since: None,
            failure: Some(Arc::new(failure)),
            leased_at: at,
            begun: None,
            interrupted: None,
            suspect: false,
        }
    }

    /// The due time, if the delivery waits and is not held in its group.
    pub fn due_at(&self) -> Option<Timestamp> {
        match self.delivery.state {
            DeliveryState::Waiting { due } if !self.held => Some(due),
            _ => None,
        }
    }

    /// Records that an attempt that began at `since` was interrupted.
    fn interrupt(&mut self, since: Timestamp, counts: bool) {
        let before = self.interrupted.map_or(0, |before| before.in_a_row);
        self.interrupted = Some(Interruption {
            in_a_row: before + 1,
            since,
        });
        self.delivery.attempt += u32::from(counts);
    }

    /// True if an attempt begins only with [`MemoryContents::begin`], rather than with its lease.
    fn begins_by_itself(&self) -> bool {
        self.suspect || self.interrupted.is_some()
    }

    /// Applies a reopen of the store after a clean stop or a crash.
    pub fn reopen(&mut self, clean: bool) {
        let is_leased = matches!(self.delivery.state, DeliveryState::Leased);
        let begun = self
            .begun
            .take()
            .or((clean && is_leased && !self.begins_by_itself()).then_some(self.leased_at));
        if let Some(since) = begun {
            let Delivery { action, attempt, .. } = self.delivery;
            self.attempts.push(record(action, attempt, since, clean));
            self.interrupt(since, !clean);
        }
        self.release();
        self.suspect = !clean;
    }

    /// Makes the delivery wait until `due`.
    pub fn wait(&mut self, due: Timestamp) {
        self.due = due;
        self.delivery.state = DeliveryState::Waiting { due };
    }

    /// Ends the lease, if there is one.
    pub fn release(&mut self) {
        if matches!(self.delivery.state, DeliveryState::Leased) {
            self.begun = None;
            self.wait(self.due);
        }
    }
}
