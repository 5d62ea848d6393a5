//! A file to which lines are appended, open and locked.
//!
//! It is opened with `O_APPEND`, so that lines of many writers never mix. Other rules, and other daemons, may append to
//! the same file: whoever writes holds its lock (`flock`), so that two never rotate it at the same time, and none takes
//! back half a line that is no longer at the end. A line that did not fit on the disk is taken back, so that no later
//! line is glued to half of it.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use crate::base::clock::Timestamp;

/// The permissions of a new file.
const MODE: u32 = 0o640;
/// How often it is tried to get the lock: for ten seconds.
const LOCK_TRIES: u32 = 10_000;
/// How long between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(1);
/// How often a file may have been replaced while its lock was waited for.
const REPLACEMENTS: u32 = 100;

/// The file, open and locked.
#[derive(Debug)]
pub(super) struct LockedFile {
    file: File,
    /// How long it is; only ours are counted while it is held.
    pub(super) length: u64,
    /// When it was last written to.
    pub(super) written: Timestamp,
    /// Whether it was empty: its name may not be on the disk yet.
    fresh: bool,
    /// Whether it is a file, rather than a pipe or a device.
    pub(super) regular: bool,
}

impl LockedFile {
    /// Opens the file, or makes it, and locks it. It is that of the path at this moment, for who held it before may
    /// have rotated it. A file system that has no locks matters if `lock_needed`.
    pub(super) fn take(path: &Path, lock_needed: bool) -> io::Result<Self> {
        for _ in 0..REPLACEMENTS {
            let file = open(path)?;
            let opened = file.metadata()?;
            if opened.is_file() {
                match lock(&file) {
                    // A file system without locks: only a rotation cannot do without.
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

    /// Takes over a file that is locked.
    fn new(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            length: metadata.len(),
            written: Timestamp::from_seconds(metadata.mtime()),
            fresh: metadata.len() == 0,
            regular: metadata.is_file(),
            file,
        })
    }

    /// Appends a line.
    pub(super) fn write(&mut self, line: &[u8], now: Timestamp) -> io::Result<usize> {
        let length = write(&mut self.file, line)?;
        self.length = self
            .length
            .saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        self.written = now;
        Ok(length)
    }

    /// Waits until all of it is on the disk; of a new file its name, too.
    pub(super) fn sync(&self, path: &Path) -> io::Result<()> {
        self.file.sync_data()?;
        match path.parent() {
            Some(folder) if self.fresh && self.regular => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // Closing it would do, were there not commands that are just being started and hold it open for a moment.
        drop(self.file.unlock());
    }
}

/// Waits for the lock, for as long as one may.
fn lock(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            other => return other,
        }
    }
    Err(TryLockError::WouldBlock)
}

/// Whether it is this file that is at `path`.
fn is_at(file: &Metadata, path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (file.dev(), file.ino()))
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
            ErrorKind::WriteZero,
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
