//! All that a store in memory remembers, and what is done to it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use super::lanes::Turn;
use crate::clock::Timestamp;
use crate::store::interruption::record;
use crate::store::lane::reason;
use crate::store::once::{self, Novelty};
use crate::store::sighting::{Headers, Seen, alteration};
use crate::store::{
    AttemptRecord, Condition, Counts, Delivery, DeliveryId, Displaced, Failure, Interruption, Lane, Lease,
    Leased, NewDelivery, Refused, Room, SECRETS_KEPT, SecretUse, Settings, Settled, Settlement, Sighting,
    State, StoreError, Taken, Taking,
};
use crate::verify::{EventId, Nonce, Received};

/// The most nonces, the most sightings and the most events that one sweep forgets.
const SWEPT_AT_ONCE: usize = 500;

/// All that is remembered.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// The settings in force.
    pub settings: Settings,
    /// The events, by id and so by time.
    pub events: BTreeMap<EventId, KeptEvent>,
    /// In the order in which they were taken.
    pub deliveries: Vec<Kept>,
    /// What is remembered, for each rule.
    pub nonces: HashMap<(Arc<str>, Vec<u8>), Remembered>,
    /// What is remembered, for each endpoint.
    pub sightings: HashMap<(Arc<str>, Vec<u8>), (Seen, Timestamp)>,
    /// The ring, oldest first.
    pub refused: VecDeque<Refused>,
    /// When secrets last matched, by endpoint, scheme and source.
    pub secrets: BTreeMap<[Arc<str>; 3], Timestamp>,
    /// When each rule had its last turn, counted in turns; of this life.
    pub turns: HashMap<Arc<str>, u64>,
    /// How many turns there were.
    pub turn: u64,
    /// Whether the life before ended with a crash.
    pub after_crash: bool,
    /// Whether nothing more is answered.
    pub closed: bool,
}

/// An event.
#[derive(Clone, Debug)]
pub(super) struct KeptEvent {
    /// What arrived.
    pub received: Arc<Received>,
    /// How its body is decoded.
    pub decode: String,
}

/// A delivery with its attempts.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// The delivery as it is listed.
    pub delivery: Delivery,
    /// When it was due before it was leased.
    pub due: Timestamp,
    /// The attempts made, oldest first.
    pub attempts: Vec<AttemptRecord>,
    /// The lane in which it goes.
    pub lane: Option<Lane>,
    /// Whether its turn in the lane is still to come.
    pub held: bool,
    /// Why it is not to be performed any more.
    pub superseded: Option<String>,
    /// Of one that waits for quiet, and is in no lane yet: when the first came that it stands for.
    pub debounced_since: Option<Timestamp>,
    /// The failure of another that it was made for.
    pub failure: Option<Arc<Failure>>,
    /// When it was leased.
    pub leased_at: Timestamp,
    /// Since when an attempt is written down as begun.
    pub begun: Option<Timestamp>,
    /// That its latest attempt was interrupted.
    pub interrupted: Option<Interruption>,
    /// Whether it may have ended the last daemon.
    pub suspect: bool,
}

/// What is known of a nonce.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remembered {
    /// The event that it came with.
    pub event: EventId,
    /// Its last moment.
    pub until: Timestamp,
}

impl Contents {
    /// Writes an event down, or finds that it was.
    pub fn take(&mut self, taking: Taking) -> Result<Vec<Taken>, StoreError> {
        let altered = |sighting: &Sighting| Ok(self.altered(sighting));
        let novelties = match once::novelty(&taking, altered, |rule, nonce, at| {
            let known = self.nonces.get(&(Arc::from(rule), nonce.as_bytes().to_vec()));
            let known = known.filter(|known| once::is_remembered(known.until, at));
            Ok::<_, Infallible>(known.map(|known| known.event))
        }) {
            Ok(novelties) => novelties,
            Err(never) => match never {},
        };
        if novelties.contains(&Novelty::New) {
            self.make_room(taking.received.id)?;
        }
        let event = taking.received.id;
        let (at, now) = (taking.received.at, taking.now);
        let mut taken = Vec::with_capacity(novelties.len());
        for (delivery, novelty) in taking.deliveries.into_iter().zip(novelties) {
            taken.push(match novelty {
                Novelty::Duplicate(of) => Taken::Duplicate { of },
                Novelty::Altered(of, header) => Taken::Altered { of, header },
                Novelty::New => {
                    self.remember(&delivery, event, at);
                    if let Some(sighting) = &delivery.sighting {
                        self.see(sighting, true);
                    }
                    self.owe(delivery, event, now)
                }
            });
        }
        if taken.iter().any(Taken::is_new) {
            let received = taking.received;
            let decode = taking.decode;
            self.events.insert(event, KeptEvent { received, decode });
        }
        Ok(taken)
    }

