//! The course of an attempt: lease → act → outcome → settlement → write.
//!
//! A panicking action is a failed attempt. A settlement is written again until the store accepts
//! it. `settlement.rs` decides the result, `unattempted.rs` settles deliveries without an attempt.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::MutexGuard;
use tokio_util::sync::CancellationToken;

use crate::act::{self, Action, ActionContext, Outcome, Verdict};
use crate::payload::Event;
use crate::pipeline::dispatch::{Dispatcher, STORE_PAUSE};
use crate::pipeline::running::Attempting;
use crate::pipeline::settlement::{Progress, settle};
use crate::report;
use crate::rules::{Endpoint, Rule, RuleSet};
use crate::store::group::reason;
use crate::store::{
    AttemptRecord, DeliveryFailure, DeliveryId, INTERRUPTED, Lease, Settled, Settlement, StoreError,
};

/// Maximum deliveries between two actions whose rules are remembered.
const BEGUN_KEPT: usize = 1024;
/// Maximum description of an attempt's outcome, in bytes.
const DETAIL_KEPT: usize = 1024;

impl Dispatcher {
    /// Makes one attempt. The lease is settled, whatever happens in between.
    pub(super) async fn deliver(self: Arc<Self>, lease: Lease, attempting: Attempting) {
        let rules = self.rules_for(&lease);
        let settled = match rules.rule(&lease.rule) {
            _ if lease.superseded.is_some() => self.superseded(&lease),
            None => self.undeliverable(
                &lease,
                format!("the rule `{}` is gone from the rules file", lease.rule),
                None,
                false,
            ),
            Some((endpoint, rule)) if lease.action < rule.steps(lease.failure.is_some()) => {
                match self.resume(&lease, endpoint, rule) {
                    Some(settled) => settled,
                    None if !self.is_begun(&lease, &attempting).await => return,
                    None => self.attempt(&lease, endpoint, rule, &attempting).await,
                }
            }
            Some((_, rule)) => {
                let of = if lease.failure.is_some() {
                    "on_failure of the"
                } else {
                    "the"
                };
                let reason = format!(
                    "action {} is gone from {of} rule `{}`",
                    lease.action + 1,
                    rule.name
                );
                let action = format!("action {}", lease.action + 1);
                let alarm = (!rule.on_failure.is_empty()).then_some(action);
                self.undeliverable(&lease, reason, alarm, false)
            }
        };
        if matches!(settled.settlement, Settlement::Interrupted { .. }) {
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
            let mut begun = self.begun();
            if begun.len() >= BEGUN_KEPT {
                // The map can hold deliveries that never return. Clearing it only means that a
                // delivery uses the current rules for its next action.
                begun.clear();
            }
            begun.insert(lease.delivery, Arc::clone(&rules));
        }
        if self.write(settled, &attempting).await
            && let Some(done) = end
            && lease.failure.is_none()
        {
            self.waiters.end(lease.received.id, &lease.rule, done);
            self.payload_cache.remove(lease.received.id);
        }
        if end != Some(true) || lease.in_group {
            // The queue has changed: this delivery may be due before the next look, another
            // delivery of its group may be ready, or a delivery for `on_failure` was added.
            self.wake.notify_one();
        }
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

    /// Runs the current action of the delivery.
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
        let mut outcome = match self.event(lease) {
            Ok(event) => {
                let stop = attempting.stop.clone();
                self.perform(lease, &event, endpoint, action, stop).await
            }
            Err(message) => Outcome::new(Verdict::Dead, message, Duration::ZERO),
        };
        outcome.detail = bounded(outcome.detail);
        let now = self.clock.now();
        let standing = Progress {
            action: lease.action,
            actions: rule.steps(for_failure),
            attempt: lease.attempt,
            retry,
            awaited: !for_failure && rule.is_awaited(&endpoint.respond),
            since: started,
            interruptions: lease.interrupted.map_or(0, |interrupted| interrupted.in_a_row),
        };
        let settlement = settle(standing, &outcome.verdict, &outcome.detail, now, jitter(lease));
        // Stopped, but not by the daemon's stop. An attempt that had already ended keeps its
        // result.
        let settlement = if attempting.is_replaced() && !settlement.is_end() {
            Settlement::Superseded {
                at: now,
                reason: reason::REPLACED.to_owned(),
            }
        } else {
            settlement
        };
        if let Settlement::Wait { due } = settlement {
            report::put_off(
                lease.received.id,
                lease.delivery,
                &lease.rule,
                &outcome.detail,
                due,
            );
            return Settled::unattempted(lease.delivery, settlement);
        }
        if !for_failure {
            self.waiters.note(
                lease.received.id,
                &lease.rule,
                lease.action,
                (action.name(), &outcome),
            );
        }
        let settlement = if for_failure || rule.on_failure.is_empty() {
            settlement
        } else {
            with_failure(settlement, action, &outcome)
        };
        let outcome_name = match settlement {
            Settlement::Interrupted { .. } => INTERRUPTED,
            _ => outcome.verdict.name(),
        };
        report::attempt(&report::AttemptLine {
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
        });
        let attempt = AttemptRecord {
            action: lease.action,
            number: lease.attempt,
            started,
            duration: outcome.duration,
            outcome: outcome_name.to_owned(),
            detail: outcome.detail,
            stdout: outcome.output.stdout.bytes(),
            stderr: outcome.output.stderr.bytes(),
        };
        Settled {
            delivery: lease.delivery,
            attempt: Some(attempt),
            settlement,
        }
    }

