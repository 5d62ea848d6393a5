//! The one thread that owns the connection.
//!
//! It takes all calls that wait, writes their changes in one transaction, and answers when the commit is on disk: the
//! cost of a sync is shared by all who wait for it. What only reads comes after the writes of its round, so that
//! whoever was answered sees what was written for him. The log is written back aside: `write_back`.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::change::{Batch, QueuedOp, Reply, reply};
use super::counters::Counters;
use super::file::{self, StoreFile};
use super::fresh::FirstAttempts;
use super::interruptions;
use super::lanes;
use super::lock::{Displaced, Identities};
use super::queue::Queue;
use super::refusals::Refusals;
use super::sightings::{self, Sightings};
use super::sweeping;
use super::write_back::{self, WriteBack};
use crate::base::live::Live;
use crate::base::throttle;
use crate::store::{Counts, DeliveryId, Health, Interrupted, RefusedRequest, Settings, Sighting, StoreError};

/// How many calls wait for the writer at most; who comes later waits to wait.
pub(super) const CALLS: usize = 1024;

/// How many calls are taken in one round.
const ROUND: usize = 256;

/// How many bytes one transaction writes, roughly: one larger call is a transaction of its own.
const TRANSACTION: usize = 16 << 20;

/// How many pages of the log wait to be written back: fewer are written more often, more hold up answers for longer.
const LOG_PAGES: i64 = 2000;

const REFUSED: &str =
    "INSERT INTO refused (at, endpoint, client, reason, headers) VALUES (?1, ?2, ?3, ?4, ?5)";

/// What the writer is asked to do.
pub(super) enum WriterCommand {
    /// To write, and answer after the commit.
    Write(Box<dyn QueuedOp>),
    /// To look, and answer.
    Read(Box<dyn FnOnce(&mut Writer) + Send>),
    /// To see that a refusal waits.
    Wake,
    /// To end when everything before is done.
    Close(Reply<()>),
}

/// What is written beside the calls of a round.
#[derive(Default)]
struct Aside {
    sightings: Vec<Sighting>,
    refusals: Vec<RefusedRequest>,
}

impl Aside {
    /// How many kinds of them there are.
    fn parts(&self) -> usize {
        usize::from(!self.sightings.is_empty()) + usize::from(!self.refusals.is_empty())
    }
}

/// What has been written since the store was opened.
#[derive(Debug, Default)]
struct Commits {
    number: u64,
    calls: u64,
    time: Duration,
}

/// What the thread owns.
pub(super) struct Writer {
    /// Writes the log back; ends before the file is closed.
    log: WriteBack,
    /// The file; gone when it is closed.
    pub file: StoreFile,
    /// The queue.
    pub queue: Queue,
    /// What was taken last, in memory.
    pub fresh: FirstAttempts,
    counters: Counters,
    commits: Commits,
    /// Why the last transaction could not be written, if it was the fault of the disk.
    failing: Option<String>,
    settings: Arc<Live<Settings>>,
    refusals: Arc<Refusals>,
    sightings: Arc<Sightings>,
    /// Leases whose takers have gone away.
    returned: Arc<Mutex<Vec<DeliveryId>>>,
    /// Changes when another program has written to the file.
    data_version: i64,
    /// Which files the store is in.
    identities: Identities,
    /// What has become of them, if anything has.
    displaced: Option<Displaced>,
    /// The attempts that the last daemon did not bring to an end.
    pub interrupted: Vec<Interrupted>,
    /// Whether the last daemon stopped cleanly.
    pub after_clean_stop: bool,
    /// The last row of deliveries that may be what ended the last daemon.
    pub suspect_up_to: i64,
}

impl Writer {
    /// A writer for an open file.
    pub fn new(
        mut file: StoreFile,
        settings: Arc<Live<Settings>>,
        refusals: Arc<Refusals>,
        sightings: Arc<Sightings>,
        returned: Arc<Mutex<Vec<DeliveryId>>>,
    ) -> Result<Self, StoreError> {
        let path = file.path.clone();
        let said = |error| file::meaning(&path, &error);
        // Somebody may have dropped what others waited for while no daemon ran.
        let queue = Queue::new();
        lanes::look_again(&mut file.connection, &queue).map_err(said)?;
        let found = interruptions::recover(&mut file.connection).map_err(said)?;
        Ok(Self {
            interrupted: found.interrupted,
            after_clean_stop: found.after_clean_stop,
            suspect_up_to: found.suspect_up_to,
            log: WriteBack::start(&file.path),
            counters: Counters::count(&file.connection).map_err(said)?,
            commits: Commits::default(),
            failing: None,
            data_version: pragma(&file.connection, "PRAGMA data_version").map_err(said)?,
            identities: file.identities()?,
            displaced: None,
            file,
            queue,
            fresh: FirstAttempts::default(),
            settings,
            refusals,
            sightings,
            returned,
        })
    }

