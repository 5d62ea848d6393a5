//! The store in a file: `SQLite` with a write-ahead log, synced before every answer.
//!
//! The file can be read with `sqlite3` while the daemon runs. A second daemon is refused. The
//! operator's commands read it (`history.rs`), change deliveries (`operator.rs`) and check, copy
//! and compact it (`maintenance.rs`) from processes of their own. [`SqliteStore`] turns each call
//! into a command for the one thread that owns the connection (`writer.rs`).

mod access;
mod answers;
mod arrivals;
mod backlog;
mod body;
mod checkpoint;
mod columns;
mod consistency;
mod counters;
mod debounce;
mod ending;
mod enqueue;
mod expansion;
mod expectations;
mod export;
mod failures;
mod file;
mod groups;
mod history;
mod intact;
mod interruptions;
mod leases;
mod leasing;
mod listing;
mod lock;
mod maintenance;
mod operator;
mod pauses;
mod problems;
mod queue;
mod queue_key;
mod reading;
mod ring_sizes;
mod rules_file;
mod schema;
mod secrets;
mod settling;
mod sightings;
mod space;
mod sweeping;
#[cfg(test)]
mod tests;
mod transaction;
mod validate;
mod write_op;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use self::answers::MarkAnswer;
use self::arrivals::RecordArrivals;
use self::enqueue::Enqueue;
use self::expansion::Expand;
use self::expectations::NoteExpectations;
pub(super) use self::export::{ColumnKind, ColumnValues, Export};
pub use self::history::History;
use self::interruptions::MarkBegun;
use self::leasing::Offer;
pub(super) use self::maintenance::{back_up, check, vacuum};
pub(super) use self::operator::{drop_deliveries, replay};
use self::pauses::{EndPause, SetPause};
use self::secrets::NoteSecrets;
pub(super) use self::secrets::read as read_secrets;
use self::settling::{Release, Settle};
use self::sweeping::Sweep;
use self::write_op::{Pending, WriteOp, reply};
use self::writer::{COMMAND_CAPACITY, Writer, WriterCommand};
use super::{
    Answer, ArrivalRecord, AttemptRecord, Counts, Delivery, DeliveryId, Enqueued, Expansion, Expectation,
    ExpectationSubject, Health, Interrupted, Leased, NewEvent, News, Pause, PauseSubject, SecretUse,
    Settings, Settled, Sighting, Store, StoreError, Wanted,
};
use crate::base::clock::{Clock, Timestamp};
use crate::base::live::Live;
use crate::event::EventId;
use crate::store::waiting_sightings::WaitingSightings;

/// A store in a file.
#[derive(Debug)]
pub struct SqliteStore {
    /// Dropped with the store, which ends the thread.
    calls: Option<mpsc::Sender<WriterCommand>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    settings: Arc<Live<Settings>>,
    sightings: Arc<WaitingSightings>,
    returned: Arc<Mutex<Vec<DeliveryId>>>,
    /// Setting back the machine's clock must not prolong waits.
    clock: Clock,
    news: News,
}

impl SqliteStore {
    /// Opens the store at `path`, or creates it if the file is missing. Blocks while it checks the
    /// file.
    pub fn open(path: &Path, settings: Settings) -> Result<Self, StoreError> {
        let settings = Arc::new(Live::new(settings));
        let sightings = Arc::new(WaitingSightings::default());
        let (returned, news) = (Arc::default(), News::default());
        let file = file::open(path)?;
        let writer = Writer::new(
            file,
            Arc::clone(&settings),
            Arc::clone(&sightings),
            Arc::clone(&returned),
            news.clone(),
        )?;
        let (calls, commands) = mpsc::channel(COMMAND_CAPACITY);
        let thread = thread::Builder::new()
            .name("hookyard-store".to_owned())
            .spawn(move || writer.run(commands))
            .map_err(|error| StoreError::Unavailable {
                detail: format!("cannot start its thread: {error}"),
            })?;
        Ok(Self {
            calls: Some(calls),
            thread: Mutex::new(Some(thread)),
            settings,
            sightings,
            returned,
            clock: Clock::steady(Clock::system()),
            news,
        })
    }

    /// The attempts that the last daemon did not settle, at most a thousand. Returned once; later
    /// calls get none.
    pub fn interrupted(&self) -> Answer<'_, Vec<Interrupted>> {
        self.read(|writer| Ok(std::mem::take(&mut writer.interrupted)))
    }

    /// Sends a command and waits for its answer.
    async fn call<T>(
        &self,
        command: WriterCommand,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let calls = self.calls.as_ref().ok_or(StoreError::Closed)?;
        if calls.send(command).await.is_err() {
            return Err(StoreError::Closed);
        }
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Sends a change to the writer.
    fn write<C: WriteOp + 'static>(
        &self,
        change: impl FnOnce() -> C + Send + 'static,
    ) -> Answer<'_, C::Output> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let call = Pending::new(change(), reply);
            self.call(WriterCommand::Write(Box::new(call)), answer).await
        })
    }

    /// Runs `read` on the writer's thread, after the writes of its round. Fails if the files cannot
    /// be accessed.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        self.read_unchecked(move |writer| writer.check_readable().and_then(|()| read(writer)))
    }

    /// Like [`Self::read`], also if the files cannot be accessed.
    fn read_unchecked<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let read = move |writer: &mut Writer| reply(answer, read(writer));
            self.call(WriterCommand::Read(Box::new(read)), answered).await
        })
    }

    /// Waits for the thread, which has nothing left to do.
    fn join(&self) {
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's thread has panicked");
        }
    }
}