    /// Whether another event may be written down.
    fn make_room(&self, event: EventId) -> Result<(), StoreError> {
        let size = self.size();
        if let Some(max_size) = self.settings.max_size.filter(|max_size| size >= *max_size) {
            return Err(StoreError::Full {
                detail: format!("it holds {size} bytes, and its limit is {max_size}"),
            });
        }
        // There is no disk: all the room that there can be, less what is held.
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

    /// How the store is.
    pub fn condition(&self) -> Condition {
        let new = EventId::new(Timestamp::from_millis(0));
        Condition {
            size: self.size(),
            full: self.make_room(new).err().map(|full| full.to_string()),
            ..Condition::default()
        }
    }

    fn remember(&mut self, delivery: &NewDelivery, event: EventId, at: Timestamp) {
        let until = delivery.remember_until;
        for nonce in &delivery.nonces {
            let key = (Arc::clone(&delivery.rule), nonce.as_bytes().to_vec());
            let known = self.nonces.entry(key).or_insert(Remembered { event, until });
            if once::is_remembered(known.until, at) {
                known.until = known.until.max(until);
            } else {
                *known = Remembered { event, until };
            }
        }
    }

    /// The arrival with which the content of `sighting` came first, and the header that was another then, if one was.
    pub fn altered(&self, sighting: &Sighting) -> Option<(EventId, Arc<str>)> {
        let found = alteration(sighting, |key| Ok::<_, Infallible>(self.seen(sighting, key)));
        match found {
            Ok(found) => found,
            Err(never) => match never {},
        }
    }

    fn seen(&self, sighting: &Sighting, key: &Nonce) -> Option<Seen> {
        let known = (Arc::clone(&sighting.endpoint), key.as_bytes().to_vec());
        let (seen, until) = self.sightings.get(&known)?;
        once::is_remembered(*until, sighting.at).then(|| seen.clone())
    }

    /// Remembers a sighting that alters nothing; for `longer` what is known.
    pub fn see(&mut self, sighting: &Sighting, longer: bool) {
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

    fn owe(&mut self, delivery: NewDelivery, event: EventId, at: Timestamp) -> Taken {
        let id = DeliveryId::new(at);
        let mut displaced = Displaced::default();
        // Also for one that does not wait itself, for the rules have changed meanwhile: an older one never comes after it.
        let since = self.stand_for(&delivery, at, &mut displaced);
        let debounced_since = delivery.debounce.map(|_| since);
        let due = match (delivery.debounce, debounced_since) {
            (Some(debounce), Some(since)) => debounce.due(at, since),
            _ => delivery.due,
        };
        let turn = match &delivery.lane {
            Some(lane) if debounced_since.is_none() => self.enter(lane, at, &mut displaced),
            _ => Turn::Begins,
        };
        self.deliveries.push(Kept {
            delivery: Delivery {
                id,
                event,
                rule: delivery.rule,
                action: 0,
                attempt: 1,
                state: State::Waiting { due },
                unverified: delivery.unverified,
                failure_of: None,
            },
            due,
            attempts: Vec::new(),
            lane: delivery.lane,
            held: matches!(turn, Turn::Held),
            superseded: None,
            debounced_since,
            failure: None,
            leased_at: at,
            begun: None,
            interrupted: None,
            suspect: false,
        });
        if let (Turn::Skipped, Some(kept)) = (turn, self.deliveries.last_mut()) {
            drop(kept.withdraw(at, reason::SKIPPED));
            return Taken::Skipped(id);
        }
        Taken::in_place_of(id, displaced)
    }

    /// Leases what is due, in order.
    pub fn lease(&mut self, room: Room, now: Timestamp) -> Leased {
        let (mut leases, mut displaced) = (Vec::new(), Displaced::default());
        let mut under_way = self.under_way();
        let due = |kept: &Kept| kept.waits_for().filter(|due| *due <= now);
        loop {
            let waiting = self.deliveries.iter().enumerate();
            let with_room = waiting.filter(|(_, kept)| under_way.leave(room, &kept.delivery.rule));
            let first = with_room.filter_map(|(at, kept)| {
                let rule = &kept.delivery.rule;
                let turn = self.turns.get(rule).copied().unwrap_or(0);
                Some((under_way.of(rule), turn, due(kept)?, at))
            });
            // A rule's own by due time; rules by whose turn it is.
            let Some((.., at)) = first.min() else { break };
            if self.end_debounce(at, now, &mut displaced) {
                continue;
            }
            let Some(kept) = self.deliveries.get_mut(at) else {
                break;
            };
            let Some(event) = self.events.get(&kept.delivery.event) else {
                break;
            };
            kept.delivery.state = State::Leased;
            kept.leased_at = now;
            under_way.add(&kept.delivery.rule);
            self.turn += 1;
            self.turns.insert(Arc::clone(&kept.delivery.rule), self.turn);
            leases.push(Lease {
                delivery: kept.delivery.id,
                rule: Arc::clone(&kept.delivery.rule),
                action: kept.delivery.action,
                attempt: kept.delivery.attempt,
                received: Arc::clone(&event.received),
                decode: event.decode.clone(),
                unverified: kept.delivery.unverified.clone(),
                in_lane: kept.lane.is_some(),
                superseded: kept.superseded.clone(),
                replays: 0,
                failure: kept.failure.clone(),
                interrupted: kept.interrupted,
                suspect: kept.suspect,
            });
        }
        let held_back = self.deliveries.iter().any(|kept| due(kept).is_some());
        Leased {
            leases,
            held_back,
            displaced,
        }
    }

    /// When the next of those is due for which there is room.
    pub fn next_due(&self, room: Room) -> Option<Timestamp> {
        let under_way = self.under_way();
        let waiting = self.deliveries.iter();
        let with_room = waiting.filter(|kept| under_way.leave(room, &kept.delivery.rule));
        with_room.filter_map(Kept::waits_for).min()
    }

    fn under_way(&self) -> UnderWay {
        let mut under_way = UnderWay::default();
        for kept in &self.deliveries {
            if matches!(kept.delivery.state, State::Leased) {
                under_way.add(&kept.delivery.rule);
            }
        }
        under_way
    }

    /// Writes down that an attempt begins.
    pub fn begin(&mut self, delivery: DeliveryId) {
        for kept in &mut self.deliveries {
            let is_leased = matches!(kept.delivery.state, State::Leased);
            if is_leased && kept.delivery.id == delivery {
                kept.begun.get_or_insert(kept.leased_at);
            }
        }
    }

    /// Writes down which attempts have begun.
    pub fn mark_begun(&mut self, leased_by: Timestamp) {
        for kept in &mut self.deliveries {
            let is_leased = matches!(kept.delivery.state, State::Leased);
            if is_leased && !kept.begins_by_itself() && kept.leased_at <= leased_by {
                kept.begun.get_or_insert(kept.leased_at);
            }
        }
    }

    /// Ends a lease with what becomes of the delivery.
    pub fn settle(&mut self, settled: Settled) -> Result<(), StoreError> {
        let id = settled.delivery;
        let mut leased = self.deliveries.iter_mut();
        let Some(kept) =
            leased.find(|kept| kept.delivery.id == id && matches!(kept.delivery.state, State::Leased))
        else {
            return Err(StoreError::NotLeased { delivery: id });
        };
        kept.attempts.extend(settled.attempt);
        kept.begun = None;
        let ends = !matches!(
            settled.settlement,
            Settlement::Next { .. } | Settlement::Retry { .. } | Settlement::Interrupted { .. }
        );
        let lane = kept.lane.as_ref().map(|lane| Arc::clone(&lane.name));
        let ended_lane = lane.filter(|_| ends);
        let mut made = None;
        match settled.settlement {
            Settlement::Next { action, due } => {
                kept.delivery.action = action;
                kept.delivery.attempt = 1;
                kept.interrupted = None;
                kept.wait(due);
            }
            Settlement::Retry { due } => {
                kept.delivery.attempt = kept.delivery.attempt.saturating_add(1);
                kept.interrupted = None;
                kept.wait(due);
            }
            Settlement::Interrupted { since, due, counts } => {
                kept.interrupt(since, counts);
                kept.wait(due.unwrap_or(kept.due));
            }
            Settlement::Wait { due } => kept.wait(due),
            Settlement::Done { at } => kept.delivery.state = State::Done { at },
            Settlement::Superseded { at, reason } => kept.delivery.state = State::Superseded { at, reason },
            Settlement::Dead {
                at,
                reason,
                forget_nonces,
                failure,
            } => {
                if let Some(failure) = failure.filter(|_| kept.failure.is_none()) {
                    made = Some(kept.make_for_failure(*failure, at));
                }
                kept.delivery.state = State::Dead { at, reason };
                if forget_nonces {
                    let Delivery { event, rule, .. } = kept.delivery.clone();
                    self.nonces
                        .retain(|(of, _), known| *of != rule || known.event != event);
                }
            }
        }
        if let Some(lane) = ended_lane {
            self.leave(&lane);
        }
        self.deliveries.extend(made);
        Ok(())
    }

    /// Lets the oldest refusals go when there are too many.
    pub fn trim(&mut self) {
        while self.refused.len() > self.settings.keep.refused {
            self.refused.pop_front();
        }
    }

    /// Keeps when secrets last matched.
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

    /// When secrets last matched.
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

    /// How much of everything there is.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            events: self.events.len() as u64,
            nonces: self.nonces.len() as u64,
            sightings: self.sightings.len() as u64,
            refused: self.refused.len() as u64,
            ..Counts::default()
        };
        for kept in &self.deliveries {
            *match kept.delivery.state {
                State::Waiting { .. } => &mut counts.waiting,
                State::Leased => &mut counts.leased,
                State::Done { .. } | State::Superseded { .. } => &mut counts.done,
                State::Dead { .. } if kept.failure.is_some() => &mut counts.done,
                State::Dead { .. } => &mut counts.dead,
            } += 1;
        }
        counts
    }

