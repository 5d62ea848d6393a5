//! Lines of one file: each in one `write`, by one thread at a time.
//!
//! The file is opened with `O_APPEND`, so that lines of many writers never mix, and anew whenever lines come: one that
//! was rotated away or deleted comes back. Lines that come while others are being written are written by the same
//! thread after them; a thread for each would cost more than the line. A line that did not fit on the disk is taken
//! back, so that no later line is glued to half of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The permissions of a new file.
const MODE: u32 = 0o640;

/// A file to which lines are appended.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    /// Whether a line is on the disk before it counts as appended.
    sync: bool,
    waiting: Mutex<Waiting>,
}

/// Lines that wait, no more of them than deliveries run at once.
#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<Line>,
    /// Whether a thread is at work and will see to them.
    writing: bool,
}

/// A line, and whom to tell what became of it.
#[derive(Debug)]
struct Line {
    bytes: Vec<u8>,
    written: oneshot::Sender<io::Result<usize>>,
}

impl Lines {
    /// The lines of the file at `path`.
    pub(super) fn new(path: PathBuf, sync: bool) -> Self {
        Self {
            path,
            sync,
            waiting: Mutex::default(),
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line, its line break included; how many bytes were written.
    pub(super) async fn append(self: &Arc<Self>, bytes: Vec<u8>) -> io::Result<usize> {
        let (written, answer) = oneshot::channel();
        let begin = {
            let mut waiting = self.waiting();
            waiting.lines.push(Line { bytes, written });
            !std::mem::replace(&mut waiting.writing, true)
        };
        if begin {
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
                let mut waiting = self.waiting();
                if waiting.lines.is_empty() {
                    waiting.writing = false;
                    return;
                }
                std::mem::take(&mut waiting.lines)
            };
            match open(&self.path) {
                Ok(mut file) => self.write(&mut file, lines),
                Err(error) => lines.into_iter().for_each(|line| line.tell(Err(again(&error)))),
            }
        }
    }

    /// Writes these lines.
    fn write(&self, file: &mut File, lines: Vec<Line>) {
        let mut done = Vec::with_capacity(lines.len());
        for line in lines {
            match write(file, &line.bytes) {
                Ok(length) => done.push((line, length)),
                Err(error) => line.tell(Err(error)),
            }
        }
        let synced = if self.sync { file.sync_data() } else { Ok(()) };
        for (line, length) in done {
            line.tell(synced.as_ref().map(|()| length).map_err(again));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Tells whoever waits; who has gone away is not told.
    fn tell(self, written: io::Result<usize>) {
        drop(self.written.send(written));
    }
}

/// The same error for another line.
fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// Opens the file, or makes it.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        // A named pipe that nobody reads would hold the thread for ever.
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
}

/// Appends the line, in one write.
fn write(file: &mut File, line: &[u8]) -> io::Result<usize> {
    let written = file.write(line)?;
    if written < line.len() {
        take_back(file, written);
        return Err(io::Error::new(
            io::ErrorKind::WriteZero,
            format!("{written} of {} bytes could be written", line.len()),
        ));
    }
    Ok(written)
}

/// Takes half a line back, if it is still the end of the file. If it cannot be, the error of the write is told all
/// the same, and half a line stays.
fn take_back(file: &mut File, written: usize) {
    let written = u64::try_from(written).unwrap_or(u64::MAX);
    let (Ok(end), Ok(metadata)) = (file.stream_position(), file.metadata()) else {
        return;
    };
    if metadata.is_file()
        && metadata.len() == end
        && let Some(start) = end.checked_sub(written)
    {
        drop(file.set_len(start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        write(&mut open(&path).unwrap(), b"whole\n").unwrap();
        let mut file = open(&path).unwrap();
        assert_eq!(file.write(b"ha").unwrap(), 2);
        take_back(&mut file, 2);
        write(&mut open(&path).unwrap(), b"next\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole\nnext\n");
        // Somebody else has written behind it: it stays.
        assert_eq!(file.write(b"ha").unwrap(), 2);
        write(&mut open(&path).unwrap(), b"other\n").unwrap();
        take_back(&mut file, 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole\nnext\nhaother\n");
    }

    #[test]
    fn a_full_disk_and_a_pipe_without_reader_are_errors() {
        assert!(write(&mut open(Path::new("/dev/full")).unwrap(), b"x\n").is_err());
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(open(&pipe).is_err());
    }
}
