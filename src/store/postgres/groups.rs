//! Concurrency groups: read under the locks of their stripes, decided on in memory. The decisions are
//! in `decide/admission.rs`.
//!
//! A transaction locks the stripes of all groups in which it decides, before it reads them. What has
//! begun may still be leased, or released, by another transaction. Each write therefore says which
//! members it takes to be leased, and fails as a conflict if it is wrong.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use uuid::Uuid;

use super::changes::{Changes, QueueRow};
use super::failure::Failure;
use super::link::Link;
use super::pipeline::pipeline;
use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::decide::admission::{self, Admission, MemberState, Occupancy};
use crate::store::{DeliveryId, Displaced, Group, Overlap, Superseded};

/// Locks the stripes of names.
const LOCK: &str = "SELECT 1 FROM stripes WHERE stripe IN \
     (SELECT (hashtextextended(n, 0) & 255)::smallint FROM unnest($1::text[]) AS n) ORDER BY stripe FOR UPDATE";

const OCCUPANCY: &str = "SELECT g.name, \
     (SELECT count(*) FROM queue WHERE group_key = g.name AND state = 'ready'), \
     (SELECT count(*) FROM queue WHERE group_key = g.name AND state = 'dropped'), \
     EXISTS (SELECT 1 FROM queue WHERE group_key = g.name AND state = 'queued') \
     FROM unnest($1::text[]) AS g(name)";

const MEMBERS: &str = "SELECT g.name, q.seq, q.id, q.event, q.rule, q.state, q.node FROM unnest($1::text[]) AS g(name) \
     JOIN queue q ON q.group_key = g.name AND (q.state = 'queued' OR q.state = 'ready') ORDER BY q.state DESC, q.seq";

/// Lets queued deliveries begin, in their order, until the next one's limit does not allow it:
/// `decide::admission::Occupancy::admits`, for each of them.
const BEGIN_NEXT: &str = "UPDATE queue q SET state = 'ready' FROM ( \
         SELECT seq, bool_and(begun + place <= greatest(group_limit, 1)) OVER (PARTITION BY name ORDER BY place) AS admitted \
         FROM (SELECT g.name, n.seq, n.group_limit, row_number() OVER (PARTITION BY g.name ORDER BY n.seq) AS place, b.begun \
             FROM unnest($1::text[]) AS g(name) \
             CROSS JOIN LATERAL (SELECT count(*) AS begun FROM queue \
                 WHERE group_key = g.name AND (state = 'ready' OR state = 'dropped')) b \
             CROSS JOIN LATERAL (SELECT seq, group_limit FROM queue \
                 WHERE group_key = g.name AND state = 'queued' ORDER BY seq LIMIT 256) n) placed) decided \
     WHERE decided.admitted AND q.seq = decided.seq";

pub(super) const STATEMENTS: &[&str] = &[LOCK, OCCUPANCY, MEMBERS, BEGIN_NEXT];

/// Locks the stripes of groups and of other names. Another transaction that has one of them is
/// waited for.
pub(super) async fn lock(link: &Link, names: &[&str]) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    link.query(LOCK, &[&names]).await.map(drop)
}

/// Lets the next deliveries of groups begin, after members have ended. The names are different, and
/// their stripes are locked. Returns the number of deliveries that begin.
pub(super) async fn begin_next(link: &Link, groups: &[&str]) -> Result<u64, Failure> {
    if groups.is_empty() {
        return Ok(0);
    }
    link.execute(BEGIN_NEXT, &[&groups]).await
}

/// A member of a group that has not ended.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub row: QueueRow,
    pub id: DeliveryId,
    pub event: EventId,
    pub rule: Arc<str>,
    /// Node to which the delivery is leased.
    pub node: Option<i64>,
    pub state: MemberState,
}

/// Groups in a transaction.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_name: HashMap<Arc<str>, Occupied>,
}

/// A group as it is at this point of the transaction.
#[derive(Debug)]
struct Occupied {
    occupancy: Occupancy,
    /// The members in the order of their rows, those that have begun first. Only read for deliveries
    /// that may supersede them.
    members: Vec<Member>,
}

impl Occupied {
    fn recount_queued(&mut self) {
        let mut members = self.members.iter();
        self.occupancy.has_queue = members.any(|member| member.state == MemberState::Queued);
    }
}

