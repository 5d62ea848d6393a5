//! Followers of deliveries: each gets the attempts that begin, one after another.
//!
//! Attempts that were followed are kept for a moment after their end, so that a reader that connects
//! again misses nothing. `live_output.rs` reads their output.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::pipeline::ongoing::Ongoing;
use crate::store::DeliveryId;

/// Maximum attempts that wait for a follower. Further ones are not shown to it.
const MAX_BEHIND: usize = 8;
/// Maximum ended attempts whose output can still be read.
const MAX_ENDED: usize = 64;
/// Time for which it can be read.
const ENDED_KEPT: Duration = Duration::from_mins(1);

/// The followers of all deliveries, and the attempts that they may still ask for.
#[derive(Debug, Default)]
pub(super) struct Followers {
    by_delivery: HashMap<DeliveryId, Vec<mpsc::Sender<Arc<Ongoing>>>>,
    pub(super) ended: VecDeque<(Instant, Arc<Ongoing>)>,
}

impl Followers {
    /// Shows an attempt that begins to the followers of its delivery.
    pub(super) fn begins(&self, ongoing: &Arc<Ongoing>) {
        let followers = self.by_delivery.get(&ongoing.attempt.delivery);
        for follower in followers.into_iter().flatten() {
            follower.try_send(Arc::clone(ongoing)).ok();
        }
    }

    /// Keeps an attempt that has ended, if it was followed.
    pub(super) fn ends(&mut self, ongoing: &Arc<Ongoing>) {
        self.forget_old();
        if ongoing.output.is_followed() {
            if self.ended.len() == MAX_ENDED {
                self.ended.pop_front();
            }
            self.ended.push_back((Instant::now(), Arc::clone(ongoing)));
        }
    }

    pub(super) fn forget_old(&mut self) {
        let is_old = |(at, _): &(Instant, _)| at.elapsed() > ENDED_KEPT;
        while self.ended.front().is_some_and(is_old) {
            self.ended.pop_front();
        }
    }

    pub(super) fn add(&mut self, delivery: DeliveryId) -> mpsc::Receiver<Arc<Ongoing>> {
        let (sender, begun) = mpsc::channel(MAX_BEHIND);
        self.by_delivery.entry(delivery).or_default().push(sender);
        begun
    }

    pub(super) fn remove_closed(&mut self, delivery: DeliveryId) {
        if let Some(senders) = self.by_delivery.get_mut(&delivery) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                self.by_delivery.remove(&delivery);
            }
        }
    }
}
