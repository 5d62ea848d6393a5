//! What follows when deliveries give way to another: those under way are stopped; of those that have ended it is said so,
//! their senders wait no longer, and nothing is kept ready for them.

use std::sync::Arc;

use crate::act::ActionRunner;
use crate::pipeline::outcome_waiters::OutcomeWaiters;
use crate::pipeline::payload_cache::PayloadCache;
use crate::pipeline::running::Running;
use crate::report;
use crate::store::Displaced;

/// Sees to it.
#[derive(Clone, Debug)]
pub struct Supersede {
    /// What is under way.
    running: Arc<Running>,
    /// Senders that wait.
    waiting: Arc<OutcomeWaiters>,
    /// What was taken last, decoded.
    payload_cache: Arc<PayloadCache>,
    /// Knows whose turn it would have been.
    actor: Arc<ActionRunner>,
}

impl Supersede {
    /// Sees to it with these.
    pub fn new(
        running: &Arc<Running>,
        waiting: &Arc<OutcomeWaiters>,
        payload_cache: &Arc<PayloadCache>,
        actor: &Arc<ActionRunner>,
    ) -> Self {
        Self {
            running: Arc::clone(running),
            waiting: Arc::clone(waiting),
            payload_cache: Arc::clone(payload_cache),
            actor: Arc::clone(actor),
        }
    }

    /// What follows from it.
    pub fn of(&self, displaced: &Displaced) {
        for delivery in &displaced.stop {
            self.running.stop(*delivery);
        }
        for ended in &displaced.ended {
            report::superseded(ended.event, &ended.rule, ended.reason);
            self.waiting.end(ended.event, &ended.rule, false);
            self.payload_cache.remove(ended.event);
            self.actor.forget(&ended.delivery.to_string());
        }
    }
}
