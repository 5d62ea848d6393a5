//! Durable storage of events until their deliveries have ended.
//!
//! A [`Store`] keeps accepted events, their deliveries and attempts, the dedup keys by which an
//! event is recognised, and two rings of arrivals that became no event. This is the promise of
//! every implementation. `contract/` is the promise as tests. No module above this one knows how
//! the promise is kept.
//!
//! **Durable.** A call that writes ([`enqueue`](Store::enqueue), [`settle`](Store::settle)) answers
//! `Ok` only when its data survives `kill -9`. On disk the data also survives the loss of power. A
//! call is written whole or not at all: an event with its dedup keys and all its deliveries, or an
//! attempt with its settlement and the dedup keys that it forgets.
//!
//! **Once only.** A delivery is new only if none of its dedup keys is remembered for its rule. All
//! of them are then remembered in the same write. If several callers bring one dedup key at the
//! same time, exactly one gets [`Enqueued::New`]. A dedup key is remembered up to and including
//! `remember_until`, compared with the arrival time of later events. A remembered dedup key is
//! never shortened and keeps its first event. A delivery with `run_duplicates` is always new. If
//! all deliveries of an event are duplicates, nothing is written.
//!
//! **Altered.** A [`Sighting`] is remembered per endpoint with the values of headers that no
//! signature covers. A delivery is refused if one of its keys is remembered with another value of
//! such a header, also with `run_duplicates`. The sightings of new deliveries are remembered in the
//! write of their event. [`remember_sighting`](Store::remember_sighting) remembers a sighting
//! without an event: it counts at once for later events, and a crash may lose it. The first
//! sighting of a content counts; later ones only add headers. Sightings are kept like dedup keys,
//! at most [`SIGHTINGS_KEPT`] of them.
//!
//! **Order.** Due deliveries of a rule are leased by due time, then in the order in which they were
//! enqueued. Rules take turns, as [`Concurrency`] says. Light rules ([`Wanted`]) take theirs apart.
//! The deliveries of one event are enqueued in the order of [`NewEvent::deliveries`].
//!
//! **News.** After a write that adds deliveries to the queue, or puts one back, the store announces
//! it through [`news`](Store::news). Writes of other programs and the passing of time are not
//! announced: the caller looks again at [`next_due`](Store::next_due), and now and then. A store that
//! several nodes share also gives orders ([`StoreOrder`]): attempts of this node are to be stopped.
//!
//! **Fairness.** Deliveries of a rule that has reached its limit never delay those of another rule.
//! Deliveries of rules that are not in [`Wanted::rules`] delay none either.
//!
//! **Leases.** A leased delivery is not leased again until it is settled or released. Leases end
//! with the opened store. If several nodes share the store, the leases of a node end when it has not
//! been heard of for the lease time, and each node keeps its own. After a crash or a reopen, every
//! unsettled delivery waits again, with the
//! action, attempt number and due time of its last settlement. The exception is an attempt that was
//! marked as begun (below). An action that ran but was not settled is therefore run again: at least
//! once. Settling a delivery that is not leased is an error and changes nothing, so no attempt is
//! recorded twice.
//!
//! **Interruptions.** [`mark_begun`](Store::mark_begun) records which attempts have begun. If a
//! delivery waited when the store was opened after a crash, its [`Lease`] is marked as suspect. The
//! caller then records the attempt by [`begin`](Store::begin) before it starts. An attempt that
//! ends the daemon at once is therefore known the second time at the latest. When the store is
//! opened again, an attempt that began and was not settled is recorded as [`INTERRUPTED`]. After a
//! crash it counts as an attempt. After [`close`](Store::close) it does not, and every lease still
//! held is recorded this way. The lease tells how many attempts in a row were interrupted.
//!
//! **Secrets in use.** [`note_secrets`](Store::note_secrets) keeps the latest use for each
//! endpoint, scheme and source. An earlier time changes nothing. At most [`SECRETS_KEPT`] are kept,
//! the last used ones.
//!
//! **Pauses.** [`pause`](Store::pause) and [`resume`](Store::resume) are kept across restarts. A
//! lease call gets no delivery of a rule in [`Wanted::paused`], and no such delivery counts for
//! [`next_due`](Store::next_due). It waits as it did, with its place in the queue and in its group.
//! The caller passes the paused rules, and waits by itself before it calls a paused target.
//!
//! **Expectations.** [`note_expectations`](Store::note_expectations) keeps the last genuine arrival
//! of each endpoint and rule with `expect_every`, as the caller says it.
//!
//! **Errors.** After an error nothing of the call is kept. A settlement that failed leaves the
//! lease in place, to be settled again or released. The one exception is a machine that goes down
//! at the moment of the error: the write may then be found complete. An error of one call affects
//! no other call, except if both needed a write that the disk refused. A full disk is an error
//! while it is full. The store continues by itself when space is free again, without being
//! reopened. Damaged or foreign files are never changed and never replaced by an empty store.
//!
//! **Cancelled calls.** A call whose future is dropped after its first poll may still be carried
//! out. A lease whose caller is gone is taken back. [`close`](Store::close) carries out earlier
//! calls first. A store that is dropped without it loses nothing that was answered.
//!
//! **Arrivals.** [`record_arrivals`](Store::record_arrivals) keeps records of arrivals that became
//! no event, also while the store is full. There is one ring for verified senders and one for all
//! others, so that unverified senders cannot push out good history. The oldest records go beyond
//! [`Keep::records`], [`Keep::ring_bytes`] and the limit of their endpoint. An event with
//! [`NewEvent::is_replay`] takes the place of its record in one write.
//!
//! **Bounds.** Calls wait in a bounded queue. Waiting deliveries stay on disk until they are
//! leased, and one call leases a bounded number of bytes. At [`Settings::max_size`], or with less
//! than [`Settings::min_free`] left, new events are refused. Accepted events go on, and nothing is
//! dropped.
//!
//! **Elements.** A rule with `for_each` has one delivery per element ([`NewDelivery::item`]). They are
//! new or duplicates together: deduplication is per rule. The id of such a delivery is derived from
//! event, rule and index, and no event has two deliveries of one element to one rule.
//! [`expand`](Store::expand) replaces a delivery of the whole event by deliveries of its elements.
//!
//! `sqlite` is the store of the daemon. `memory` is the store of `hookyard test` and of tests.
//!
//! `model.rs` names the states of a delivery. `decide/` holds the decisions, which every
//! implementation shares. [`Records`] is the second door, for the operator's commands.

