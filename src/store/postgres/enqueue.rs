//! Writes of new events: dedup keys, sightings, event and deliveries, in one transaction.

use std::sync::Arc;

use super::failure::Failure;
use super::link::Link;
use super::node::Node;
use super::worker::Batch;
use crate::store::{Enqueued, NewEvent, StoreError};

/// A write of an event.
pub(super) struct Enqueue;

impl Enqueue {
    /// Formats the columns.
    pub async fn prepared(_new_event: NewEvent) -> Result<Self, StoreError> {
        Err(super::unbuilt())
    }
}

/// What a connection for new events does.
pub(super) struct Enqueuing {
    node: Arc<Node>,
}

impl Enqueuing {
    pub fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

impl Batch for Enqueuing {
    type Call = Enqueue;
    type Output = Vec<Enqueued>;

    async fn write(
        &self,
        _link: &Link,
        _slot: i16,
        _calls: &[Enqueue],
        _may_be_there: bool,
    ) -> Result<Vec<Result<Vec<Enqueued>, StoreError>>, Failure> {
        Err(super::unbuilt().into())
    }

    fn size(_call: &Enqueue) -> usize {
        0
    }
}
