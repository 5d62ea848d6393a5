//! Remember it until it is done.
//!
//! A [`Store`] keeps what was taken: events, the deliveries owed to rules, their attempts, the nonces by which an
//! event is recognised again, and a ring of what was refused. This is the promise that every implementation keeps;
//! `contract/` is the promise as tests, and nothing above this room knows how it is kept.
//!
//! **Durable.** A call that writes ([`take`](Store::take), [`settle`](Store::settle)) answers `Ok` only when what it
//! wrote survives `kill -9` and, for a store on disk, the loss of power. It is written whole or not at all: an event
//! with its nonces and all its deliveries; an attempt with its settlement and the nonces that it forgets.
//!
//! **Once only.** A delivery is new only if no nonce of it is remembered for its rule, and then all of them are
//! remembered in the same write. Of any number of callers that bring one nonce at the same time, one is told
//! [`Enqueued::New`]. A nonce is remembered up to and including `remember_until`, measured by the arrival time of the
//! event that is compared with it; a remembered nonce is never shortened and keeps the event that it came with. A
//! delivery that runs duplicates is always new. An event all of whose deliveries are duplicates leaves no trace.
//!
//! **Altered.** A delivery with a [`Sighting`] is not taken if a key of it is remembered for its endpoint with another value of
//! a header that the sighting has, too; also where it runs duplicates. The sightings of new deliveries are remembered in the
//! write of their event. [`sight`](Store::sight) remembers one without an event, soon: for what is taken afterwards it
//! counts at once, and a crash may lose it. The first sighting of a content counts; a later one adds headers at most. They
//! are kept like nonces, and at most [`SIGHTINGS_KEPT`] of them.
//!
//! **Order.** Due deliveries of a rule are leased by due time, those of one due time in the order in which they were taken.
//! Rules take turns, as [`Concurrency`] says. The deliveries of one event were taken in the order of [`NewEvent::deliveries`].
//!
//! **Fairness.** What waits for a rule that has no room stands in nobody else's way, however much it is.
//!
//! **Leases.** A delivery that is leased is leased to nobody else until it is settled or released. Leases live no
//! longer than the opened store: after a crash or a reopen every unsettled delivery is waiting again, with the
//! action, the attempt number and the due time that its last settlement gave it, unless the attempt was written down as
//! begun (below). An action that ran but whose settlement was not written is therefore run again: at least once. Settling
//! a delivery that is not leased is an error and changes nothing, so no attempt is written down twice.
//!
//! **Interruptions.** [`mark_begun`](Store::mark_begun) writes down which attempts have begun. The lease of a delivery
//! that waited when the store was opened after a crash says so: then the caller has it written down by
//! [`begin`](Store::begin) before the attempt, so that one that ends the daemon at once is known the second time at the latest. Opened again, the store records an attempt that began and was not
//! settled as [`INTERRUPTED`]. After a crash it counts as an attempt. After [`close`](Store::close) it does not, and every
//! lease that was still held is recorded so. How many in a row were interrupted comes with the lease.
//!
//! **Secrets in use.** [`note_secrets`](Store::note_secrets) keeps, for each endpoint, scheme and source, the latest moment that it
//! was told; an earlier one changes nothing. At most [`SECRETS_KEPT`] are kept, those that matched last.
//!
//! **Errors.** After an error nothing of the call is kept: a settlement that failed leaves the lease in place, to
//! be settled again or released. The one exception is a machine that dies in the very moment of the error: what was
//! being written may then turn out to be there, whole. An error of one caller is not the error of another, except
//! where both needed a write that the disk refused. A full disk is an error for as long as it is full; the store
//! goes on by itself when there is room, without being opened again. Damaged or foreign files are never touched and
//! never replaced by an empty store.
//!
//! **Going away.** A call whose future is dropped after its first poll may still be carried out; a lease handed to
//! a caller that has gone away is taken back. [`close`](Store::close) carries out what was called before it, and a
//! store that is dropped without it loses nothing that was answered.
//!
//! **Bounds.** Calls wait in a queue of bounded length. Refusals never wait: when there is no room they are
//! dropped and counted, and their ring is apart, so that strangers cannot push out good history. What waits stays
//! on disk until it is leased, and one lease call hands out a bounded number of bytes. Past [`Settings::max_size`], and
//! with less than [`Settings::min_free`] left, no new event is taken; what was taken goes on, and nothing is dropped.