mod arrival;
mod backlog;
mod columns;
#[cfg(test)]
mod contract;
mod decide;
mod delivery;
mod delivery_cache;
mod error;
mod expectation;
pub mod group;
mod history;
mod membership;
pub mod memory;
mod model;
mod news;
mod operator_access;
mod pause;
mod place;
pub mod postgres;
mod problems;
pub mod reason;
mod records;
mod ring;
mod settings;
mod sighting;
pub mod sqlite;
mod tail;
mod waiting_sightings;

use std::future::Future;
use std::pin::Pin;

use crate::base::clock::{Clock, Timestamp};
use crate::event::EventId;

pub use arrival::{ArrivalFilter, ArrivalRecord, ArrivalWindow, ListedArrival, ProofRecord, TailCursor};
pub use backlog::{Backlog, BacklogCounts, BacklogEntry, GROUPS_LISTED, GroupBacklog, WAITING_LISTED};
pub use decide::interruption::{INTERRUPTED, Interrupted};
pub use decide::turns::{Concurrency, MAX_LIGHT, Wanted};
pub use delivery::{
    AttemptRecord, Delivery, DeliveryFailure, DeliveryId, Displaced, Enqueued, Expansion, Interruption,
    Lease, Leased, NewDelivery, NewEvent, SecretUse, Settled, Settlement, Superseded,
};
pub use error::StoreError;
pub use expectation::{Expectation, ExpectationSubject};
pub use group::{Debounce, Group, Overlap};
pub use history::History;
pub use membership::{InForce, NodeState, WantedRules};
pub use model::DeliveryState;
pub use news::{News, StoreOrder};
pub use operator_access::Records;
pub use pause::{Pause, PauseSubject, Pauses};
pub use place::Place;
pub use problems::{
    DEAD_LOOKED_AT, DeadGroup, Groups, MAX_GROUPS, MAX_SELECTED, REFUSED_LOOKED_AT, RefusedGroup,
    SelectedDeliveries,
};
pub use records::{
    CheckReport, DeliveryFilter, Dropped, ListedDelivery, Lookup, Named, StoredEvent, Vacuumed,
};
pub use ring::{PerRing, Ring};
pub use settings::{Counts, Health, Keep, RingSize, Settings};
pub use sighting::{Headers, SIGHTINGS_KEPT, Sighting};
pub use tail::Tail;

/// The future of a store's answer.
pub type Answer<'s, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 's>>;

/// Maximum attempts that [`Store::attempts`] lists.
pub const ATTEMPTS_LISTED: usize = 100;

/// Maximum secrets whose last use is kept.
pub const SECRETS_KEPT: usize = 1000;

/// Maximum deliveries that [`Store::deliveries`] lists.
pub const DELIVERIES_LISTED: usize = 1000;

