//! Transactions of the writer: all waiting writes in one (group commit), or one by one after a
//! failure that one of them caused.

use rusqlite::{ErrorCode, TransactionBehavior, params};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::sightings;
use super::space::check_space;
use super::sweeping;
use super::write_op::{Batch, BatchEffects, Pending, QueuedOp, WriteOp};
use super::writer::Writer;
use crate::base::throttle;
use crate::store::{RefusedRequest, Sighting, StoreError};

/// Approximate maximum bytes of one transaction. A larger call is a transaction of its own.
const TRANSACTION_BYTES: usize = 16 << 20;

const REFUSED: &str =
    "INSERT INTO refused (at, endpoint, client, reason, headers) VALUES (?1, ?2, ?3, ?4, ?5)";

/// Data written together with the calls of a round, without an answer.
#[derive(Default)]
struct Background {
    sightings: Vec<Sighting>,
    refusals: Vec<RefusedRequest>,
}

impl Background {
    /// Number of kinds that are not empty.
    fn parts(&self) -> usize {
        usize::from(!self.sightings.is_empty()) + usize::from(!self.refusals.is_empty())
    }
}

impl Writer {
    /// Writes everything that waits, and answers.
    pub fn write(&mut self, mut calls: Vec<Box<dyn QueuedOp>>) {
        let mut background = Background {
            sightings: self.sightings.take(),
            refusals: self.refusals.take(),
        };
        while !calls.is_empty() || background.parts() > 0 {
            let mut size = 0;
            let fitting = calls.iter().take_while(|call| {
                size += call.size();
                size <= TRANSACTION_BYTES
            });
            let many = fitting.count().max(1).min(calls.len());
            let rest = calls.split_off(many);
            self.write_together(
                std::mem::replace(&mut calls, rest),
                std::mem::take(&mut background),
            );
        }
    }

    /// Writes in one transaction. If a call caused the failure, each call is retried in its own
    /// transaction.
    fn write_together(&mut self, mut calls: Vec<Box<dyn QueuedOp>>, mut background: Background) {
        let error = match self.transact(&mut calls, &mut background) {
            Ok(()) => {
                for call in calls {
                    call.answer(Ok(()));
                }
                return;
            }
            Err(error) => error,
        };
        if !is_caused_by_data(&error) || calls.len() + background.parts() <= 1 {
            self.answer_failure(&error, calls, background);
            return;
        }
        let Background { sightings, refusals } = background;
        // Sightings come first, because new events are compared with them.
        if !sightings.is_empty() {
            let refusals = Vec::new();
            self.write_together(Vec::new(), Background { sightings, refusals });
        }
        for call in calls {
            self.write_together(vec![call], Background::default());
        }
        if !refusals.is_empty() {
            let sightings = Vec::new();
            self.write_together(Vec::new(), Background { sightings, refusals });
        }
    }

    /// Answers the calls of a transaction that failed.
    fn answer_failure(
        &mut self,
        error: &rusqlite::Error,
        calls: Vec<Box<dyn QueuedOp>>,
        background: Background,
    ) {
        self.refusals.drop_also(background.refusals.len());
        let before = self.failing.is_some() || self.displaced.is_some();
        let displaced = self.check_files().err();
        let store_error = displaced.clone().unwrap_or_else(|| self.map_error(error));
        let is_known = before && background.refusals.is_empty();
        if !is_caused_by_data(error) {
            if displaced.is_none() {
                self.failing = Some(format!("the last write failed: {store_error}"));
            }
            self.sightings.put_back(background.sightings);
        }
        if calls.is_empty()
            && !is_known
            // Unverified senders cause refusals, also while the disk is full, so the log line is
            // throttled.
            && let Some(left_out) = throttle::allow("store")
        {
            let left_out = throttle::some(left_out);
            tracing::warn!(error = %store_error, left_out, "cannot write refusals and ignored events down");
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
        background: &mut Background,
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
            effects: BatchEffects::default(),
        };
        if batch.full.is_some() {
            // Keep the sightings waiting: no new event is accepted that would be compared with
            // them.
            self.sightings.put_back(std::mem::take(&mut background.sightings));
        }
        sightings::write(&mut batch, &background.sightings)?;
        for call in calls {
            call.apply(&mut batch)?;
        }
        if !background.refusals.is_empty() {
            write_refusals(&mut batch, &background.refusals)?;
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

/// Writes refusals, at most as many of the latest as the ring holds.
fn write_refusals(batch: &mut Batch<'_>, refusals: &[RefusedRequest]) -> rusqlite::Result<()> {
    let older = refusals.len().saturating_sub(batch.settings.keep.refused);
    for refused in refusals.iter().skip(older) {
        batch.connection.prepare_cached(REFUSED)?.execute(params![
            refused.at.as_millis(),
            refused.endpoint,
            refused.client.map(|client| client.to_string()),
            refused.reason,
            refused.headers,
        ])?;
        batch.effects.counters.refused += 1;
    }
    sweeping::trim_refused(batch)
}