#[cfg(test)]
mod contract;
mod delivery;
mod error;
pub mod group;
mod interruption;
pub mod memory;
#[cfg(test)]
mod model;
mod once;
mod settings;
mod sighting;
pub mod sqlite;

use std::future::Future;
use std::pin::Pin;

use crate::base::clock::Timestamp;
use crate::event::EventId;

pub use delivery::{
    AttemptRecord, Concurrency, Delivery, DeliveryFailure, DeliveryId, DeliveryState, Displaced, Enqueued,
    Lease, Leased, NewDelivery, NewEvent, RefusedRequest, SecretUse, Settled, Settlement, Superseded,
};
pub use error::StoreError;
pub use group::{Debounce, Group, Overlap};
pub use interruption::{INTERRUPTED, Interrupted, Interruption};
pub use settings::{Counts, Health, Keep, Settings};
pub use sighting::{Headers, SIGHTINGS_KEPT, Sighting};

/// What a store answers, when it does.
pub type Answer<'s, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 's>>;

/// The most attempts that [`Store::attempts`] lists.
pub const ATTEMPTS_LISTED: usize = 100;

/// The most secrets of which it is kept when they last matched.
pub const SECRETS_KEPT: usize = 1000;

/// The most deliveries that [`Store::deliveries`] lists.
pub const DELIVERIES_LISTED: usize = 1000;

/// The store. Its promise stands at the head of this file.
pub trait Store: Send + Sync + 'static {
    /// Writes an event down with its deliveries; the answer has one item for each of them, in their order.
    fn take(&self, taking: NewEvent) -> Answer<'_, Vec<Enqueued>>;

    /// Leases deliveries that are due at `now`: as many as there is room for, and perhaps fewer.
    fn lease(&self, room: Concurrency, now: Timestamp) -> Answer<'_, Leased>;

    /// Writes down how an attempt went and what becomes of the delivery, and ends its lease.
    fn settle(&self, settled: Settled) -> Answer<'_, ()>;

    /// Writes down that the attempt at a leased delivery begins. Nothing happens if it is not leased.
    fn begin(&self, delivery: DeliveryId) -> Answer<'_, ()>;

    /// Writes down that the attempts at what was leased up to `leased_by`, and is still leased, have begun.
    fn mark_begun(&self, leased_by: Timestamp) -> Answer<'_, ()>;

    /// Ends a lease without an attempt: the delivery waits again as it did. Nothing happens if it is not leased.
    fn release(&self, delivery: DeliveryId) -> Answer<'_, ()>;

    /// When the next delivery is due, of those that wait and for which there is room; perhaps in the past.
    fn next_due(&self, room: Concurrency) -> Answer<'_, Option<Timestamp>>;

    /// Remembers a refusal, soon and perhaps; it never waits and never fails.
    fn refuse(&self, refused: RefusedRequest);

    /// Remembers a genuine request that no rule wants; it never waits and never fails.
    fn sight(&self, sighting: Sighting);

    /// How much of everything there is.
    fn counts(&self) -> Answer<'_, Counts>;

    /// How the store is.
    fn health(&self) -> Answer<'_, Health>;

    /// Forgets one small step of what need not be kept at `now` and says how many nonces and events that were;
    /// zero means that nothing was left to forget.
    ///
    /// An event is forgotten with its deliveries and attempts, when the last of its deliveries ended longer ago than
    /// [`Keep::done`], or [`Keep::dead`] if one of them is dead.
    fn sweep(&self, now: Timestamp) -> Answer<'_, usize>;

    /// The deliveries of an event in the order of its [`NewEvent`], at most the first [`DELIVERIES_LISTED`].
    fn deliveries(&self, event: EventId) -> Answer<'_, Vec<Delivery>>;

    /// The attempts at a delivery, oldest first, at most the latest [`ATTEMPTS_LISTED`].
    fn attempts(&self, delivery: DeliveryId) -> Answer<'_, Vec<AttemptRecord>>;

    /// The latest refusals, newest first.
    fn refused(&self, limit: usize) -> Answer<'_, Vec<RefusedRequest>>;

    /// Keeps when secrets last matched.
    fn note_secrets(&self, uses: Vec<SecretUse>) -> Answer<'_, ()>;

    /// When secrets last matched, in the order of endpoint, scheme and source.
    fn secrets(&self) -> Answer<'_, Vec<SecretUse>>;

    /// Puts other settings in force; they hold from the next call on.
    fn adopt(&self, settings: Settings);

    /// Carries out what was called before, then ends; every later call is answered [`StoreError::Closed`].
    fn close(&self) -> Answer<'_, ()>;
}
