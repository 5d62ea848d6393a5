//! The states of a delivery.

use crate::base::clock::Timestamp;

/// The state of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// The delivery waits until no newer one has arrived for a while. It is not in its group yet.
    Debounced {
        due: Timestamp,
        /// Arrival of the first delivery that this one has superseded.
        since: Timestamp,
    },
    /// The delivery waits for its turn in its group, even if it is due.
    Queued { due: Timestamp },
    /// The delivery waits for its due time and for a slot. It keeps its turn in its group until it
    /// has ended, also while it waits for another attempt.
    Ready { due: Timestamp },
    /// The delivery is leased. A store on disk keeps it as ready.
    Running,
    /// All actions are done.
    Done { at: Timestamp },
    /// The delivery ended before all its actions were performed.
    Superseded { at: Timestamp, reason: String },
    /// The delivery was given up.
    Dead { at: Timestamp, reason: String },
}

impl DeliveryState {
    /// True if the delivery has not ended.
    pub fn is_pending(&self) -> bool {
        match self {
            Self::Debounced { .. } | Self::Queued { .. } | Self::Ready { .. } | Self::Running => true,
            Self::Done { .. } | Self::Superseded { .. } | Self::Dead { .. } => false,
        }
    }

    /// The due time of a delivery that waits.
    pub fn due(&self) -> Option<Timestamp> {
        match self {
            Self::Debounced { due, .. } | Self::Queued { due } | Self::Ready { due } => Some(*due),
            _ => None,
        }
    }

    /// The time at which the delivery ended.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Done { at } | Self::Superseded { at, .. } | Self::Dead { at, .. } => Some(*at),
            _ => None,
        }
    }

    /// The reason why the delivery ended without being done.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Superseded { reason, .. } | Self::Dead { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// The name of the state on disk.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Debounced { .. } => "debounced",
            Self::Queued { .. } => "queued",
            Self::Ready { .. } | Self::Running => "ready",
            Self::Done { .. } => "done",
            Self::Superseded { .. } => "superseded",
            Self::Dead { .. } => "dead",
        }
    }
}
