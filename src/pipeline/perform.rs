//! One action of a delivery: its event, its context, and a guard against panics.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::act::{self, Action, ActionContext, Item, Outcome, PerformedAction, Verdict};
use crate::payload::Event;
use crate::pipeline::decode_limits::{BodyLimits, DecodeLimits};
use crate::pipeline::dispatch::Dispatcher;
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
        stop: &CancellationToken,
    ) -> Outcome {
        let received = &lease.received;
        let _memory = tokio::select! {
            memory = self.decode_limits.delivery_memory(received, BodyLimits::of_rule(endpoint, rule), action.is_light()) => memory,
            () = stop.cancelled() => {
                return Outcome::new(Verdict::Stopped, "stopped before it began", Duration::ZERO);
            }
        };
        let decode = || {
            Event::from_store(
                Arc::clone(received),
                &lease.decode,
                endpoint.unpack_in(rule.view),
                &rule.plan,
            )
        };
        let decoded = DecodeLimits::aside(received, decode);
        let decoded = decoded.map_err(|error| format!("the stored body cannot be decoded: {error}"));
        let event = match decoded {
            Ok(event) => event,
            Err(message) => return Outcome::new(Verdict::Dead, message, Duration::ZERO),
        };
        let earlier = match self.earlier(lease, rule, action).await {
            Ok(earlier) => earlier,
            Err(message) => return Outcome::new(Verdict::FAILED, message, Duration::ZERO),
        };
        let item = match item(lease, rule, &event) {
            Ok(item) => item,
            Err(message) => return Outcome::new(Verdict::Dead, message, Duration::ZERO),
        };
        let action_context = ActionContext {
            event: &event,
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
fn item(lease: &Lease, rule: &Rule, event: &Event) -> Result<Option<Item>, String> {
    let Some(for_each) = &rule.for_each else {
        return Ok(None);
    };
    let Some(index) = lease.item else {
        return Ok(Some(act::no_item()));
    };
    let mut items = act::items(event, &for_each.path).into_iter();
    let item = usize::try_from(index).ok().and_then(|index| items.nth(index));
    item.map(Some)
        .ok_or_else(|| format!("`for_each: {}` selects no element {index}", for_each.written))
}
