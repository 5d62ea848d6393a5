//! Deliveries: as a row of a list, and with all that is known about one.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::attempt::AttemptView;
use super::phase::Phase;
use super::status::DeliveryStatus;
use crate::base::clock::Timestamp;
use crate::status::PauseStatus;
use crate::store::{AttemptRecord, ListedDelivery, PauseSubject, Pauses};

/// A delivery as a list shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeliveryRow {
    /// Id of the delivery: a version 7 UUID.
    pub delivery: String,
    /// Id of its event.
    pub event: String,
    /// Arrival time of the event.
    pub received_at: String,
    /// The endpoint, as the rules file writes it.
    pub endpoint: String,
    pub rule: String,
    /// Index of the element that the delivery is about, from 0. Null for the whole event.
    pub element: Option<u32>,
    /// `waiting`, `done`, `superseded` or `dead`.
    pub state: &'static str,
    /// Of a waiting delivery: `running`, `queued`, `debounced`, `retry` or `due`.
    pub phase: Option<&'static str>,
    /// Number of the action that it has reached, from 1.
    pub action: usize,
    /// Number of the next or last attempt at it, from 1.
    pub attempt: u32,
    /// Due time of the next attempt. Null if it has ended.
    pub due: Option<String>,
    pub ended_at: Option<String>,
    /// The reason why it is dead or superseded.
    pub reason: Option<String>,
    /// Number of replays by the operator.
    pub replays: u32,
    /// The reason why an unverified event is delivered. Null if it was verified.
    pub unverified: Option<String>,
    /// Id of the failed delivery, of a delivery to the `on_failure` actions.
    pub failure_of: Option<String>,
}

impl DeliveryRow {
    pub fn of(entry: &ListedDelivery, now: Timestamp) -> Self {
        let delivery = &entry.delivery;
        let state = &delivery.state;
        Self {
            delivery: delivery.id.to_string(),
            event: delivery.event.to_string(),
            received_at: entry.received_at.to_string(),
            endpoint: entry.endpoint.clone(),
            rule: delivery.rule.to_string(),
            element: delivery.item,
            state: DeliveryStatus::of(entry).name(),
            phase: Phase::at(entry, now).map(Phase::name),
            action: delivery.action.saturating_add(1),
            attempt: delivery.attempt,
            due: state.due().map(|due| due.to_string()),
            ended_at: state.ended_at().map(|at| at.to_string()),
            reason: state.reason().map(str::to_owned),
            replays: entry.replays,
            unverified: delivery.unverified.as_deref().map(str::to_owned),
            failure_of: delivery.failure_of.map(|failed| failed.to_string()),
        }
    }
}

/// A delivery with its attempts.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeliveryDetail {
    #[serde(flatten)]
    pub row: DeliveryRow,
    /// Attempts, oldest first, with replays and drops by the operator. Of many, the latest.
    pub attempts: Vec<AttemptView>,
    /// Start of the attempt that runs. Null if none is known to run.
    pub running_since: Option<String>,
    /// Of a delivery that waits: what it waits for, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// The pause that it waits for: that of its rule, or of the target of its next action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<PauseStatus>,
}

impl DeliveryDetail {
    /// `target` is the target of the next action. `None` if it is none, or not known.
    pub fn of(
        entry: &ListedDelivery,
        attempts: &[AttemptRecord],
        pauses: &Pauses,
        target: Option<&str>,
        now: Timestamp,
    ) -> Self {
        let pause = pause_of(entry, pauses, target);
        Self {
            row: DeliveryRow::of(entry, now),
            running_since: entry.begun_at.map(|at| at.to_string()),
            waits_for: waits_for(entry, attempts, pause.as_ref(), now),
            attempts: attempts.iter().map(AttemptView::of).collect(),
            paused: pause,
        }
    }
}

/// The pause that a waiting delivery waits for.
pub(super) fn pause_of(entry: &ListedDelivery, pauses: &Pauses, target: Option<&str>) -> Option<PauseStatus> {
    if DeliveryStatus::of(entry) != DeliveryStatus::Waiting || entry.begun_at.is_some() {
        return None;
    }
    let rule = PauseSubject::Rule(Arc::clone(&entry.delivery.rule));
    let target = target.map(|target| PauseSubject::Target(target.into()));
    let pause = pauses
        .of(&rule)
        .or_else(|| target.and_then(|target| pauses.of(&target)));
    pause.map(PauseStatus::of)
}

/// Says what a delivery waits for. `None` if it runs or has ended.
fn waits_for(
    entry: &ListedDelivery,
    attempts: &[AttemptRecord],
    paused: Option<&PauseStatus>,
    now: Timestamp,
) -> Option<String> {
    let phase = Phase::at(entry, now)?;
    if let Some(pause) = paused {
        return Some(format!("the {} `{}`, {}", pause.kind, pause.name, pause.text()));
    }
    let failed = attempts
        .last()
        .filter(|last| last.action == entry.delivery.action);
    Some(match (phase, failed) {
        (Phase::Running, _) => return None,
        (Phase::Queued, _) => "its turn in its group".to_owned(),
        (Phase::Debounced { until }, _) => format!("quiet until {until}"),
        (Phase::Retry { at }, Some(last)) => format!(
            "attempt {} at {at}, after {}",
            entry.delivery.attempt, last.detail
        ),
        (Phase::Retry { at }, None) => format!("its next action at {at}"),
        (Phase::Due, _) => "a free slot".to_owned(),
    })
}
