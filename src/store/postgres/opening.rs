//! Opening a store: the schema, and this node among the others.

use std::sync::Arc;

use super::enqueue::Enqueuing;
use super::heartbeat::Heart;
use super::link::Link;
use super::node::Node;
use super::server::at_start;
use super::session::Session;
use super::settling::Settling;
use super::worker::Worker;
use super::{PostgresStore, Target, membership, partitions, schema};
use crate::store::{Settings, StoreError};

impl PostgresStore {
    /// Opens a store, and makes its tables if they are missing. This node joins the others.
    pub async fn open(target: Target, settings: Settings) -> Result<Self, StoreError> {
        let target = Arc::new(target);
        let link = Link::connect(&target, "start").await.map_err(at_start)?;
        schema::prepare(&link, &target).await.map_err(at_start)?;
        partitions::make(&link).await.map_err(at_start)?;
        let offset = membership::clock_offset(&link).await.map_err(at_start)?;
        let node = Arc::new(Node::new(&target, settings, Arc::new(offset)));
        node.start(&link).await.map_err(at_start)?;
        let leasing = Arc::new(Session::new(&target, "queue"));
        Ok(Self {
            enqueuing: Worker::start(
                &Arc::new(Enqueuing::new(&node)),
                &target,
                "events",
                &event_slots(&target),
            ),
            settling: Worker::start(&Arc::new(Settling::new(&node)), &target, "results", &[2]),
            heart: Heart::start(&node, &leasing),
            leasing,
            requests: Arc::new(Session::new(&target, "requests")),
            node,
        })
    }
}

/// Connections of a node that write no new events: one each for results, leases, requests, and the
/// history.
const OTHERS: usize = 4;

/// First row of `tally` of the connections that write new events.
const FIRST_EVENT_SLOT: i16 = 10;

/// The rows of `tally` of the connections that write new events, one each.
fn event_slots(target: &Target) -> Vec<i16> {
    let count = target.connections.saturating_sub(OTHERS).max(1);
    (FIRST_EVENT_SLOT..).take(count).collect()
}
