//! A store in memory, for `hookyard test` and for tests. Its contents last as long as the process.
//!
//! The store keeps the whole promise except for the disk, in the simplest way: one lock, and every
//! call walks over everything. Ids of deliveries follow from the ids of their events, so that a run
//! can be repeated. `reopen` simulates a crash.

mod contents;
mod expansion;
mod groups;
mod retention;
mod stored;

use parking_lot::{Mutex, MutexGuard};

use self::contents::MemoryContents;
use super::decide::turns::Turns;
use super::{
    ATTEMPTS_LISTED, Answer, ArrivalRecord, AttemptRecord, Counts, DELIVERIES_LISTED, Delivery, DeliveryId,
    Enqueued, Expansion, Expectation, ExpectationSubject, Health, Leased, NewEvent, News, Pause,
    PauseSubject, SecretUse, Settings, Settled, Sighting, Store, StoreError, Wanted,
};
use crate::base::clock::{Clock, Timestamp};
use crate::event::EventId;

#[derive(Debug)]
pub struct MemoryStore {
    contents: Mutex<MemoryContents>,
    clock: Clock,
    news: News,
}

impl MemoryStore {
    /// Makes an empty store.
    pub fn new(settings: Settings) -> Self {
        Self::with_clock(settings, Clock::steady(Clock::system()))
    }

    /// Makes an empty store with a clock of its own.
    pub fn with_clock(settings: Settings, clock: Clock) -> Self {
        Self {
            contents: Mutex::new(MemoryContents {
                settings,
                ..MemoryContents::default()
            }),
            clock,
            news: News::default(),
        }
    }

    /// Simulates a crash: everything written remains, and no lease.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let mut contents = self.contents().clone();
        // A run that leased nothing after a crash keeps the suspicion of the run before.
        let idle = contents.after_crash && !contents.turns.has_leased();
        let clean = std::mem::take(&mut contents.closed) && !idle;
        contents.after_crash = !clean;
        contents.turns = Turns::default();
        for stored in &mut contents.deliveries {
            stored.reopen(clean);
        }
        Self {
            contents: Mutex::new(contents),
            clock: self.clock.clone(),
            news: News::default(),
        }
    }

    /// Name of the concurrency group of a delivery.
    pub fn group(&self, delivery: DeliveryId) -> Option<std::sync::Arc<str>> {
        let contents = self.contents();
        let mut deliveries = contents.deliveries.iter();
        let stored = deliveries.find(|stored| stored.delivery.id == delivery)?;
        stored
            .group
            .as_ref()
            .map(|group| std::sync::Arc::clone(&group.name))
    }

    /// Locks the contents. Poisoning is ignored, because a test that panicked has left them whole.
    fn contents(&self) -> MutexGuard<'_, MemoryContents> {
        self.contents.lock()
    }

    /// Runs `work` on the contents, unless the store is closed.
    fn answer<'s, T: Send + 's>(
        &'s self,
        work: impl FnOnce(&mut MemoryContents) -> Result<T, StoreError> + Send + 's,
    ) -> Answer<'s, T> {
        Box::pin(async move {
            let mut contents = self.contents();
            if contents.closed {
                return Err(StoreError::Closed);
            }
            work(&mut contents)
        })
    }

    /// Like [`Self::answer`], for a change of the queue.
    fn requeue<'s, T: Send + 's>(
        &'s self,
        work: impl FnOnce(&mut MemoryContents) -> Result<T, StoreError> + Send + 's,
    ) -> Answer<'s, T> {
        let worked = self.answer(work);
        Box::pin(async move {
            let output = worked.await?;
            self.news.announce();
            Ok(output)
        })
    }
}