impl Store for SqliteStore {
    fn enqueue(&self, new_event: NewEvent) -> Answer<'_, Vec<Enqueued>> {
        Box::pin(async move {
            let enqueue = Enqueue::prepared(new_event).await?;
            self.write(move || enqueue).await
        })
    }

    fn expand(&self, expansion: Expansion) -> Answer<'_, Vec<Enqueued>> {
        self.write(move || Expand(expansion))
    }

    fn lease(&self, wanted: Wanted, now: Timestamp) -> Answer<'_, Leased> {
        let returned = Arc::clone(&self.returned);
        let offer = self.read(move |writer| Ok(Offer::new(writer.lease(&wanted, now)?, returned)));
        Box::pin(async move { Ok(offer.await?.accept()) })
    }

    fn settle(&self, settled: Settled) -> Answer<'_, ()> {
        self.write(move || Settle(settled))
    }

    fn begin(&self, delivery: DeliveryId) -> Answer<'_, ()> {
        self.write(move || MarkBegun::This(delivery))
    }

    fn mark_begun(&self, leased_by: Timestamp) -> Answer<'_, ()> {
        self.write(move || MarkBegun::LeasedBy(leased_by))
    }

    fn release(&self, delivery: DeliveryId) -> Answer<'_, ()> {
        self.write(move || Release(delivery))
    }

    fn next_due(&self, wanted: Wanted) -> Answer<'_, Option<Timestamp>> {
        self.read(move |writer| {
            let first = writer.refresh().and_then(|()| writer.first(&wanted));
            let first = first.map_err(|error| writer.map_error(&error))?;
            Ok(first.map(|entry| Timestamp::from_millis(entry.key.due)))
        })
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn news(&self) -> News {
        self.news.clone()
    }

    fn record_arrivals(&self, records: Vec<ArrivalRecord>) -> Answer<'_, ()> {
        self.write(move || RecordArrivals::new(records))
    }

    fn arrival(&self, id: EventId) -> Answer<'_, Option<ArrivalRecord>> {
        self.read(move |writer| arrivals::read(&writer.file.connection, id).map_err(unreadable))
    }

    fn remember_sighting(&self, sighting: Sighting) {
        if self.sightings.add(sighting)
            && let Some(calls) = &self.calls
        {
            // If the command queue is full, the writer finds the sighting before its next
            // transaction.
            drop(calls.try_send(WriterCommand::Wake));
        }
    }

    fn counts(&self) -> Answer<'_, Counts> {
        self.read(|writer| writer.counts().map_err(|error| writer.map_error(&error)))
    }

    fn health(&self) -> Answer<'_, Health> {
        self.read_unchecked(|writer| writer.health().map_err(|error| writer.map_error(&error)))
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, usize> {
        self.write(move || Sweep(now))
    }

    fn deliveries(&self, event: EventId) -> Answer<'_, Vec<Delivery>> {
        self.read(move |writer| {
            let is_leased = |delivery| writer.queue.leases.get(delivery).is_some();
            reading::deliveries(&writer.file.connection, event, is_leased).map_err(unreadable)
        })
    }

    fn attempts(&self, delivery: DeliveryId) -> Answer<'_, Vec<AttemptRecord>> {
        self.read(move |writer| {
            let attempts = reading::attempts(&writer.file.connection, delivery);
            attempts.map_err(|error| writer.map_error(&error))
        })
    }

    fn outputs(&self, delivery: DeliveryId, before: usize) -> Answer<'_, Vec<AttemptRecord>> {
        self.read(move |writer| {
            let outputs = reading::outputs(&writer.file.connection, delivery, before);
            outputs.map_err(|error| writer.map_error(&error))
        })
    }

    fn mark_answer(&self, event: EventId, why: String) -> Answer<'_, ()> {
        self.write(move || MarkAnswer { event, why })
    }

    fn note_secrets(&self, uses: Vec<SecretUse>) -> Answer<'_, ()> {
        self.write(move || NoteSecrets(uses))
    }

    fn secrets(&self) -> Answer<'_, Vec<SecretUse>> {
        self.read(|writer| {
            let listed = secrets::list(&writer.file.connection);
            listed.map_err(|error| writer.map_error(&error))
        })
    }

    fn pause(&self, pause: Pause) -> Answer<'_, bool> {
        self.write(move || SetPause(pause))
    }

    fn resume(&self, subject: PauseSubject) -> Answer<'_, bool> {
        self.write(move || EndPause(subject))
    }

    fn pauses(&self) -> Answer<'_, Vec<Pause>> {
        self.read(|writer| {
            let listed = pauses::list(&writer.file.connection);
            listed.map_err(|error| writer.map_error(&error))
        })
    }

    fn note_expectations(
        &self,
        kept: Vec<Expectation>,
        forgotten: Vec<ExpectationSubject>,
    ) -> Answer<'_, ()> {
        self.write(move || NoteExpectations { kept, forgotten })
    }

    fn expectations(&self) -> Answer<'_, Vec<Expectation>> {
        self.read(|writer| {
            let listed = expectations::list(&writer.file.connection);
            listed.map_err(|error| writer.map_error(&error))
        })
    }

    fn adopt(&self, settings: Settings) {
        self.settings.replace(settings);
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            self.call(WriterCommand::Close(reply), answer).await?;
            // The thread has answered and is about to return, so this wait is short.
            self.join();
            Ok(())
        })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // The thread carries out waiting commands and ends. Waiting for it releases the file before
        // the next open.
        self.calls = None;
        self.join();
    }
}

fn unreadable(columns::Unreadable(detail): columns::Unreadable) -> StoreError {
    StoreError::Unexpected { detail }
}
