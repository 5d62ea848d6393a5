//! Senders that wait for an outcome (`respond: {wait: …}`).
//!
//! A sender is entered under its event's id before the event is written down, so no outcome can come before it.
//! Dispatch notes each attempt and says when a delivery has ended; when nobody waits, that costs a look-up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::act::Outcome;
use crate::event::EventId;

/// An action's name, and how it went.
pub type Performed = (&'static str, Outcome);

/// The end of one delivery.
#[derive(Clone, Debug)]
pub struct DeliveryEnd {
    /// Whose delivery it was.
    pub rule: Arc<str>,
    /// Whether all its actions are done.
    pub done: bool,
    /// Its actions and how they went: the last attempt at each.
    pub actions: Vec<Performed>,
}

/// Who waits for which event.
#[derive(Debug, Default)]
pub struct OutcomeWaiters {
    senders: Mutex<HashMap<EventId, Waiter>>,
}

/// One waiting sender.
#[derive(Debug)]
struct Waiter {
    ended: mpsc::Sender<DeliveryEnd>,
    reports: HashMap<Arc<str>, Vec<Performed>>,
}

/// A place in the waiting room; leaving it (dropping this) ends the waiting.
#[derive(Debug)]
pub struct OutcomeWait {
    waiting: Arc<OutcomeWaiters>,
    event: EventId,
    ended: mpsc::Receiver<DeliveryEnd>,
}

impl OutcomeWaiters {
    /// Enters a sender that waits for at most `deliveries` deliveries of `event`.
    pub fn enter(self: &Arc<Self>, event: EventId, deliveries: usize) -> OutcomeWait {
        let (sender, ended) = mpsc::channel(deliveries.max(1));
        let entry = Waiter {
            ended: sender,
            reports: HashMap::new(),
        };
        self.lock().insert(event, entry);
        OutcomeWait {
            waiting: Arc::clone(self),
            event,
            ended,
        }
    }

    /// Notes how an attempt at the action at `index` went.
    pub fn note(&self, event: EventId, rule: &Arc<str>, index: usize, performed: (&'static str, &Outcome)) {
        if let Some(entry) = self.lock().get_mut(&event) {
            let reports = entry.reports.entry(Arc::clone(rule)).or_default();
            reports.truncate(index);
            reports.push((performed.0, performed.1.clone()));
        }
    }

    /// Says that a delivery has ended.
    pub fn end(&self, event: EventId, rule: &Arc<str>, done: bool) {
        if let Some(entry) = self.lock().get_mut(&event) {
            let actions = entry.reports.remove(rule).unwrap_or_default();
            // Full or closed means that nobody waits for this one.
            drop(entry.ended.try_send(DeliveryEnd {
                rule: Arc::clone(rule),
                done,
                actions,
            }));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<EventId, Waiter>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutcomeWait {
    /// The next delivery that ends.
    pub async fn next(&mut self) -> Option<DeliveryEnd> {
        self.ended.recv().await
    }
}

impl Drop for OutcomeWait {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.event);
    }
}
