//! One action of a delivery: its event, its context, and a guard against panics.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::act::{self, Action, ActionContext, Item, Outcome, PerformedAction, Verdict};
use crate::payload::Event;
use crate::pipeline::decode_limits::{BodyLimits, DecodeLimits};
use crate::pipeline::dispatch::Dispatcher;
use crate::pipeline::event_cache::DecodedEvent;
use crate::pipeline::running::Attempting;
use crate::rules::{Endpoint, Rule};
use crate::store::Lease;

/// Maximum description of an attempt's outcome, in bytes. The rest is cut off.
const DETAIL_KEPT: usize = 1024;

impl Dispatcher {
    /// Performs an action of the rule. A panic ends only this attempt.
    pub(super) async fn perform(
        &self,
        lease: &Lease,
        endpoint: &Endpoint,
        rule: &Rule,
        action: &Action,
        attempting: &Attempting,
    ) -> Outcome {
        let stop = &attempting.stop;
        let decoded = tokio::select! {
            decoded = self.decoded(lease, endpoint, rule, action) => decoded,
            () = stop.cancelled() => {
                return Outcome::new(Verdict::Stopped, "stopped before it began", Duration::ZERO);
            }
        };
        let decoded = match decoded {
            Ok(decoded) => decoded,
            Err(error) => {
                let message = format!("the stored body cannot be decoded: {error}");
                return Outcome::new(Verdict::Dead, message, Duration::ZERO);
            }
        };
        let event = &decoded.event;
        let earlier = match self.earlier(lease, rule, action).await {
            Ok(earlier) => earlier,
            Err(message) => return Outcome::new(Verdict::FAILED, message, Duration::ZERO),
        };
        let item = match item(lease, rule, &decoded) {
            Ok(item) => item,
            Err(message) => return Outcome::new(Verdict::Dead, message, Duration::ZERO),
        };
        let action_context = ActionContext {
            event,
            rule: &lease.rule,
            delivery: lease.delivery.to_string(),
            attempt: lease.attempt,
            verified: lease.unverified.is_none(),
            replays: lease.replays,
            withheld: &endpoint.credentials,
            event_name: rule.event_name.as_ref(),
            actions: &earlier,
            item,
            failure: lease.failure.as_ref().map(|failure| act::FailureContext {
                action: &failure.action,
                reason: &failure.reason,
                output: &failure.output,
            }),
            live: Some(attempting.output()),
        };
        let mut performing = pin!(self.runner.perform(action, &action_context, stop.clone()));
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
        let mut outcome = guarded.await;
        let end = outcome.detail.floor_char_boundary(DETAIL_KEPT);
        outcome.detail.truncate(end);
        outcome
    }

    /// The event as the rule reads it. Deliveries of elements share it.
    async fn decoded(
        &self,
        lease: &Lease,
        endpoint: &Endpoint,
        rule: &Rule,
        action: &Action,
    ) -> Result<Arc<DecodedEvent>, String> {
        let (received, limits) = (&lease.received, &self.decode_limits);
        let known = || {
            limits
                .events
                .get(received.id, &rule.plan)
                .filter(|_| rule.for_each.is_some())
        };
        if let Some(known) = known() {
            return Ok(known);
        }
        let body_limits = BodyLimits::of_rule(endpoint, rule);
        let memory = limits
            .delivery_memory(received, body_limits, action.is_light())
            .await;
        // Another attempt may have decoded it during the wait.
        if let Some(known) = known() {
            return Ok(known);
        }
        let unpack = endpoint.unpack_in(rule.view);
        let decode = || Event::from_store(Arc::clone(received), &lease.decode, unpack, &rule.plan);
        let event = Event {
            fired_by: lease.fired_by.clone(),
            ..DecodeLimits::aside(received, decode)?
        };
        let decoded = Arc::new(DecodedEvent::new(event, memory));
        if rule.for_each.is_some() {
            limits.events.keep(received.id, &rule.plan, &decoded);
        }
        Ok(decoded)
    }

    /// The outcomes of the delivery's earlier actions from the store, if the action reads them.
    async fn earlier(
        &self,
        lease: &Lease,
        rule: &Rule,
        action: &Action,
    ) -> Result<Vec<PerformedAction>, String> {
        if lease.action == 0 || !action.reads_actions() {
            return Ok(Vec::new());
        }
        let attempts = self.store.outputs(lease.delivery, lease.action).await;
        let attempts = attempts.map_err(|error| format!("the earlier actions cannot be read: {error}"))?;
        let for_failure = lease.failure.is_some();
        let mut earlier = Vec::with_capacity(attempts.len());
        for attempt in attempts {
            // Without an attempt at each, the positions of the others would be wrong.
            let known = rule.step(for_failure, attempt.action);
            let Some((action, _)) = known.filter(|_| attempt.action == earlier.len()) else {
                return Err(format!("there is no outcome of action {}", earlier.len() + 1));
            };
            earlier.push(PerformedAction {
                id: rule.id(for_failure, attempt.action).cloned(),
                action: action.name(),
                outcome: attempt.outcome,
                detail: attempt.detail,
                stdout: String::from_utf8_lossy(&attempt.stdout).into(),
                stderr: String::from_utf8_lossy(&attempt.stderr).into(),
            });
        }
        Ok(earlier)
    }
}

/// The element that a delivery is about, selected from the event again. For the failure of a
/// delivery of a whole event it is none.
fn item(lease: &Lease, rule: &Rule, decoded: &DecodedEvent) -> Result<Option<Item>, String> {
    let Some(for_each) = &rule.for_each else {
        return Ok(None);
    };
    let Some(index) = lease.item else {
        return Ok(Some(act::no_item()));
    };
    let item = decoded.item(&for_each.path, index);
    item.map(Some)
        .ok_or_else(|| format!("`for_each: {}` selects no element {index}", for_each.written))
}
