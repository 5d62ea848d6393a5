//! Transactions of the writer: all waiting writes in one (group commit), or one by one after a
//! failure that one of them caused.

use rusqlite::{ErrorCode, TransactionBehavior};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::sightings;
use super::space::check_space;
use super::write_op::{Batch, BatchEffects, Pending, QueuedOp, WriteOp};
use super::writer::Writer;
use crate::base::throttle;
use crate::store::{Sighting, StoreError};

/// Approximate maximum bytes of one transaction. A larger call is a transaction of its own.
const TRANSACTION_BYTES: usize = 16 << 20;

impl Writer {
    /// Writes everything that waits, and answers.
    pub fn write(&mut self, mut calls: Vec<Box<dyn QueuedOp>>) {
        let mut waiting = self.sightings.take();
        while !calls.is_empty() || !waiting.is_empty() {
            let mut size = 0;
            let fitting = calls.iter().take_while(|call| {
                size += call.size();
                size <= TRANSACTION_BYTES
            });
            let many = fitting.count().max(1).min(calls.len());
            let rest = calls.split_off(many);
            self.write_together(std::mem::replace(&mut calls, rest), std::mem::take(&mut waiting));
        }
    }

    /// Writes in one transaction, the sightings that have waited first. If a call caused the
    /// failure, each call is retried in its own transaction.
    fn write_together(&mut self, mut calls: Vec<Box<dyn QueuedOp>>, mut waiting: Vec<Sighting>) {
        let error = match self.transact(&mut calls, &mut waiting) {
            Ok(()) => {
                for call in calls {
                    call.answer(Ok(()));
                }
                return;
            }
            Err(error) => error,
        };
        if !is_caused_by_data(&error) || calls.len() + usize::from(!waiting.is_empty()) <= 1 {
            self.answer_failure(&error, calls, waiting);
            return;
        }
        // Sightings come first, because new events are compared with them.
        if !waiting.is_empty() {
            self.write_together(Vec::new(), waiting);
        }
        for call in calls {
            self.write_together(vec![call], Vec::new());
        }
    }

    /// Answers the calls of a transaction that failed.
    fn answer_failure(
        &mut self,
        error: &rusqlite::Error,
        calls: Vec<Box<dyn QueuedOp>>,
        waiting: Vec<Sighting>,
    ) {
        let before = self.failing.is_some() || self.displaced.is_some();
        let displaced = self.check_files().err();
        let store_error = displaced.clone().unwrap_or_else(|| self.map_error(error));
        if !is_caused_by_data(error) {
            if displaced.is_none() {
                self.failing = Some(format!("the last write failed: {store_error}"));
            }
            self.sightings.put_back(waiting);
        }
        if calls.is_empty()
            && !before
            && let Some(left_out) = throttle::allow("store")
        {
            let left_out = throttle::some(left_out);
            tracing::warn!(error = %store_error, left_out, "cannot write ignored events down");
        }
        for call in calls {
            let own = call.map_error(error).filter(|_| is_caused_by_data(error));
            call.answer(Err(own.unwrap_or_else(|| store_error.clone())));
        }
    }

    /// Writes one change in a transaction of its own, from the writer's thread.
    pub fn write_now<O: WriteOp + 'static>(&mut self, op: O) -> Result<O::Output, StoreError> {
        let (reply, mut answer) = oneshot::channel();
        self.write(vec![Box::new(Pending::new(op, reply))]);
        answer.try_recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Applies the changes in one transaction, and updates memory after the commit.
    fn transact(
        &mut self,
        calls: &mut [Box<dyn QueuedOp>],
        waiting: &mut Vec<Sighting>,
    ) -> rusqlite::Result<()> {
        if !self.guard.is_usable() {
            return Err(foreign());
        }
        let begun = Instant::now();
        let number = calls.len() as u64;
        let settings = *self.settings.current();
        let connection = &mut self.file.connection;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut batch = Batch {
            connection: &transaction,
            queue: &self.queue,
            settings,
            full: check_space(&transaction, &self.file.path, settings)?,
            debounced_before: self.counters.debounced,
            rings_before: self.counters.rings,
            effects: BatchEffects::default(),
        };
        if batch.full.is_some() {
            // Keep the sightings waiting: no new event is accepted that would be compared with
            // them.
            self.sightings.put_back(std::mem::take(waiting));
        }
        sightings::write(&mut batch, waiting)?;
        for call in calls {
            call.apply(&mut batch)?;
        }
        let effects = batch.effects;
        if self.guard.foreign(self.displaced.as_ref()).is_some() {
            return Err(foreign());
        }
        transaction.commit()?;
        self.failing = None;
        self.commits.number += 1;
        self.commits.calls += number;
        self.commits.time += begun.elapsed();
        self.apply_effects(effects);
        Ok(())
    }

    /// Updates the state in memory after a commit.
    fn apply_effects(&mut self, effects: BatchEffects) {
        self.counters.change(effects.counters);
        for delivery in effects.ended {
            self.queue.leases.end(delivery);
        }
        let last_old = effects.first_new.map_or(i64::MAX, |seq| seq - 1);
        self.suspect_up_to = self.suspect_up_to.min(last_old);
        for delivery in effects.marked {
            self.queue.leases.note_recorded(delivery);
        }
        let has_more = !effects.waiting.is_empty();
        for entry in effects.waiting {
            self.queue.add(entry);
        }
        for (seq, first) in effects.first_attempts {
            self.first_attempts.add(seq, first);
        }
        for entry in effects.removed {
            self.queue.remove(&entry);
            drop(self.first_attempts.take(entry.key.seq));
        }
        if has_more {
            self.news.announce();
        }
    }
}

/// The error of a transaction that was not written because of [`Writer::check_files`].
fn foreign() -> rusqlite::Error {
    let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
    rusqlite::Error::SqliteFailure(error, Some("its files are not those that were opened".to_owned()))
}

/// True if the data caused the error, not the disk.
fn is_caused_by_data(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        None => true,
        Some(code) => matches!(
            code,
            ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch | ErrorCode::Unknown
        ),
    }
}
