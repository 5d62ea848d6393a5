//! The one thread that owns the connection.
//!
//! Each round takes all waiting calls, writes their changes in one transaction, and answers after
//! the commit is on disk. Concurrent calls therefore share the cost of a sync (group commit). Reads
//! run after the writes of their round, so that a caller that got an answer sees its own writes.
//! Checkpoints of the write-ahead log run on another thread (`checkpoint.rs`).

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::checkpoint::{self, Checkpointer};
use super::counters::Counters;
use super::delivery_cache::FirstAttempts;
use super::file::{self, StoreFile};
use super::groups;
use super::intact::{FileGuard, ForeignFile};
use super::interruptions;
use super::queue::Queue;
use super::refusals::Refusals;
use super::sightings::{self, Sightings};
use super::sweeping;
use super::write_op::{Batch, QueuedOp, Reply, reply};
use crate::base::live::Live;
use crate::base::throttle;
use crate::store::{Counts, DeliveryId, Health, Interrupted, RefusedRequest, Settings, Sighting, StoreError};

/// Capacity of the command channel. Callers wait when it is full.
pub(super) const COMMAND_CAPACITY: usize = 1024;

/// Maximum calls taken in one round.
const ROUND_COMMANDS: usize = 256;

/// Approximate maximum bytes of one transaction. A larger call is a transaction of its own.
const TRANSACTION_BYTES: usize = 16 << 20;

/// Pages in the write-ahead log at which a checkpoint starts. A lower value writes pages more
/// often; a higher one delays answers for longer.
const LOG_PAGES: i64 = 2000;

const REFUSED: &str =
    "INSERT INTO refused (at, endpoint, client, reason, headers) VALUES (?1, ?2, ?3, ?4, ?5)";

/// A command for the writer.
pub(super) enum WriterCommand {
    /// Writes, and answers after the commit.
    Write(Box<dyn QueuedOp>),
    /// Reads, and answers.
    Read(Box<dyn FnOnce(&mut Writer) + Send>),
    /// Wakes the writer, because refusals or sightings wait.
    Wake,
    /// Closes the store after everything before.
    Close(Reply<()>),
}

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

/// Numbers of transactions and calls since the store was opened.
#[derive(Debug, Default)]
struct Commits {
    number: u64,
    calls: u64,
    time: Duration,
}

/// The state that the thread owns.
pub(super) struct Writer {
    /// Checkpoints the log. Ends before the file is closed.
    log: Checkpointer,
    pub file: StoreFile,
    pub queue: Queue,
    /// New deliveries, cached in memory.
    pub fresh: FirstAttempts,
    counters: Counters,
    commits: Commits,
    /// The reason why the last transaction failed, if the disk caused it.
    failing: Option<String>,
    settings: Arc<Live<Settings>>,
    refusals: Arc<Refusals>,
    sightings: Arc<Sightings>,
    /// Leases whose callers are gone.
    returned: Arc<Mutex<Vec<DeliveryId>>>,
    /// Changes when another program has written to the file.
    data_version: i64,
    /// The files as they were last seen. Declared after the connections, which must be closed
    /// first.
    guard: FileGuard,
    /// Set while one of the files is missing, replaced or altered.
    displaced: Option<ForeignFile>,
    /// Bytes in use, as last read.
    size: u64,
    /// The attempts that the last daemon did not settle.
    pub interrupted: Vec<Interrupted>,
    /// True if the last daemon stopped cleanly.
    pub after_clean_stop: bool,
    /// The last row of deliveries that may have ended the last daemon.
    pub suspect_up_to: i64,
}

