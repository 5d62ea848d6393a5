//! A write and its answer: carried out in a batch, answered after the commit.

use std::collections::HashSet;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::counters::Counters;
use super::fresh::FirstAttempt;
use super::queue::{Queue, ReadyEntry};
use crate::store::{DeliveryId, Settings, StoreError};

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// One transaction under way. What is in memory follows only after its commit.
pub(super) struct Batch<'w> {
    /// The connection, inside the transaction.
    pub connection: &'w Connection,
    /// The queue as it was before.
    pub queue: &'w Queue,
    /// The settings in force.
    pub settings: Settings,
    /// Why no new event may be written, if none may.
    pub full: Option<StoreError>,
    /// How the counts change.
    pub counters: Counters,
    /// How many deliveries waited for quiet before it.
    pub quiet_before: i64,
    /// Where deliveries wait from now on.
    pub waiting: Vec<ReadyEntry>,
    /// What was written for the first time, by its row: it may be leased before it has to be read.
    pub fresh: Vec<(i64, FirstAttempt)>,
    /// Where those waited that ended without having been leased: what is in memory of them goes.
    pub withdrawn: Vec<ReadyEntry>,
    /// Leases that end.
    pub ended: HashSet<DeliveryId>,
    /// Leases whose attempts are written down as begun.
    pub marked: Vec<DeliveryId>,
    /// The first row of a new delivery. Rows of deliveries that are gone are used again.
    pub first_new: Option<i64>,
}

impl Batch<'_> {
    /// A delivery has been written at this row.
    pub fn made(&mut self, seq: i64) {
        self.first_new = Some(self.first_new.map_or(seq, |first| first.min(seq)));
    }

    /// How many deliveries wait for quiet by now.
    pub fn quiet(&self) -> i64 {
        self.quiet_before + self.counters.quiet
    }
}

/// Why a change was not made.
#[derive(Debug)]
pub(super) enum WriteError {
    /// For a reason of its own, and it has written nothing: the batch goes on.
    Own(StoreError),
    /// A statement failed, and may have been the second of several: the transaction cannot be committed.
    Statement(rusqlite::Error),
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Statement(error)
    }
}

/// Something to be written, as often as it takes: a batch that failed is tried again one by one.
pub(super) trait WriteOp: Send {
    /// What the caller is told.
    type Output: Send;

    /// Writes it.
    fn apply(&self, batch: &mut Batch<'_>) -> Result<Self::Output, WriteError>;

    /// How many bytes it writes, roughly.
    fn size(&self) -> usize {
        0
    }

    /// What a failure of a statement means to the caller, where it means something else than usual.
    fn meaning(&self, _error: &rusqlite::Error) -> Option<StoreError> {
        None
    }
}

/// A change with somebody who waits for it.
pub(super) trait QueuedOp: Send {
    /// Makes the change and keeps what is to be said.
    fn apply(&mut self, batch: &mut Batch<'_>) -> Result<(), rusqlite::Error>;
    /// See [`WriteOp::size`].
    fn size(&self) -> usize;
    /// See [`WriteOp::meaning`].
    fn meaning(&self, error: &rusqlite::Error) -> Option<StoreError>;
    /// Says it, or why not.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A [`WriteOp`], and where its answer goes.
pub(super) struct Pending<C: WriteOp> {
    change: C,
    said: Option<Result<C::Output, StoreError>>,
    reply: Reply<C::Output>,
}

impl<C: WriteOp> Pending<C> {
    /// A change that is to be made.
    pub fn new(change: C, reply: Reply<C::Output>) -> Self {
        let said = None;
        Self { change, said, reply }
    }
}

impl<C: WriteOp> QueuedOp for Pending<C> {
    fn apply(&mut self, batch: &mut Batch<'_>) -> Result<(), rusqlite::Error> {
        self.said = Some(match self.change.apply(batch) {
            Ok(said) => Ok(said),
            Err(WriteError::Own(error)) => Err(error),
            Err(WriteError::Statement(error)) => return Err(error),
        });
        Ok(())
    }

    fn size(&self) -> usize {
        self.change.size()
    }

    fn meaning(&self, error: &rusqlite::Error) -> Option<StoreError> {
        self.change.meaning(error)
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let said = match (committed, self.said) {
            (Err(error), _) => Err(error),
            (Ok(()), Some(said)) => said,
            // The writer commits only what it has made.
            (Ok(()), None) => Err(StoreError::Closed),
        };
        reply(self.reply, said);
    }
}

/// Answers a caller, who may have gone away: what was asked is done all the same.
pub(super) fn reply<T>(reply: Reply<T>, said: Result<T, StoreError>) {
    drop(reply.send(said));
}