    /// Works until it is told to close, or nobody is left to tell it anything.
    pub fn run(mut self, mut commands: mpsc::Receiver<WriterCommand>) {
        let mut round = Vec::with_capacity(ROUND);
        let mut closing = Vec::new();
        while commands.blocking_recv_many(&mut round, ROUND) > 0 {
            let mut writes = Vec::new();
            let mut reads = Vec::new();
            for command in round.drain(..) {
                match command {
                    WriterCommand::Write(call) => writes.push(call),
                    WriterCommand::Read(read) => reads.push(read),
                    WriterCommand::Wake => {}
                    WriterCommand::Close(reply) => {
                        // What waits is still carried out; nothing more comes in.
                        commands.close();
                        closing.push(reply);
                    }
                }
            }
            self.write(writes);
            for read in reads {
                read(&mut self);
            }
            self.see_to_the_log();
        }
        self.stop_cleanly();
        let displaced = self.in_place().is_err();
        let Self { file, log, .. } = self;
        drop(log);
        if displaced {
            file.leave_the_log();
        } else if let Err(error) = write_back::checkpoint(&file.connection, "TRUNCATE") {
            tracing::warn!(%error, "cannot write the store's log back into it");
        }
        drop(file);
        for closed in closing {
            reply(closed, Ok(()));
        }
    }

    /// What an error of `SQLite` means to the caller.
    pub fn meaning(&self, error: &rusqlite::Error) -> StoreError {
        file::meaning(&self.file.path, error)
    }

