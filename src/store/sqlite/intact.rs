//! The files of an open store: checked before each write, each lease and each checkpoint.
//!
//! `SQLite` trusts its files once it has opened them. If another program removes, replaces,
//! truncates or overwrites them, events would be answered as accepted, although no file keeps them.
//! The checks use what is known for certain and costs no more than a few system calls:
//!
//! - The paths lead to the opened files.
//! - The index (`-shm`) never shrinks, and its header never goes back to an older state. `SQLite`
//!   maps it into memory, so that access past a new end would kill the process (SIGBUS).
//! - The log (`-wal`) holds all frames that the index counts. Its header and its last frame carry
//!   the salts and the checksum of the index.
//! - The database changes by checkpoints only, and the index tells whether one has run.
//!
//! Formats: <https://www.sqlite.org/walformat.html>, <https://www.sqlite.org/fileformat2.html>.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::access::{beside, identity};

/// Size of the first part of the index, in bytes. The index grows in parts of this size.
const INDEX_PART: u64 = 32 << 10;
/// Size of the log's header, in bytes.
const LOG_HEADER: usize = 32;
/// Size of the header of each frame in the log, in bytes.
const FRAME_HEADER: usize = 24;
/// Size of the database's header, in bytes.
const DATABASE_HEADER: usize = 100;

/// Further looks before a changed file counts as altered. Another process may be writing the header
/// of the index at this moment.
const LOOKS: u32 = 5;
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// The condition of the files of an open store that another program has touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ForeignFile {
    /// A file is missing or cannot be read.
    Missing(String),
    /// Another file is at the path.
    Replaced(String),
    /// The file is the same, but was truncated or overwritten.
    Altered(String),
}

/// A file of the store, kept open. Closing it would release the locks of `SQLite`, so it must
/// outlive the connections.
#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    identity: (u64, u64),
    file: File,
    /// Advice if the file was altered.
    advice: &'static str,
}

impl OpenFile {
    fn new(path: PathBuf, file: File, advice: &'static str) -> io::Result<Self> {
        let identity = identity(&file.metadata()?);
        Ok(Self {
            path,
            identity,
            file,
            advice,
        })
    }

    /// Size of the file, if it is still at its path.
    fn size(&self) -> Result<u64, ForeignFile> {
        let shown = self.path.display();
        match fs::metadata(&self.path) {
            Ok(there) if identity(&there) == self.identity => Ok(there.len()),
            Ok(_) => Err(ForeignFile::Replaced(format!("another file is at `{shown}`"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ForeignFile::Missing(format!("`{shown}` was removed")))
            }
            Err(error) => Err(ForeignFile::Missing(format!(
                "`{shown}` cannot be looked at: {error}"
            ))),
        }
    }

    /// Reads a part of the file.
    fn read<const N: usize>(&self, at: u64) -> Result<[u8; N], ForeignFile> {
        let mut bytes = [0; N];
        match self.file.read_exact_at(&mut bytes, at) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.truncated()),
            Err(error) => Err(ForeignFile::Missing(format!(
                "`{}` cannot be read: {error}",
                self.path.display()
            ))),
        }
    }

    fn truncated(&self) -> ForeignFile {
        self.altered("truncated")
    }

    fn overwritten(&self) -> ForeignFile {
        self.altered("overwritten")
    }

    fn altered(&self, how: &str) -> ForeignFile {
        ForeignFile::Altered(format!(
            "`{}` was {how} by another program; {}",
            self.path.display(),
            self.advice
        ))
    }
}

/// The header of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IndexHeader {
    /// Number of the last transaction.
    change: u32,
    page_size: u64,
    /// Number of frames in the log.
    frames: u32,
    /// Checksum of the last frame, as it stands in that frame.
    checksum: [u8; 8],
    /// Changed with each restart of the log.
    salts: [u8; 8],
    /// Number of frames that are in the database, and number of those that a checkpoint has begun
    /// to copy.
    copied: [u32; 2],
}

