//! Reads a file that the rules name: opened once, judged by what was opened, read up to a bound and within a time limit.
//!
//! A read can hang: the server of a network file system is gone, or another program holds a lease. It hangs a thread of its
//! own, and the reader goes on without the file. Until that thread comes back, further reads of the same file fail at once,
//! so that at most one thread hangs for each file, and at most [`MAX_HANGING`] in all.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

/// The longest that a read may take.
pub const READ_LIMIT: Duration = Duration::from_secs(5);
/// Threads that may hang in a read. Beyond that, files are not read any more.
const MAX_HANGING: usize = 32;
/// How long a lease of another program is waited for: longer than the reader waits, and longer than the kernel lets it last.
const LEASE_LIMIT: Duration = Duration::from_mins(1);
/// The pause between two tries to open a file on which another program holds a lease.
const LEASE_PAUSE: Duration = Duration::from_millis(50);

/// What a file holds.
#[derive(Debug)]
pub struct Contents {
    /// All of its bytes. They are wiped when they are not handed on.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Its permissions.
    pub mode: u32,
}

/// Why a file was not read.
#[derive(Debug)]
pub enum ReadError {
    /// The system says so.
    Io(io::Error),
    /// It is a folder, a pipe, a device or a socket.
    NotAFile,
    /// It has this many bytes, which is more than the bound.
    TooLarge(u64),
    /// The read takes longer than [`READ_LIMIT`].
    Slow,
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => error,
            ReadError::NotAFile => Self::other("it is not a file"),
            ReadError::TooLarge(length) => Self::other(format!("it has {length} bytes")),
            ReadError::Slow => Self::from(ErrorKind::TimedOut),
        }
    }
}

/// The words for [`ReadError::Slow`].
pub fn slow(path: &Path) -> String {
    let limit = READ_LIMIT.as_secs();
    format!(
        "reading `{}` takes longer than {limit} s: its file system does not answer, or another program holds it",
        path.display()
    )
}

/// A read that a thread of its own carries out.
type Job = Box<dyn FnOnce() + Send>;
/// Where its result arrives.
type Pending = Receiver<Result<Contents, ReadError>>;

/// A thread that reads, while none is at work. To start one for every file would cost more than most reads.
static IDLE: Mutex<Option<SyncSender<Job>>> = Mutex::new(None);
/// Reads that hang.
static HANGING: Mutex<BTreeMap<PathBuf, Pending>> = Mutex::new(BTreeMap::new());

/// Reads a file of at most `max` bytes.
pub fn read(path: &Path, max: u64) -> Result<Contents, ReadError> {
    let owned = path.to_owned();
    within(READ_LIMIT, path, move || read_now(&owned, max))
}

/// Does `reading`, which concerns `path`, on another thread and waits for it for at most `limit`.
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
        // What came of it is out of date.
        hanging.remove(path);
        if hanging.len() >= MAX_HANGING {
            return Err(ReadError::Slow);
        }
    }
    let (done, pending) = sync_channel(1);
    let job: Job = Box::new(move || {
        // Fails if the reader has gone on without it.
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

/// Has a thread do a job: the idle one, or a new one.
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
            // Ends when nobody has another job for it.
            for job in jobs {
                job();
            }
        })?;
    match thread.send(job) {
        Ok(()) => Ok(thread),
        Err(_) => Err(io::Error::other("the reading thread has ended")),
    }
}

/// Opens the file once and reads what was opened.
fn read_now(path: &Path, max: u64) -> Result<Contents, ReadError> {
    let mut tries = LEASE_LIMIT.as_millis() / LEASE_PAUSE.as_millis();
    let file = loop {
        // Without waiting: a named pipe without a writer would hold the thread for ever.
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(
                (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY)
                    .bits()
                    .cast_signed(),
            )
            .open(path);
        match opened {
            // Another program holds a lease on it, and is being told to give it up.
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
    if !metadata.is_file() {
        return Err(ReadError::NotAFile);
    }
    if metadata.len() > max {
        return Err(ReadError::TooLarge(metadata.len()));
    }
    let expected = usize::try_from(metadata.len()).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected + 1));
    // It may have grown since.
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
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        for path in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
            assert!(
                matches!(read(path, 10), Err(ReadError::NotAFile)),
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn no_more_is_read_than_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "0123456789").unwrap();
        assert_eq!(&**read(&path, 10).unwrap().bytes, b"0123456789");
        assert!(matches!(read(&path, 9), Err(ReadError::TooLarge(10))));
        // Its size is 0, and is not what it holds.
        assert!(matches!(
            read(Path::new("/proc/self/maps"), 10),
            Err(ReadError::TooLarge(11))
        ));
    }

    #[test]
    fn a_read_that_hangs_is_given_up_and_holds_one_thread_until_it_comes_back() {
        let path = Path::new("/hangs");
        let (end, ended) = channel::<()>();
        let hang = move || {
            ended.recv().ok();
            Err(ReadError::NotAFile)
        };
        let limit = Duration::from_millis(50);
        assert!(matches!(within(limit, path, hang), Err(ReadError::Slow)));
        // Not tried again while it hangs; other files are read.
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
