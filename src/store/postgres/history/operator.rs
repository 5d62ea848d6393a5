//! Changes that the operator makes to deliveries, while nodes use the store or not.
//!
//! Each step is one short transaction. It locks events, so that no sweep looks at them, then in the
//! order of all transactions: groups, deliveries that have not ended, the rest. A leased delivery that is dropped has ended at once, but its row
//! stays in the queue as `dropped`. The node that had it can no longer settle it. If the delivery is
//! replayed then, the row waits. It is leased again only after that node has let it go.
//!
//! Replays and drops are recorded among the attempts, with the outcome `replayed` or `dropped`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Reader, begin, current};
use crate::base::clock::Timestamp;
use crate::store::columns::integer;
use crate::store::postgres::failure::Failure;
use crate::store::postgres::groups;
use crate::store::postgres::link::Link;
use crate::store::postgres::tally::{SHARED, Tally};
use crate::store::postgres::target::Target;
use crate::store::{DeliveryId, Dropped, StoreError};

/// Maximum deliveries that one transaction changes. Others wait for it.
const CHUNK: usize = 200;

/// Pause before a step is repeated that another transaction was faster than.
const PAUSE: Duration = Duration::from_millis(20);

/// Locks the events of deliveries, wherever these are. No sweep looks at them then.
const EVENTS: &str = "SELECT id FROM events WHERE id IN (SELECT event FROM queue WHERE id = ANY ($1) \
     UNION SELECT event FROM ended WHERE id = ANY ($1)) ORDER BY id FOR UPDATE";

/// The next sweep has to look at the deliveries of these events again.
const LOOK_AGAIN: &str = "UPDATE events SET has_dead = false WHERE id = ANY ($1) AND has_dead";

/// The groups of deliveries, wherever they are.
const GROUPS: &str = "SELECT group_key FROM queue WHERE id = ANY ($1) AND group_key IS NOT NULL \
     UNION SELECT group_key FROM ended WHERE id = ANY ($1) AND group_key IS NOT NULL";

const LOCK: &str = "SELECT group_key FROM queue WHERE id = ANY ($1) ORDER BY seq FOR UPDATE";

/// A statement that records a change among the attempts. `$2` is the time, `$3` the user, `$4` the
/// node.
macro_rules! noted {
    ($outcome:literal, $reason:literal, $from:literal) => {
        concat!(
            "INSERT INTO attempts (delivery, node, action, number, started_at, duration, outcome, detail, stdout, stderr) \
             SELECT id, $4, action, attempt, $2, 0, '",
            $outcome,
            "', 'by ' || $3::text || '; it was ' || CASE WHEN state = 'superseded' THEN coalesce(",
            $reason,
            ", state) ELSE state || coalesce(': ' || ",
            $reason,
            ", '') END, '', '' FROM ",
            $from,
            " ORDER BY seq"
        )
    };
}

/// Puts deliveries that have ended back into the queue. If a node still has the last attempt at
/// one, its row is there, and the delivery waits until that node has let it go.
const REPLAY: &str = concat!(
    "WITH gone AS (DELETE FROM ended WHERE id = ANY ($1) RETURNING *), noted AS (",
    noted!("replayed", "reason", "gone"),
    "), back AS (INSERT INTO queue (seq, id, event, rule, item, state, due, unverified, replays, group_key, group_limit, failure_of) \
         SELECT seq, id, event, rule, item, CASE WHEN group_key IS NULL THEN 'ready' ELSE 'queued' END, $2, unverified, \
             replays + 1, group_key, group_limit, failure_of FROM gone ORDER BY seq \
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, action = 0, attempt = 1, due = excluded.due, \
             replays = excluded.replays, lease = -queue.lease, superseded = NULL, debounced_since = NULL, interruptions = 0, interrupted_at = NULL, \
             suspect = false, settled = NULL) \
     SELECT state = 'dead' AND failure_of IS NULL FROM gone"
);

