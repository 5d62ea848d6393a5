//! Senders that wait for an outcome (`respond: {wait: …}`).
//!
//! A sender is entered under its event's id before the event is written down, so no outcome can come before it.
//! Dispatch notes each attempt and says when a delivery has ended; when nobody waits, that costs a look-up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::mpsc;

use crate::verify::EventId;

/// How one action went, as templates see it: `{{ actions[0].stdout }}`.
#[derive(Clone, Debug, Serialize)]
pub struct ActionReport {
    /// `run`, `shell`, `forward` or `append`.
    pub action: &'static str,
    /// `done`, `failed` or `dead`.
    pub outcome: &'static str,
    /// `exit 3`, `HTTP 503` …
    pub detail: String,
    /// What the command wrote, or the target answered, up to a bound.
    pub stdout: String,
    /// What the command wrote on standard error, up to a bound.
    pub stderr: String,
}

/// The end of one delivery.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Whose delivery it was.
    pub rule: Arc<str>,
    /// Whether all its actions are done.
    pub done: bool,
    /// Its attempts, the last one of each action.
    pub actions: Vec<ActionReport>,
}

/// Who waits for which event.
#[derive(Debug, Default)]
pub struct Waiting {
    senders: Mutex<HashMap<EventId, Entry>>,
}

/// One waiting sender.
#[derive(Debug)]
struct Entry {
    ended: mpsc::Sender<Ended>,
    reports: HashMap<Arc<str>, Vec<ActionReport>>,
}

/// A place in the waiting room; leaving it (dropping this) ends the waiting.
#[derive(Debug)]
pub struct Wait {
    waiting: Arc<Waiting>,
    event: EventId,
    ended: mpsc::Receiver<Ended>,
}

impl Waiting {
    /// Enters a sender that waits for at most `deliveries` deliveries of `event`.
    pub fn enter(self: &Arc<Self>, event: EventId, deliveries: usize) -> Wait {
        let (sender, ended) = mpsc::channel(deliveries.max(1));
        let entry = Entry { ended: sender, reports: HashMap::new() };
        self.lock().insert(event, entry);
        Wait { waiting: Arc::clone(self), event, ended }
    }

    /// Notes how an attempt at the action at `index` went.
    pub fn note(&self, event: EventId, rule: &Arc<str>, index: usize, report: impl FnOnce() -> ActionReport) {
        if let Some(entry) = self.lock().get_mut(&event) {
            let reports = entry.reports.entry(Arc::clone(rule)).or_default();
            reports.truncate(index);
            reports.push(report());
        }
    }

    /// Says that a delivery has ended.
    pub fn end(&self, event: EventId, rule: &Arc<str>, done: bool) {
        if let Some(entry) = self.lock().get_mut(&event) {
            let actions = entry.reports.remove(rule).unwrap_or_default();
            // Full or closed means that nobody waits for this one.
            drop(entry.ended.try_send(Ended { rule: Arc::clone(rule), done, actions }));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<EventId, Entry>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wait {
    /// The next delivery that ends.
    pub async fn next(&mut self) -> Option<Ended> {
        self.ended.recv().await
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.event);
    }
}
