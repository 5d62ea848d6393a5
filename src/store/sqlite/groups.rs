//! Concurrency groups: which delivery of a group may begin. Decided in the transaction in which a
//! delivery arrives or ends.
//!
//! The column `held` is 0 for a member that may run, and 1 for one that waits for its turn. It is 2
//! for a delivery that the operator dropped while it may be running.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::columns::parsed;
use super::queue::{Queue, QueueKey, ReadyEntry};
use super::settling::end;
use super::write_op::Batch;
use crate::base::clock::Timestamp;
use crate::store::group::reason;
use crate::store::{DeliveryId, Displaced, Group, Overlap, Superseded};

const BEGUN: &str = "SELECT \
     (SELECT count(*) FROM deliveries WHERE group_key = ?1 AND state = 'waiting' AND debounced_since IS NULL AND held = 0) \
     + (SELECT count(*) FROM deliveries WHERE group_key = ?1 AND held = 2)";

/// Rows that the operator dropped and that may still be running.
const DROPPED: &str = "SELECT seq FROM deliveries WHERE held = 2";

const DROPPED_OF: &str = "SELECT count(*) FROM deliveries WHERE group_key = ?1 AND held = 2";

const MEMBERS: &str = "SELECT seq, id, held, due, rule, (SELECT e.id FROM events e WHERE e.seq = event) FROM deliveries \
     WHERE group_key = ?1 AND state = 'waiting' AND debounced_since IS NULL AND held IN (0, 1) ORDER BY held, seq";

pub(super) const NEXT_HELD: &str = "SELECT seq, due, group_limit, rule FROM deliveries \
     WHERE group_key = ?1 AND state = 'waiting' AND debounced_since IS NULL AND held = 1 ORDER BY seq LIMIT 1";

/// Groups with a held delivery although the limit allows one more. One row of each group is looked
/// up. A separate query per group would take ten seconds at a start with a million deliveries.
const ADMITTING: &str = "SELECT counted.group_key FROM \
     (SELECT group_key, sum(held = 0) AS begun, min(iif(held = 1, seq, NULL)) AS next FROM deliveries \
      WHERE group_key IS NOT NULL AND state = 'waiting' AND debounced_since IS NULL GROUP BY group_key) AS counted \
     CROSS JOIN deliveries AS first ON first.seq = counted.next \
     WHERE begun + (SELECT count(*) FROM deliveries AS dropped WHERE dropped.group_key = counted.group_key AND dropped.held = 2) \
     < max(first.group_limit, 1)";

const BEGIN: &str = "UPDATE deliveries SET held = 0 WHERE seq = ?1";

/// Marks a running delivery as superseded. Its runner is to stop. After a crash no attempt begins.
const MARK_SUPERSEDED: &str = "UPDATE deliveries SET reason = ?2 WHERE seq = ?1";

/// The decision for a delivery that enters its group.
pub(super) enum Admission {
    /// The delivery may begin.
    Run,
    /// The delivery waits for its turn.
    Queue,
    /// The delivery ends at once.
    Skip,
}

/// A member of a group that has not ended.
pub(super) struct Member {
    pub entry: ReadyEntry,
    /// Ids of the delivery and of its event.
    pub id: String,
    pub event: String,
    pub held: bool,
}

