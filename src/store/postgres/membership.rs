//! The nodes of a store: one joins, says which rules it has, and leaves. `heartbeat.rs` keeps it among
//! the living, `burial.rs` ends nodes that are gone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::PostgresStore;
use super::burial::{self, Gone};
use super::failure::Failure;
use super::interruptions::{BegunAttempt, begun, record_all};
use super::link::Link;
use super::liveness::BootTime;
use super::node::Node;
use super::row;
use super::schema;
use super::target::Wake;
use super::waking;
use crate::base::clock::{Clock, ClockOffset};
use crate::store::{InForce, Interrupted, NodeState, StoreError};

/// The row of the store is locked: while a node joins, no migration leaves it behind.
const JOIN: &str = "INSERT INTO nodes (name, version, schema, machine, process, lease) \
     SELECT $1::text, $2::text, $3::integer, $4::text, $5::text, $6::bigint FROM store WHERE least <= $3 FOR SHARE \
     RETURNING id";

const SERVER_TIME: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// Attempts of this node that may have begun.
const MINE: &str = begun!(
    "coalesce(q.begun_at, q.leased_at, 0), q.lease, q.begun_at IS NOT NULL \
     FROM queue q LEFT JOIN nodes n ON n.id = q.node WHERE q.node = $1 AND q.state = 'ready' ORDER BY q.seq FOR UPDATE OF q"
);

/// Releases leases of this node that it does not know: their answers were lost.
const STRAYS: &str = "UPDATE queue SET node = NULL, lease = NULL, leased_at = NULL, begun_at = NULL \
     WHERE node = $1 AND state <> 'dropped' AND seq <> ALL ($2)";

const SERVE: &str = "UPDATE nodes SET generation = $2, rules = $3 WHERE id = $1";

const FORGET_RULES: &str = "DELETE FROM node_rules WHERE node = $1";

const KNOW_RULES: &str = "INSERT INTO node_rules (node, rule, performed) SELECT $1, rule, performed \
     FROM unnest($2::text[], $3::bool[]) AS r(rule, performed)";

/// Lets other nodes have what was kept for this one, of rules that it does not perform any more.
const UNPIN: &str = "UPDATE queue SET pinned = NULL WHERE pinned = $1 AND rule <> ALL ($2)";

const NODES: &str = "SELECT n.id, n.name, n.version, (extract(epoch FROM n.begun_at) * 1000)::bigint, \
     greatest((extract(epoch FROM clock_timestamp() - n.heard_of) * 1000)::bigint, 0), n.generation, n.rules, \
     (SELECT count(*) FROM queue q WHERE q.node = n.id) FROM nodes n ORDER BY n.name, n.id";

impl Node {
    /// Joins the nodes of the store. Nodes of this machine whose processes have ended are buried.
    pub async fn join(&self, link: &Link) -> Result<(), Failure> {
        let sent = BootTime::now();
        let version = env!("CARGO_PKG_VERSION");
        let name: &str = &self.target.node;
        let lease = i64::try_from(self.target.lease.as_millis()).unwrap_or(i64::MAX);
        let own = &self.process;
        let rows = link
            .query(
                JOIN,
                &[
                    &name,
                    &version,
                    &schema::VERSION,
                    &own.machine,
                    &own.process,
                    &lease,
                ],
            )
            .await?;
        let Some(joined) = rows.first() else {
            // The tables were migrated after they were looked at.
            schema::version(link, &self.target).await?;
            return Err(Failure::unexpected("the store lets no node join"));
        };
        self.set_id(joined.try_get(0)?);
        self.liveness.heard(sent);
        self.serve_again();
        Ok(())
    }

    /// Takes part in the store from now on.
    pub async fn start(&self, link: &Link) -> Result<(), Failure> {
        self.join(link).await?;
        self.bury_predecessors(link).await
    }

    /// Buries the nodes of this machine whose processes have ended.
    pub async fn bury_predecessors(&self, link: &Link) -> Result<(), Failure> {
        let gone = burial::ended_processes(link, &self.process).await?;
        if !gone.is_empty() {
            self.bury(link, Gone::These(&gone)).await?;
        }
        Ok(())
    }

    /// Releases leases of this node in the queue that are not in its memory. Only the connection that
    /// leases may ask for it.
    pub async fn release_strays(&self, link: &Link) -> Result<u64, Failure> {
        let known: Vec<i64> = self.leases.lock().iter().map(|(_, leased)| leased.seq).collect();
        link.run("BEGIN").await?;
        burial::release_dropped(link, &[self.id()], &known).await?;
        let released = link.execute(STRAYS, &[&self.id(), &known]).await?;
        link.run("COMMIT").await?;
        Ok(released)
    }

