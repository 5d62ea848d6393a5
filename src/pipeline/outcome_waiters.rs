//! Senders that wait for an outcome (`respond: {wait: …}`).
//!
//! A sender is entered under its event's id before the event is written, so that no outcome is
//! missed. Dispatch reports each attempt and the end of each delivery. Without a waiting sender,
//! that costs one look-up.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::act::{MAX_SEEN, PerformedAction};
use crate::event::EventId;
use crate::store::{DeliveryId, Lease};

#[derive(Clone, Debug)]
pub struct DeliveryEnd {
    pub rule: Arc<str>,
    /// Index of the element that the delivery was about.
    pub item: Option<u32>,
    /// True if all actions are done.
    pub done: bool,
    /// Actions with their outcomes, from the last attempt at each.
    pub actions: Vec<PerformedAction>,
}

/// Waiting senders by event.
#[derive(Debug)]
pub struct OutcomeWaiters {
    /// Maximum senders. Each holds a connection.
    limit: usize,
    senders: Mutex<HashMap<EventId, Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    ended: mpsc::Sender<DeliveryEnd>,
    /// Actions so far of the deliveries that have not ended.
    reports: HashMap<DeliveryId, DeliveryEnd>,
    /// Bytes of the deliveries that have ended.
    of_ended: usize,
}

/// Registration of a waiting sender, ended on drop.
#[derive(Debug)]
pub struct OutcomeWait {
    waiting: Arc<OutcomeWaiters>,
    event: EventId,
    ended: mpsc::Receiver<DeliveryEnd>,
}

impl OutcomeWaiters {
    /// Allows at most `limit` senders at a time.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            senders: Mutex::default(),
        }
    }

    /// Registers a sender that waits for at most `deliveries` deliveries of `event`. `None` if too
    /// many senders wait.
    pub fn enter(self: &Arc<Self>, event: EventId, deliveries: usize) -> Option<OutcomeWait> {
        let (sender, ended) = mpsc::channel(deliveries.max(1));
        let entry = Waiter {
            ended: sender,
            reports: HashMap::new(),
            of_ended: 0,
        };
        let mut senders = self.lock();
        if senders.len() >= self.limit {
            return None;
        }
        senders.insert(event, entry);
        drop(senders);
        Some(OutcomeWait {
            waiting: Arc::clone(self),
            event,
            ended,
        })
    }

    /// Records the attempt of a lease. What the sender is given in sum is bounded by
    /// [`MAX_SEEN`]. `performed` is made only if a sender waits.
    pub fn note(&self, lease: &Lease, performed: impl FnOnce() -> PerformedAction) {
        if let Some(entry) = self.lock().get_mut(&lease.received.id) {
            let of_lease = || DeliveryEnd {
                rule: Arc::clone(&lease.rule),
                item: lease.item,
                done: false,
                actions: Vec::new(),
            };
            let report = entry.reports.entry(lease.delivery).or_insert_with(of_lease);
            report.actions.truncate(lease.action);
            let reports = entry.reports.values().flat_map(|report| &report.actions);
            let kept = reports.map(PerformedAction::size);
            let left = MAX_SEEN.saturating_sub(entry.of_ended + kept.sum::<usize>());
            let mut performed = performed();
            if performed.size() > left {
                performed.cut_to(left);
            }
            let report = entry.reports.entry(lease.delivery).or_insert_with(of_lease);
            report.actions.push(performed);
        }
    }

    /// Reports the end of a delivery.
    pub fn end(&self, event: EventId, delivery: DeliveryId, rule: &Arc<str>, done: bool) {
        if let Some(entry) = self.lock().get_mut(&event) {
            let report = entry.reports.remove(&delivery);
            let report = report.unwrap_or_else(|| DeliveryEnd {
                rule: Arc::clone(rule),
                item: None,
                done,
                actions: Vec::new(),
            });
            entry.of_ended += report.actions.iter().map(PerformedAction::size).sum::<usize>();
            // A full or closed channel means that the sender does not wait for this delivery.
            drop(entry.ended.try_send(DeliveryEnd { done, ..report }));
        }
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, HashMap<EventId, Waiter>> {
        self.senders.lock()
    }
}

impl OutcomeWait {
    /// Waits for the next delivery that ends.
    pub async fn next(&mut self) -> Option<DeliveryEnd> {
        self.ended.recv().await
    }

    /// Returns the actions so far of the deliveries that have not ended.
    pub fn so_far(&self) -> Vec<DeliveryEnd> {
        let mut senders = self.waiting.lock();
        let reports = senders
            .get_mut(&self.event)
            .map(|entry| std::mem::take(&mut entry.reports));
        reports.into_iter().flat_map(HashMap::into_values).collect()
    }
}

impl Drop for OutcomeWait {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.event);
    }
}
