//! Concurrency groups on disk. They are read and changed in the transaction in which a delivery
//! arrives or ends. The decisions are in `decide/admission.rs`.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::columns::parsed;
use super::ending::end;
use super::leases::Leases;
use super::queue_key::{QueueKey, ReadyEntry};
use super::write_op::Batch;
use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::decide::admission::{self, Admission, MemberState, Occupancy};
use crate::store::{DeliveryId, DeliveryState, Displaced, Group, Superseded};

const OCCUPANCY: &str = "SELECT \
     (SELECT count(*) FROM deliveries WHERE group_key = ?1 AND state = 'ready'), \
     (SELECT count(*) FROM deliveries WHERE group_key = ?1 AND state = 'dropped'), \
     EXISTS (SELECT 1 FROM deliveries WHERE group_key = ?1 AND state = 'queued')";

/// Deliveries that the operator dropped and that may still be running.
const DROPPED: &str = "SELECT seq FROM deliveries WHERE state = 'dropped'";

const MEMBERS: &str = "SELECT seq, id, state, due, rule, (SELECT e.id FROM events e WHERE e.seq = event) FROM deliveries \
     WHERE group_key = ?1 AND (state = 'queued' OR state = 'ready') ORDER BY state DESC, seq";

pub(super) const NEXT_QUEUED: &str = "SELECT seq, due, group_limit, rule FROM deliveries \
     WHERE group_key = ?1 AND state = 'queued' ORDER BY seq LIMIT 1";

/// Groups with a queued delivery although the limit allows one more. One row of each group is
/// looked up. A separate query per group would take ten seconds at a start with a million
/// deliveries.
const ADMITTING: &str = "SELECT counted.group_key FROM \
     (SELECT group_key, sum(state <> 'queued') AS begun, min(iif(state = 'queued', seq, NULL)) AS next FROM deliveries \
      WHERE group_key IS NOT NULL AND (state = 'queued' OR state = 'ready' OR state = 'dropped') \
      GROUP BY group_key) AS counted \
     CROSS JOIN deliveries AS first ON first.seq = counted.next \
     WHERE begun < max(first.group_limit, 1)";

const MAKE_READY: &str = "UPDATE deliveries SET state = 'ready' WHERE seq = ?1";

/// Ends the state of a dropped delivery whose attempt is over.
const MAKE_DEAD: &str = "UPDATE deliveries SET state = 'dead' WHERE seq = ?1";

/// Marks a running delivery as superseded. Its runner is to stop. After a crash no attempt begins.
const MARK_SUPERSEDED: &str = "UPDATE deliveries SET reason = ?2 WHERE seq = ?1";

/// A delivery that waits or runs.
pub(super) struct Member {
    pub entry: ReadyEntry,
    /// Ids of the delivery and of its event; `None` if another program has damaged them.
    pub ids: Option<(DeliveryId, EventId)>,
}

impl Member {
    /// Makes a member from the texts of its ids.
    pub fn new(entry: ReadyEntry, id: &str, event: &str) -> Self {
        let ids = parsed("id", id).ok().zip(parsed("id", event).ok());
        Self { entry, ids }
    }
}

/// Decides for a delivery that enters its group at `at`. Adds the deliveries that it supersedes to
/// `displaced`.
pub(super) fn enter(
    batch: &mut Batch<'_>,
    group: &Group,
    at: Timestamp,
    displaced: &mut Displaced,
) -> rusqlite::Result<Admission> {
    let occupancy = occupancy(batch.connection, &group.name)?;
    let entry = admission::enter(group, occupancy, || members(batch, &group.name))?;
    for member in entry.stop {
        let mut mark = batch.connection.prepare_cached(MARK_SUPERSEDED)?;
        mark.execute(params![member.entry.key.seq, entry.reason])?;
        displaced.stop.extend(member.ids.map(|(delivery, _)| delivery));
    }
    for member in entry.supersede {
        supersede(batch, member, at, entry.reason, displaced)?;
    }
    Ok(entry.admission)
}

/// Lets the next deliveries of a group begin, after one of its members has ended.
pub(super) fn leave(batch: &mut Batch<'_>, group: &str) -> rusqlite::Result<()> {
    let ready = begin_next(batch.connection, group)?;
    batch.effects.waiting.extend(ready);
    Ok(())
}

