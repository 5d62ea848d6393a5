//! Ownership of the store's file: locked against other daemons.
//!
//! The lock (`flock`) is on the database itself, so no second file can be removed by mistake.
//! `SQLite` locks by `fcntl`, which `flock` does not affect. Closing any descriptor of the database
//! would release `SQLite`'s locks. The descriptor of the lock therefore stays open until the
//! connection is closed.

use std::fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use super::access::{identity, open_now, unopenable};
use crate::store::StoreError;

/// Maximum tries for a lock that another process holds, one second in all. A child that a killed
/// daemon was just starting holds the lock until it executes its program.
pub(super) const LOCK_TRIES: u32 = 100;

/// Pause between two tries.
pub(super) const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Locks the database at `path`. Returns `None` if the file is missing.
pub(super) fn lock(path: &Path) -> Result<Option<File>, StoreError> {
    let in_use = |file: &File| StoreError::InUse {
        path: path.to_path_buf(),
        by: file.metadata().ok().and_then(|file| holder(&file, path)),
    };
    for left in (0..LOCK_TRIES).rev() {
        let file = match open_now(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unopenable(path, &error)),
        };
        match file.try_lock() {
            Ok(()) if is_at(&file, path) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if left == 0 => return Err(in_use(&file)),
            // Either the lock is held, or the file was replaced between opening and locking it.
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(unopenable(path, &error)),
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Err(StoreError::Unavailable {
        detail: format!("`{}` is replaced again and again", path.display()),
    })
}

/// Locks an empty file at `draft`, created if it is missing. Returns `None` if another process
/// builds a store in it.
pub(super) fn lock_draft(draft: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(draft)?;
    match file.try_lock() {
        Ok(()) if is_at(&file, draft) => {}
        Ok(()) | Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Remains of an earlier attempt that crashed.
    file.set_len(0)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(Some(file))
}

/// True if the path still leads to the open file.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(file), Ok(at_path)) = (file.metadata(), fs::metadata(path)) else {
        return false;
    };
    identity(&file) == identity(&at_path)
}

/// True if a daemon uses the store at `path`, as far as the kernel tells. The lock is not touched.
pub(super) fn is_held(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| holder(&file, path).is_some())
}

/// The process that holds the lock of a file, as far as the kernel tells.
fn holder(file: &Metadata, path: &Path) -> Option<u32> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let holders = locks.lines().filter_map(|line| flock_on(line, file.ino()));
    let device = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
    // Some filesystems show another device there. In that case the process must have the file open.
    let mut known = holders.filter(|(found, process)| *found == device || has_open(*process, path));
    known.next().map(|(_, process)| process)
}

/// Device and process of a line of `/proc/locks` that is an exclusive `flock` on this inode.
/// Example: `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`.
fn flock_on(line: &str, inode: u64) -> Option<((u32, u32), u32)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let ["FLOCK", _, "WRITE", process, file] = [
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    ] else {
        return None;
    };
    let mut parts = file.split(':');
    let major = u32::from_str_radix(parts.next()?, 16).ok()?;
    let minor = u32::from_str_radix(parts.next()?, 16).ok()?;
    let found: u64 = parts.next()?.parse().ok()?;
    // 0 stands for a process of another namespace.
    let process = process.parse().ok().filter(|process| *process != 0)?;
    (found == inode).then_some(((major, minor), process))
}

/// True if a process has a file open, as far as this process may see.
fn has_open(process: u32, path: &Path) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd"));
    let mut descriptors = descriptors.into_iter().flatten().flatten();
    descriptors.any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|target| target == path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_locks_tells_the_process_or_nothing() {
        for (line, found) in [
            (
                "1: FLOCK  ADVISORY  WRITE 1234 fe:0a:5678 0 EOF",
                Some(((254, 10), 1234)),
            ),
            ("1: FLOCK  ADVISORY  WRITE 0 fe:0a:5678 0 EOF", None),
            ("1: FLOCK  ADVISORY  WRITE -1 fe:0a:5678 0 EOF", None),
            ("1: FLOCK  ADVISORY  READ 1234 fe:0a:5678 0 EOF", None),
            ("1: FLOCK  ADVISORY  WRITE 1234 fe:0a:567 0 EOF", None),
            ("1: POSIX  ADVISORY  WRITE 1234 fe:0a:5678 0 EOF", None),
            ("1: -> FLOCK  ADVISORY  WRITE 1234 fe:0a:5678 0 EOF", None),
            ("1: FLOCK  ADVISORY  WRITE 1234 <none>:0 0 EOF", None),
            ("1: FLOCK", None),
            ("", None),
        ] {
            assert_eq!(flock_on(line, 5678), found, "{line}");
        }
    }
}