const GIVE_UP: &str = concat!(
    "WITH waiting AS (SELECT * FROM queue WHERE id = ANY ($1) AND state <> 'dropped'), noted AS (",
    noted!("dropped", "superseded", "waiting"),
    "), dead AS (INSERT INTO ended (id, seq, event, rule, item, state, action, attempt, due, ended_at, reason, unverified, \
             replays, group_key, group_limit, failure_of) \
         SELECT id, seq, event, rule, item, 'dead', action, attempt, due, $2, 'dropped by ' || $3, unverified, replays, \
             group_key, group_limit, failure_of FROM waiting), \
     freed AS (DELETE FROM queue WHERE id = ANY ($1) AND state <> 'dropped' AND node IS NULL), \
     kept AS (UPDATE queue SET state = 'dropped', begun_at = NULL \
         WHERE id = ANY ($1) AND state <> 'dropped' AND node IS NOT NULL) \
     SELECT failure_of IS NULL FROM waiting"
);

/// Also deletes the attempts, and ended deliveries that were made for the failure of one of them.
const DELETE: &str = "WITH chosen AS (SELECT id, event FROM ended WHERE id = ANY ($1)), \
     gone AS (DELETE FROM ended e USING chosen c WHERE e.event = c.event AND (e.id = c.id OR e.failure_of = c.id) \
         RETURNING e.id, e.event, e.state, e.failure_of), \
     free AS (DELETE FROM queue WHERE state = 'dropped' AND id IN (SELECT id FROM gone)), \
     untold AS (DELETE FROM failures WHERE delivery IN (SELECT id FROM gone)), \
     unmade AS (DELETE FROM attempts WHERE delivery IN (SELECT id FROM gone)) \
     SELECT state = 'dead' AND failure_of IS NULL, event FROM gone";

/// Deletes events without deliveries, with their requests.
const DELETE_EVENTS: &str = "WITH gone AS (DELETE FROM events e WHERE id = ANY ($1) \
         AND NOT EXISTS (SELECT 1 FROM queue WHERE event = e.id) AND NOT EXISTS (SELECT 1 FROM ended WHERE event = e.id) \
         RETURNING id, day, kept), \
     of_day AS (DELETE FROM requests r USING gone g WHERE r.event = g.id AND r.day = g.day), \
     of_kept AS (DELETE FROM requests_kept WHERE event IN (SELECT id FROM gone)) \
     SELECT kept FROM gone";

/// The user who changes something, the time, and the name of this machine's node.
#[derive(Clone, Copy)]
struct Operator<'o> {
    name: &'o str,
    now: i64,
    node: &'o str,
}

/// Replays deliveries that have ended, from their first action. Returns their number.
pub fn replay(
    target: &Arc<Target>,
    deliveries: &[DeliveryId],
    now: Timestamp,
    by: &str,
) -> Result<usize, StoreError> {
    let operator = operator(target, now, by);
    let mut replayed = 0;
    each_chunk(
        target,
        deliveries,
        async |link, ids| replay_all(link, ids, operator).await,
        |number| {
            replayed += number;
        },
    )?;
    Ok(replayed)
}

/// Gives up waiting deliveries, and deletes ended ones, with events that have no other.
pub fn drop_deliveries(
    target: &Arc<Target>,
    deliveries: &[DeliveryId],
    now: Timestamp,
    by: &str,
) -> Result<Dropped, StoreError> {
    let operator = operator(target, now, by);
    let mut dropped = Dropped::default();
    each_chunk(
        target,
        deliveries,
        async |link, ids| drop_all(link, ids, operator).await,
        |number: Dropped| {
            dropped.given_up += number.given_up;
            dropped.forgotten += number.forgotten;
        },
    )?;
    Ok(dropped)
}

fn operator<'o>(target: &'o Target, now: Timestamp, by: &'o str) -> Operator<'o> {
    Operator {
        name: by,
        now: now.as_millis(),
        node: &target.node,
    }
}

/// Changes deliveries in chunks of one transaction each.
fn each_chunk<T: Send>(
    target: &Arc<Target>,
    deliveries: &[DeliveryId],
    change: impl AsyncFn(&Link, &[Uuid]) -> Result<T, Failure> + Send + Sync,
    mut add: impl FnMut(T),
) -> Result<(), StoreError> {
    let (reader, ()) = begin(target, async |link| current(link, target).await)?;
    for chunk in deliveries.chunks(CHUNK) {
        let ids: Vec<Uuid> = chunk.iter().map(|id| Uuid::from(*id)).collect();
        add(in_transaction(&reader, &ids, &change)?);
    }
    reader.keep();
    Ok(())
}

