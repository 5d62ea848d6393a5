//! Concurrency groups, of which only a limited number of deliveries run at once, and the debounce
//! before a delivery enters its group.
//!
//! The decisions are in `decide/admission.rs`.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::base::clock::Timestamp;

/// The concurrency group of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name of the group. Deliveries of several rules may share it.
    pub name: Arc<str>,
    /// Maximum members of the group that run at once, at least 1.
    pub limit: u32,
    pub overlap: Overlap,
}

/// Behaviour of a delivery that arrives while its group is busy: `limit` deliveries have begun and
/// not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// The new delivery waits for its turn, in the order of arrival.
    #[default]
    Queue,
    /// The new delivery ends at once.
    Skip,
    /// Running deliveries are stopped, waiting ones end, and the new one begins.
    Replace,
    /// Waiting deliveries end, and the new one waits instead of them.
    Coalesce,
}

impl Overlap {
    const ALL: [Self; 4] = [Self::Queue, Self::Skip, Self::Replace, Self::Coalesce];

    /// The name as the rules file writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Skip => "skip",
            Self::Replace => "replace",
            Self::Coalesce => "coalesce",
        }
    }

    /// Finds a variant by its name. An unknown name gives [`Self::Queue`], which loses nothing.
    pub fn from_name(name: &str) -> Self {
        let named = Self::ALL.into_iter().find(|overlap| overlap.name() == name);
        named.unwrap_or_default()
    }
}

/// A wait until no new delivery has arrived for a while. Of the deliveries that wait for the same
/// rule and group, only the newest is kept. The delivery enters its group when its wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debounce {
    /// Time without a new delivery after which the newest is due.
    pub quiet: Duration,
    /// Maximum wait of the first delivery that the newest has superseded. After it the newest is
    /// due in any case.
    pub at_most: Duration,
}

impl Debounce {
    /// Due time of a delivery that arrives at `at`, if the first delivery that it supersedes
    /// arrived at `since`. The due time may lie before the arrival. The delivery then keeps the
    /// position in the queue of those that it supersedes.
    pub fn due(self, at: Timestamp, since: Timestamp) -> Timestamp {
        at.plus(self.quiet).min(since.plus(self.at_most))
    }
}

/// The recorded reasons why a delivery ended without being performed.
pub mod reason {
    /// Reason of [`Overlap::Skip`](super::Overlap::Skip).
    pub const SKIPPED: &str = "skipped: its group was busy";
    /// Reason of [`Overlap::Replace`](super::Overlap::Replace).
    pub const REPLACED: &str = "superseded: a newer one has replaced it";
    /// Reason of [`Overlap::Coalesce`](super::Overlap::Coalesce).
    pub const COALESCED: &str = "superseded: a newer one waits in its place";
    /// Reason of [`Debounce`](super::Debounce).
    pub const DEBOUNCED: &str = "superseded: a newer one came while it waited for quiet";
}