impl Writer {
    /// Makes a writer for an open file, and recovers interrupted attempts.
    pub fn new(
        mut file: StoreFile,
        settings: Arc<Live<Settings>>,
        refusals: Arc<Refusals>,
        sightings: Arc<Sightings>,
        returned: Arc<Mutex<Vec<DeliveryId>>>,
    ) -> Result<Self, StoreError> {
        let path = file.path.clone();
        let store_error = |error| file::map_error(&path, &error);
        // The operator may have dropped members of a group while no daemon ran.
        let queue = Queue::new();
        groups::look_again(&mut file.connection, &queue).map_err(store_error)?;
        let found = interruptions::recover(&mut file.connection).map_err(store_error)?;
        // After a crash the index does not tell which frames are in the database. A checkpoint
        // makes both known.
        checkpoint::checkpoint(&file.connection, "PASSIVE").map_err(store_error)?;
        let guard = FileGuard::new(file.open_files()?);
        Ok(Self {
            interrupted: found.interrupted,
            after_clean_stop: found.after_clean_stop,
            suspect_up_to: found.suspect_up_to,
            log: Checkpointer::start(&file.path, guard.files()),
            counters: Counters::count(&file.connection).map_err(store_error)?,
            commits: Commits::default(),
            failing: None,
            data_version: pragma(&file.connection, "PRAGMA data_version").map_err(store_error)?,
            guard,
            displaced: None,
            size: used(&file.connection).map_err(store_error)?,
            file,
            queue,
            fresh: FirstAttempts::default(),
            settings,
            refusals,
            sightings,
            returned,
        })
    }

    /// Works until it gets a close command or every sender is gone.
    pub fn run(mut self, mut commands: mpsc::Receiver<WriterCommand>) {
        let mut round = Vec::with_capacity(ROUND_COMMANDS);
        let mut closing = Vec::new();
        while commands.blocking_recv_many(&mut round, ROUND_COMMANDS) > 0 {
            let mut writes = Vec::new();
            let mut reads = Vec::new();
            for command in round.drain(..) {
                match command {
                    WriterCommand::Write(call) => writes.push(call),
                    WriterCommand::Read(read) => reads.push(read),
                    WriterCommand::Wake => {}
                    WriterCommand::Close(reply) => {
                        // Waiting commands are still carried out. New ones are refused.
                        commands.close();
                        closing.push(reply);
                    }
                }
            }
            self.write(writes);
            for read in reads {
                read(&mut self);
            }
            self.start_checkpoint();
        }
        self.stop_cleanly();
        let displaced = self.check_files().is_err();
        let Self { file, log, guard, .. } = self;
        drop(log);
        if displaced {
            file.keep_log();
        } else if let Err(error) = checkpoint::checkpoint(&file.connection, "TRUNCATE") {
            tracing::warn!(%error, "cannot write the store's log back into it");
        }
        drop(file);
        drop(guard);
        for closed in closing {
            reply(closed, Ok(()));
        }
    }

    /// Maps an error of `SQLite` to the caller's error.
    pub fn map_error(&self, error: &rusqlite::Error) -> StoreError {
        file::map_error(&self.file.path, error)
    }

    pub fn counts(&mut self) -> rusqlite::Result<Counts> {
        self.refresh()?;
        let leased = self.queue.leases() as u64;
        let number = |count: i64| u64::try_from(count).unwrap_or(0);
        Ok(Counts {
            waiting: number(self.counters.pending).saturating_sub(leased),
            leased,
            done: number(self.counters.done),
            dead: number(self.counters.dead),
            events: number(self.counters.events),
            dedup_keys: number(self.counters.dedup_keys),
            sightings: number(self.counters.sightings),
            refused: number(self.counters.refused),
            refused_dropped: self.refusals.dropped(),
        })
    }

