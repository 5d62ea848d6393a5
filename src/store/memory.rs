//! A store that remembers as long as the process lives: for tests.
//!
//! It keeps the whole promise but for the disk, in the plainest way: one lock, and every question walks over
//! everything. [`MemoryStore::reopen`] plays the crash.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::once::{self, Novelty};
use super::{
    ATTEMPTS_LISTED, Answer, AttemptRecord, Counts, DELIVERIES_LISTED, Delivery, DeliveryId, Lease,
    NewDelivery, Refused, Settings, Settled, Settlement, State, Store, StoreError, Taken, Taking,
};
use crate::clock::Timestamp;
use crate::verify::{EventId, Received};

/// The most nonces, and the most events, that one sweep forgets.
const SWEPT_AT_ONCE: usize = 500;

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: Mutex<Contents>,
}

/// All that is remembered.
#[derive(Clone, Debug, Default)]
struct Contents {
    settings: Settings,
    events: BTreeMap<EventId, KeptEvent>,
    /// In the order in which they were taken.
    deliveries: Vec<Kept>,
    nonces: HashMap<(Arc<str>, Vec<u8>), Remembered>,
    refused: VecDeque<Refused>,
    closed: bool,
}

/// An event.
#[derive(Clone, Debug)]
struct KeptEvent {
    received: Arc<Received>,
    decode: String,
}

/// A delivery with its attempts.
#[derive(Clone, Debug)]
struct Kept {
    delivery: Delivery,
    /// When it was due before it was leased.
    due: Timestamp,
    attempts: Vec<AttemptRecord>,
}

/// What is known of a nonce.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    event: EventId,
    until: Timestamp,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(settings: Settings) -> Self {
        Self {
            contents: Mutex::new(Contents {
                settings,
                ..Contents::default()
            }),
        }
    }

    /// The store as it would be after a crash: all that was written, and no lease.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let mut contents = self.contents().clone();
        contents.closed = false;
        for kept in &mut contents.deliveries {
            kept.release();
        }
        Self {
            contents: Mutex::new(contents),
        }
    }

    /// The contents; a test that panicked with the lock in its hand has spoilt nothing.
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers with what `work` makes of the contents, unless the store is closed.
    fn answer<'s, T: Send + 's>(
        &'s self,
        work: impl FnOnce(&mut Contents) -> Result<T, StoreError> + Send + 's,
    ) -> Answer<'s, T> {
        Box::pin(async move {
            let mut contents = self.contents();
            if contents.closed {
                return Err(StoreError::Closed);
            }
            work(&mut contents)
        })
    }
}

impl Store for MemoryStore {
    fn take(&self, taking: Taking) -> Answer<'_, Vec<Taken>> {
        self.answer(move |contents| contents.take(taking))
    }

    fn lease(&self, limit: usize, now: Timestamp) -> Answer<'_, Vec<Lease>> {
        self.answer(move |contents| Ok(contents.lease(limit, now)))
    }

    fn settle(&self, settled: Settled) -> Answer<'_, ()> {
        self.answer(move |contents| contents.settle(settled))
    }

    fn release(&self, delivery: DeliveryId) -> Answer<'_, ()> {
        self.answer(move |contents| {
            if let Some(kept) = contents
                .deliveries
                .iter_mut()
                .find(|kept| kept.delivery.id == delivery)
            {
                kept.release();
            }
            Ok(())
        })
    }

    fn next_due(&self) -> Answer<'_, Option<Timestamp>> {
        self.answer(|contents| Ok(contents.deliveries.iter().filter_map(Kept::waits_for).min()))
    }

    fn refuse(&self, refused: Refused) {
        let mut contents = self.contents();
        if !contents.closed {
            contents.refused.push_back(refused.bounded());
            contents.trim();
        }
    }

    fn counts(&self) -> Answer<'_, Counts> {
        self.answer(|contents| Ok(contents.counts()))
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, usize> {
        self.answer(move |contents| Ok(contents.sweep(now)))
    }

    fn deliveries(&self, event: EventId) -> Answer<'_, Vec<Delivery>> {
        self.answer(move |contents| {
            let all = contents.deliveries.iter().map(|kept| &kept.delivery);
            Ok(all
                .filter(|delivery| delivery.event == event)
                .take(DELIVERIES_LISTED)
                .cloned()
                .collect())
        })
    }

    fn attempts(&self, delivery: DeliveryId) -> Answer<'_, Vec<AttemptRecord>> {
        self.answer(move |contents| {
            let kept = contents
                .deliveries
                .iter()
                .find(|kept| kept.delivery.id == delivery);
            let attempts = kept.map(|kept| kept.attempts.as_slice()).unwrap_or_default();
            let older = attempts.len().saturating_sub(ATTEMPTS_LISTED);
            Ok(attempts.iter().skip(older).cloned().collect())
        })
    }

    fn refused(&self, limit: usize) -> Answer<'_, Vec<Refused>> {
        self.answer(move |contents| Ok(contents.refused.iter().rev().take(limit).cloned().collect()))
    }

    fn adopt(&self, settings: Settings) {
        let mut contents = self.contents();
        contents.settings = settings;
    }

    fn close(&self) -> Answer<'_, ()> {
        self.answer(|contents| {
            contents.closed = true;
            Ok(())
        })
    }
}