/// Ends the occupancy of a dropped delivery whose attempt is over.
pub(super) fn release_dropped(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    connection.prepare_cached(MAKE_DEAD)?.execute([seq])?;
    Ok(())
}

/// Lets deliveries begin in all groups, after another program has written to the file.
pub(super) fn admit_all(connection: &mut Connection, leases: &Leases) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let dropped: Vec<i64> = {
        let mut dropped = transaction.prepare_cached(DROPPED)?;
        let read = dropped.query_map([], |row| row.get(0))?;
        read.collect::<rusqlite::Result<_>>()?
    };
    for seq in dropped {
        if !leases.has_row(seq) {
            release_dropped(&transaction, seq)?;
        }
    }
    let groups: Vec<String> = {
        let mut admitting = transaction.prepare_cached(ADMITTING)?;
        let read = admitting.query_map([], |row| row.get(0))?;
        read.collect::<rusqlite::Result<_>>()?
    };
    for group in groups {
        begin_next(&transaction, &group)?;
    }
    transaction.commit()
}

/// Lets as many queued deliveries begin as the limit allows. Returns their entries.
fn begin_next(connection: &Connection, group: &str) -> rusqlite::Result<Vec<ReadyEntry>> {
    let mut ready = Vec::new();
    while let Some((entry, limit)) = next_queued(connection, group)? {
        if !occupancy(connection, group)?.admits(limit) {
            break;
        }
        connection.prepare_cached(MAKE_READY)?.execute([entry.key.seq])?;
        ready.push(entry);
    }
    Ok(ready)
}

fn occupancy(connection: &Connection, group: &str) -> rusqlite::Result<Occupancy> {
    let mut occupancy = connection.prepare_cached(OCCUPANCY)?;
    occupancy.query_row([group], |row| {
        Ok(Occupancy {
            begun: row.get(0)?,
            dropped: row.get(1)?,
            has_queue: row.get(2)?,
        })
    })
}

/// The first queued delivery, and its limit.
fn next_queued(connection: &Connection, group: &str) -> rusqlite::Result<Option<(ReadyEntry, u32)>> {
    let mut next = connection.prepare_cached(NEXT_QUEUED)?;
    let row = next.query_row([group], |row| {
        let (seq, due) = (row.get(0)?, row.get(1)?);
        let (rule, key) = (row.get(3)?, QueueKey { due, seq });
        Ok((ReadyEntry { rule, key }, row.get(2)?))
    });
    row.optional()
}

/// All members that have not ended, those that have begun first.
fn members(batch: &Batch<'_>, group: &str) -> rusqlite::Result<Vec<(Member, MemberState)>> {
    let mut members = batch.connection.prepare_cached(MEMBERS)?;
    let read = members.query_map([group], |row| {
        let (seq, due) = (row.get(0)?, row.get(3)?);
        let (rule, key) = (row.get(4)?, QueueKey { due, seq });
        let (id, event): (String, String) = (row.get(1)?, row.get(5)?);
        let member = Member::new(ReadyEntry { rule, key }, &id, &event);
        let is_running = |(delivery, _): (DeliveryId, EventId)| batch.leased(delivery).is_some();
        let state = if row.get::<_, String>(2)? == "queued" {
            MemberState::Queued
        } else if member.ids.is_some_and(is_running) {
            MemberState::Running
        } else {
            MemberState::Ready
        };
        Ok((member, state))
    })?;
    read.collect()
}

/// Ends a delivery that is not leased.
pub(super) fn supersede(
    batch: &mut Batch<'_>,
    member: Member,
    at: Timestamp,
    reason: &'static str,
    displaced: &mut Displaced,
) -> rusqlite::Result<()> {
    let Member { entry, ids } = member;
    let state = DeliveryState::Superseded {
        at,
        reason: reason.to_owned(),
    };
    end(batch, entry.key.seq, &state, None)?;
    if let Some((delivery, event)) = ids {
        displaced.ended.push(Superseded {
            delivery,
            event,
            rule: Arc::clone(&entry.rule),
            reason,
        });
    }
    batch.effects.removed.push(entry);
    Ok(())
}
