//! The course of an attempt: lease → act → outcome → settlement → write.
//!
//! A panicking action is a failed attempt. A settlement is written again until the store accepts
//! it. `settlement.rs` decides the result, `unattempted.rs` settles deliveries without an attempt.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::act::{Outcome, PerformedAction, Verdict};
use crate::base::clock::Timestamp;
use crate::pipeline::dispatch::{Dispatcher, STORE_PAUSE};
use crate::pipeline::ongoing::AttemptEnd;
use crate::pipeline::running::Attempting;
use crate::pipeline::settlement::{Progress, settle};
use crate::report;
use crate::rules::{Endpoint, Rule, RuleSet};
use crate::store::{AttemptRecord, DeliveryId, INTERRUPTED, Lease, Settled, Settlement, StoreError};

/// Maximum deliveries between two actions whose rules are remembered.
const BEGUN_KEPT: usize = 1024;

impl Dispatcher {
    /// Makes one attempt. The lease is settled, whatever happens in between.
    pub(super) async fn deliver(self: Arc<Self>, lease: Lease, attempting: Attempting) {
        let rules = self.rules_for(&lease);
        let Some(settled) = self.settled(&lease, &rules, &attempting).await else {
            return;
        };
        let ending = AttemptEnd::of(&settled);
        let interrupted = matches!(settled.settlement, Settlement::Interrupted { .. });
        if interrupted && attempting.is_daemon_stopping() {
            // The daemon is stopping, so a store that cannot write must not delay it. Deliveries
            // that are leased when the store closes count as interrupted, too.
            if let Err(error) = self.store.settle(settled).await {
                report::store_failed("settle", &error.to_string());
            }
            return;
        }
        let end = match &settled.settlement {
            Settlement::Done { .. } => Some(true),
            // A waiting sender is told that the delivery did not succeed.
            Settlement::Superseded { .. } | Settlement::Dead { .. } => Some(false),
            Settlement::Next { .. }
            | Settlement::Retry { .. }
            | Settlement::Wait { .. }
            | Settlement::Interrupted { .. } => None,
        };
        if matches!(settled.settlement, Settlement::Next { .. }) {
            // Before the write: the delivery may be leased again before the write returns.
            self.remember_rules(lease.delivery, rules);
        }
        if !self.write(settled, &attempting).await {
            return;
        }
        attempting.end(ending);
        if let Some(done) = end
            && lease.failure.is_none()
        {
            self.waiters
                .end(lease.received.id, lease.delivery, &lease.rule, done);
        }
    }

    /// Returns the delivery's settlement, after an attempt if there can be one. `None` if another
    /// lease of the delivery is in force.
    async fn settled(&self, lease: &Lease, rules: &RuleSet, attempting: &Attempting) -> Option<Settled> {
        if lease.superseded.is_some() {
            return Some(self.superseded(lease));
        }
        let Some((endpoint, rule)) = rules.rule(&lease.rule) else {
            let reason = format!("the rule `{}` is gone from the rules file", lease.rule);
            return Some(self.undeliverable(lease, reason, None, false));
        };
        if lease.failure.is_none() && lease.item.is_some() != rule.for_each.is_some() {
            return self.expand_or_give_up(lease, endpoint, rule).await;
        }
        if lease.action >= rule.steps(lease.failure.is_some()) {
            return Some(self.without_action(lease, rule));
        }
        if let Some(settled) = self.resume(lease, rule) {
            return Some(settled);
        }
        if !self.is_begun(lease, attempting).await {
            return None;
        }
        Some(self.attempt(lease, endpoint, rule, attempting).await)
    }

    /// Keeps the rules of a delivery for its next action.
    fn remember_rules(&self, delivery: DeliveryId, rules: Arc<RuleSet>) {
        let mut begun = self.begun();
        if begun.len() >= BEGUN_KEPT {
            // The map can hold deliveries that never return. Clearing it only means that a delivery
            // uses the current rules for its next action.
            begun.clear();
        }
        begun.insert(delivery, rules);
    }