    /// Checks that the files are still at their paths, and hold what was written. Nothing is written
    /// or begun while that is not so: an event would be accepted that no restart finds.
    pub fn check_files(&mut self) -> Result<(), StoreError> {
        let displaced = self.guard.foreign(self.displaced.as_ref());
        let error = displaced.as_ref().map(|displaced| {
            let path = self.file.path.clone();
            match displaced.clone() {
                ForeignFile::Missing(detail) | ForeignFile::Replaced(detail) => {
                    StoreError::Displaced { path, detail }
                }
                ForeignFile::Altered(detail) => StoreError::Altered { path, detail },
            }
        });
        if displaced != self.displaced {
            if let Some(error) = &error {
                tracing::error!("{error}");
            } else {
                tracing::info!(store = %self.file.path.display(), "the store is back in its place");
            }
            if matches!(displaced, Some(ForeignFile::Replaced(_))) {
                self.truncate_log();
            }
            self.displaced = displaced;
        }
        error.map_or(Ok(()), Err)
    }

    /// Checks that the connection can be used for reading.
    pub fn check_readable(&mut self) -> Result<(), StoreError> {
        if self.guard.is_usable() {
            return Ok(());
        }
        self.check_files()
    }

    /// Checkpoints the log into its own database. Otherwise `SQLite` would take the log for that of
    /// the other database beside it.
    fn truncate_log(&self) {
        if !self.guard.is_usable() {
            return;
        }
        if let Err(error) = checkpoint::checkpoint(&self.file.connection, "TRUNCATE") {
            tracing::warn!(%error, "cannot write the log of the displaced store back into it");
        }
    }

    pub fn health(&mut self) -> rusqlite::Result<Health> {
        let displaced = self.check_files().err();
        let full = if displaced.is_some() {
            displaced
        } else {
            self.size = used(&self.file.connection)?;
            full(&self.file.connection, &self.file.path, *self.settings.current())?
        };
        Ok(Health {
            size: self.size,
            full: full.map(|full| full.to_string()).or_else(|| self.failing.clone()),
            commits: self.commits.number,
            calls: self.commits.calls,
            commit_time: self.commits.time,
        })
    }

    /// Takes back leases whose callers are gone, and rereads state if another program has written
    /// to the file.
    pub fn refresh(&mut self) -> rusqlite::Result<()> {
        let returned = std::mem::take(&mut *self.returned.lock());
        for delivery in returned {
            self.release(delivery);
        }
        let data_version = pragma(&self.file.connection, "PRAGMA data_version")?;
        if data_version != self.data_version {
            groups::look_again(&mut self.file.connection, &self.queue)?;
            self.counters = Counters::count(&self.file.connection)?;
            self.queue.invalidate();
            self.fresh = FirstAttempts::default();
            self.data_version = data_version;
        }
        Ok(())
    }

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
            self.refusals.drop_also(background.refusals.len());
            let before = self.failing.is_some() || self.displaced.is_some();
            let displaced = self.check_files().err();
            let map_error = displaced.clone().unwrap_or_else(|| self.map_error(&error));
            let known = before && background.refusals.is_empty();
            if !is_caused_by_data(&error) {
                if displaced.is_none() {
                    self.failing = Some(format!("the last write failed: {map_error}"));
                }
                self.sightings.put_back(background.sightings);
            }
            if calls.is_empty()
                && !known
                // Unverified senders cause refusals, also while the disk is full, so the log line
                // is throttled.
                && let Some(left_out) = throttle::allow("store")
            {
                let left_out = throttle::some(left_out);
                tracing::warn!(error = %map_error, left_out, "cannot write refusals and ignored events down");
            }
            for call in calls {
                let own = call.map_error(&error).filter(|_| is_caused_by_data(&error));
                call.answer(Err(own.unwrap_or_else(|| map_error.clone())));
            }
            return;
        }
        let Background { sightings, refusals } = background;
        // Sightings come first, because new events are compared with them.
        if !sightings.is_empty() {
            self.write_together(
                Vec::new(),
                Background {
                    sightings,
                    ..Background::default()
                },
            );
        }
        for call in calls {
            self.write_together(vec![call], Background::default());
        }
        if !refusals.is_empty() {
            self.write_together(
                Vec::new(),
                Background {
                    refusals,
                    ..Background::default()
                },
            );
        }
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
            full: full(&transaction, &self.file.path, settings)?,
            counters: Counters::default(),
            debounced_before: self.counters.debounced,
            waiting: Vec::new(),
            fresh: Vec::new(),
            removed: Vec::new(),
            ended: HashSet::new(),
            marked: Vec::new(),
            first_new: None,
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
        let Batch {
            counters,
            waiting,
            fresh,
            removed,
            ended,
            marked,
            first_new,
            ..
        } = batch;
        if self.guard.foreign(self.displaced.as_ref()).is_some() {
            return Err(foreign());
        }
        transaction.commit()?;
        self.failing = None;
        self.commits.number += 1;
        self.commits.calls += number;
        self.commits.time += begun.elapsed();
        self.counters.change(counters);
        for delivery in ended {
            self.queue.end(delivery);
        }
        let last_old = first_new.map_or(i64::MAX, |seq| seq - 1);
        self.suspect_up_to = self.suspect_up_to.min(last_old);
        for delivery in marked {
            self.queue.mark(delivery);
        }
        for entry in waiting {
            self.queue.add(entry);
        }
        for (seq, fresh) in fresh {
            self.fresh.add(seq, fresh);
        }
        for entry in removed {
            self.queue.remove(&entry);
            drop(self.fresh.take(entry.key.seq));
        }
        Ok(())
    }

    /// Starts a checkpoint of the write-ahead log if it is due.
    fn start_checkpoint(&mut self) {
        if self.displaced.is_some() || !self.guard.is_usable() {
            return;
        }
        let checkpointed = match checkpoint::waiting(&self.file.connection) {
            Ok(waiting) if self.log.is_due(waiting, LOG_PAGES) => {
                if self.check_files().is_err() {
                    return;
                }
                self.log.begin(&self.file.connection)
            }
            waiting => waiting.map(drop),
        };
        if let Err(error) = checkpointed {
            // No data is lost: the log still holds it.
            tracing::warn!(%error, "cannot write the store's log back into it");
        }
    }
}