    /// Writes which rules this node has in force.
    pub async fn write_rules(&self, link: &Link, in_force: &InForce) -> Result<(), Failure> {
        let id = self.id();
        let generation = i64::try_from(in_force.generation).unwrap_or(i64::MAX);
        let known: Vec<&str> = in_force.known.iter().map(|rule| &**rule).collect();
        let performed: Vec<bool> = known.iter().map(|rule| in_force.rules.contains(*rule)).collect();
        let rules: Vec<&str> = in_force.rules.iter().map(|rule| &**rule).collect();
        link.run("BEGIN").await?;
        link.execute(SERVE, &[&id, &generation, &in_force.sha256]).await?;
        link.execute(FORGET_RULES, &[&id]).await?;
        link.execute(KNOW_RULES, &[&id, &known, &performed]).await?;
        link.execute(UNPIN, &[&id, &rules]).await?;
        link.run("COMMIT").await
    }

    /// Releases all leases of this node, and ends the node. Attempts that run are recorded as
    /// interrupted.
    async fn depart(&self, link: &Link) -> Result<(), Failure> {
        let id = self.id();
        link.run("BEGIN").await?;
        burial::release_dropped(link, &[id], &[]).await?;
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
        let released = burial::end_nodes(link, &[id], false).await?;
        link.run("COMMIT").await?;
        self.let_go_dropped(link).await?;
        if released > 0 && self.target.wake == Wake::Notify {
            waking::tell_at_once(link, self, "look").await?;
        }
        Ok(())
    }
}

/// Measures the clock of the server.
pub(super) async fn clock_offset(link: &Link) -> Result<ClockOffset, Failure> {
    // A statement that is prepared takes one trip.
    link.query(SERVER_TIME, &[]).await?;
    let (clock, offset) = (Clock::system(), ClockOffset::default());
    let before = clock.now();
    let rows = link.query(SERVER_TIME, &[]).await?;
    let read = rows.first().ok_or_else(|| Failure::unexpected("no time"))?;
    let trip = clock.now().distance(before);
    offset.measure(before.plus(trip / 2), row::time(read, 0)?);
    Ok(offset)
}

impl PostgresStore {
    /// Number of this node.
    pub fn node_id(&self) -> i64 {
        self.node.id()
    }

    /// Ends the leases of nodes that are gone.
    pub async fn bury(&self, nodes: &[i64]) -> Result<(), StoreError> {
        let (node, nodes) = (&self.node, Arc::<[i64]>::from(nodes));
        let buried = self.leasing.ask(move |link| {
            let (node, nodes) = (Arc::clone(node), Arc::clone(&nodes));
            Box::pin(async move { node.bury(link, Gone::These(&nodes)).await })
        });
        buried.await.map(drop)
    }

    /// Attempts that were interrupted by the end of nodes that this one has buried, at most a thousand.
    /// Returned once.
    pub fn interrupted(&self) -> Vec<Interrupted> {
        std::mem::take(&mut self.node.interrupted.lock())
    }

    pub(super) async fn list_nodes(&self) -> Result<Vec<NodeState>, StoreError> {
        let own = self.node.id();
        let listed = self.requests.ask(move |link| {
            Box::pin(async move {
                let mut nodes = Vec::new();
                for read in link.query(NODES, &[]).await? {
                    let count = |column| {
                        Ok::<_, Failure>(u64::try_from(read.try_get::<_, i64>(column)?).unwrap_or(0))
                    };
                    nodes.push(NodeState {
                        is_self: read.try_get::<_, i64>(0)? == own,
                        name: row::text(&read, 1)?,
                        version: read.try_get(2)?,
                        since: row::time(&read, 3)?,
                        silent_for: Duration::from_millis(count(4)?),
                        generation: count(5)?,
                        sha256: read.try_get(6)?,
                        leases: count(7)?,
                    });
                }
                Ok(nodes)
            })
        });
        listed.await
    }

    /// Releases all leases and ends this node.
    pub(super) async fn leave(&self) -> Result<(), StoreError> {
        self.heart.stop().await;
        let node = &self.node;
        let departed = self.leasing.ask(move |link| {
            let node = Arc::clone(node);
            Box::pin(async move { node.depart(link).await })
        });
        let departed = departed.await;
        node.leases.lock().end_all();
        departed
    }
}