/// Decides for a delivery that arrives at `at`. Adds the deliveries that it supersedes to
/// `displaced`.
pub(super) fn enter(
    batch: &mut Batch<'_>,
    group: &Group,
    at: Timestamp,
    displaced: &mut Displaced,
) -> rusqlite::Result<Admission> {
    let mut begun = batch.connection.prepare_cached(BEGUN)?;
    let begun: i64 = begun.query_row([&group.name], |row| row.get(0))?;
    let next = next_held(batch.connection, &group.name)?;
    if begun < i64::from(group.limit) && next.is_none() {
        return Ok(Admission::Run);
    }
    match group.overlap {
        Overlap::Queue => Ok(Admission::Queue),
        Overlap::Skip => Ok(Admission::Skip),
        Overlap::Coalesce => {
            for member in members(batch, &group.name)?
                .into_iter()
                .filter(|member| member.held)
            {
                supersede(batch, member, at, reason::COALESCED, displaced)?;
            }
            // The waiting deliveries that were just ended may have had a narrower limit.
            Ok(if begun < i64::from(group.limit) {
                Admission::Run
            } else {
                Admission::Queue
            })
        }
        Overlap::Replace => {
            let mut dropped = batch.connection.prepare_cached(DROPPED_OF)?;
            let mut left: u32 = dropped.query_row([&group.name], |row| row.get(0))?;
            for member in members(batch, &group.name)? {
                let delivery: Option<DeliveryId> = parsed("id", &member.id).ok();
                let leased = delivery.filter(|delivery| {
                    batch.queue.leased(*delivery).is_some() && !batch.ended.contains(delivery)
                });
                if let Some(delivery) = leased {
                    let mut mark = batch.connection.prepare_cached(MARK_SUPERSEDED)?;
                    mark.execute(params![member.entry.key.seq, reason::REPLACED])?;
                    displaced.stop.push(delivery);
                    left += 1;
                } else {
                    supersede(batch, member, at, reason::REPLACED, displaced)?;
                }
            }
            Ok(if left < group.limit {
                Admission::Run
            } else {
                Admission::Queue
            })
        }
    }
}

/// Lets the next deliveries of a group begin, after one of its members has ended.
pub(super) fn leave(batch: &mut Batch<'_>, group: &str) -> rusqlite::Result<()> {
    let begins = begin_next(batch.connection, group)?;
    batch.waiting.extend(begins);
    Ok(())
}

/// Lets deliveries begin in all groups, after another program has written to the file or the
/// attempt at a dropped delivery is over.
pub(super) fn look_again(connection: &mut Connection, queue: &Queue) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let dropped: Vec<i64> = {
        let mut dropped = transaction.prepare_cached(DROPPED)?;
        let read = dropped.query_map([], |row| row.get(0))?;
        read.collect::<rusqlite::Result<_>>()?
    };
    for seq in dropped {
        if !queue.is_leased(seq) {
            transaction.prepare_cached(BEGIN)?.execute([seq])?;
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

/// Lets as many held deliveries begin as the limit allows. Returns their entries.
fn begin_next(connection: &Connection, group: &str) -> rusqlite::Result<Vec<ReadyEntry>> {
    let mut begins = Vec::new();
    while let Some((entry, limit)) = next_held(connection, group)? {
        let mut begun = connection.prepare_cached(BEGUN)?;
        let begun: i64 = begun.query_row([group], |row| row.get(0))?;
        if begun >= limit.max(1) {
            break;
        }
        connection.prepare_cached(BEGIN)?.execute([entry.key.seq])?;
        begins.push(entry);
    }
    Ok(begins)
}

/// The first held delivery, and its limit.
fn next_held(connection: &Connection, group: &str) -> rusqlite::Result<Option<(ReadyEntry, i64)>> {
    let mut next = connection.prepare_cached(NEXT_HELD)?;
    let row = next.query_row([group], |row| {
        let (seq, due) = (row.get(0)?, row.get(1)?);
        let (rule, key) = (row.get(3)?, QueueKey { due, seq });
        Ok((ReadyEntry { rule, key }, row.get(2)?))
    });
    row.optional()
}

/// All members that have not ended, running ones first.
fn members(batch: &Batch<'_>, group: &str) -> rusqlite::Result<Vec<Member>> {
    let mut members = batch.connection.prepare_cached(MEMBERS)?;
    let read = members.query_map([group], |row| {
        let (seq, due) = (row.get(0)?, row.get(3)?);
        let (rule, key) = (row.get(4)?, QueueKey { due, seq });
        Ok(Member {
            entry: ReadyEntry { rule, key },
            id: row.get(1)?,
            event: row.get(5)?,
            held: row.get(2)?,
        })
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
    let Member { entry, id, event, .. } = member;
    end(batch, entry.key, "done", at.as_millis(), Some(reason))?;
    if let (Ok(delivery), Ok(event)) = (parsed("id", &id), parsed("id", &event)) {
        let rule = Arc::clone(&entry.rule);
        displaced.ended.push(Superseded {
            delivery,
            event,
            rule,
            reason,
        });
    }
    batch.removed.push(entry);
    Ok(())
}