    /// How much of everything there is.
    pub fn counts(&mut self) -> rusqlite::Result<Counts> {
        self.look_round()?;
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

    /// Whether the files are where they were opened. What is written goes into those, wherever they are; so nothing is
    /// written or begun while nobody would find it.
    pub fn in_place(&mut self) -> Result<(), StoreError> {
        let displaced = self.identities.displaced();
        let error = displaced.as_ref().map(|displaced| StoreError::Displaced {
            path: self.file.path.clone(),
            detail: displaced.detail().to_owned(),
        });
        if displaced != self.displaced {
            if let Some(error) = &error {
                tracing::error!("{error}");
            } else {
                tracing::info!(store = %self.file.path.display(), "the store is back in its place");
            }
            if matches!(displaced, Some(Displaced::Replaced(_))) {
                self.empty_the_log();
            }
            self.displaced = displaced;
        }
        error.map_or(Ok(()), Err)
    }

    /// Writes our log back into our own file: beside another database, the log would be taken for its log.
    fn empty_the_log(&self) {
        if let Err(error) = write_back::checkpoint(&self.file.connection, "TRUNCATE") {
            tracing::warn!(%error, "cannot write the log of the displaced store back into it");
        }
    }

    /// How the store is.
    pub fn health(&mut self) -> rusqlite::Result<Health> {
        let displaced = self.in_place().err();
        let connection = &self.file.connection;
        let settings = *self.settings.current();
        let full = displaced.map_or_else(
            || full(connection, &self.file.path, settings),
            |error| Ok(Some(error)),
        )?;
        Ok(Health {
            size: used(connection)?,
            full: full.map(|full| full.to_string()).or_else(|| self.failing.clone()),
            commits: self.commits.number,
            calls: self.commits.calls,
            commit_time: self.commits.time,
        })
    }

    /// Takes back leases that nobody got, and notices when another program has written to the file.
    pub fn look_round(&mut self) -> rusqlite::Result<()> {
        let returned = std::mem::take(&mut *super::held(&self.returned));
        for delivery in returned {
            self.release(delivery);
        }
        let data_version = pragma(&self.file.connection, "PRAGMA data_version")?;
        if data_version != self.data_version {
            lanes::look_again(&mut self.file.connection, &self.queue)?;
            self.counters = Counters::count(&self.file.connection)?;
            self.queue.look_again();
            self.fresh = FirstAttempts::default();
            self.data_version = data_version;
        }
        Ok(())
    }

    /// Writes all that waits and answers.
    pub fn write(&mut self, mut calls: Vec<Box<dyn QueuedOp>>) {
        let mut aside = Aside {
            sightings: self.sightings.take(),
            refusals: self.refusals.take(),
        };
        while !calls.is_empty() || aside.parts() > 0 {
            let mut size = 0;
            let fitting = calls.iter().take_while(|call| {
                size += call.size();
                size <= TRANSACTION
            });
            let many = fitting.count().max(1).min(calls.len());
            let rest = calls.split_off(many);
            self.write_together(std::mem::replace(&mut calls, rest), std::mem::take(&mut aside));
        }
    }

    /// Writes in one transaction; if it is the fault of one of them, each in its own.
    fn write_together(&mut self, mut calls: Vec<Box<dyn QueuedOp>>, mut aside: Aside) {
        let error = match self.transact(&mut calls, &mut aside) {
            Ok(()) => {
                for call in calls {
                    call.answer(Ok(()));
                }
                return;
            }
            Err(error) => error,
        };
        if !is_own_fault(&error) || calls.len() + aside.parts() <= 1 {
            self.refusals.drop_also(aside.refusals.len());
            let before = self.failing.is_some() || self.displaced.is_some();
            let displaced = self.in_place().err();
            let meaning = displaced.clone().unwrap_or_else(|| self.meaning(&error));
            let known = before && aside.refusals.is_empty();
            if !is_own_fault(&error) {
                if displaced.is_none() {
                    self.failing = Some(format!("the last write failed: {meaning}"));
                }
                self.sightings.put_back(aside.sightings);
            }
            if calls.is_empty()
                && !known
                // Strangers cause refusals, also while the disk is full.
                && let Some(left_out) = throttle::allow("store")
            {
                let left_out = throttle::some(left_out);
                tracing::warn!(error = %meaning, left_out, "cannot write refusals and ignored events down");
            }
            for call in calls {
                let own = call.meaning(&error).filter(|_| is_own_fault(&error));
                call.answer(Err(own.unwrap_or_else(|| meaning.clone())));
            }
            return;
        }
        let Aside { sightings, refusals } = aside;
        // First, for what is taken is compared with them.
        if !sightings.is_empty() {
            self.write_together(
                Vec::new(),
                Aside {
                    sightings,
                    ..Aside::default()
                },
            );
        }
        for call in calls {
            self.write_together(vec![call], Aside::default());
        }
        if !refusals.is_empty() {
            self.write_together(
                Vec::new(),
                Aside {
                    refusals,
                    ..Aside::default()
                },
            );
        }
    }

    /// Makes the changes in one transaction, and lets memory follow when it is on disk.
    fn transact(&mut self, calls: &mut [Box<dyn QueuedOp>], aside: &mut Aside) -> rusqlite::Result<()> {
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
            quiet_before: self.counters.quiet,
            waiting: Vec::new(),
            fresh: Vec::new(),
            withdrawn: Vec::new(),
            ended: HashSet::new(),
            marked: Vec::new(),
            first_new: None,
        };
        if batch.full.is_some() {
            // Nothing is taken either that could be compared with them.
            self.sightings.put_back(std::mem::take(&mut aside.sightings));
        }
        sightings::write(&mut batch, &aside.sightings)?;
        for call in calls {
            call.apply(&mut batch)?;
        }
        if !aside.refusals.is_empty() {
            write_refusals(&mut batch, &aside.refusals)?;
        }
        let Batch {
            counters,
            waiting,
            fresh,
            withdrawn,
            ended,
            marked,
            first_new,
            ..
        } = batch;
        if let Some(displaced) = self.identities.displaced() {
            let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
            let detail = displaced.detail().to_owned();
            return Err(rusqlite::Error::SqliteFailure(error, Some(detail)));
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
        for waits in waiting {
            self.queue.wait(waits);
        }
        for (seq, fresh) in fresh {
            self.fresh.add(seq, fresh);
        }
        for waits in withdrawn {
            self.queue.forget(&waits);
            drop(self.fresh.take(waits.place.seq));
        }
        Ok(())
    }

    /// Sees to it that the log is written back into the database.
    fn see_to_the_log(&mut self) {
        let connection = &self.file.connection;
        let seen = write_back::waiting(connection)
            .and_then(|waiting| self.log.see_to(connection, waiting, LOG_PAGES));
        if let Err(error) = seen {
            // Nothing is lost: the log has it.
            tracing::warn!(%error, "cannot write the store's log back into it");
        }
    }
}

/// Whether an error is about what was to be written, rather than about the disk.
fn is_own_fault(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        None => true,
        Some(code) => matches!(
            code,
            ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch | ErrorCode::Unknown
        ),
    }
}

/// Why no new event may be written, if the store is as large as it may be, or its disk as full.
fn full(connection: &Connection, path: &Path, settings: Settings) -> rusqlite::Result<Option<StoreError>> {
    let grown = too_large(connection, settings.max_size)?;
    Ok(grown.or_else(|| too_little_free(path, settings.min_free)))
}

/// Whether the disk has less free than is to stay free. It is asked before each transaction: that takes two
/// microseconds, and the sync at its end a hundred times as long.
fn too_little_free(path: &Path, min_free: u64) -> Option<StoreError> {
    if min_free == 0 {
        return None;
    }
    // Where it cannot be told, the write itself will tell.
    let disk = rustix::fs::statvfs(path).ok()?;
    // What is kept back for root is not ours to use, even where we are root.
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

/// How many bytes are in use.
fn used(connection: &Connection) -> rusqlite::Result<u64> {
    let pages = pragma(connection, "PRAGMA page_count")? - pragma(connection, "PRAGMA freelist_count")?;
    let size = pages.saturating_mul(pragma(connection, "PRAGMA page_size")?);
    Ok(u64::try_from(size).unwrap_or(0))
}

/// Writes refusals down, as many of the latest as the ring holds.
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