    /// Performs the action. A panic ends only this attempt.
    async fn perform(
        &self,
        lease: &Lease,
        event: &Event,
        endpoint: &Endpoint,
        action: &Action,
        abort: CancellationToken,
    ) -> Outcome {
        let action_context = ActionContext {
            event,
            rule: &lease.rule,
            delivery: lease.delivery.to_string(),
            attempt: lease.attempt,
            verified: lease.unverified.is_none(),
            replays: lease.replays,
            withheld: &endpoint.credentials,
            failure: lease.failure.as_ref().map(|failure| act::FailureContext {
                action: &failure.action,
                reason: &failure.reason,
                output: &failure.output,
            }),
        };
        let mut performing = pin!(self.runner.perform(action, &action_context, abort));
        let guarded = poll_fn(|context| {
            // A panic drops the action's own state. State shared with others is behind locks.
            let poll = AssertUnwindSafe(|| performing.as_mut().poll(context));
            catch_unwind(poll).unwrap_or_else(|_| {
                Poll::Ready(Outcome::new(
                    Verdict::FAILED,
                    "the action panicked",
                    Duration::ZERO,
                ))
            })
        });
        guarded.await
    }

    /// Returns the event, from the cache or decoded from the stored body.
    fn event(&self, lease: &Lease) -> Result<Event, String> {
        let received = Arc::clone(&lease.received);
        if let Some(payload) = self.payload_cache.payload(received.id) {
            return Ok(Event { received, payload });
        }
        Event::kept(received, &lease.decode)
            .map_err(|error| format!("the stored body cannot be decoded: {error}"))
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

/// Adds the failure for `on_failure` to the settlement of a dead letter.
fn with_failure(settlement: Settlement, action: &Action, outcome: &Outcome) -> Settlement {
    match settlement {
        Settlement::Dead {
            at,
            reason,
            forget_nonces,
            ..
        } => Settlement::Dead {
            failure: Some(Box::new(DeliveryFailure {
                action: action.name().to_owned(),
                reason: reason.clone(),
                output: outcome.output.text(),
            })),
            at,
            reason,
            forget_nonces,
        },
        other => other,
    }
}

/// Shortens the description of an outcome.
fn bounded(mut detail: String) -> String {
    detail.truncate(detail.floor_char_boundary(DETAIL_KEPT));
    detail
}

/// Returns a jitter in 0.0..1.0, derived from the delivery's id, whose last bits are random.
pub(super) fn jitter(lease: &Lease) -> f64 {
    let text = lease.delivery.to_string();
    let spread = text.bytes().fold(lease.attempt, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    f64::from(spread % 1000) / 1000.0
}
