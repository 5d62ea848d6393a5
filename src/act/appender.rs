//! Appender of lines to one file: never in parts, by one writer at a time.
//!
//! The file is opened for every batch of lines, so a file that was rotated away or deleted is
//! created again. A batch is one write. If that fails, or if the file may be due for rotation
//! within it, each line is a write of its own. Lines that arrive during a write are written by the
//! same thread afterwards, because a thread for each would cost more than the line. The file may be
//! rotated between any two lines.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::act::locked_file::LockedFile;
use crate::act::rotate::Rotate;
use crate::base::clock::Clock;

/// Appender of lines to one file.
#[derive(Debug)]
pub(super) struct Appender {
    path: PathBuf,
    /// True if a line must be on disk before it counts as appended.
    sync: bool,
    rotate: Option<Rotate>,
    pending: Mutex<PendingLines>,
}

/// Result of a line that was written.
#[derive(Clone, Debug)]
pub(super) struct LineOutcome {
    /// Length in bytes.
    pub(super) length: usize,
    /// Reason why a due rotation failed before the line. A long file is better than a lost line.
    pub(super) not_rotated: Option<String>,
}

/// Lines that wait, at most as many as deliveries run at once.
#[derive(Debug, Default)]
struct PendingLines {
    lines: Vec<QueuedLine>,
    /// True if a thread is writing and will pick up new lines.
    writing: bool,
}

/// Line with the channel for its result.
#[derive(Debug)]
struct QueuedLine {
    bytes: Vec<u8>,
    written: oneshot::Sender<io::Result<LineOutcome>>,
}

impl Appender {
    pub(super) fn rotate(&self) -> Option<Rotate> {
        self.rotate
    }

    pub(super) fn new(path: PathBuf, sync: bool, rotate: Option<Rotate>) -> Self {
        Self {
            path,
            sync,
            rotate,
            pending: Mutex::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line, its line break included.
    pub(super) async fn append(self: &Arc<Self>, bytes: Vec<u8>) -> io::Result<LineOutcome> {
        let (written, answer) = oneshot::channel();
        let starts = {
            let mut pending = self.pending.lock();
            pending.lines.push(QueuedLine { bytes, written });
            !std::mem::replace(&mut pending.writing, true)
        };
        if starts {
            let lines = Arc::clone(self);
            drop(tokio::task::spawn_blocking(move || lines.write_all()));
        }
        answer
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the write was given up")))
    }

    /// Writes lines until none is left.
    fn write_all(&self) {
        loop {
            let lines = {
                let mut pending = self.pending.lock();
                if pending.lines.is_empty() {
                    pending.writing = false;
                    return;
                }
                std::mem::take(&mut pending.lines)
            };
            self.write(lines);
        }
    }

    /// Writes these lines. If the file is due between two of them, rotates it.
    fn write(&self, mut lines: Vec<QueuedLine>) {
        let mut locked = LockedFile::open_locked(&self.path, self.rotate.is_some());
        let mut done = Vec::with_capacity(lines.len());
        let mut not_rotated = None;
        if lines.len() > 1
            && let Ok(file) = &mut locked
        {
            let complete = self.write_together(file, &lines);
            done.extend(lines.drain(..complete).map(|line| {
                let (length, not_rotated) = (line.bytes.len(), None);
                (line, LineOutcome { length, not_rotated })
            }));
        }
        for line in lines {
            let now = Clock::system().now();
            if let (Some(rotate), Ok(file)) = (&self.rotate, &locked)
                && not_rotated.is_none()
                && file.regular
                && rotate.is_due(file.length, file.written, line.bytes.len(), now)
            {
                self.finish(file, &mut done);
                match rotate.perform(&self.path) {
                    Ok(()) => locked = LockedFile::open_locked(&self.path, self.rotate.is_some()),
                    Err(error) => not_rotated = Some(error.to_string()),
                }
            }
            let written = match &mut locked {
                Ok(file) => file.write(&line.bytes, now),
                Err(error) => Err(copied(error)),
            };
            match written {
                Ok(length) => done.push((
                    line,
                    LineOutcome {
                        length,
                        not_rotated: not_rotated.clone(),
                    },
                )),
                Err(error) => line.report(Err(error)),
            }
        }
        if let Ok(file) = &locked {
            self.finish(file, &mut done);
        }
    }

    /// Writes the lines at once if the file is certainly not due for rotation. Returns the number of
    /// lines that were written.
    fn write_together(&self, file: &mut LockedFile, lines: &[QueuedLine]) -> usize {
        let now = Clock::system().now();
        let total = lines.iter().map(|line| line.bytes.len()).sum();
        let is_due = |rotate: Rotate| {
            // An empty file is never due, but it is one no longer after the first line.
            rotate.is_due(file.length.max(1), file.written, total, now)
        };
        if !file.regular || self.rotate.is_some_and(is_due) {
            return 0;
        }
        file.write_many(lines.iter().map(|line| &*line.bytes), now)
    }

    /// Syncs the written lines to disk if required, and reports their results.
    fn finish(&self, locked: &LockedFile, done: &mut Vec<(QueuedLine, LineOutcome)>) {
        let synced = if self.sync && !done.is_empty() {
            locked.sync(&self.path)
        } else {
            Ok(())
        };
        for (line, written) in done.drain(..) {
            line.report(synced.as_ref().map(|()| written).map_err(copied));
        }
    }
}

impl QueuedLine {
    /// Reports the result. A receiver that has gone away is ignored.
    fn report(self, written: io::Result<LineOutcome>) {
        drop(self.written.send(written));
    }
}

/// Copies an error for another line.
fn copied(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
