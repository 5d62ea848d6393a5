//! Bounded reads of files that the rules name. A file is opened once, checked through its
//! descriptor, and read within a size limit and a time limit.
//!
//! A read can hang: the server of a network file system is gone, or another program holds a lease.
//! A dedicated thread hangs then, and the caller continues without the file. Until that thread
//! returns, further reads of the same file fail at once. At most one thread hangs per file, and at
//! most `MAX_HANGING` in all.

use std::collections::BTreeMap;
use std::fs::{Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use zeroize::Zeroizing;

/// Maximum time for a read.
pub const READ_LIMIT: Duration = Duration::from_secs(5);
/// Maximum number of hanging threads. Beyond it, files are not read any more.
const MAX_HANGING: usize = 32;
/// Maximum wait for a lease of another program. Longer than [`READ_LIMIT`], and longer than the
/// kernel lets a lease last.
const LEASE_LIMIT: Duration = Duration::from_mins(1);
/// Pause between two attempts to open a file on which another program holds a lease.
const LEASE_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct Contents {
    /// Zeroized on drop unless they are moved out.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Permission bits.
    pub mode: u32,
}

#[derive(Debug)]
pub enum ReadError {
    Io(io::Error),
    /// Something else than a regular file, in words.
    NotAFile(&'static str),
    /// The size in bytes, which is above the limit.
    TooLarge(u64),
    /// The read takes longer than [`READ_LIMIT`].
    Slow,
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => error,
            ReadError::NotAFile(kind) => Self::other(format!("it is {kind}, not a file")),
            ReadError::TooLarge(length) => Self::other(format!("it has {length} bytes")),
            ReadError::Slow => Self::from(ErrorKind::TimedOut),
        }
    }
}

