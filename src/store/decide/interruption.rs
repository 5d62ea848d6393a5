//! Attempts that began and did not end, because the daemon ended first.
//!
//! The caller decides which attempts count and when the next one is due.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::{AttemptRecord, DeliveryId};

/// The recorded outcome of an interrupted attempt.
pub const INTERRUPTED: &str = "interrupted";

/// An attempt that was found interrupted when the store was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interrupted {
    pub delivery: DeliveryId,
    pub event: EventId,
    pub rule: Arc<str>,
    /// Index of the action.
    pub action: usize,
    /// Number of the attempt at that action, from 1.
    pub attempt: u32,
    /// Start of the attempt.
    pub since: Timestamp,
    /// True if the delivery was made for the failure of another one.
    pub for_failure: bool,
}

/// Builds the record of an attempt that was found interrupted when the store was opened. Its
/// duration is unknown.
pub fn record(action: usize, number: u32, since: Timestamp, after_clean_stop: bool) -> AttemptRecord {
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