impl Groups {
    /// Reads the groups of deliveries. The stripes are locked.
    pub async fn read<'g>(link: &Link, groups: impl Iterator<Item = &'g Group>) -> Result<Self, Failure> {
        let mut supersedes: HashMap<&str, bool> = HashMap::new();
        for group in groups {
            let here = matches!(group.overlap, Overlap::Coalesce | Overlap::Replace);
            *supersedes.entry(&group.name).or_default() |= here;
        }
        let names: Vec<&str> = supersedes.keys().copied().collect();
        let superseding = supersedes.iter().filter(|(_, supersedes)| **supersedes);
        let read: Vec<&str> = superseding.map(|(name, _)| *name).collect();
        if names.is_empty() {
            return Ok(Self::default());
        }
        let members = async {
            if read.is_empty() {
                return Ok(Vec::new());
            }
            link.query(MEMBERS, &[&read]).await
        };
        let occupancy: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&names];
        let (occupancy, members) = pipeline!(link.query(OCCUPANCY, &occupancy), members)?;
        let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        let mut by_name = HashMap::new();
        for row in occupancy {
            let occupancy = Occupancy {
                begun: count(row.get(1)),
                dropped: count(row.get(2)),
                has_queue: row.get(3),
            };
            let occupied = Occupied {
                occupancy,
                members: Vec::new(),
            };
            by_name.insert(Arc::from(row.get::<_, &str>(0)), occupied);
        }
        for row in members {
            let Some(group) = by_name.get_mut(row.get::<_, &str>(0)) else {
                continue;
            };
            let node: Option<i64> = row.get(6);
            let state = match (row.get(5), node) {
                ("queued", _) => MemberState::Queued,
                (_, None) => MemberState::Ready,
                (_, Some(_)) => MemberState::Running,
            };
            group.members.push(Member {
                row: QueueRow::Written(row.get(1)),
                id: row.get::<_, Uuid>(2).into(),
                event: row.get::<_, Uuid>(3).into(),
                rule: row.get::<_, &str>(4).into(),
                node,
                state,
            });
        }
        Ok(Self { by_name })
    }

    /// Decides for a delivery that enters its group at `at`. `me` is this node. Adds the deliveries
    /// that it supersedes to `displaced`.
    pub fn enter(
        &mut self,
        (me, at): (i64, Timestamp),
        group: &Group,
        changes: &mut Changes<'_>,
        displaced: &mut Displaced,
    ) -> Admission {
        let Some(occupied) = self.by_name.get_mut(&group.name) else {
            return Admission::Run;
        };
        let members = || {
            let members = occupied.members.iter();
            Ok::<_, Infallible>(members.map(|member| (member.clone(), member.state)).collect())
        };
        let Ok(entry) = admission::enter(group, occupied.occupancy, members);
        for member in entry.stop {
            changes.stop(member.row, entry.reason);
            changes.stops_elsewhere |= member.node != Some(me);
            // The runner of another node hears of it by looking at its own leases.
            displaced
                .stop
                .extend((member.node == Some(me)).then_some(member.id));
        }
        for member in entry.supersede {
            occupied.members.retain(|one| one.row != member.row);
            if member.state == MemberState::Ready {
                occupied.occupancy.begun = occupied.occupancy.begun.saturating_sub(1);
            } else {
                occupied.recount_queued();
            }
            supersede(member, at, entry.reason, changes, displaced);
        }
        entry.admission
    }

    /// Adds a delivery that has been admitted to its group.
    pub fn add(&mut self, group: &Group, member: Member) {
        let Some(occupied) = self.by_name.get_mut(&group.name) else {
            return;
        };
        match member.state {
            MemberState::Queued => occupied.occupancy.has_queue = true,
            MemberState::Ready | MemberState::Running => occupied.occupancy.begun += 1,
        }
        occupied.members.push(member);
    }
}

/// Ends a delivery that is not leased.
pub(super) fn supersede(
    member: Member,
    at: Timestamp,
    reason: &'static str,
    changes: &mut Changes<'_>,
    displaced: &mut Displaced,
) {
    changes.supersede(member.row, at, reason);
    displaced.ended.push(Superseded {
        delivery: member.id,
        event: member.event,
        rule: member.rule,
        reason,
    });
}
