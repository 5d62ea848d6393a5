//! An attempt in progress: its name, its output and its end, and the operator's decision to stop it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::act::LiveOutput;
use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::{DeliveryId, Lease, Settled, Settlement};

/// A begun attempt.
#[derive(Debug)]
pub(super) struct Ongoing {
    pub(super) attempt: OngoingAttempt,
    /// Output of its command.
    pub(super) output: LiveOutput,
    /// Kind of its action, once that begins.
    pub(super) started: OnceLock<&'static str>,
    /// Set when it has ended and its record is written.
    pub(super) end: OnceLock<AttemptEnd>,
    /// Cancelled when this attempt is to stop, alone or with all others.
    pub(super) stop: CancellationToken,
    /// True if another delivery supersedes this one.
    pub(super) replaced: AtomicBool,
    /// Set if the operator stops the attempt.
    pub(super) cancel: OnceLock<Cancel>,
}

/// An attempt in progress, as the operator names it.
#[derive(Clone, Debug)]
pub struct OngoingAttempt {
    pub event: EventId,
    pub delivery: DeliveryId,
    pub rule: Arc<str>,
    /// Index of the action.
    pub action: usize,
    /// True if the action belongs to `on_failure`.
    pub for_failure: bool,
    /// Number of the attempt at that action, from 1.
    pub number: u32,
    /// The time at which the delivery was leased for it.
    pub since: Timestamp,
    /// True if the delivery belongs to a concurrency group.
    pub in_group: bool,
}

/// An attempt in progress, with the user who is stopping it.
#[derive(Clone, Debug)]
pub struct RunningAttempt {
    pub attempt: OngoingAttempt,
    pub stopped_by: Option<Arc<str>>,
}

/// The operator's decision to stop an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// Name of the user.
    pub by: Arc<str>,
    pub after: AfterStop,
}

/// Fate of a delivery after the operator stopped its attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterStop {
    /// It is tried again by its rule, as after a failure.
    Retry,
    /// It becomes a dead letter.
    Drop,
}

/// The deliveries whose attempts the operator stops.
#[derive(Clone, Copy, Debug)]
pub enum StopTarget {
    Delivery(DeliveryId),
    /// All deliveries of an event.
    Event(EventId),
}

/// The end of an attempt.
#[derive(Clone, Debug)]
pub struct AttemptEnd {
    /// Outcome and detail as in the record of the attempt. `None` if there is no record.
    pub record: Option<(String, String)>,
    /// True if the next action follows at once.
    pub goes_on: bool,
}

impl Cancel {
    /// Describes the stop: the detail of the attempt, and the reason of a dead letter.
    pub fn reason(&self) -> String {
        format!("stopped by {}", self.by)
    }
}

impl OngoingAttempt {
    pub fn of(lease: &Lease, since: Timestamp) -> Self {
        Self {
            event: lease.received.id,
            delivery: lease.delivery,
            rule: Arc::clone(&lease.rule),
            action: lease.action,
            for_failure: lease.failure.is_some(),
            number: lease.attempt,
            since,
            in_group: lease.in_group,
        }
    }

    /// A text that identifies the attempt among those of its delivery.
    pub fn key(&self) -> String {
        format!("{}-{}-{}", self.since.as_millis(), self.action, self.number)
    }

    /// True if it began after the attempt with this key.
    pub(super) fn began_after(&self, key: &str) -> bool {
        let since = key.split('-').next().and_then(|since| since.parse().ok());
        since.is_none_or(|since: i64| self.since.as_millis() > since)
    }

    pub(super) fn is_meant(&self, target: StopTarget) -> bool {
        match target {
            StopTarget::Delivery(delivery) => self.delivery == delivery,
            StopTarget::Event(event) => self.event == event,
        }
    }
}

impl AttemptEnd {
    pub(super) fn of(settled: &Settled) -> Self {
        let record = settled.attempt.as_ref();
        Self {
            record: record.map(|record| (record.outcome.clone(), record.detail.clone())),
            goes_on: matches!(settled.settlement, Settlement::Next { .. }),
        }
    }

    /// The end of an attempt whose record was not written.
    pub(super) const UNKNOWN: Self = Self {
        record: None,
        goes_on: false,
    };
}
