//! The coarse state of a delivery.

use std::fmt;
use std::str::FromStr;

use crate::store::{DeliveryState, ListedDelivery};

/// Coarse state of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// Queued, waiting for a retry, or running.
    Waiting,
    /// All actions are done.
    Done,
    /// Superseded by a newer delivery, or skipped in favour of an older one.
    Superseded,
    /// Given up.
    Dead,
}

impl DeliveryStatus {
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Done, Self::Superseded, Self::Dead];

    /// Returns the state of a delivery.
    pub fn of(entry: &ListedDelivery) -> Self {
        match entry.delivery.state {
            DeliveryState::Debounced { .. }
            | DeliveryState::Queued { .. }
            | DeliveryState::Ready { .. }
            | DeliveryState::Running => Self::Waiting,
            DeliveryState::Done { .. } => Self::Done,
            DeliveryState::Superseded { .. } => Self::Superseded,
            DeliveryState::Dead { .. } => Self::Dead,
        }
    }

    /// Name of the state, as in arguments and output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Superseded => "superseded",
            Self::Dead => "dead",
        }
    }

    /// The meaning in one sentence, for help texts.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Waiting => "Queued, waiting for a retry, or running",
            Self::Done => "All actions are done",
            Self::Superseded => "Superseded by a newer delivery, or skipped in favour of an older one",
            Self::Dead => "Given up",
        }
    }
}

impl fmt::Display for DeliveryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DeliveryStatus {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| format!("unknown state `{name}`"))
    }
}
