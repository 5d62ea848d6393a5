//! Phases of a delivery that has not ended: what it does, or what it waits for.

use std::fmt;

use crate::base::clock::Timestamp;
use crate::store::{DeliveryState, ListedDelivery};

/// The activity of a delivery that has not ended. Finer than its state `waiting`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// An attempt runs.
    Running,
    /// It waits for its turn in its group.
    Queued,
    /// It waits until no newer one has arrived for a while.
    Debounced { until: Timestamp },
    /// The next attempt is due later.
    Retry { at: Timestamp },
    /// It is due, and no attempt is known to run.
    Due,
}

impl Phase {
    /// Returns the phase of a delivery at `now`. `None` if it has ended.
    pub fn at(entry: &ListedDelivery, now: Timestamp) -> Option<Self> {
        match entry.delivery.state {
            DeliveryState::Running => Some(Self::Running),
            DeliveryState::Ready { .. } if entry.begun_at.is_some() => Some(Self::Running),
            DeliveryState::Ready { due } if due > now => Some(Self::Retry { at: due }),
            DeliveryState::Ready { .. } => Some(Self::Due),
            DeliveryState::Queued { .. } => Some(Self::Queued),
            DeliveryState::Debounced { due, .. } => Some(Self::Debounced { until: due }),
            DeliveryState::Done { .. } | DeliveryState::Superseded { .. } | DeliveryState::Dead { .. } => {
                None
            }
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Queued => "queued",
            Self::Debounced { .. } => "debounced",
            Self::Retry { .. } => "retry",
            Self::Due => "due",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Queued => f.write_str("queued in its group"),
            Self::Debounced { until } => write!(f, "waiting for quiet until {until}"),
            Self::Retry { at } => write!(f, "retry at {at}"),
            Self::Due => f.write_str("waiting"),
        }
    }
}