    /// Forgets a step of what need not be kept; how much.
    pub fn sweep(&mut self, now: Timestamp) -> usize {
        let before = once::forgotten_before(now);
        let mut expired: Vec<_> = self.nonces.iter().collect();
        expired.retain(|(_, known)| known.until < before);
        let expired: Vec<_> = expired.into_iter().map(|(key, _)| key.clone()).collect();
        let expired: Vec<_> = expired.into_iter().take(SWEPT_AT_ONCE).collect();
        for key in &expired {
            self.nonces.remove(key);
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
            self.deliveries.retain(|kept| kept.delivery.event != *event);
        }
        self.trim();
        expired.len() + unseen.len() + past.len()
    }

    /// Whether an event is no longer kept.
    fn is_past(&self, event: EventId, now: Timestamp) -> bool {
        let mut keep = self.settings.keep.done;
        let mut last = Timestamp::from_millis(i64::MIN);
        for kept in self.deliveries.iter().filter(|kept| kept.delivery.event == event) {
            match kept.delivery.state {
                State::Waiting { .. } | State::Leased => return false,
                State::Done { at } | State::Superseded { at, .. } => last = last.max(at),
                State::Dead { at, .. } if kept.failure.is_some() => last = last.max(at),
                State::Dead { at, .. } => {
                    last = last.max(at);
                    keep = self.settings.keep.dead;
                }
            }
        }
        now.since(last) > keep
    }
}

