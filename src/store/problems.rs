//! Dead letters and refused arrivals in groups, as the operator sees them.

use super::DeliveryId;
use crate::base::clock::Timestamp;
use crate::event::{ArrivalOutcome, EventId};

/// Maximum groups that are listed, those with the most members.
pub const MAX_GROUPS: usize = 200;
/// Maximum dead letters that are looked at, the latest ones.
pub const DEAD_LOOKED_AT: usize = 200_000;
/// Maximum records of each ring that are looked at, the latest ones.
pub const REFUSED_LOOKED_AT: usize = 20_000;
/// Maximum deliveries that are selected at once from a group.
pub const MAX_SELECTED: usize = 10_000;

/// Groups of one kind, with the limits that were reached.
#[derive(Clone, Debug)]
pub struct Groups<G> {
    /// The groups, those with the most members first. At most [`MAX_GROUPS`].
    pub groups: Vec<G>,
    /// Number of all groups.
    pub number: usize,
    /// Number of members that were looked at.
    pub looked_at: u64,
    /// True if there are older ones, which were not looked at.
    pub is_cut: bool,
}

/// Dead letters of a rule with the same stable part of their reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadGroup {
    pub rule: String,
    /// The stable part of the reason ([`reason`](super::reason)).
    pub reason: String,
    pub count: u64,
    /// End of the first one and of the last one.
    pub first: Timestamp,
    pub last: Timestamp,
    /// A delivery of the group.
    pub sample: DeliveryId,
    pub sample_event: EventId,
    /// The whole reason of that delivery.
    pub sample_reason: String,
}

/// Arrivals on an endpoint that were refused for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedGroup {
    pub endpoint: String,
    pub outcome: ArrivalOutcome,
    /// The stable part of the reason ([`reason`](super::reason)).
    pub reason: String,
    pub count: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// The latest of the group.
    pub sample: EventId,
    /// The whole reason of that arrival.
    pub sample_reason: String,
}

/// Deliveries of a group that are selected for a replay or a drop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectedDeliveries {
    /// At most [`MAX_SELECTED`], the first ones in the order of arrival.
    pub deliveries: Vec<DeliveryId>,
    /// Number of all deliveries of the group.
    pub count: u64,
}