/// Names what is not a regular file. `None` for a regular file.
pub fn kind_of_no_file(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_fifo() {
        Some("a named pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

/// The flags for opening a path that may lead to anything. Without them, opening a named pipe waits
/// for its other end, and a terminal may become the one of this process.
pub fn never_waiting() -> i32 {
    (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY)
        .bits()
        .cast_signed()
}

/// The error text of [`ReadError::Slow`].
pub fn slow(path: &Path) -> String {
    let limit = READ_LIMIT.as_secs();
    format!(
        "reading `{}` takes longer than {limit} s: its file system does not answer, or another program holds it",
        path.display()
    )
}

/// A read to run on the reading thread.
type Job = Box<dyn FnOnce() + Send>;
/// Receives the result of a read.
type Pending = Receiver<Result<Contents, ReadError>>;

/// An idle reading thread, if there is one. Starting a thread for every file would cost more than
/// most reads.
static IDLE: Mutex<Option<SyncSender<Job>>> = Mutex::new(None);
/// Reads that hang.
static HANGING: Mutex<BTreeMap<PathBuf, Pending>> = Mutex::new(BTreeMap::new());

/// Reads a file of at most `max` bytes.
pub fn read(path: &Path, max: u64) -> Result<Contents, ReadError> {
    let owned = path.to_owned();
    within(READ_LIMIT, path, move || read_now(&owned, max))
}

/// Runs `reading`, which concerns `path`, on another thread and waits for at most `limit`.
fn within(
    limit: Duration,
    path: &Path,
    reading: impl FnOnce() -> Result<Contents, ReadError> + Send + 'static,
) -> Result<Contents, ReadError> {
    {
        let mut hanging = lock(&HANGING);
        if let Some(pending) = hanging.get(path)
            && matches!(pending.try_recv(), Err(TryRecvError::Empty))
        {
            return Err(ReadError::Slow);
        }
        // The earlier read has ended, and its result is out of date.
        hanging.remove(path);
        if hanging.len() >= MAX_HANGING {
            return Err(ReadError::Slow);
        }
    }
    let (done, pending) = sync_channel(1);
    let job: Job = Box::new(move || {
        // Fails if the caller has timed out.
        drop(done.send(reading()));
    });
    let thread = hand_over(job).map_err(ReadError::Io)?;
    match pending.recv_timeout(limit) {
        Ok(read) => {
            *lock(&IDLE) = Some(thread);
            read
        }
        Err(RecvTimeoutError::Timeout) => {
            lock(&HANGING).insert(path.to_owned(), pending);
            Err(ReadError::Slow)
        }
        Err(RecvTimeoutError::Disconnected) => Err(ReadError::Io(io::Error::other("the read was given up"))),
    }
}

/// Sends a read to the idle thread, or to a new one.
fn hand_over(job: Job) -> io::Result<SyncSender<Job>> {
    let idle = lock(&IDLE).take();
    let job = match idle {
        None => job,
        Some(thread) => match thread.send(job) {
            Ok(()) => return Ok(thread),
            Err(unsent) => unsent.0,
        },
    };
    let (thread, jobs) = sync_channel::<Job>(1);
    std::thread::Builder::new()
        .name("read".to_owned())
        .spawn(move || {
            // Ends when the sender is dropped.
            for job in jobs {
                job();
            }
        })?;
    match thread.send(job) {
        Ok(()) => Ok(thread),
        Err(_) => Err(io::Error::other("the reading thread has ended")),
    }
}

/// Opens the file once and reads from that descriptor.
fn read_now(path: &Path, max: u64) -> Result<Contents, ReadError> {
    let mut tries = LEASE_LIMIT.as_millis() / LEASE_PAUSE.as_millis();
    let file = loop {
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(never_waiting())
            .open(path);
        match opened {
            // Another program holds a lease; the kernel is asking for its release.
            Err(error) if error.kind() == ErrorKind::WouldBlock && tries > 0 => {
                tries -= 1;
                std::thread::sleep(LEASE_PAUSE);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ReadError::Slow),
            Err(error) => return Err(ReadError::Io(error)),
            Ok(file) => break file,
        }
    };
    let metadata = file.metadata().map_err(ReadError::Io)?;
    if let Some(kind) = kind_of_no_file(&metadata) {
        return Err(ReadError::NotAFile(kind));
    }
    if metadata.len() > max {
        return Err(ReadError::TooLarge(metadata.len()));
    }
    let expected = usize::try_from(metadata.len()).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected + 1));
    // The file may have grown since `metadata`.
    let mut bounded = file.take(max.saturating_add(1));
    bounded.read_to_end(&mut bytes).map_err(ReadError::Io)?;
    let length = bytes.len() as u64;
    if length > max {
        return Err(ReadError::TooLarge(length));
    }
    Ok(Contents {
        bytes,
        mode: metadata.mode(),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_read_does_not_wait_for_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let socket = folder.path().join("socket");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        for (path, expected) in [
            (pipe.as_path(), "a named pipe"),
            (folder.path(), "a folder"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let Err(ReadError::NotAFile(kind)) = read(path, 10) else {
                panic!("{}", path.display());
            };
            assert_eq!(kind, expected);
        }
        // A socket cannot be opened at all.
        assert!(matches!(read(&socket, 10), Err(ReadError::Io(_))));
    }

    #[test]
    fn no_more_is_read_than_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "0123456789").unwrap();
        assert_eq!(&**read(&path, 10).unwrap().bytes, b"0123456789");
        assert!(matches!(read(&path, 9), Err(ReadError::TooLarge(10))));
        // The reported size is 0, but the file has content.
        assert!(matches!(
            read(Path::new("/proc/self/maps"), 10),
            Err(ReadError::TooLarge(11))
        ));
    }

    #[test]
    fn a_read_that_hangs_is_abandoned_and_keeps_one_thread() {
        let path = Path::new("/hangs");
        let (end, ended) = channel::<()>();
        let hang = move || {
            ended.recv().ok();
            Err(ReadError::NotAFile("a folder"))
        };
        let limit = Duration::from_millis(50);
        assert!(matches!(within(limit, path, hang), Err(ReadError::Slow)));
        // The hanging file is not tried again; other files are read.
        let untried = || -> Result<Contents, ReadError> { panic!("it is tried again") };
        assert!(matches!(within(limit, path, untried), Err(ReadError::Slow)));
        assert!(read(Path::new("Cargo.toml"), 1 << 20).is_ok());
        drop(end);
        let again = || within(READ_LIMIT, path, || Err(ReadError::TooLarge(1)));
        while matches!(again(), Err(ReadError::Slow)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(matches!(again(), Err(ReadError::TooLarge(1))));
    }
}