/// Durable storage of events and deliveries. The module documentation states the promise.
pub trait Store: Send + Sync + 'static {
    /// Writes an event with its deliveries. The answer has one item per delivery, in their order.
    fn enqueue(&self, new_event: NewEvent) -> Answer<'_, Vec<Enqueued>>;

    /// Leases deliveries that are due at `now`, as many as `wanted` allows or fewer.
    fn lease(&self, wanted: Wanted, now: Timestamp) -> Answer<'_, Leased>;

    /// Records an attempt and the delivery's new state, and ends its lease.
    fn settle(&self, settled: Settled) -> Answer<'_, ()>;

    /// Ends a leased delivery, and writes deliveries of the elements of its event in the same
    /// transaction. The answer has one item per delivery. If there is a delivery of an element
    /// already, it is left as it is.
    fn expand(&self, expansion: Expansion) -> Answer<'_, Vec<Enqueued>>;

    /// Records that the attempt at a delivery begins. A delivery that is not leased is left
    /// unchanged.
    fn begin(&self, delivery: DeliveryId) -> Answer<'_, ()>;

    /// Records that all attempts have begun whose deliveries were leased up to `leased_by` and
    /// still are.
    fn mark_begun(&self, leased_by: Timestamp) -> Answer<'_, ()>;

    /// Ends a lease without an attempt. The delivery waits as before. A delivery that is not leased
    /// is left unchanged.
    fn release(&self, delivery: DeliveryId) -> Answer<'_, ()>;

    /// The earliest due time of the waiting deliveries that `wanted` allows, perhaps in the past.
    fn next_due(&self, wanted: Wanted) -> Answer<'_, Option<Timestamp>>;

    /// The clock by which deliveries are leased. It never goes back.
    fn clock(&self) -> Clock;

    /// A receiver of the news that deliveries may be due that were not due before, and of orders.
    fn news(&self) -> News;

    /// Tells the other nodes which rules this one has in force, from the next call on. No effect on a
    /// store of one node.
    fn serve(&self, _in_force: InForce) {}

    /// Lists the nodes that share the store, ordered by name. None for a store of one node.
    fn nodes(&self) -> Answer<'_, Vec<NodeState>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Writes records of arrivals that became no event, and drops the oldest ones beyond the limits.
    fn record_arrivals(&self, records: Vec<ArrivalRecord>) -> Answer<'_, ()>;

    /// Records on an event why the sender got the default body in place of the stated one.
    fn mark_answer(&self, event: EventId, why: String) -> Answer<'_, ()>;

    /// Reads the record of an arrival that became no event.
    fn arrival(&self, id: EventId) -> Answer<'_, Option<ArrivalRecord>>;

    /// Remembers a genuine request that no rule wants. Never waits and never fails.
    fn remember_sighting(&self, sighting: Sighting);

    fn counts(&self) -> Answer<'_, Counts>;

    fn health(&self) -> Answer<'_, Health>;

    /// Forgets one small step of expired data at `now`. Returns the number of dedup keys, sightings
    /// and events forgotten; zero if nothing was left.
    ///
    /// An event is forgotten with its deliveries and attempts. Its last delivery must have ended
    /// longer ago than [`Keep::done`], or [`Keep::dead`] if one of them is a dead letter.
    fn sweep(&self, now: Timestamp) -> Answer<'_, usize>;

    /// Lists the deliveries of an event in the order of its [`NewEvent`], at most the first
    /// [`DELIVERIES_LISTED`].
    fn deliveries(&self, event: EventId) -> Answer<'_, Vec<Delivery>>;

    /// Lists the attempts at a delivery, oldest first, at most the latest [`ATTEMPTS_LISTED`].
    fn attempts(&self, delivery: DeliveryId) -> Answer<'_, Vec<AttemptRecord>>;

    /// Lists the last attempts that are `done` at the actions before the action `before`, in the order
    /// of the actions.
    fn outputs(&self, delivery: DeliveryId, before: usize) -> Answer<'_, Vec<AttemptRecord>>;

    /// Records the last use of secrets.
    fn note_secrets(&self, uses: Vec<SecretUse>) -> Answer<'_, ()>;

    /// Lists the last use of secrets, ordered by endpoint, scheme and source.
    fn secrets(&self) -> Answer<'_, Vec<SecretUse>>;

    /// Records a pause. False if its subject is paused already; the earlier pause then stays.
    fn pause(&self, pause: Pause) -> Answer<'_, bool>;

    /// Ends the pause of a rule or target. False if there is none.
    fn resume(&self, subject: PauseSubject) -> Answer<'_, bool>;

    /// Lists the pauses, rules before targets, ordered by name.
    fn pauses(&self) -> Answer<'_, Vec<Pause>>;

    /// Replaces the states of these expectations, and forgets others.
    fn note_expectations(&self, kept: Vec<Expectation>, forgotten: Vec<ExpectationSubject>)
    -> Answer<'_, ()>;

    /// Lists the expectations, endpoints before rules, ordered by name.
    fn expectations(&self) -> Answer<'_, Vec<Expectation>>;

    /// Replaces the settings, effective from the next call.
    fn adopt(&self, settings: Settings);

    /// Carries out earlier calls, then closes the store. Later calls are answered
    /// [`StoreError::Closed`].
    fn close(&self) -> Answer<'_, ()>;
}