impl Contents {
    fn take(&mut self, taking: Taking) -> Result<Vec<Taken>, StoreError> {
        let novelties = match once::novelty(&taking, |rule, nonce, at| {
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
        let at = taking.received.at;
        let mut taken = Vec::with_capacity(novelties.len());
        for (delivery, novelty) in taking.deliveries.into_iter().zip(novelties) {
            taken.push(match novelty {
                Novelty::Duplicate(of) => Taken::Duplicate { of },
                Novelty::New => {
                    self.remember(&delivery, event, at);
                    Taken::New(self.owe(delivery, event, at))
                }
            });
        }
        if taken.iter().any(|taken| matches!(taken, Taken::New(_))) {
            let received = taking.received;
            let decode = taking.decode;
            self.events.insert(event, KeptEvent { received, decode });
        }
        Ok(taken)
    }

    /// Whether another event may be written down.
    fn make_room(&self, event: EventId) -> Result<(), StoreError> {
        let sizes = self.events.values().map(|event| event.received.body.len() as u64);
        let size: u64 = sizes.sum();
        if let Some(max_size) = self.settings.max_size.filter(|max_size| size >= *max_size) {
            return Err(StoreError::Full {
                detail: format!("it holds {size} bytes, and its limit is {max_size}"),
            });
        }
        if self.events.contains_key(&event) {
            return Err(StoreError::IdTaken { event });
        }
        Ok(())
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

    fn owe(&mut self, delivery: NewDelivery, event: EventId, at: Timestamp) -> DeliveryId {
        let id = DeliveryId::new(at);
        let due = delivery.due;
        self.deliveries.push(Kept {
            delivery: Delivery {
                id,
                event,
                rule: delivery.rule,
                action: 0,
                attempt: 1,
                state: State::Waiting { due },
            },
            due,
            attempts: Vec::new(),
        });
        id
    }

    fn lease(&mut self, limit: usize, now: Timestamp) -> Vec<Lease> {
        let mut due: Vec<&mut Kept> = self.deliveries.iter_mut().collect();
        due.retain(|kept| kept.waits_for().is_some_and(|due| due <= now));
        // A stable sort: those of one due time stay in the order in which they were taken.
        due.sort_by_key(|kept| kept.due);
        let mut leases = Vec::new();
        for kept in due.into_iter().take(limit) {
            let Some(event) = self.events.get(&kept.delivery.event) else {
                continue;
            };
            kept.delivery.state = State::Leased;
            leases.push(Lease {
                delivery: kept.delivery.id,
                rule: Arc::clone(&kept.delivery.rule),
                action: kept.delivery.action,
                attempt: kept.delivery.attempt,
                received: Arc::clone(&event.received),
                decode: event.decode.clone(),
            });
        }
        leases
    }

    fn settle(&mut self, settled: Settled) -> Result<(), StoreError> {
        let id = settled.delivery;
        let mut leased = self.deliveries.iter_mut();
        let Some(kept) =
            leased.find(|kept| kept.delivery.id == id && matches!(kept.delivery.state, State::Leased))
        else {
            return Err(StoreError::NotLeased { delivery: id });
        };
        kept.attempts.extend(settled.attempt);
        match settled.settlement {
            Settlement::Next { action, due } => {
                kept.delivery.action = action;
                kept.delivery.attempt = 1;
                kept.wait(due);
            }
            Settlement::Retry { due } => {
                kept.delivery.attempt = kept.delivery.attempt.saturating_add(1);
                kept.wait(due);
            }
            Settlement::Done { at } => kept.delivery.state = State::Done { at },
            Settlement::Dead {
                at,
                reason,
                forget_nonces,
            } => {
                kept.delivery.state = State::Dead { at, reason };
                if forget_nonces {
                    let Delivery { event, rule, .. } = kept.delivery.clone();
                    self.nonces
                        .retain(|(of, _), known| *of != rule || known.event != event);
                }
            }
        }
        Ok(())
    }

    fn trim(&mut self) {
        while self.refused.len() > self.settings.keep.refused {
            self.refused.pop_front();
        }
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts {
            events: self.events.len() as u64,
            nonces: self.nonces.len() as u64,
            refused: self.refused.len() as u64,
            ..Counts::default()
        };
        for kept in &self.deliveries {
            *match kept.delivery.state {
                State::Waiting { .. } => &mut counts.waiting,
                State::Leased => &mut counts.leased,
                State::Done { .. } => &mut counts.done,
                State::Dead { .. } => &mut counts.dead,
            } += 1;
        }
        counts
    }

    fn sweep(&mut self, now: Timestamp) -> usize {
        let before = once::forgotten_before(now);
        let mut expired: Vec<_> = self.nonces.iter().collect();
        expired.retain(|(_, known)| known.until < before);
        let expired: Vec<_> = expired.into_iter().map(|(key, _)| key.clone()).collect();
        let expired: Vec<_> = expired.into_iter().take(SWEPT_AT_ONCE).collect();
        for key in &expired {
            self.nonces.remove(key);
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
        expired.len() + past.len()
    }

    /// Whether an event is no longer kept.
    fn is_past(&self, event: EventId, now: Timestamp) -> bool {
        let mut keep = self.settings.keep.done;
        let mut last = Timestamp::from_millis(i64::MIN);
        for kept in self.deliveries.iter().filter(|kept| kept.delivery.event == event) {
            match kept.delivery.state {
                State::Waiting { .. } | State::Leased => return false,
                State::Done { at } => last = last.max(at),
                State::Dead { at, .. } => {
                    last = last.max(at);
                    keep = self.settings.keep.dead;
                }
            }
        }
        now.since(last) > keep
    }
}

impl Kept {
    /// When it is due, if it waits.
    fn waits_for(&self) -> Option<Timestamp> {
        match self.delivery.state {
            State::Waiting { due } => Some(due),
            _ => None,
        }
    }

    fn wait(&mut self, due: Timestamp) {
        self.due = due;
        self.delivery.state = State::Waiting { due };
    }

    fn release(&mut self) {
        if matches!(self.delivery.state, State::Leased) {
            self.wait(self.due);
        }
    }
}
