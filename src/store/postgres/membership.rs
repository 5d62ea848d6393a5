//! The nodes of a store: one joins, is heard of, is buried, and leaves.

use std::collections::HashMap;
use std::sync::Arc;

use super::PostgresStore;
use super::failure::Failure;
use super::interruptions::{BegunAttempt, begun, record_all};
use super::link::Link;
use super::node::Node;
use super::schema;
use crate::store::{Interrupted, StoreError};

const JOIN: &str =
    "INSERT INTO nodes (name, version, schema, machine, process) VALUES ($1, $2, $3, '', '') RETURNING id";

/// Ends nodes. A lease that one of them makes at this moment is waited for.
const END_NODES: &str = "DELETE FROM nodes WHERE id = ANY ($1) RETURNING id";

/// Attempts of nodes that were recorded as begun. A settlement of one of them is waited for.
const BEGUN: &str = begun!(
    "q.begun_at FROM queue q LEFT JOIN unnest($1::bigint[], $2::text[]) AS n(id, name) ON n.id = q.node \
     WHERE q.node = ANY ($1) AND q.begun_at IS NOT NULL AND q.state = 'ready' ORDER BY q.seq FOR UPDATE OF q"
);

const NAMES: &str = "SELECT id, name FROM nodes WHERE id = ANY ($1) FOR UPDATE";

/// Frees what nodes had leased. It may have ended them.
const FREE_LEASES: &str = "UPDATE queue SET node = NULL, lease = NULL, leased_at = NULL, begun_at = NULL, suspect = $2 \
     WHERE node = ANY ($1)";

const FREE_PINNED: &str = "UPDATE queue SET pinned = NULL WHERE pinned = ANY ($1)";

/// Adds the sums of nodes that are gone to those of nobody.
const FOLD_TALLY: &str = "WITH gone AS (DELETE FROM tally t WHERE node <> 0 AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = t.node) \
         RETURNING *) \
     INSERT INTO tally AS t (node, slot, pending, done, dead, events, dedup_keys, sightings, bytes) \
     SELECT 0, 0, coalesce(sum(pending), 0), coalesce(sum(done), 0), coalesce(sum(dead), 0), coalesce(sum(events), 0), \
         coalesce(sum(dedup_keys), 0), coalesce(sum(sightings), 0), coalesce(sum(bytes), 0) FROM gone \
     ON CONFLICT (node, slot) DO UPDATE SET \
         pending = t.pending + excluded.pending, done = t.done + excluded.done, dead = t.dead + excluded.dead, \
         events = t.events + excluded.events, dedup_keys = t.dedup_keys + excluded.dedup_keys, \
         sightings = t.sightings + excluded.sightings, bytes = t.bytes + excluded.bytes";

/// Attempts of this node that may have begun.
const MINE: &str = begun!(
    "coalesce(q.begun_at, q.leased_at, 0), q.lease, q.begun_at IS NOT NULL \
     FROM queue q LEFT JOIN nodes n ON n.id = q.node WHERE q.node = $1 AND q.state = 'ready' ORDER BY q.seq FOR UPDATE OF q"
);

/// Releases leases of this node that it does not know: their answers were lost.
const STRAYS: &str = "UPDATE queue SET node = NULL, lease = NULL, leased_at = NULL, begun_at = NULL \
     WHERE node = $1 AND state = 'ready' AND seq <> ALL ($2)";

impl Node {
    /// Joins the nodes of the store.
    pub async fn join(&self, link: &Link) -> Result<(), Failure> {
        let version = env!("CARGO_PKG_VERSION");
        let name: &str = &self.target.node;
        let rows = link.query(JOIN, &[&name, &version, &schema::VERSION]).await?;
        let id = rows
            .first()
            .map(|row| row.get(0))
            .ok_or_else(|| Failure::unexpected("no node"))?;
        self.set_id(id);
        Ok(())
    }

    /// Releases leases of this node in the queue that are not in its memory. Only the connection that
    /// leases may ask for it.
    pub async fn release_strays(&self, link: &Link) -> Result<u64, Failure> {
        let known: Vec<i64> = self.leases.lock().iter().map(|(_, leased)| leased.seq).collect();
        link.execute(STRAYS, &[&self.id(), &known]).await
    }

    /// Releases all leases of this node, and ends the node. Attempts that run are recorded as
    /// interrupted.
    async fn depart(&self, link: &Link) -> Result<(), Failure> {
        let id = self.id();
        link.run("BEGIN").await?;
        let mut begun = Vec::new();
        {
            let rows = link.query(MINE, &[&id]).await?;
            let leases = self.leases.lock();
            let running: HashMap<i64, (i64, bool)> = leases
                .iter()
                .map(|(_, leased)| (leased.seq, (leased.lease, !leased.begins_by_itself)))
                .collect();
            for read in rows {
                let attempt = BegunAttempt::read(&read)?;
                let (lease, is_recorded): (Option<i64>, bool) = (read.try_get(12)?, read.try_get(13)?);
                let is_running = running
                    .get(&attempt.seq)
                    .is_some_and(|(number, has_begun)| Some(*number) == lease && *has_begun);
                if is_recorded || is_running {
                    begun.push(attempt);
                }
            }
        }
        record_all(link, begun, true).await?;
        let ids = vec![id];
        link.execute(FREE_LEASES, &[&ids, &false]).await?;
        link.execute(FREE_PINNED, &[&ids]).await?;
        link.query(END_NODES, &[&ids]).await?;
        link.execute(FOLD_TALLY, &[]).await?;
        link.run("COMMIT").await
    }
}

/// Ends the leases of nodes that are gone, and the nodes themselves. Returns the attempts that were
/// interrupted.
async fn bury_nodes(link: &Link, nodes: &[i64]) -> Result<Vec<Interrupted>, Failure> {
    link.run("BEGIN").await?;
    let mut names: (Vec<i64>, Vec<String>) = Default::default();
    for read in link.query(NAMES, &[&nodes]).await? {
        names.0.push(read.try_get(0)?);
        names.1.push(read.try_get(1)?);
    }
    link.query(END_NODES, &[&names.0]).await?;
    let rows = link.query(BEGUN, &[&names.0, &names.1]).await?;
    let begun = rows
        .iter()
        .map(BegunAttempt::read)
        .collect::<Result<Vec<_>, _>>()?;
    let interrupted = record_all(link, begun, false).await?;
    link.execute(FREE_LEASES, &[&names.0, &true]).await?;
    link.execute(FREE_PINNED, &[&names.0]).await?;
    link.execute(FOLD_TALLY, &[]).await?;
    link.run("COMMIT").await?;
    Ok(interrupted)
}

impl PostgresStore {
    /// Number of this node.
    pub fn node_id(&self) -> i64 {
        self.node.id()
    }

    /// Ends the leases of nodes that are gone.
    pub async fn bury(&self, nodes: &[i64]) -> Result<(), StoreError> {
        let nodes: Arc<[i64]> = Arc::from(nodes);
        let buried = self.leasing.ask(move |link| {
            let nodes = Arc::clone(&nodes);
            Box::pin(async move { bury_nodes(link, &nodes).await })
        });
        buried.await.map(drop)
    }

    /// Releases all leases and ends this node.
    pub(super) async fn leave(&self) -> Result<(), StoreError> {
        let node = &self.node;
        let departed = self.leasing.ask(move |link| {
            let node = Arc::clone(node);
            Box::pin(async move { node.depart(link).await })
        });
        departed.await?;
        node.leases.lock().end_all();
        Ok(())
    }
}
