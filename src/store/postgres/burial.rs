//! The end of nodes that are gone: what they had leased is released, and their interrupted attempts
//! are recorded.
//!
//! Everything of a burial is in one transaction. A lease that the buried node makes at the moment is
//! waited for, and so is a settlement. Whatever the node still sends afterwards finds neither its row
//! nor its leases.

use std::collections::BTreeSet;

use super::failure::Failure;
use super::groups;
use super::interruptions::{BegunAttempt, begun, record_all};
use super::link::Link;
use super::node::Node;
use super::process::NodeProcess;
use crate::store::Interrupted;

/// Maximum interrupted attempts that are kept for the daemon to name.
const NAMED: usize = 1000;

const THESE: &str = "SELECT id, name FROM nodes WHERE id = ANY ($1) ORDER BY id FOR UPDATE";

/// Nodes that were not heard of for their lease. The node that buries them must have been heard of
/// without a gap for as long. After the server was down, every node has the time of a lease to come back.
const SILENT: &str = "SELECT n.id, n.name FROM nodes n WHERE n.heard_of < clock_timestamp() - n.lease * interval '1 millisecond' \
     AND EXISTS (SELECT 1 FROM nodes me WHERE me.id = $1 AND me.id <> n.id \
         AND me.steady_since < clock_timestamp() - n.lease * interval '1 millisecond') \
     ORDER BY n.id FOR UPDATE OF n SKIP LOCKED";

const SAME_MACHINE: &str = "SELECT id, machine, process FROM nodes WHERE machine = $1";

/// Attempts that are recorded as begun.
const BEGUN: &str = begun!(
    "q.begun_at FROM queue q LEFT JOIN unnest($1::bigint[], $2::text[]) AS n(id, name) ON n.id = q.node \
     WHERE q.node = ANY ($1) AND q.begun_at IS NOT NULL AND q.state = 'ready' ORDER BY q.seq FOR UPDATE OF q"
);

const END_NODES: &str = "DELETE FROM nodes WHERE id = ANY ($1)";

/// Releases what nodes had leased. After a crash it is suspect: it may have ended its node.
const RELEASE: &str = "UPDATE queue SET node = NULL, lease = NULL, leased_at = NULL, begun_at = NULL, suspect = $2 \
     WHERE node = ANY ($1) AND state <> 'dropped'";

/// True while the operator drops a delivery of these nodes. Without its node, its row would occupy its
/// group for ever.
const IS_DROPPED: &str = "SELECT EXISTS (SELECT 1 FROM queue WHERE node = ANY ($1) AND state = 'dropped')";

/// Dropped deliveries whose nodes are gone, or have no such lease. `$2` are the rows that the node `$1`
/// has leased.
const LOST_DROPPED: &str = "SELECT seq, group_key FROM queue q WHERE state = 'dropped' AND (node IS NULL \
     OR (node = $1 AND seq <> ALL ($2)) OR NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = q.node))";

const LET_GO: &str = "DELETE FROM queue WHERE state = 'dropped' AND seq = ANY ($1)";

const UNPIN: &str = "UPDATE queue SET pinned = NULL WHERE pinned = ANY ($1)";

/// Adds the sums of nodes that are gone to the shared row.
const FOLD_TALLY: &str = "WITH gone AS (DELETE FROM tally t WHERE node <> 0 AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = t.node) \
         RETURNING *) \
     INSERT INTO tally AS t (node, slot, pending, done, dead, events, dedup_keys, sightings, bytes) \
     SELECT 0, 0, coalesce(sum(pending), 0), coalesce(sum(done), 0), coalesce(sum(dead), 0), coalesce(sum(events), 0), \
         coalesce(sum(dedup_keys), 0), coalesce(sum(sightings), 0), coalesce(sum(bytes), 0) FROM gone \
     ON CONFLICT (node, slot) DO UPDATE SET \
         pending = t.pending + excluded.pending, done = t.done + excluded.done, dead = t.dead + excluded.dead, \
         events = t.events + excluded.events, dedup_keys = t.dedup_keys + excluded.dedup_keys, \
         sightings = t.sightings + excluded.sightings, bytes = t.bytes + excluded.bytes";

/// Deliveries of nodes that the operator has dropped, and that occupy their groups as long as their
/// attempts run.
const DROPPED: &str =
    "SELECT seq, group_key FROM queue WHERE node = ANY ($1) AND state = 'dropped' AND seq <> ALL ($2)";

const FORGET_DROPPED: &str =
    "DELETE FROM queue WHERE seq = ANY ($1) AND node = ANY ($2) AND state = 'dropped'";

/// The nodes that are to be buried.
pub(super) enum Gone<'n> {
    These(&'n [i64]),
    /// Those that have been silent for their lease.
    Silent,
}

