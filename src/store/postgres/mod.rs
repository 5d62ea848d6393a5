//! The store on a `PostgreSQL` server, which several nodes share.
//!
//! A node has a few connections, each with one owner. Workers write batches of calls: new events
//! (`enqueue.rs`) and ends of leases (`settling.rs`). A session leases (`leasing.rs`) and keeps
//! the node among the living (`membership.rs`). Another one reads, and makes small writes.

mod adding;
mod arrivals;
mod batch_keys;
mod burial;
mod candidates;
mod changes;
mod closing;
mod debounce;
mod dedup_keys;
mod elapsed;
mod ends;
mod enqueue;
mod enqueue_call;
mod expansion;
mod expectations;
mod failure;
mod failures;
mod forgetting;
mod groups;
mod heartbeat;
mod history;
mod interruptions;
mod leases;
mod leasing;
mod link;
mod liveness;
mod membership;
mod new_events;
mod node;
mod opening;
mod orphans;
mod partitions;
mod patience;
mod pauses;
mod pipeline;
mod process;
mod promises;
mod reading;
mod request_rows;
mod requests;
mod round;
mod row;
mod schema;
mod secrets;
mod seen;
mod server;
mod session;
mod settings;
mod settlements;
mod settling;
mod settling_call;
mod sightings;
mod sweeping;
mod tally;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod tls;
mod unconnected;
mod untold;
mod url;
mod verifier;
mod waking;
mod worker;
mod write_counters;

use std::sync::Arc;

pub(super) use self::history::{History, check, drop_deliveries, move_from, read_secrets, replay};
#[cfg(test)]
pub(super) use schema::drop_schema;
pub use schema::statements;
pub use server::{ServerReport, Standby, connect_check};
pub use target::{Durability, Target, Wake};
pub use url::ServerUrl;

use self::enqueue::Enqueuing;
use self::enqueue_call::Enqueue;
use self::heartbeat::Heart;
use self::node::Node;
use self::session::Session;
use self::settling::Settling;
use self::worker::Worker;
use super::{
    Answer, ArrivalRecord, AttemptRecord, Counts, Delivery, DeliveryId, Enqueued, Expansion, Expectation,
    ExpectationSubject, Health, InForce, Leased, NewEvent, News, NodeState, Pause, PauseSubject, SecretUse,
    Settings, Settled, Sighting, Store, Wanted,
};
use crate::base::clock::{Clock, Timestamp};
use crate::event::EventId;

/// A store on a server.
pub struct PostgresStore {
    node: Arc<Node>,
    enqueuing: Worker<Enqueuing>,
    settling: Worker<Settling>,
    /// For leases and heartbeats.
    leasing: Arc<Session>,
    heart: Heart,
    /// For reads and small writes.
    requests: Arc<Session>,
}

impl Store for PostgresStore {
    fn enqueue(&self, new_event: NewEvent) -> Answer<'_, Vec<Enqueued>> {
        Box::pin(async move {
            self.node.liveness.check()?;
            let enqueue = Enqueue::new(new_event);
            self.enqueuing.call(enqueue).await
        })
    }

    fn expand(&self, expansion: Expansion) -> Answer<'_, Vec<Enqueued>> {
        Box::pin(self.expand_leased(expansion))
    }

    fn settle(&self, settled: Settled) -> Answer<'_, ()> {
        Box::pin(self.settle_leased(settled))
    }

    fn begin(&self, delivery: DeliveryId) -> Answer<'_, ()> {
        Box::pin(self.begin_leased(delivery))
    }

    fn mark_begun(&self, leased_by: Timestamp) -> Answer<'_, ()> {
        Box::pin(self.mark_leased(leased_by))
    }

    fn release(&self, delivery: DeliveryId) -> Answer<'_, ()> {
        Box::pin(self.release_leased(delivery))
    }

    fn lease(&self, wanted: Wanted, now: Timestamp) -> Answer<'_, Leased> {
        Box::pin(self.lease_due(wanted, now))
    }

    fn next_due(&self, wanted: Wanted) -> Answer<'_, Option<Timestamp>> {
        Box::pin(self.first_due(wanted))
    }

    fn clock(&self) -> Clock {
        self.node.clock.clone()
    }

    fn news(&self) -> News {
        self.node.news.clone()
    }

    fn serve(&self, in_force: InForce) {
        self.node.serve(in_force);
    }

    fn nodes(&self) -> Answer<'_, Vec<NodeState>> {
        Box::pin(self.list_nodes())
    }

    fn record_arrivals(&self, records: Vec<ArrivalRecord>) -> Answer<'_, ()> {
        Box::pin(self.write_arrivals(records))
    }

    fn mark_answer(&self, event: EventId, why: String) -> Answer<'_, ()> {
        Box::pin(self.write_answer(event, why))
    }

    fn arrival(&self, id: EventId) -> Answer<'_, Option<ArrivalRecord>> {
        Box::pin(self.read_arrival(id))
    }

    fn counts(&self) -> Answer<'_, Counts> {
        Box::pin(self.read_counts())
    }

    fn health(&self) -> Answer<'_, Health> {
        Box::pin(self.read_health())
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, usize> {
        Box::pin(self.sweep_once(now))
    }

    fn deliveries(&self, event: EventId) -> Answer<'_, Vec<Delivery>> {
        Box::pin(self.read_deliveries(event))
    }

    fn attempts(&self, delivery: DeliveryId) -> Answer<'_, Vec<AttemptRecord>> {
        Box::pin(self.read_attempts(delivery))
    }

    fn outputs(&self, delivery: DeliveryId, before: usize) -> Answer<'_, Vec<AttemptRecord>> {
        Box::pin(self.read_outputs(delivery, before))
    }

    fn note_secrets(&self, uses: Vec<SecretUse>) -> Answer<'_, ()> {
        Box::pin(self.write_secrets(uses))
    }

    fn secrets(&self) -> Answer<'_, Vec<SecretUse>> {
        Box::pin(self.read_secrets())
    }

    fn pause(&self, pause: Pause) -> Answer<'_, bool> {
        Box::pin(self.write_pause(pause))
    }

    fn resume(&self, subject: PauseSubject) -> Answer<'_, bool> {
        Box::pin(self.end_pause(subject))
    }

    fn pauses(&self) -> Answer<'_, Vec<Pause>> {
        Box::pin(self.read_pauses())
    }

    fn note_expectations(
        &self,
        kept: Vec<Expectation>,
        forgotten: Vec<ExpectationSubject>,
    ) -> Answer<'_, ()> {
        Box::pin(self.write_expectations(kept, forgotten))
    }

    fn expectations(&self) -> Answer<'_, Vec<Expectation>> {
        Box::pin(self.read_expectations())
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(self.close_all())
    }

    fn remember_sighting(&self, sighting: Sighting) {
        self.note_sighting(sighting);
    }

    fn adopt(&self, settings: Settings) {
        self.node.settings.replace(settings);
    }
}
