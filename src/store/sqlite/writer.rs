//! The one thread that owns the connection.
//!
//! Each round takes all waiting calls, writes their changes in one transaction, and answers after
//! the commit is on disk. Concurrent calls therefore share the cost of a sync (group commit). Reads
//! run after the writes of their round, so that a caller that got an answer sees its own writes.
//! Checkpoints of the write-ahead log run on another thread (`checkpoint.rs`).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::access;
use super::checkpoint::{self, Checkpointer};
use super::counters::Counters;
use super::file::StoreFile;
use super::groups;
use super::intact::{FileGuard, ForeignFile};
use super::interruptions::{self, MarkBegun};
use super::queue::Queue;
use super::settling::Release;
use super::space::{check_space, pragma, used_bytes};
use super::write_op::{QueuedOp, Reply, reply};
use crate::base::live::Live;
use crate::store::delivery_cache::FirstAttempts;
use crate::store::waiting_sightings::WaitingSightings;
use crate::store::{Counts, DeliveryId, Health, Interrupted, News, Settings, StoreError};

/// Capacity of the command channel. Callers wait when it is full.
pub(super) const COMMAND_CAPACITY: usize = 1024;

/// Maximum calls taken in one round.
const ROUND_COMMANDS: usize = 256;

/// Pages in the write-ahead log at which a checkpoint starts. A lower value writes pages more
/// often; a higher one delays answers for longer.
const LOG_PAGES: i64 = 2000;

/// A command for the writer.
pub(super) enum WriterCommand {
    /// Writes, and answers after the commit.
    Write(Box<dyn QueuedOp>),
    /// Reads, and answers.
    Read(Box<dyn FnOnce(&mut Writer) + Send>),
    /// Wakes the writer, because sightings wait.
    Wake,
    /// Closes the store after everything before.
    Close(Reply<()>),
}

/// Numbers of transactions and calls since the store was opened.
#[derive(Debug, Default)]
pub(super) struct Commits {
    pub number: u64,
    pub calls: u64,
    pub time: Duration,
}

/// The state that the thread owns.
pub(super) struct Writer {
    /// Checkpoints the log. Ends before the file is closed.
    log: Checkpointer,
    pub file: StoreFile,
    pub queue: Queue,
    /// New deliveries, cached in memory.
    pub first_attempts: FirstAttempts<i64>,
    pub(super) counters: Counters,
    pub(super) commits: Commits,
    /// The reason why the last transaction failed, if the disk caused it.
    pub(super) failing: Option<String>,
    pub(super) settings: Arc<Live<Settings>>,
    pub(super) sightings: Arc<WaitingSightings>,
    /// Leases whose callers are gone.
    returned: Arc<Mutex<Vec<DeliveryId>>>,
    /// Told when the queue has got more entries.
    pub(super) news: News,
    /// Changes when another program has written to the file.
    data_version: i64,
    /// The files as they were last seen. Declared after the connections, which must be closed
    /// first.
    pub(super) guard: FileGuard,
    /// Set while one of the files is missing, replaced or altered.
    pub(super) displaced: Option<ForeignFile>,
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
        sightings: Arc<WaitingSightings>,
        returned: Arc<Mutex<Vec<DeliveryId>>>,
        news: News,
    ) -> Result<Self, StoreError> {
        let path = file.path.clone();
        let store_error = |error| access::map_error(&path, &error);
        // The operator may have dropped members of a group while no daemon ran.
        let queue = Queue::new();
        groups::admit_all(&mut file.connection, &queue.leases).map_err(store_error)?;
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
            size: used_bytes(&file.connection).map_err(store_error)?,
            file,
            queue,
            first_attempts: FirstAttempts::default(),
            settings,
            sightings,
            returned,
            news,
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

    /// Marks all running attempts, and records that the daemon stops cleanly. A daemon that leased
    /// nothing, for example because it failed to start, leaves the suspicion of the one before.
    fn stop_cleanly(&mut self) {
        if !self.after_clean_stop && !self.queue.leases.turns.has_leased() {
            // Refusals may still wait.
            self.write(Vec::new());
            return;
        }
        if let Err(error) = self.write_now(MarkBegun::AllAtTheEnd) {
            tracing::warn!(%error, "cannot write down that the daemon stops cleanly");
        }
    }

    /// Maps an error of `SQLite` to the caller's error.
    pub fn map_error(&self, error: &rusqlite::Error) -> StoreError {
        access::map_error(&self.file.path, error)
    }

    pub fn counts(&mut self) -> rusqlite::Result<Counts> {
        self.refresh()?;
        let leased = self.queue.leases.turns.leases() as u64;
        let counts = self.counters.counts();
        Ok(Counts {
            waiting: counts.waiting.saturating_sub(leased),
            leased,
            ..counts
        })
    }

    /// Checks that the files are still at their paths, and hold what was written. Nothing is
    /// written or begun while that is not so: an event would be accepted that no restart finds.
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
            self.size = used_bytes(&self.file.connection)?;
            check_space(&self.file.connection, &self.file.path, *self.settings.current())?
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
            if self.write_now(Release(delivery)).is_err() {
                // The next call tries again.
                self.returned.lock().push(delivery);
            }
        }
        let data_version = pragma(&self.file.connection, "PRAGMA data_version")?;
        if data_version != self.data_version {
            groups::admit_all(&mut self.file.connection, &self.queue.leases)?;
            self.counters = Counters::count(&self.file.connection)?;
            self.queue.invalidate();
            self.first_attempts = FirstAttempts::default();
            self.data_version = data_version;
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
