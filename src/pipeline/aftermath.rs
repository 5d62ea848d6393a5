//! What follows when deliveries give way to another: those under way are stopped; of those that have ended it is said so,
//! their senders wait no longer, and nothing is kept ready for them.

use std::sync::Arc;

use super::fresh::Fresh;
use super::running::Running;
use super::waiting::Waiting;
use crate::act::Actor;
use crate::report;
use crate::store::Displaced;

/// Sees to it.
#[derive(Clone, Debug)]
pub struct Aftermath {
    /// What is under way.
    running: Arc<Running>,
    /// Senders that wait.
    waiting: Arc<Waiting>,
    /// What was taken last, decoded.
    fresh: Arc<Fresh>,
    /// Knows whose turn it would have been.
    actor: Arc<Actor>,
}

impl Aftermath {
    /// Sees to it with these.
    pub fn new(
        running: &Arc<Running>,
        waiting: &Arc<Waiting>,
        fresh: &Arc<Fresh>,
        actor: &Arc<Actor>,
    ) -> Self {
        Self {
            running: Arc::clone(running),
            waiting: Arc::clone(waiting),
            fresh: Arc::clone(fresh),
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
            self.fresh.remove(ended.event);
            self.actor.forget(&ended.delivery.to_string());
        }
    }
}
