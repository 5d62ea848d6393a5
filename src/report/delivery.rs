//! Lines about deliveries and their attempts, and about the work on the queue.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::metrics::{Attempted, Metrics};
use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::{DeliveryId, Interrupted, Settlement};

/// The log line of one attempt at one action.
pub struct AttemptLine<'a> {
    /// Time of its end.
    pub at: Timestamp,
    pub event: EventId,
    pub delivery: DeliveryId,
    pub rule: &'a Arc<str>,
    /// Kind of the action.
    pub action: &'static str,
    /// Destination of a request.
    pub target: Option<&'a str>,
    /// Number of the attempt at this action, from 1.
    pub number: u32,
    /// `done`, `failed`, `dead`, `interrupted` or `cancelled`.
    pub outcome: &'static str,
    /// Result in words: `exit 3`, `HTTP 503` …
    pub detail: &'a str,
    pub duration: Duration,
    /// Decision on the delivery.
    pub settlement: &'a Settlement,
    /// True if the action belongs to `on_failure`.
    pub for_failure: bool,
}

/// Writes the line of an attempt.
pub fn attempt(metrics: &Metrics, attempt: &AttemptLine<'_>) {
    let AttemptLine {
        event,
        delivery,
        rule,
        action,
        target,
        number,
        outcome,
        detail,
        ..
    } = attempt;
    metrics.attempted(&Attempted {
        at: attempt.at,
        rule,
        delivery: *delivery,
        action,
        outcome,
        detail,
        duration: attempt.duration,
        for_failure: attempt.for_failure,
    });
    let milliseconds = attempt.duration.as_millis();
    let next = match attempt.settlement {
        Settlement::Next { action, .. } => format!("action {}", action + 1),
        Settlement::Done { .. } => "done".to_owned(),
        Settlement::Superseded { .. } => "superseded".to_owned(),
        Settlement::Retry { due } => format!("retry at {due}"),
        Settlement::Wait { due } => format!("put off to {due}"),
        Settlement::Interrupted { .. } => "after the next start".to_owned(),
        Settlement::Dead { .. } if attempt.for_failure => "given up".to_owned(),
        Settlement::Dead { failure: Some(_), .. } => "dead letter, on_failure".to_owned(),
        Settlement::Dead { .. } => "dead letter".to_owned(),
    };
    let on_failure = attempt.for_failure.then_some(true);
    match attempt.settlement {
        _ if attempt.for_failure => {}
        Settlement::Done { .. } => metrics.ended(rule, "done"),
        Settlement::Superseded { .. } => metrics.ended(rule, "superseded"),
        Settlement::Dead { .. } => metrics.ended(rule, "dead"),
        Settlement::Next { .. }
        | Settlement::Retry { .. }
        | Settlement::Wait { .. }
        | Settlement::Interrupted { .. } => {}
    }
    let rule = &***rule;
    if *outcome == "done" {
        info!(%event, %delivery, rule, on_failure, action, target, attempt = number, outcome, detail, milliseconds, next, "attempt");
    } else {
        warn!(%event, %delivery, rule, on_failure, action, target, attempt = number, outcome, detail, milliseconds, next, "attempt");
    }
}

/// Maximum log lines about attempts that were interrupted by the end of the last daemon.
const INTERRUPTED_LOGGED: usize = 20;

/// Logs attempts that the last daemon did not finish, with the names of their actions.
pub fn interrupted(metrics: &Metrics, all: &[(Interrupted, &'static str)]) {
    for (interrupted, action) in all {
        metrics.interrupted(&interrupted.rule, action);
    }
    for (interrupted, action) in all.iter().take(INTERRUPTED_LOGGED) {
        let Interrupted {
            event,
            delivery,
            rule,
            attempt,
            since,
            ..
        } = interrupted;
        let on_failure = interrupted.for_failure.then_some(true);
        warn!(%event, %delivery, rule = &**rule, on_failure, action, attempt, began = %since, "interrupted by the end of the last daemon");
    }
    let more = all.len().saturating_sub(INTERRUPTED_LOGGED);
    if more > 0 {
        warn!(
            more,
            "further attempts were interrupted by the end of the last daemon; `hookyard events list` shows their deliveries"
        );
    }
}

/// Logs a delivery that was superseded before it began.
pub fn superseded(metrics: &Metrics, event: EventId, rule: &Arc<str>, why: &str) {
    metrics.ended(rule, "superseded");
    info!(%event, rule = &**rule, why, next = "superseded", "superseded");
}

/// Logs that the operator stops an attempt. `then` says what becomes of the delivery.
pub fn stopping_attempt(event: EventId, delivery: DeliveryId, rule: &str, by: &str, then: &str) {
    info!(%event, %delivery, rule, by, then, "stopping an attempt");
}

/// Logs a delivery that was put off because no attempt at its action was possible.
pub fn put_off(event: EventId, delivery: DeliveryId, rule: &str, why: &str, due: Timestamp) {
    debug!(%event, %delivery, rule, why, %due, "put off");
}

/// Logs a delivery that became a dead letter without an attempt.
pub fn undeliverable(metrics: &Metrics, event: EventId, rule: &Arc<str>, why: &str) {
    metrics.ended(rule, "dead");
    warn!(%event, rule = &**rule, why, next = "dead letter", "undeliverable");
}

/// Warns of an attempt whose delivery was dropped before the attempt ended.
pub fn overtaken(delivery: DeliveryId) {
    warn!(%delivery, "the delivery was dropped during its attempt: the outcome of the attempt is not kept");
}

/// Warns that this node does not know whether its leases still hold.
pub fn cut_off(stopped: usize) {
    warn!(
        stopped,
        "the store has not answered for so long that other nodes may run the deliveries of this one: attempts \
         in concurrency groups are stopped"
    );
}

/// Logs a store call that failed.
pub fn store_failed(what: &str, why: &str) {
    error!(what, why, "store");
}

/// Logs a worker that ended by a panic outside its action.
pub fn worker_failed(why: &str) {
    error!(why, "worker");
}
