//! Lanes: groups of deliveries of which only so many are under way at once.

use std::sync::Arc;

use serde::Deserialize;

/// The lane of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
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

/// Why a delivery ended without being performed, as it is written down.
pub mod reason {
    /// By [`Overlap::Skip`](super::Overlap::Skip).
    pub const SKIPPED: &str = "skipped: its group was busy";
    /// By [`Overlap::Replace`](super::Overlap::Replace).
    pub const REPLACED: &str = "superseded: a newer one has replaced it";
    /// By [`Overlap::Coalesce`](super::Overlap::Coalesce).
    pub const COALESCED: &str = "superseded: a newer one waits in its place";
}
