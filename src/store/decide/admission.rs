//! Admission to a concurrency group: a delivery runs, waits for its turn, or ends.

use crate::base::clock::Timestamp;
use crate::store::group::reason;
use crate::store::{DeliveryState, Group, NewDelivery, Overlap};

/// The occupancy of a group.
#[derive(Clone, Copy, Debug)]
pub struct Occupancy {
    /// Deliveries that have begun and not ended.
    pub begun: u32,
    /// Deliveries that the operator dropped and that may still be running.
    pub dropped: u32,
    /// True if a delivery waits for its turn.
    pub has_queue: bool,
}

impl Occupancy {
    /// True if `limit` allows another delivery to begin.
    pub fn admits(self, limit: u32) -> bool {
        self.begun.saturating_add(self.dropped) < limit.max(1)
    }
}

/// The decision for a delivery that enters its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The delivery may begin.
    Run,
    /// The delivery waits for its turn.
    Queue,
    /// The delivery ends at once.
    Skip,
}

impl Admission {
    fn run_if(admitted: bool) -> Self {
        if admitted { Self::Run } else { Self::Queue }
    }
}

/// The state of a group member that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    Queued,
    Ready,
    Running,
}

/// The decision for a delivery that enters its group, and its effects on the other members.
#[derive(Debug, PartialEq, Eq)]
pub struct GroupEntry<M> {
    pub admission: Admission,
    /// Members that end.
    pub supersede: Vec<M>,
    /// Running members that are to be stopped.
    pub stop: Vec<M>,
    /// The reason recorded on these members.
    pub reason: &'static str,
}

/// Decides for a delivery that enters its group. `members` reads the members, if they matter.
pub fn enter<M, E>(
    group: &Group,
    occupancy: Occupancy,
    members: impl FnOnce() -> Result<Vec<(M, MemberState)>, E>,
) -> Result<GroupEntry<M>, E> {
    let mut entry = GroupEntry {
        admission: Admission::Run,
        supersede: Vec::new(),
        stop: Vec::new(),
        reason: "",
    };
    if occupancy.admits(group.limit) && !occupancy.has_queue {
        return Ok(entry);
    }
    match group.overlap {
        Overlap::Queue => entry.admission = Admission::Queue,
        Overlap::Skip => entry.admission = Admission::Skip,
        Overlap::Coalesce => {
            entry.reason = reason::COALESCED;
            let queued = members()?
                .into_iter()
                .filter(|(_, state)| *state == MemberState::Queued);
            entry.supersede = queued.map(|(member, _)| member).collect();
            // The queued deliveries that end here may have had a narrower limit.
            entry.admission = Admission::run_if(occupancy.admits(group.limit));
        }
        Overlap::Replace => {
            entry.reason = reason::REPLACED;
            for (member, state) in members()? {
                match state {
                    MemberState::Running => entry.stop.push(member),
                    MemberState::Queued | MemberState::Ready => entry.supersede.push(member),
                }
            }
            let left = Occupancy {
                begun: u32::try_from(entry.stop.len()).unwrap_or(u32::MAX),
                ..occupancy
            };
            entry.admission = Admission::run_if(left.admits(group.limit));
        }
    }
    Ok(entry)
}

/// Decides the state of a new delivery before it enters its group. `superseded_since` is the
/// arrival of the first debounced delivery that it supersedes.
pub fn initial_state(
    delivery: &NewDelivery,
    at: Timestamp,
    superseded_since: Option<Timestamp>,
) -> DeliveryState {
    let Some(debounce) = delivery.debounce else {
        return DeliveryState::Ready { due: delivery.due };
    };
    let since = superseded_since.map_or(at, |since| since.min(at));
    DeliveryState::Debounced {
        due: debounce.due(at, since),
        since,
    }
}

#[cfg(test)]
mod tests {
    use super::MemberState::{Queued, Ready, Running};
    use super::*;

    fn entered(
        overlap: Overlap,
        limit: u32,
        dropped: u32,
        members: &[MemberState],
    ) -> (Admission, usize, usize) {
        let group = Group {
            name: "site".into(),
            limit,
            overlap,
        };
        let queued = members.iter().filter(|state| **state == Queued).count();
        let occupancy = Occupancy {
            begun: u32::try_from(members.len() - queued).unwrap(),
            dropped,
            has_queue: queued > 0,
        };
        let numbered = || Ok::<_, ()>(members.iter().copied().enumerate().collect());
        let entry: GroupEntry<usize> = enter(&group, occupancy, numbered).unwrap();
        (entry.admission, entry.supersede.len(), entry.stop.len())
    }

    #[test]
    fn the_overlap_decides_for_a_busy_group() {
        use Admission::{Queue, Run, Skip};
        use Overlap::{Coalesce, Replace};
        for (overlap, limit, dropped, members, expected) in [
            (Overlap::Queue, 1, 0, &[][..], (Run, 0, 0)),
            (Overlap::Queue, 2, 0, &[Running], (Run, 0, 0)),
            (Overlap::Queue, 1, 0, &[Ready], (Queue, 0, 0)),
            // A queued delivery goes first, even if the new one has a wider limit.
            (Overlap::Queue, 2, 0, &[Running, Queued], (Queue, 0, 0)),
            (Overlap::Queue, 1, 1, &[], (Queue, 0, 0)),
            (Overlap::Skip, 1, 0, &[Running], (Skip, 0, 0)),
            (Coalesce, 1, 0, &[Running, Queued, Queued], (Queue, 2, 0)),
            (Coalesce, 2, 0, &[Running, Queued], (Run, 1, 0)),
            (Replace, 1, 0, &[Ready, Queued], (Run, 2, 0)),
            (Replace, 1, 0, &[Running, Queued], (Queue, 1, 1)),
            (Replace, 2, 0, &[Running, Ready], (Run, 1, 1)),
            (Replace, 1, 1, &[Ready], (Queue, 1, 0)),
        ] {
            let found = entered(overlap, limit, dropped, members);
            assert_eq!(found, expected, "{overlap:?} {limit} {dropped} {members:?}");
        }
    }
}
