//! The nodes of a store: one joins, is heard of, is buried, and leaves.

use super::PostgresStore;
use super::failure::Failure;
use super::link::Link;
use super::node::Node;
use crate::store::StoreError;

impl PostgresStore {
    pub(super) async fn leave(&self) -> Result<(), StoreError> {
        Err(super::unbuilt())
    }
}

const JOIN: &str =
    "INSERT INTO nodes (name, version, schema, machine, process) VALUES ($1, $2, $3, '', '') RETURNING id";

impl Node {
    /// Joins the nodes of the store.
    pub async fn join(&self, link: &Link) -> Result<(), Failure> {
        let version = env!("CARGO_PKG_VERSION");
        let name: &str = &self.target.node;
        let rows = link
            .query(JOIN, &[&name, &version, &super::schema::VERSION])
            .await?;
        let id = rows
            .first()
            .map(|row| row.get(0))
            .ok_or_else(|| Failure::unexpected("no node"))?;
        self.set_id(id);
        Ok(())
    }
}

impl PostgresStore {
    /// Number of this node.
    pub fn node_id(&self) -> i64 {
        self.node.id()
    }

    /// Ends the leases of nodes that are gone.
    pub async fn bury(&self, nodes: &[i64]) -> Result<(), StoreError> {
        Err(super::unbuilt())
    }
}