impl IndexHeader {
    /// Size of both copies of the header and of the checkpoint's state.
    const SIZE: usize = 136;

    /// Reads the header. Returns `None` if it is not complete.
    fn parse(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let (one, other) = (bytes.get(..48)?, bytes.get(48..96)?);
        let initialized = *bytes.get(12)? != 0;
        if one != other || !initialized {
            return None;
        }
        let size = u64::from(u16::from_ne_bytes(bytes.get(14..16)?.try_into().ok()?));
        let [first, second] = [number(24)?.to_be_bytes(), number(28)?.to_be_bytes()];
        let mut checksum = [0; 8];
        checksum.get_mut(..4)?.copy_from_slice(&first);
        checksum.get_mut(4..)?.copy_from_slice(&second);
        Some(Self {
            change: number(8)?,
            // 64 KiB does not fit, and is stored as 1.
            page_size: (size & 0xfe00) + ((size & 1) << 16),
            frames: number(16)?,
            checksum,
            salts: bytes.get(32..40)?.try_into().ok()?,
            copied: [number(96)?, number(128)?],
        })
    }

    /// True if this state can come after `earlier`. Numbers of transactions wrap around.
    fn follows(&self, earlier: &Self) -> bool {
        let later = self.change.wrapping_sub(earlier.change) < 1 << 31;
        later && (self.salts != earlier.salts || self.frames >= earlier.frames)
    }

    /// Position of the last frame in the log, and the size of the log up to its end.
    fn last_frame(&self) -> (u64, u64) {
        let frame = self.page_size + FRAME_HEADER as u64;
        let end = LOG_HEADER as u64 + u64::from(self.frames) * frame;
        (end.saturating_sub(frame), end)
    }

    /// Identifies the last checkpoint. `None` while one is running.
    fn checkpoint(&self) -> Option<([u8; 8], u32)> {
        let [copied, begun] = self.copied;
        (copied == begun).then_some((self.salts, copied))
    }
}

/// The files of an open store.
#[derive(Debug)]
pub(super) struct OpenFiles {
    database: OpenFile,
    log: OpenFile,
    index: OpenFile,
}

impl OpenFiles {
    /// Opens log and index of the database that `lock` is on. `SQLite` has opened all of them.
    pub fn of(path: &Path, lock: &File) -> io::Result<Self> {
        let beside = |suffix, advice| {
            let path = beside(path, suffix);
            let file = File::open(&path)?;
            OpenFile::new(path, file, advice)
        };
        Ok(Self {
            database: OpenFile::new(
                path.to_path_buf(),
                lock.try_clone()?,
                "stop hookyard, move the three files of the store away and put a backup in place of the database",
            )?,
            log: beside(
                "-wal",
                "events that were in it only are lost; restart hookyard to go on with those in the database",
            )?,
            index: beside("-shm", "nothing is lost; restart hookyard, which makes it again")?,
        })
    }

    /// True if the index is at least `size` bytes long, so that access to it does not kill the
    /// process.
    fn is_mapped(&self, size: u64) -> bool {
        self.index.file.metadata().is_ok_and(|index| index.len() >= size)
    }

    /// Reads the header of the index.
    fn header(&self) -> Result<IndexHeader, ForeignFile> {
        IndexHeader::parse(&self.index.read(0)?).ok_or_else(|| self.index.overwritten())
    }

    /// Checks that the log of `size` bytes holds what the index says.
    fn check_log(&self, size: u64, header: &IndexHeader) -> Result<(), ForeignFile> {
        if header.frames == 0 {
            return Ok(());
        }
        let (last, end) = header.last_frame();
        if size < end {
            return Err(self.log.truncated());
        }
        let head: [u8; LOG_HEADER] = self.log.read(0)?;
        let frame: [u8; FRAME_HEADER] = self.log.read(last)?;
        let same = head.get(16..24) == Some(&header.salts)
            && frame.get(8..16) == Some(&header.salts)
            && frame.get(16..24) == Some(&header.checksum);
        if same { Ok(()) } else { Err(self.log.overwritten()) }
    }

