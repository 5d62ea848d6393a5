//! The log file, rotated by date and size, with a limit on files and therefore on bytes.
//!
//! The file is `NAME.2026-11-29` (`-HH` for `rotate: hourly`), or `NAME` for `rotate: never`. A
//! full file is renamed to `….1`, `….2` and so on, and a new one is begun. Past `keep` files the
//! oldest are deleted. If another program removes or renames the file, a new one is created under
//! its name, so that no line goes into a deleted file. Something else at that name, such as a named
//! pipe or a folder, is an error: opening it could block the thread, and with it all later lines.
//!
//! One thread writes whole lines in batches, so that no line is split between two files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::base::clock::{Clock, Timestamp};
use crate::base::file;
use crate::rules::{LogFile, LogRotation};

/// Permissions: the group may read, since a log holds client addresses and paths.
const MODE: u32 = 0o640;

/// Number of lines that could not be written.
static LOST: AtomicU64 = AtomicU64::new(0);
/// Reason of the last failed write, while writes fail.
static FAILURE: Mutex<Option<String>> = Mutex::new(None);

/// A writer to the current log file.
#[derive(Debug)]
pub struct RotatingFile {
    settings: LogFile,
    clock: Clock,
    path: PathBuf,
    file: File,
    length: u64,
}

impl RotatingFile {
    /// Opens or creates the current file.
    pub fn open(settings: &LogFile, clock: Clock) -> io::Result<Self> {
        let path = dated(settings, clock.now());
        let file = append(&path)?;
        let length = file.metadata()?.len();
        let opened = Self {
            settings: settings.clone(),
            clock,
            path,
            file,
            length,
        };
        opened.prune();
        Ok(opened)
    }

    /// Ensures that the current file is open and has space for `more` bytes.
    fn make_ready(&mut self, more: usize) -> io::Result<()> {
        let path = dated(&self.settings, self.clock.now());
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let full = self.length > 0 && self.length.saturating_add(more) > self.settings.size;
        if path != self.path || !is_at(&self.file, &self.path) {
            self.reopen(path)
        } else if full {
            let (next, _) = numbered(&path);
            fs::rename(&path, with_number(&path, next))?;
            self.reopen(path)
        } else {
            Ok(())
        }
    }

    fn reopen(&mut self, path: PathBuf) -> io::Result<()> {
        self.file = append(&path)?;
        self.length = self.file.metadata()?.len();
        self.path = path;
        self.prune();
        Ok(())
    }

    /// Appends whole lines. If they do not fit on the disk, a partial line is removed again.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        // If rotation fails, continuing in the old file is better than losing lines.
        let ready = self.make_ready(lines.len());
        if let Err(error) = self.file.write_all(lines) {
            drop(self.file.set_len(self.length));
            return Err(error);
        }
        self.length = self
            .length
            .saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        ready
    }

    /// Removes the oldest files past `keep`, except the current one.
    fn prune(&self) {
        let mut others = others(&self.settings, &self.path);
        others.sort();
        let surplus = (others.len() + 1).saturating_sub(self.settings.keep.max(1));
        for (_, _, path) in others.into_iter().take(surplus) {
            drop(fs::remove_file(path));
        }
    }
}

