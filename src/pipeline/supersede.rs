//! Consequences of superseded deliveries.
//!
//! Running ones are stopped. For ended ones a line is logged, their senders stop waiting, and the
//! state of their actions is removed.

use std::sync::Arc;

use crate::act::ActionRunner;
use crate::pipeline::outcome_waiters::OutcomeWaiters;
use crate::pipeline::running::Running;
use crate::report::{self, Metrics};
use crate::store::Displaced;

/// Access to everything that a superseded delivery may have left.
#[derive(Clone, Debug)]
pub struct Supersede {
    metrics: Arc<Metrics>,
    running: Arc<Running>,
    waiters: Arc<OutcomeWaiters>,
    runner: Arc<ActionRunner>,
}

impl Supersede {
    pub fn new(
        metrics: &Arc<Metrics>,
        running: &Arc<Running>,
        waiters: &Arc<OutcomeWaiters>,
        runner: &Arc<ActionRunner>,
    ) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            running: Arc::clone(running),
            waiters: Arc::clone(waiters),
            runner: Arc::clone(runner),
        }
    }

    /// Stops or cleans up the displaced deliveries.
    pub fn of(&self, displaced: &Displaced) {
        for delivery in &displaced.stop {
            self.running.replace(*delivery);
        }
        for ended in &displaced.ended {
            report::superseded(&self.metrics, ended.event, &ended.rule, ended.reason);
            self.waiters.end(ended.event, ended.delivery, &ended.rule, false);
            self.runner.forget(&ended.delivery.to_string());
        }
    }
}
