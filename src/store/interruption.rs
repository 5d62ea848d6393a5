//! Attempts that began and did not end, because the daemon ended first.
//!
//! Shared by both stores, so that they say the same. Which attempts count, and when the next one is due, is decided by
//! the caller: here is only the record.

use std::sync::Arc;
use std::time::Duration;

use super::{AttemptRecord, DeliveryId};
use crate::base::clock::Timestamp;
use crate::event::EventId;

/// The outcome of an interrupted attempt, as it is recorded.
pub const INTERRUPTED: &str = "interrupted";

/// The latest attempt at a delivery was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// How many attempts in a row were interrupted, the latest included.
    pub in_a_row: u32,
    /// When the latest of them began.
    pub since: Timestamp,
}

/// An attempt that was found interrupted when the store was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its event.
    pub event: EventId,
    /// The rule that it is owed to.
    pub rule: Arc<str>,
    /// The index of the action.
    pub action: usize,
    /// Which attempt at that action it was, from 1.
    pub attempt: u32,
    /// When it began.
    pub since: Timestamp,
    /// Whether the delivery was made for the failure of another one.
    pub for_failure: bool,
}

/// The record of an attempt that was found interrupted at the start after a clean stop or a crash. How long it took is
/// not known.
pub(super) fn record(action: usize, number: u32, since: Timestamp, after_clean_stop: bool) -> AttemptRecord {
    let detail = if after_clean_stop {
        "the daemon was stopped during it"
    } else {
        "the daemon ended during it without a stop: killed, crashed, or the machine went down"
    };
    AttemptRecord {
        action,
        number,
        started: since,
        duration: Duration::ZERO,
        outcome: INTERRUPTED.to_owned(),
        detail: detail.to_owned(),
        stdout: Vec::new(),
        stderr: Vec::new(),
    }
}
