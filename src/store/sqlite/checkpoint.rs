//! Checkpoints of the write-ahead log on a thread of their own. Copying and syncing some megabytes
//! takes as long as a hundred answers, and no answer waits for it.
//!
//! The thread has its own connection and copies the log while the writer goes on writing. The
//! writer copies the small rest that was added in between. With nothing left to copy, `SQLite`
//! restarts the log from its beginning.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

use super::file;
use super::intact::OpenFiles;

/// The checkpoint thread and its state.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// Dropped to end the thread.
    requests: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    running: Arc<AtomicBool>,
    /// True if the thread has copied something since the writer copied the rest.
    has_rest: bool,
}

impl Checkpointer {
    /// Starts the thread. If that fails, the writer copies everything itself. The thread copies
    /// only while `files` are intact.
    pub(super) fn start(path: &Path, files: Arc<OpenFiles>) -> Self {
        let running = Arc::new(AtomicBool::new(false));
        let thread = file::connect_second(path).ok().and_then(|connection| {
            let (requests, requested) = sync_channel(1);
            let done = Arc::clone(&running);
            let named = thread::Builder::new().name("hookyard-log".to_owned());
            let thread = named
                .spawn(move || copy(&connection, &files, &requested, &done))
                .ok()?;
            Some((requests, thread))
        });
        let (requests, thread) = thread.unzip();
        Self {
            requests,
            thread,
            running,
            has_rest: false,
        }
    }

    /// True if a checkpoint is due: at least `pages` pages wait, or a rest. `waiting` is the number
    /// of pages in the log that are not in the database yet.
    pub(super) fn is_due(&self, waiting: i64, pages: i64) -> bool {
        !self.running.load(Ordering::Acquire) && (self.has_rest || waiting >= pages)
    }

    /// Starts a checkpoint that is due.
    pub(super) fn begin(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if std::mem::take(&mut self.has_rest) {
            return checkpoint(connection, "PASSIVE");
        }
        self.running.store(true, Ordering::Release);
        if self
            .requests
            .as_ref()
            .is_some_and(|requests| requests.try_send(()).is_ok())
        {
            self.has_rest = true;
            return Ok(());
        }
        self.running.store(false, Ordering::Release);
        checkpoint(connection, "PASSIVE")
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        // Its connection must be closed before the writer's, because the last one to close removes
        // the log.
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Copies on every order, until the sender is gone.
fn copy(connection: &Connection, files: &OpenFiles, requests: &Receiver<()>, running: &AtomicBool) {
    while requests.recv().is_ok() {
        // The writer reports altered files. Copying such a log would damage the database.
        if files.may_copy()
            && let Err(error) = checkpoint(connection, "PASSIVE")
        {
            // No data is lost: the log still holds it.
            tracing::warn!(%error, "cannot write the store's log back into it");
        }
        running.store(false, Ordering::Release);
    }
}

/// Runs a checkpoint in the mode `how`.
pub(super) fn checkpoint(connection: &Connection, how: &str) -> rusqlite::Result<()> {
    let mut checkpoint = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({how})"))?;
    checkpoint.query_row([], |_| Ok(()))
}

/// Number of pages in the log that are not in the database yet.
pub(super) fn waiting(connection: &Connection) -> rusqlite::Result<i64> {
    let mut sizes = connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
    sizes.query_row([], |row| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?))
}