/// The error of a transaction that was not written because of [`Writer::in_place`].
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

/// The reason why no new event may be written: the store has reached its maximum size, or its disk
/// is full.
fn full(connection: &Connection, path: &Path, settings: Settings) -> rusqlite::Result<Option<StoreError>> {
    let grown = too_large(connection, settings.max_size)?;
    Ok(grown.or_else(|| too_little_free(path, settings.min_free)))
}

/// Checks that the disk has as many bytes free as it must keep. Runs before each transaction: two
/// microseconds, compared with a sync that takes a hundred times as long.
fn too_little_free(path: &Path, min_free: u64) -> Option<StoreError> {
    if min_free == 0 {
        return None;
    }
    // If this fails, the write itself reports the error.
    let disk = rustix::fs::statvfs(path).ok()?;
    // Blocks reserved for root are not counted, even if the daemon runs as root.
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    (free < min_free).then(|| StoreError::Full {
        detail: format!("its disk has {free} bytes free, and {min_free} are to stay free"),
    })
}

fn too_large(connection: &Connection, max_size: Option<u64>) -> rusqlite::Result<Option<StoreError>> {
    let Some(max_size) = max_size else {
        return Ok(None);
    };
    let size = used(connection)?;
    Ok((size >= max_size).then(|| StoreError::Full {
        detail: format!("it holds {size} bytes, and its limit is {max_size}"),
    }))
}

/// Bytes in use.
fn used(connection: &Connection) -> rusqlite::Result<u64> {
    let pages = pragma(connection, "PRAGMA page_count")? - pragma(connection, "PRAGMA freelist_count")?;
    let size = pages.saturating_mul(pragma(connection, "PRAGMA page_size")?);
    Ok(u64::try_from(size).unwrap_or(0))
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
        batch.counters.refused += 1;
    }
    sweeping::trim_refused(batch)
}

fn pragma(connection: &Connection, sql: &str) -> rusqlite::Result<i64> {
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}