impl Store for MemoryStore {
    fn enqueue(&self, new_event: NewEvent) -> Answer<'_, Vec<Enqueued>> {
        self.requeue(move |contents| contents.enqueue(new_event))
    }

    fn lease(&self, wanted: Wanted, now: Timestamp) -> Answer<'_, Leased> {
        self.answer(move |contents| Ok(contents.lease(&wanted, now)))
    }

    fn settle(&self, settled: Settled) -> Answer<'_, ()> {
        self.requeue(move |contents| contents.settle(settled))
    }

    fn expand(&self, expansion: Expansion) -> Answer<'_, Vec<Enqueued>> {
        self.requeue(move |contents| contents.expand(expansion))
    }

    fn begin(&self, delivery: DeliveryId) -> Answer<'_, ()> {
        self.answer(move |contents| {
            contents.begin(delivery);
            Ok(())
        })
    }

    fn mark_begun(&self, leased_by: Timestamp) -> Answer<'_, ()> {
        self.answer(move |contents| {
            contents.mark_begun(leased_by);
            Ok(())
        })
    }

    fn release(&self, delivery: DeliveryId) -> Answer<'_, ()> {
        self.requeue(move |contents| {
            contents.release(delivery);
            Ok(())
        })
    }

    fn next_due(&self, wanted: Wanted) -> Answer<'_, Option<Timestamp>> {
        self.answer(move |contents| Ok(contents.next_due(&wanted)))
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn news(&self) -> News {
        self.news.clone()
    }

    fn record_arrivals(&self, records: Vec<ArrivalRecord>) -> Answer<'_, ()> {
        self.answer(move |contents| {
            contents.record(records);
            Ok(())
        })
    }

    fn arrival(&self, id: EventId) -> Answer<'_, Option<ArrivalRecord>> {
        self.answer(move |contents| {
            let mut records = contents.arrivals.iter();
            Ok(records.find(|record| record.received.id == id).cloned())
        })
    }

    fn remember_sighting(&self, sighting: Sighting) {
        let mut contents = self.contents();
        if !contents.closed && contents.altered(&sighting).is_none() {
            contents.remember_sighting(&sighting, false);
        }
    }

    fn counts(&self) -> Answer<'_, Counts> {
        self.answer(|contents| Ok(contents.counts()))
    }

    fn health(&self) -> Answer<'_, Health> {
        self.answer(|contents| Ok(contents.health()))
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, usize> {
        self.answer(move |contents| Ok(contents.sweep(now)))
    }

    fn deliveries(&self, event: EventId) -> Answer<'_, Vec<Delivery>> {
        self.answer(move |contents| {
            let all = contents.deliveries.iter().map(|stored| &stored.delivery);
            Ok(all
                .filter(|delivery| delivery.event == event)
                .take(DELIVERIES_LISTED)
                .cloned()
                .collect())
        })
    }

    fn outputs(&self, delivery: DeliveryId, before: usize) -> Answer<'_, Vec<AttemptRecord>> {
        self.answer(move |contents| {
            let mut deliveries = contents.deliveries.iter();
            let stored = deliveries.find(|stored| stored.delivery.id == delivery);
            let attempts = stored
                .map(|stored| stored.attempts.as_slice())
                .unwrap_or_default();
            let done = |action| {
                let mut latest = attempts.iter().rev();
                latest.find(|attempt| attempt.action == action && attempt.outcome == "done")
            };
            Ok((0..before).filter_map(done).cloned().collect())
        })
    }

    fn attempts(&self, delivery: DeliveryId) -> Answer<'_, Vec<AttemptRecord>> {
        self.answer(move |contents| {
            let stored = contents
                .deliveries
                .iter()
                .find(|stored| stored.delivery.id == delivery);
            let attempts = stored
                .map(|stored| stored.attempts.as_slice())
                .unwrap_or_default();
            let older = attempts.len().saturating_sub(ATTEMPTS_LISTED);
            Ok(attempts.iter().skip(older).cloned().collect())
        })
    }

    fn mark_answer(&self, _event: EventId, _why: String) -> Answer<'_, ()> {
        // Only the operator's history shows the mark.
        self.answer(|_| Ok(()))
    }

    fn note_secrets(&self, uses: Vec<SecretUse>) -> Answer<'_, ()> {
        self.answer(move |contents| {
            contents.note_secrets(uses);
            Ok(())
        })
    }

    fn secrets(&self) -> Answer<'_, Vec<SecretUse>> {
        self.answer(|contents| Ok(contents.secrets()))
    }

    fn pause(&self, pause: Pause) -> Answer<'_, bool> {
        self.answer(move |contents| {
            let is_new = !contents.pauses.contains_key(&pause.subject);
            contents.pauses.entry(pause.subject.clone()).or_insert(pause);
            Ok(is_new)
        })
    }

    fn resume(&self, subject: PauseSubject) -> Answer<'_, bool> {
        self.answer(move |contents| Ok(contents.pauses.remove(&subject).is_some()))
    }

    fn pauses(&self) -> Answer<'_, Vec<Pause>> {
        self.answer(|contents| Ok(contents.pauses.values().cloned().collect()))
    }

    fn note_expectations(
        &self,
        kept: Vec<Expectation>,
        forgotten: Vec<ExpectationSubject>,
    ) -> Answer<'_, ()> {
        self.answer(move |contents| {
            for subject in &forgotten {
                contents.expectations.remove(subject);
            }
            let kept = kept.into_iter().map(|known| (known.subject.clone(), known));
            contents.expectations.extend(kept);
            Ok(())
        })
    }

    fn expectations(&self) -> Answer<'_, Vec<Expectation>> {
        self.answer(|contents| Ok(contents.expectations.values().cloned().collect()))
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
