//! Lanes: groups of deliveries of which only so many are under way at once; and the wait before one enters its lane.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::base::clock::Timestamp;

/// The lane of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name; deliveries of several rules may share one.
    pub name: Arc<str>,
    /// How many of it may be under way before this delivery may begin; at least 1.
    pub limit: u32,
    /// What becomes of a delivery that comes while the lane is busy.
    pub overlap: Overlap,
}

/// What becomes of a delivery that comes while its lane is busy: while as many as it allows have begun and not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// It waits for its turn, in the order of arrival.
    #[default]
    Queue,
    /// It ends at once.
    Skip,
    /// What has begun is stopped, what waits ends, and it begins.
    Replace,
    /// What waits ends; it waits in their place.
    Coalesce,
}

impl Overlap {
    /// All of them.
    const ALL: [Self; 4] = [Self::Queue, Self::Skip, Self::Replace, Self::Coalesce];

    /// Its name, as the rules file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Skip => "skip",
            Self::Replace => "replace",
            Self::Coalesce => "coalesce",
        }
    }

    /// The one of that name; [`Self::Queue`] if there is none, which loses nothing.
    pub fn from_name(name: &str) -> Self {
        let named = Self::ALL.into_iter().find(|overlap| overlap.name() == name);
        named.unwrap_or_default()
    }
}

/// How a delivery waits until its rule has been left alone for a while. Of those that wait so, for one rule and in one
/// lane, the newest alone is kept; it enters its lane when its wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debounce {
    /// How long nothing may come.
    pub quiet: Duration,
    /// How long the first of those that it stands for may have waited: then it is due, quiet or not.
    pub at_most: Duration,
}

impl Debounce {
    /// When one is due that came at `at`, and stands for others of which the first came at `since`. It may have been due
    /// before it came: then it has the place of those that it stands for, before what came after them.
    pub fn due(self, at: Timestamp, since: Timestamp) -> Timestamp {
        at.plus(self.quiet).min(since.plus(self.at_most))
    }
}

/// Why a delivery ended without being performed, as it is written down.
pub mod reason {
    /// By [`Overlap::Skip`](super::Overlap::Skip).
    pub const SKIPPED: &str = "skipped: its group was busy";
    /// By [`Overlap::Replace`](super::Overlap::Replace).
    pub const REPLACED: &str = "superseded: a newer one has replaced it";
    /// By [`Overlap::Coalesce`](super::Overlap::Coalesce).
    pub const COALESCED: &str = "superseded: a newer one waits in its place";
    /// By a [`Debounce`](super::Debounce).
    pub const DEBOUNCED: &str = "superseded: a newer one came while it waited for quiet";
}