impl Node {
    /// Buries nodes. Returns their number.
    pub async fn bury(&self, link: &Link, gone: Gone<'_>) -> Result<usize, Failure> {
        link.run("BEGIN").await?;
        let found = match gone {
            Gone::These(nodes) => link.query(THESE, &[&nodes]).await?,
            Gone::Silent => link.query(SILENT, &[&self.id()]).await?,
        };
        if found.is_empty() {
            link.run("ROLLBACK").await?;
            return Ok(0);
        }
        let (mut ids, mut names): (Vec<i64>, Vec<String>) = Default::default();
        for read in found {
            ids.push(read.try_get(0)?);
            names.push(read.try_get(1)?);
        }
        link.execute(END_NODES, &[&ids]).await?;
        release_dropped(link, &ids, &[]).await?;
        let rows = link.query(BEGUN, &[&ids, &names]).await?;
        let begun = rows
            .iter()
            .map(BegunAttempt::read)
            .collect::<Result<Vec<_>, _>>()?;
        let interrupted = record_all(link, begun, false).await?;
        let released = end_nodes(link, &ids, true).await?;
        link.run("COMMIT").await?;
        for node in &names {
            tracing::warn!(node, released, "a node is gone: what it was doing is released");
        }
        self.keep(interrupted);
        if released > 0 {
            self.news.announce();
            self.untold.look();
        }
        self.let_go_dropped(link).await?;
        Ok(ids.len())
    }

    /// Ends the occupancy of dropped deliveries at which no attempt runs. Others of their groups begin.
    pub async fn let_go_dropped(&self, link: &Link) -> Result<(), Failure> {
        let known: Vec<i64> = self.leases.lock().iter().map(|(_, leased)| leased.seq).collect();
        let found = link.query(LOST_DROPPED, &[&self.id(), &known]).await?;
        if found.is_empty() {
            return Ok(());
        }
        let rows: Result<Vec<i64>, Failure> = found.iter().map(|read| Ok(read.try_get(0)?)).collect();
        let mut names = BTreeSet::new();
        for read in &found {
            names.extend(read.try_get::<_, Option<&str>>(1)?);
        }
        let names: Vec<&str> = names.into_iter().collect();
        link.run("BEGIN").await?;
        groups::lock(link, &names).await?;
        link.execute(LET_GO, &[&rows?]).await?;
        groups::begin_next(link, &names).await?;
        link.run("COMMIT").await?;
        self.news.announce();
        Ok(())
    }

    fn keep(&self, interrupted: Vec<Interrupted>) {
        let mut kept = self.interrupted.lock();
        let room = NAMED.saturating_sub(kept.len());
        kept.extend(interrupted.into_iter().take(room));
    }
}

/// Ends nodes and their leases, in a transaction. Their attempts have been recorded. Returns the
/// number of deliveries that were released.
pub(super) async fn end_nodes(link: &Link, nodes: &[i64], suspect: bool) -> Result<u64, Failure> {
    link.execute(END_NODES, &[&nodes]).await?;
    let released = link.execute(RELEASE, &[&nodes, &suspect]).await?;
    let dropped = link.query(IS_DROPPED, &[&nodes]).await?;
    if dropped.first().is_some_and(|row| row.get(0)) {
        return Err(Failure::Conflict("a delivery is being dropped".to_owned()));
    }
    link.execute(UNPIN, &[&nodes]).await?;
    link.execute(FOLD_TALLY, &[]).await?;
    Ok(released)
}

/// Ends the occupancy of dropped deliveries, in a transaction: those of nodes, except rows that are
/// known to run. Others of their groups may begin.
pub(super) async fn release_dropped(link: &Link, nodes: &[i64], known: &[i64]) -> Result<(), Failure> {
    let rows = link.query(DROPPED, &[&nodes, &known]).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let (mut dropped, mut groups): (Vec<i64>, BTreeSet<String>) = Default::default();
    for read in rows {
        dropped.push(read.try_get(0)?);
        groups.extend(read.try_get::<_, Option<String>>(1)?);
    }
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    groups::lock(link, &groups).await?;
    link.execute(FORGET_DROPPED, &[&dropped, &nodes]).await?;
    groups::begin_next(link, &groups).await.map(drop)
}

/// Nodes whose processes ran on this machine and have ended.
pub(super) async fn ended_processes(link: &Link, own: &NodeProcess) -> Result<Vec<i64>, Failure> {
    let mut ended = Vec::new();
    for read in link.query(SAME_MACHINE, &[&own.machine]).await? {
        let (machine, process) = (read.try_get(1)?, read.try_get(2)?);
        if own.has_seen_the_end_of(&NodeProcess { machine, process }) {
            ended.push(read.try_get(0)?);
        }
    }
    Ok(ended)
}