impl Write for RotatingFile {
    /// Never fails: lines that cannot be written are counted, and [`failure`] tells the reason. The
    /// other destinations of the log get a line when this begins and when it ends.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let written = self.append(lines);
        if written.is_err() {
            let count = memchr::memchr_iter(b'\n', lines).count();
            LOST.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        let path = dated(&self.settings, self.clock.now());
        let path = path.display();
        let failure = written
            .err()
            .map(|error| format!("the log file `{path}` cannot be written: {error}"));
        let before = std::mem::replace(&mut *FAILURE.lock(), failure.clone());
        // Both lines take the usual way through the queues, also the one of this file.
        match (before, failure) {
            (None, Some(failure)) => tracing::error!(lost = lost(), "{failure}"),
            (Some(_), None) => tracing::info!(lost = lost(), "the log file `{path}` is written again"),
            _ => {}
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the number of lines that could not be written since the start.
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Returns the reason why the log file cannot be written, while that lasts.
pub fn failure() -> Option<String> {
    FAILURE.lock().clone()
}

/// Opens or creates a file. Each batch of lines tries again while it fails, since a try never
/// waits.
fn append(path: &Path) -> io::Result<File> {
    // A pipe without a reader cannot be opened for writing, and its error does not tell why.
    let no_file = |metadata: fs::Metadata| match file::kind_of_no_file(&metadata) {
        Some(kind) => Err(io::Error::other(format!("it is {kind}, not a file"))),
        None => Ok(()),
    };
    if let Ok(there) = fs::metadata(path) {
        no_file(there)?;
    }
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        .custom_flags(file::never_waiting())
        .open(path)?;
    no_file(opened.metadata()?)?;
    Ok(opened)
}

/// True if `path` still names this file.
fn is_at(file: &File, path: &Path) -> bool {
    let same =
        |file: fs::Metadata, there: fs::Metadata| (file.dev(), file.ino()) == (there.dev(), there.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(there)) => same(file, there),
        _ => false,
    }
}

/// Returns the name of the file at a moment.
fn dated(settings: &LogFile, now: Timestamp) -> PathBuf {
    let moment = now.to_string();
    let length = match settings.rotate {
        LogRotation::Hourly => "2026-11-29T21".len(),
        LogRotation::Daily => "2026-11-29".len(),
        LogRotation::Never => return settings.path.clone(),
    };
    let date = moment.get(..length).unwrap_or(&moment).replace('T', "-");
    with_suffix(&settings.path, &date)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn with_number(path: &Path, number: u64) -> PathBuf {
    with_suffix(path, &number.to_string())
}

/// Returns the next free number of a file, and the numbers in use.
fn numbered(path: &Path) -> (u64, Vec<u64>) {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let numbers: Vec<u64> = siblings(path)
        .filter_map(|sibling| sibling.strip_prefix(name)?.strip_prefix('.')?.parse().ok())
        .collect();
    (numbers.iter().max().map_or(1, |last| last + 1), numbers)
}

/// Lists the names in the folder of a file.
fn siblings(path: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder(path)).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Lists the other files of this log, each with its last change and its number.
fn others(settings: &LogFile, current: &Path) -> Vec<(SystemTime, u64, PathBuf)> {
    let name = settings
        .path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let is_ours = |sibling: &String| {
        let rest = sibling.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        rest.is_some_and(is_log_suffix)
    };
    siblings(&settings.path)
        .filter(is_ours)
        .map(|sibling| settings.path.with_file_name(sibling))
        .filter(|path| path != current)
        .filter_map(|path| {
            let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
            let number = path.extension().and_then(|number| number.to_str()?.parse().ok());
            Some((metadata.modified().ok()?, number.unwrap_or(u64::MAX), path))
        })
        .collect()
}

/// True if the rest of a log file's name is a date, a number, or both.
fn is_log_suffix(rest: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let date = |text: &str| text.len() >= "2026-11-29".len() && text.split('-').all(digits);
    match rest.split_once('.') {
        None => digits(rest) || date(rest),
        Some((day, number)) => date(day) && digits(number),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn settings(folder: &Path, rotate: LogRotation, size: u64, keep: usize) -> LogFile {
        LogFile {
            path: folder.join("h.log"),
            rotate,
            size,
            keep,
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = siblings(&folder.join("x")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_log_never_takes_more_than_its_size_times_the_files_it_keeps() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), LogRotation::Never, 100, 3);
        let mut log = RotatingFile::open(&settings, Clock::system()).unwrap();
        for number in 0..100 {
            log.write_all(format!("line {number:024}\n").as_bytes()).unwrap();
            let all: u64 = names(folder.path())
                .iter()
                .map(|name| fs::metadata(folder.path().join(name)).unwrap().len())
                .sum();
            assert!(all <= 300, "{all}");
        }
        // 30 bytes per line, three lines per file: the last file has one.
        assert_eq!(names(folder.path()), ["h.log", "h.log.32", "h.log.33"]);
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(text("h.log"), format!("line {:024}\n", 99));
        assert!(text("h.log.33").ends_with(&format!("line {:024}\n", 98)));
    }

    #[test]
    fn files_of_other_names_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "h.log.gz",
            "h.log.old",
            "h.logs",
            "h.log.2026-11-29.gz",
            "h.log.1-x",
            "other",
        ] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let settings = settings(folder.path(), LogRotation::Daily, 10, 1);
        let mut log = RotatingFile::open(&settings, Clock::system()).unwrap();
        for _ in 0..5 {
            log.write_all(b"0123456\n").unwrap();
        }
        assert_eq!(names(folder.path()).len(), 7, "{:?}", names(folder.path()));
    }

    #[test]
    fn a_file_that_is_removed_or_renamed_is_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), LogRotation::Never, 1000, 3);
        let mut log = RotatingFile::open(&settings, Clock::system()).unwrap();
        log.write_all(b"one\n").unwrap();
        fs::remove_file(&settings.path).unwrap();
        log.write_all(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&settings.path).unwrap(), "two\n");
        let aside = folder.path().join("aside");
        fs::rename(&settings.path, &aside).unwrap();
        log.write_all(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&settings.path).unwrap(), "three\n");
        assert_eq!(fs::read_to_string(&aside).unwrap(), "two\n");
        let mode = fs::metadata(&settings.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !MODE, 0, "{mode:o}");
    }

    #[test]
    fn a_name_has_the_date_that_its_period_needs() {
        let now = Timestamp::from_seconds(1_795_990_000);
        let name = |rotate| {
            let settings = settings(Path::new("/l"), rotate, 1, 1);
            dated(&settings, now).display().to_string()
        };
        assert_eq!(name(LogRotation::Never), "/l/h.log");
        assert_eq!(name(LogRotation::Daily), "/l/h.log.2026-11-29");
        assert_eq!(name(LogRotation::Hourly), "/l/h.log.2026-11-29-22");
    }

    #[test]
    fn lost_lines_are_counted_and_the_failure_is_known_while_it_lasts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.log");
        let settings = settings(folder.path(), LogRotation::Never, 1000, 3);
        let mut log = RotatingFile::open(&settings, Clock::system()).unwrap();
        let away = || fs::rename(&path, folder.path().join("away")).unwrap();
        let pipe = || {
            let made = std::process::Command::new("mkfifo").arg(&path).status();
            assert!(made.unwrap().success());
        };
        let socket = || drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let device = || std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let made: [(&str, &dyn Fn()); 4] = [
            ("a named pipe", &pipe),
            ("a folder", &|| fs::create_dir(&path).unwrap()),
            ("a socket", &socket),
            ("a device", &device),
        ];
        for (kind, make) in made {
            away();
            make();
            let before = lost();
            log.write_all(b"one\ntwo\n").unwrap();
            assert_eq!(lost() - before, 2, "{kind}");
            let told = failure().unwrap();
            assert!(
                told.ends_with(&format!("h.log` cannot be written: it is {kind}, not a file")),
                "{told}"
            );
            // The same at the start, which then fails.
            let error = RotatingFile::open(&settings, Clock::system()).unwrap_err();
            assert!(error.to_string().contains(kind), "{error}");
            fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
            log.write_all(b"three\n").unwrap();
            assert_eq!(failure(), None);
            assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        }
    }
}
