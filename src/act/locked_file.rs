//! File for appended lines, open and locked.
//!
//! `O_APPEND` keeps the lines of several writers apart. Other rules and other daemons may append to
//! the same file, so every writer holds its lock (`flock`). Two writers therefore never rotate it
//! at the same time, and half a line is removed only while it is still at the end. A line that does
//! not fit on the disk is removed again, so that no later line is glued to half of it.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, IoSlice, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use crate::base::clock::Timestamp;

/// Permissions of a new file.
const MODE: u32 = 0o640;
/// Maximum attempts to get the lock, about ten seconds in all.
const LOCK_TRIES: u32 = 10_000;
/// Pause between two attempts to get the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(1);
/// Maximum times that the file may be replaced while its lock is waited for.
const REPLACEMENTS: u32 = 100;

/// Maximum lines of one write. The kernel takes no more.
const MAX_SLICES: usize = 1024;

#[derive(Debug)]
pub(super) struct LockedFile {
    file: File,
    /// Length in bytes. While the file is locked, only this writer adds to it.
    pub(super) length: u64,
    /// Time of the last write.
    pub(super) written: Timestamp,
    /// True if the file was empty when it was opened. Its name may not be on disk yet.
    is_new: bool,
    /// True for a regular file, false for a pipe or a device.
    pub(super) regular: bool,
}

impl LockedFile {
    /// Opens or creates the file and locks it. The previous holder may have rotated it, so the
    /// locked file must still be at `path`. A file system without locks is an error only if
    /// `lock_needed`.
    pub(super) fn open_locked(path: &Path, lock_needed: bool) -> io::Result<Self> {
        for _ in 0..REPLACEMENTS {
            let file = open(path)?;
            let opened = file.metadata()?;
            if opened.is_file() {
                match lock(&file) {
                    // A file system without locks. Only a rotation depends on them.
                    Err(TryLockError::Error(_)) if !lock_needed => {}
                    Err(TryLockError::Error(error)) => return Err(error),
                    Err(TryLockError::WouldBlock) => {
                        return Err(io::Error::new(
                            ErrorKind::TimedOut,
                            "another program holds its lock",
                        ));
                    }
                    Ok(()) => {}
                }
                if !is_at(&opened, path) {
                    continue;
                }
            }
            return Self::new(file);
        }
        Err(io::Error::other("it is replaced again and again"))
    }

    /// Wraps an open file, which is locked if it is a regular one.
    fn new(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            length: metadata.len(),
            written: Timestamp::from_seconds(metadata.mtime()),
            is_new: metadata.len() == 0,
            regular: metadata.is_file(),
            file,
        })
    }

    /// Appends a line and returns its length in bytes.
    pub(super) fn write(&mut self, line: &[u8], now: Timestamp) -> io::Result<usize> {
        let length = write(&mut self.file, line)?;
        self.length = self
            .length
            .saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        self.written = now;
        Ok(length)
    }

    /// Appends lines in one write, at most [`MAX_SLICES`]. Returns the number of lines that were
    /// written. The rest of a line that was cut off is removed.
    pub(super) fn write_many<'l>(&mut self, lines: impl Iterator<Item = &'l [u8]>, now: Timestamp) -> usize {
        let slices: Vec<IoSlice<'_>> = lines.take(MAX_SLICES).map(IoSlice::new).collect();
        let Ok(mut left) = self.file.write_vectored(&slices) else {
            return 0;
        };
        let mut complete = 0;
        for slice in &slices {
            if slice.len() > left {
                break;
            }
            left -= slice.len();
            complete += 1;
            let length = u64::try_from(slice.len()).unwrap_or(u64::MAX);
            self.length = self.length.saturating_add(length);
        }
        if left > 0 {
            remove_partial(&mut self.file, left);
        }
        if complete > 0 {
            self.written = now;
        }
        complete
    }

    /// Waits until all data is on disk, and the name of a new file too.
    pub(super) fn sync(&self, path: &Path) -> io::Result<()> {
        self.file.sync_data()?;
        match path.parent() {
            Some(folder) if self.is_new && self.regular => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // Closing is not enough: a command that is being started may hold the file open for a
        // moment.
        drop(self.file.unlock());
    }
}

/// Waits for the lock, at most for `LOCK_TRIES` attempts.
fn lock(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            other => return other,
        }
    }
    Err(TryLockError::WouldBlock)
}

/// True if `path` still names this file.
fn is_at(file: &Metadata, path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == (file.dev(), file.ino()))
}

/// Opens or creates the file for appending.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        // A named pipe without a reader would block the thread forever.
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
}

/// Appends the line in one write.
fn write(file: &mut File, line: &[u8]) -> io::Result<usize> {
    let written = file.write(line)?;
    if written < line.len() {
        remove_partial(file, written);
        return Err(io::Error::new(
            ErrorKind::WriteZero,
            format!("{written} of {} bytes could be written", line.len()),
        ));
    }
    Ok(written)
}

/// Removes half a line if it is still at the end of the file. If that fails, half a line stays. The
/// caller reports the error of the write in both cases.
fn remove_partial(file: &mut File, written: usize) {
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
    fn half_a_line_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        write(&mut open(&path).unwrap(), b"whole\n").unwrap();
        let mut file = open(&path).unwrap();
        assert_eq!(file.write(b"ha").unwrap(), 2);
        remove_partial(&mut file, 2);
        write(&mut open(&path).unwrap(), b"next\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole\nnext\n");
        // Another writer has appended behind it, so it stays.
        assert_eq!(file.write(b"ha").unwrap(), 2);
        write(&mut open(&path).unwrap(), b"other\n").unwrap();
        remove_partial(&mut file, 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole\nnext\nhaother\n");
    }

    #[test]
    fn lines_are_appended_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let now = Timestamp::from_seconds(7);
        let mut file = LockedFile::open_locked(&path, false).unwrap();
        let lines: Vec<Vec<u8>> = (0..MAX_SLICES + 6)
            .map(|number| format!("{number}\n").into_bytes())
            .collect();
        assert_eq!(file.write_many(lines.iter().map(|line| &**line), now), MAX_SLICES);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.as_bytes(), lines[..MAX_SLICES].concat());
        assert_eq!((file.length, file.written), (text.len() as u64, now));
        assert_eq!(file.write_many(std::iter::empty(), now), 0);
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