    /// Returns the rules of a delivery. From one action to the next, a delivery keeps the rules
    /// with which it began. After a retry or a restart it uses the current rules, which may have
    /// been corrected.
    fn rules_for(&self, lease: &Lease) -> Arc<RuleSet> {
        let begun = self.begun().remove(&lease.delivery);
        // A delivery at its first action has not begun, or begins again.
        begun
            .filter(|_| lease.action > 0)
            .unwrap_or_else(|| self.live.current())
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<DeliveryId, Arc<RuleSet>>> {
        self.begun.lock()
    }

    /// Runs the current action of the delivery, and decides what becomes of it.
    async fn attempt(
        &self,
        lease: &Lease,
        endpoint: &Endpoint,
        rule: &Rule,
        attempting: &Attempting,
    ) -> Settled {
        let for_failure = lease.failure.is_some();
        let Some((action, retry)) = rule.step(for_failure, lease.action) else {
            return self.undeliverable(lease, "its action is gone".to_owned(), None, false);
        };
        let started = self.clock.now();
        attempting.start(action.name());
        let mut outcome = self.perform(lease, endpoint, rule, action, attempting).await;
        let cancel = attempting.cancel();
        if let (Some(cancel), Verdict::Stopped | Verdict::Later { .. }) = (cancel, outcome.verdict) {
            outcome.verdict = Verdict::Stopped;
            outcome.detail = cancel.reason();
        }
        let progress = Progress {
            action: lease.action,
            actions: rule.steps(for_failure),
            attempt: lease.attempt,
            retry,
            awaited: !for_failure && rule.is_awaited(),
            since: started,
            interruptions: lease.interrupted.map_or(0, |interrupted| interrupted.in_a_row),
            replaced: attempting.is_replaced(),
            cancel,
            alarm: (!for_failure && !rule.on_failure.is_empty()).then(|| action.name()),
        };
        let settlement = settle(progress, &outcome, self.clock.now(), jitter(lease));
        if let Settlement::Wait { due } = settlement {
            let (event, delivery) = (lease.received.id, lease.delivery);
            report::put_off(event, delivery, &lease.rule, &outcome.detail, due);
            self.put_off
                .note(delivery, due, &outcome.detail, self.clock.now());
            return Settled::unattempted(lease.delivery, settlement);
        }
        if !for_failure {
            let id = rule.id(false, lease.action).cloned();
            let performed = || PerformedAction::new(id, action.name(), &outcome);
            self.waiters.note(lease, performed);
        }
        let outcome_name = match settlement {
            Settlement::Interrupted { .. } => INTERRUPTED,
            _ => outcome.verdict.name(),
        };
        report::attempt(
            &self.metrics,
            &report::AttemptLine {
                at: self.clock.now(),
                event: lease.received.id,
                delivery: lease.delivery,
                rule: &lease.rule,
                action: action.name(),
                target: outcome.target.as_deref(),
                number: lease.attempt,
                outcome: outcome_name,
                detail: &outcome.detail,
                duration: outcome.duration,
                settlement: &settlement,
                for_failure,
            },
        );
        Settled {
            delivery: lease.delivery,
            attempt: Some(record(lease, started, outcome_name, outcome)),
            settlement,
        }
    }

    /// Writes a settlement and retries until the store accepts it: an action that has been done
    /// must not be done again because its record is missing. False if the delivery is no longer
    /// leased or the store is closed.
    async fn write(&self, settled: Settled, attempting: &Attempting) -> bool {
        loop {
            match self.store.settle(settled.clone()).await {
                Ok(()) => return true,
                Err(StoreError::NotLeased { delivery }) => {
                    report::overtaken(delivery);
                    // The lease that the store still holds is out of date.
                    if let Err(error) = self.store.release(delivery).await {
                        report::store_failed("release", &error.to_string());
                    }
                    return false;
                }
                // Waiting does not bring back a store file that has been moved or replaced.
                Err(error @ StoreError::Displaced { .. }) if attempting.is_daemon_stopping() => {
                    report::store_failed("settle", &error.to_string());
                    return false;
                }
                Err(error) if !error.may_pass() => {
                    report::store_failed("settle", &error.to_string());
                    // Otherwise the lease would last as long as the daemon.
                    if let Err(error) = self.store.release(settled.delivery).await {
                        report::store_failed("release", &error.to_string());
                    }
                    return false;
                }
                Err(error) => {
                    report::store_failed("settle", &error.to_string());
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }
}

/// Builds the stored record of an attempt.
fn record(lease: &Lease, started: Timestamp, outcome_name: &str, outcome: Outcome) -> AttemptRecord {
    AttemptRecord {
        action: lease.action,
        number: lease.attempt,
        started,
        duration: outcome.duration,
        outcome: outcome_name.to_owned(),
        detail: outcome.detail,
        stdout: outcome.output.stdout.bytes(),
        stderr: outcome.output.stderr.bytes(),
    }
}

/// Returns a jitter in 0.0..1.0, derived from the delivery's id, whose last bits are random.
pub(super) fn jitter(lease: &Lease) -> f64 {
    let text = lease.delivery.to_string();
    let spread = text.bytes().fold(lease.attempt, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    f64::from(spread % 1000) / 1000.0
}
