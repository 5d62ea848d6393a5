//! Concurrency groups and debouncing in memory.

use std::convert::Infallible;
use std::sync::Arc;

use super::contents::MemoryContents;
use super::stored::StoredDelivery;
use crate::base::clock::Timestamp;
use crate::store::decide::admission::{self, Admission, MemberState, Occupancy};
use crate::store::group::reason;
use crate::store::{DeliveryState, Displaced, Group, NewDelivery};

impl MemoryContents {
    /// Decides for a delivery that enters its group at `at`. Adds the deliveries that it supersedes
    /// to `displaced`.
    pub(super) fn enter(&mut self, group: &Group, at: Timestamp, displaced: &mut Displaced) -> Admission {
        let occupancy = self.occupancy(&group.name);
        let members = || Ok::<_, Infallible>(self.members(&group.name).collect());
        let Ok(entry) = admission::enter(group, occupancy, members);
        for index in entry.stop {
            if let Some(stored) = self.deliveries.get_mut(index) {
                stored.superseded = Some(entry.reason.to_owned());
                displaced.stop.push(stored.delivery.id);
            }
        }
        for index in entry.supersede {
            if let Some(stored) = self.deliveries.get_mut(index) {
                displaced.ended.push(stored.supersede(at, entry.reason));
            }
        }
        entry.admission
    }

    /// Lets the next deliveries of a group begin, after one of its members has ended.
    pub(super) fn leave(&mut self, name: &str) {
        loop {
            let occupancy = self.occupancy(name);
            let mut members = self.members(name);
            let Some((next, _)) = members.find(|(_, state)| *state == MemberState::Queued) else {
                return;
            };
            drop(members);
            let Some(next) = self.deliveries.get_mut(next) else {
                return;
            };
            if !occupancy.admits(next.group.as_ref().map_or(1, |group| group.limit)) {
                return;
            }
            next.delivery.state = DeliveryState::Ready { due: next.due };
        }
    }

    /// Ends the debounced deliveries that a new one at `at` supersedes. Returns the arrival of the
    /// first delivery that they superseded themselves.
    pub(super) fn supersede_debounced(
        &mut self,
        delivery: &NewDelivery,
        at: Timestamp,
        displaced: &mut Displaced,
    ) -> Option<Timestamp> {
        let group = |group: &Option<Group>| group.as_ref().map(|group| Arc::clone(&group.name));
        let mut first: Option<Timestamp> = None;
        for stored in &mut self.deliveries {
            let same =
                stored.delivery.rule == delivery.rule && group(&stored.group) == group(&delivery.group);
            if let DeliveryState::Debounced { since, .. } = stored.delivery.state
                && same
            {
                first = Some(first.map_or(since, |first| first.min(since)));
                displaced.ended.push(stored.supersede(at, reason::DEBOUNCED));
            }
        }
        first
    }

    /// Moves a debounced delivery into its group. Adds the deliveries that it supersedes to
    /// `displaced`. Returns false if the delivery was not debounced.
    pub(super) fn end_debounce(&mut self, index: usize, at: Timestamp, displaced: &mut Displaced) -> bool {
        let Some(stored) = self.deliveries.get(index) else {
            return false;
        };
        let DeliveryState::Debounced { due, .. } = stored.delivery.state else {
            return false;
        };
        let group = stored.group.clone();
        let admission = match &group {
            Some(group) => self.enter(group, at, displaced),
            None => Admission::Run,
        };
        if let Some(stored) = self.deliveries.get_mut(index) {
            match admission {
                Admission::Run => stored.delivery.state = DeliveryState::Ready { due },
                Admission::Queue => stored.delivery.state = DeliveryState::Queued { due },
                Admission::Skip => displaced.ended.push(stored.supersede(at, reason::SKIPPED)),
            }
        }
        if let Some(group) = group {
            // The delivery may be older than the queued ones, and have a wider limit.
            self.leave(&group.name);
        }
        true
    }

    fn occupancy(&self, name: &str) -> Occupancy {
        let states = || self.members(name).map(|(_, state)| state);
        let begun = states().filter(|state| *state != MemberState::Queued).count();
        Occupancy {
            begun: u32::try_from(begun).unwrap_or(u32::MAX),
            dropped: 0,
            has_queue: states().any(|state| state == MemberState::Queued),
        }
    }

    /// The members of a group that have not ended, in the order in which they were enqueued.
    fn members(&self, name: &str) -> impl Iterator<Item = (usize, MemberState)> {
        let of_group = self.deliveries.iter().enumerate().filter(move |(_, stored)| {
            let group = stored.group.as_ref();
            group.is_some_and(|group| *group.name == *name)
        });
        of_group.filter_map(|(index, stored)| Some((index, member_state(stored)?)))
    }
}

/// The state of a delivery as a member of its group; `None` if it is not in it.
fn member_state(stored: &StoredDelivery) -> Option<MemberState> {
    match stored.delivery.state {
        DeliveryState::Queued { .. } => Some(MemberState::Queued),
        DeliveryState::Ready { .. } => Some(MemberState::Ready),
        DeliveryState::Running => Some(MemberState::Running),
        _ => None,
    }
}
