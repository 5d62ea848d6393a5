//! Writes and their answers: applied in a batch, answered after the commit.

use std::collections::HashSet;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::columns::Unreadable;
use super::counters::Counters;
use super::leases::LeasedDelivery;
use super::queue::Queue;
use super::queue_key::ReadyEntry;
use super::ring_sizes::RingChange;
use crate::store::delivery_cache::FirstAttempt;
use crate::store::{DeliveryId, PerRing, Settings, StoreError};

/// The channel for an answer.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A running transaction.
pub(super) struct Batch<'w> {
    /// The connection, inside the transaction.
    pub connection: &'w Connection,
    /// The queue before the transaction.
    pub queue: &'w Queue,
    pub settings: Settings,
    /// The reason why no new event may be written; `None` if it may.
    pub full: Option<StoreError>,
    /// Number of deliveries that waited for quiet before the transaction.
    pub debounced_before: i64,
    /// Sizes of the rings before the transaction.
    pub rings_before: PerRing<RingChange>,
    pub effects: BatchEffects,
}

/// Changes of the state in memory, which are made only after the commit.
#[derive(Default)]
pub(super) struct BatchEffects {
    /// Changes of the row counts.
    pub counters: Counters,
    /// Entries to be added to the queue.
    pub waiting: Vec<ReadyEntry>,
    /// New deliveries by row, which may be leased without being read back.
    pub first_attempts: Vec<(i64, FirstAttempt<i64>)>,
    /// Entries of deliveries that ended without a lease, to be removed from memory.
    pub removed: Vec<ReadyEntry>,
    /// Leases that end.
    pub ended: HashSet<DeliveryId>,
    /// Leases whose attempts are recorded as begun.
    pub marked: Vec<DeliveryId>,
    /// First row of a new delivery. `SQLite` reuses the numbers of deleted rows.
    pub first_new: Option<i64>,
}

impl Batch<'_> {
    /// Notes that a delivery was written at this row.
    pub fn note_new(&mut self, seq: i64) {
        let first = &mut self.effects.first_new;
        *first = Some(first.map_or(seq, |first| first.min(seq)));
    }

    /// A delivery whose lease has not ended.
    pub fn leased(&self, delivery: DeliveryId) -> Option<&LeasedDelivery> {
        let leased = self.queue.leases.get(delivery);
        leased.filter(|_| !self.effects.ended.contains(&delivery))
    }

    /// Number of deliveries that wait for quiet now.
    pub fn debounced(&self) -> i64 {
        self.debounced_before + self.effects.counters.debounced
    }
}

/// The reason why a change was not applied.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The change was rejected and has written nothing. The batch goes on.
    Own(StoreError),
    /// A statement failed, perhaps after others of the same change. The transaction cannot be
    /// committed.
    Statement(rusqlite::Error),
}

impl From<Unreadable> for WriteError {
    fn from(Unreadable(detail): Unreadable) -> Self {
        Self::Own(StoreError::Unexpected { detail })
    }
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Statement(error)
    }
}

/// A change to be written. It may be applied more than once, because a failed batch is retried one
/// by one.
pub(super) trait WriteOp: Send {
    /// The value that the caller gets.
    type Output: Send;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Self::Output, WriteError>;

    /// Approximate number of bytes written.
    fn size(&self) -> usize {
        0
    }

    /// The caller's error for a failed statement, if it differs from the usual one.
    fn map_error(&self, _error: &rusqlite::Error) -> Option<StoreError> {
        None
    }
}

/// A change whose caller waits for the answer.
pub(super) trait QueuedOp: Send {
    /// Applies the change and keeps its output.
    fn apply(&mut self, batch: &mut Batch<'_>) -> Result<(), rusqlite::Error>;
    /// See [`WriteOp::size`].
    fn size(&self) -> usize;
    /// See [`WriteOp::map_error`].
    fn map_error(&self, error: &rusqlite::Error) -> Option<StoreError>;
    /// Sends the output, or the error of the commit.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A [`WriteOp`] with the channel for its answer.
pub(super) struct Pending<C: WriteOp> {
    op: C,
    output: Option<Result<C::Output, StoreError>>,
    reply: Reply<C::Output>,
}

impl<C: WriteOp> Pending<C> {
    /// Makes a pending call for a change.
    pub fn new(op: C, reply: Reply<C::Output>) -> Self {
        let output = None;
        Self { op, output, reply }
    }
}

impl<C: WriteOp> QueuedOp for Pending<C> {
    fn apply(&mut self, batch: &mut Batch<'_>) -> Result<(), rusqlite::Error> {
        self.output = Some(match self.op.apply(batch) {
            Ok(output) => Ok(output),
            Err(WriteError::Own(error)) => Err(error),
            Err(WriteError::Statement(error)) => return Err(error),
        });
        Ok(())
    }

    fn size(&self) -> usize {
        self.op.size()
    }

    fn map_error(&self, error: &rusqlite::Error) -> Option<StoreError> {
        self.op.map_error(error)
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let output = match (committed, self.output) {
            (Err(error), _) => Err(error),
            (Ok(()), Some(output)) => output,
            // Unreachable: the writer answers only calls that it has applied.
            (Ok(()), None) => Err(StoreError::Closed),
        };
        reply(self.reply, output);
    }
}

/// Answers a caller. If the caller is gone, the change remains.
pub(super) fn reply<T>(reply: Reply<T>, output: Result<T, StoreError>) {
    drop(reply.send(output));
}