/// How many deliveries are leased.
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

    /// How many of a rule.
    fn of(&self, rule: &str) -> usize {
        self.of.get(rule).copied().unwrap_or(0)
    }

    /// Whether they leave room for another of a rule.
    fn leave(&self, room: Room, rule: &str) -> bool {
        room.admits(self.of(rule), self.all)
    }
}

impl Kept {
    /// The delivery that is made for the failure of this one.
    fn make_for_failure(&self, failure: Failure, at: Timestamp) -> Self {
        let due = self.due.min(at);
        Self {
            delivery: Delivery {
                id: DeliveryId::new(at),
                action: 0,
                attempt: 1,
                state: State::Waiting { due },
                failure_of: Some(self.delivery.id),
                ..self.delivery.clone()
            },
            due,
            attempts: Vec::new(),
            lane: None,
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

    /// When it is due, if it waits.
    pub fn waits_for(&self) -> Option<Timestamp> {
        match self.delivery.state {
            State::Waiting { due } if !self.held => Some(due),
            _ => None,
        }
    }

    /// An attempt that began at `since` was interrupted.
    fn interrupt(&mut self, since: Timestamp, counts: bool) {
        let before = self.interrupted.map_or(0, |before| before.in_a_row);
        self.interrupted = Some(Interruption {
            in_a_row: before + 1,
            since,
        });
        self.delivery.attempt += u32::from(counts);
    }

    /// Whether an attempt begins only when [`Contents::begin`] says so, rather than with its lease.
    fn begins_by_itself(&self) -> bool {
        self.suspect || self.interrupted.is_some()
    }

    /// What a start makes of it, after a clean stop or a crash.
    pub fn reopen(&mut self, clean: bool) {
        let is_leased = matches!(self.delivery.state, State::Leased);
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

    /// It waits from now on.
    pub fn wait(&mut self, due: Timestamp) {
        self.due = due;
        self.delivery.state = State::Waiting { due };
    }

    /// Ends a lease, if there is one.
    pub fn release(&mut self) {
        if matches!(self.delivery.state, State::Leased) {
            self.begun = None;
            self.wait(self.due);
        }
    }
}
