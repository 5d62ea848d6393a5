//! Ends of leases: settlements with their attempts, releases, and attempts that begin.

use std::sync::Arc;

use super::PostgresStore;
use super::failure::Failure;
use super::link::Link;
use super::node::Node;
use super::worker::Batch;
use crate::base::clock::Timestamp;
use crate::store::{DeliveryId, Enqueued, Expansion, Settled, StoreError};

/// A call that ends or marks leases.
pub(super) enum SettlingCall {}

/// What the connection for settlements does.
pub(super) struct Settling {
    node: Arc<Node>,
}

impl Settling {
    pub fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

impl Batch for Settling {
    type Call = SettlingCall;
    type Output = Vec<Enqueued>;

    async fn write(
        &self,
        _link: &Link,
        _slot: i16,
        _calls: &[SettlingCall],
        _may_be_there: bool,
    ) -> Result<Vec<Result<Vec<Enqueued>, StoreError>>, Failure> {
        Err(super::unbuilt().into())
    }

    fn size(_call: &SettlingCall) -> usize {
        0
    }
}

impl PostgresStore {
    pub(super) async fn expand_leased(&self, expansion: Expansion) -> Result<Vec<Enqueued>, StoreError> {
        Err(super::unbuilt())
    }

    pub(super) async fn settle_leased(&self, settled: Settled) -> Result<(), StoreError> {
        Err(super::unbuilt())
    }

    pub(super) async fn begin_leased(&self, delivery: DeliveryId) -> Result<(), StoreError> {
        Err(super::unbuilt())
    }

    pub(super) async fn mark_leased(&self, leased_by: Timestamp) -> Result<(), StoreError> {
        Err(super::unbuilt())
    }

    pub(super) async fn release_leased(&self, delivery: DeliveryId) -> Result<(), StoreError> {
        Err(super::unbuilt())
    }
}