    /// True if a checkpoint may copy the log, as far as a single look tells.
    pub fn may_copy(&self) -> bool {
        let look = || {
            self.database.size()?;
            let (log, index) = (self.log.size()?, self.index.size()?);
            if index < INDEX_PART {
                return Err(self.index.truncated());
            }
            self.check_log(log, &self.header()?)
        };
        look().is_ok()
    }
}

/// The database after a checkpoint.
#[derive(Debug)]
struct Checkpointed {
    checkpoint: ([u8; 8], u32),
    size: u64,
    header: [u8; DATABASE_HEADER],
}

/// The files with what the last look found.
#[derive(Debug)]
pub(super) struct FileGuard {
    files: Arc<OpenFiles>,
    /// Size of the index, in bytes. `SQLite` never shrinks it.
    index: u64,
    last: Option<IndexHeader>,
    database: Option<Checkpointed>,
}

impl FileGuard {
    pub fn new(files: OpenFiles) -> Self {
        let mut guard = Self {
            files: Arc::new(files),
            index: INDEX_PART,
            last: None,
            database: None,
        };
        // The next look reports an error.
        guard.look().ok();
        guard
    }

    /// The files, for the checkpoint thread.
    pub fn files(&self) -> Arc<OpenFiles> {
        Arc::clone(&self.files)
    }

    /// True if `SQLite` can use the connection at all: access to a truncated index kills the
    /// process.
    pub fn is_usable(&self) -> bool {
        self.files.is_mapped(self.index)
    }

    /// Returns the condition of the files if another program has touched them. Needs about five
    /// microseconds. `known` is the condition found before.
    pub fn foreign(&mut self, known: Option<&ForeignFile>) -> Option<ForeignFile> {
        let mut found = self.look().err()?;
        let looks = if known == Some(&found) { 0 } else { LOOKS };
        for _ in 0..looks {
            if !matches!(found, ForeignFile::Altered(_)) {
                break;
            }
            std::thread::sleep(PAUSE);
            found = self.look().err()?;
        }
        Some(found)
    }

    fn look(&mut self) -> Result<(), ForeignFile> {
        let files = &self.files;
        // Sizes come first: a file is written before the header of the index says so.
        let database = files.database.size()?;
        let log = files.log.size()?;
        let index = files.index.size()?;
        if index < self.index {
            return Err(files.index.truncated());
        }
        let header = files.header()?;
        if self.last.is_some_and(|last| !header.follows(&last)) {
            return Err(files.index.overwritten());
        }
        files.check_log(log, &header)?;
        self.check_database(database, &header)?;
        self.index = index;
        self.last = Some(header);
        Ok(())
    }

    /// Checks that the database of `size` bytes is the one that the last checkpoint left.
    fn check_database(&mut self, size: u64, before: &IndexHeader) -> Result<(), ForeignFile> {
        let files = &self.files;
        let header: [u8; DATABASE_HEADER] = files.database.read(0)?;
        let Some(checkpoint) = before.checkpoint() else {
            return Ok(());
        };
        let is_same =
            || -> Result<bool, ForeignFile> { Ok(files.header()?.checkpoint() == Some(checkpoint)) };
        match &self.database {
            Some(known) if known.checkpoint == checkpoint => {
                if size == known.size && header == known.header {
                    return Ok(());
                }
                // A checkpoint may have begun after the header of the index was read.
                if !is_same()? {
                    return Ok(());
                }
                Err(if size < known.size {
                    files.database.truncated()
                } else {
                    files.database.overwritten()
                })
            }
            _ => {
                // Read again, because a checkpoint may have ended after `size` was read.
                let size = files.database.size()?;
                if is_same()? {
                    self.database = Some(Checkpointed {
                        checkpoint,
                        size,
                        header,
                    });
                }
                Ok(())
            }
        }
    }
}