/// Changes deliveries in one transaction. A transaction that was undone is repeated, one whose
/// outcome is unknown is not: a delivery that was given up would be deleted.
fn in_transaction<T: Send>(
    reader: &Reader,
    ids: &[Uuid],
    change: &(impl AsyncFn(&Link, &[Uuid]) -> Result<T, Failure> + Send + Sync),
) -> Result<T, StoreError> {
    let changed = reader.ask(async |link| {
        let until = Instant::now() + reader.target().patience;
        loop {
            let changed = async {
                link.run("BEGIN").await?;
                change(link, ids).await
            };
            match changed.await {
                Ok(changed) => return link.run("COMMIT").await.map(|()| changed),
                Err(Failure::Conflict(_)) if Instant::now() < until => {
                    link.run("ROLLBACK").await?;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(failed) => return Err(failed),
            }
        }
    });
    changed.map_err(|failure| match failure {
        Failure::Failed(error) => error,
        Failure::Conflict(detail) => StoreError::Unavailable { detail },
        Failure::Lost(detail) => StoreError::Unavailable {
            detail: format!("{detail}; look whether the change was made before you repeat it"),
        },
    })
}

/// Locks events, groups and deliveries. Returns the names of the groups.
async fn lock(link: &Link, ids: &[Uuid]) -> Result<BTreeSet<String>, Failure> {
    let events = link.query(EVENTS, &[&ids]).await?;
    let events: Result<Vec<Uuid>, Failure> = events.iter().map(|read| Ok(read.try_get(0)?)).collect();
    link.execute(LOOK_AGAIN, &[&events?]).await?;
    let names = link.query(GROUPS, &[&ids]).await?;
    let names: Result<BTreeSet<String>, Failure> = names.iter().map(|read| Ok(read.try_get(0)?)).collect();
    let names = names?;
    groups::lock(link, &texts(&names)).await?;
    for read in link.query(LOCK, &[&ids]).await? {
        let name: Option<&str> = read.try_get(0)?;
        if name.is_some_and(|name| !names.contains(name)) {
            return Err(Failure::Conflict(
                "a delivery was replayed at the same time".to_owned(),
            ));
        }
    }
    Ok(names)
}

fn texts(names: &BTreeSet<String>) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

async fn replay_all(link: &Link, ids: &[Uuid], by: Operator<'_>) -> Result<usize, Failure> {
    let names = lock(link, ids).await?;
    let gone = link.query(REPLAY, &[&ids, &by.now, &by.name, &by.node]).await?;
    groups::begin_next(link, &texts(&names)).await?;
    let dead = dead_letters(&gone)?;
    let tally = Tally {
        pending: integer(gone.len()),
        dead: -dead,
        done: dead - integer(gone.len()),
        ..Tally::default()
    };
    tally.add(link, SHARED).await?;
    Ok(gone.len())
}

async fn drop_all(link: &Link, ids: &[Uuid], by: Operator<'_>) -> Result<Dropped, Failure> {
    let names = lock(link, ids).await?;
    // First, because a delivery that is given up now is there for the operator to see.
    let forgotten = link.query(DELETE, &[&ids]).await?;
    let given_up = link.query(GIVE_UP, &[&ids, &by.now, &by.name, &by.node]).await?;
    let events: Result<BTreeSet<Uuid>, Failure> = forgotten.iter().map(|read| Ok(read.try_get(1)?)).collect();
    let events: Vec<Uuid> = events?.into_iter().collect();
    let mut tally = Tally::default();
    if !events.is_empty() {
        for read in link.query(DELETE_EVENTS, &[&events]).await? {
            tally.events -= 1;
            tally.bytes -= read.try_get::<_, i64>(0)?;
        }
    }
    groups::begin_next(link, &texts(&names)).await?;
    let (more, fewer) = (dead_letters(&given_up)?, dead_letters(&forgotten)?);
    tally.pending -= integer(given_up.len());
    tally.dead += more - fewer;
    tally.done += integer(given_up.len()) - more - (integer(forgotten.len()) - fewer);
    tally.add(link, SHARED).await?;
    Ok(Dropped {
        given_up: given_up.len(),
        forgotten: forgotten.len(),
    })
}

/// Number of rows that are dead letters, by their first column.
fn dead_letters(rows: &[Row]) -> Result<i64, Failure> {
    let mut number = 0;
    for read in rows {
        number += i64::from(read.try_get::<_, bool>(0)?);
    }
    Ok(number)
}
