//! Watches over a set of files, by inotify.
//!
//! Folders are watched for names that appear, vanish or are replaced: an editor, `mv`, git or a
//! `ConfigMap` replaces the watched file by another one. Writes are watched on the file itself. So
//! a write to any other file of the folder, such as the database or a log, causes no wake-up.
//!
//! Watched for a path: the file, its name in its folder, every symbolic link on the way, and the
//! first missing name if the path ends early.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use parking_lot::Mutex;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

/// Maximum symbolic links that are followed. The kernel has the same limit.
const MAX_LINKS: usize = 40;
/// Size of the buffer for inotify events, in bytes.
const BUFFER: usize = 4096;

/// Watched changes of a folder: its names, and the folder itself.
const OF_FOLDER: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);
/// Watched changes of a file: its content and permissions, and the file itself.
const OF_FILE: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

#[derive(Debug)]
pub struct Watches {
    inotify: AsyncFd<OwnedFd>,
    /// Relevant names of each watched folder, by watch descriptor. Empty for a watched file.
    known: Mutex<HashMap<i32, BTreeSet<OsString>>>,
}

/// A folder and the relevant name in it, or a file.
type Spot = (PathBuf, Option<OsString>);

impl Watches {
    #[expect(
        deprecated,
        reason = "its successor is unsafe for the sake of types that close their descriptor early, which `OwnedFd` does not"
    )]
    pub fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self {
            inotify: AsyncFd::new(inotify)?,
            known: Mutex::default(),
        })
    }

    /// Watches these files from now on, and no others. Blocks on file access, so call it outside
    /// async workers.
    pub fn watch(&self, files: &BTreeSet<PathBuf>) {
        let mut now: HashMap<i32, BTreeSet<OsString>> = HashMap::new();
        for (path, name) in files.iter().flat_map(|file| spots(file)) {
            let flags = if name.is_some() { OF_FOLDER } else { OF_FILE };
            // inotify returns the same watch for a folder reached by another path.
            if let Ok(watch) = inotify::add_watch(&self.inotify, &path, flags) {
                now.entry(watch).or_default().extend(name);
            }
        }
        let mut known = self.known.lock();
        let before = std::mem::replace(&mut *known, now);
        for watch in before.keys().filter(|watch| !known.contains_key(watch)) {
            // If the file is gone, the kernel has already removed the watch.
            inotify::remove_watch(&self.inotify, *watch).ok();
        }
    }

    /// Returns when a file has changed, or may have changed, since the last call.
    pub async fn changed(&self) -> io::Result<()> {
        loop {
            let mut ready = self.inotify.readable().await?;
            if let Ok(read) = ready.try_io(|_| self.read())
                && read?
            {
                return Ok(());
            }
        }
    }

    /// Reads the pending inotify events. Returns true if any of them matters.
    fn read(&self) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut events = Reader::new(self.inotify.get_ref(), &mut buffer);
        let known = self.known.lock();
        let mut matters = None;
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => break,
                Err(error) => return Err(error.into()),
            };
            let (kind, names) = (event.events(), known.get(&event.wd()));
            let name = event
                .file_name()
                .map(|name| OsString::from_vec(name.to_bytes().to_vec()));
            // An unknown watch, an overflow or an unmounted file system may hide a change, so each
            // counts.
            let counts = match (names, name) {
                _ if kind.contains(ReadFlags::IGNORED) => false,
                (Some(names), Some(name)) => names.contains(&name),
                _ => true,
            };
            matters = Some(matters.unwrap_or(false) || counts);
        }
        matters.ok_or_else(|| Errno::WOULDBLOCK.into())
    }
}

/// Lists the folders and files to watch for a path.
fn spots(file: &Path) -> Vec<Spot> {
    let Ok(file) = std::path::absolute(file) else {
        return Vec::new();
    };
    let mut spots = Vec::new();
    let mut at = PathBuf::from("/");
    let mut rest = names(&file);
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        let Ok(metadata) = next.symlink_metadata() else {
            spots.push((at, Some(name)));
            break;
        };
        if metadata.is_symlink() {
            spots.push((at.clone(), Some(name)));
            links += 1;
            let Ok(target) = next.read_link() else { break };
            if links > MAX_LINKS {
                break;
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            let mut before = names(&target);
            before.append(&mut rest);
            rest = before;
        } else if rest.is_empty() {
            spots.push((at, Some(name)));
            if metadata.is_file() {
                spots.push((next, None));
            }
            break;
        } else {
            at = next;
        }
    }
    spots
}

/// Splits a path into its names.
fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// Returns true if a relevant change was reported, and `None` if nothing was.
    fn told(watches: &Watches) -> Option<bool> {
        watches.read().ok()
    }

    fn watching(file: &Path) -> Watches {
        let watches = Watches::new().unwrap();
        watches.watch(&BTreeSet::from([file.to_owned()]));
        assert_eq!(told(&watches), None);
        watches
    }

    #[tokio::test]
    async fn writes_to_other_files_of_the_folder_are_not_even_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["rules.yaml", "hookyard.db-wal", "out.jsonl"] {
            fs::write(path(name), "x").unwrap();
        }
        let watches = watching(&path("rules.yaml"));
        for name in ["hookyard.db-wal", "out.jsonl"] {
            let mut file = fs::OpenOptions::new().append(true).open(path(name)).unwrap();
            file.write_all(b"more").unwrap();
            file.sync_all().unwrap();
        }
        drop(fs::read(path("rules.yaml")).unwrap());
        assert_eq!(told(&watches), None);
        // A new name is reported, but does not matter.
        fs::write(path("other"), "x").unwrap();
        assert_eq!(told(&watches), Some(false));
        fs::write(path("rules.yaml"), "y").unwrap();
        assert_eq!(told(&watches), Some(true));
    }

    #[tokio::test]
    async fn every_change_of_a_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("rules.yaml"), folder.path().join("other"));
        let refresh = || {
            fs::write(&file, "x").unwrap();
            fs::write(&other, "y").unwrap();
        };
        let changes: [(&str, &dyn Fn()); 6] = [
            ("written", &|| fs::write(&file, "z").unwrap()),
            ("removed", &|| fs::remove_file(&file).unwrap()),
            ("renamed", &|| {
                fs::rename(&file, folder.path().join("away")).unwrap();
            }),
            ("replaced", &|| fs::rename(&other, &file).unwrap()),
            ("made readable", &|| {
                fs::set_permissions(&file, PermissionsExt::from_mode(0o604)).unwrap();
            }),
            ("its folder renamed", &|| {
                let away = folder.path().with_extension("away");
                fs::rename(folder.path(), &away).unwrap();
                fs::rename(&away, folder.path()).unwrap();
            }),
        ];
        for (what, change) in changes {
            refresh();
            let watches = watching(&file);
            change();
            assert_eq!(told(&watches), Some(true), "{what}");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_deleted_and_made_again_is_told_both_times() {
        let folder = tempfile::tempdir().unwrap();
        // The same folder by two paths.
        let link = folder.path().join("link");
        fs::create_dir(folder.path().join("etc")).unwrap();
        symlink("etc", &link).unwrap();
        let file = link.join("rules.yaml");
        fs::write(&file, "x").unwrap();
        let both = BTreeSet::from([file.clone(), folder.path().join("etc/rules.yaml")]);
        let watches = Watches::new().unwrap();
        watches.watch(&both);
        fs::remove_file(&file).unwrap();
        assert_eq!(told(&watches), Some(true));
        watches.watch(&both);
        // The report that a watch is gone is not a change.
        assert_ne!(told(&watches), Some(true));
        fs::write(&file, "x").unwrap();
        assert_eq!(told(&watches), Some(true));
    }

    #[tokio::test]
    async fn links_and_missing_folders_on_the_way_are_watched() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for data in ["one", "two"] {
            fs::create_dir(path(data)).unwrap();
            fs::write(path(data).join("rules.yaml"), data).unwrap();
        }
        symlink("one", path("data")).unwrap();
        symlink("data/rules.yaml", path("rules.yaml")).unwrap();
        let watches = watching(&path("rules.yaml"));
        symlink("two", path("next")).unwrap();
        assert_eq!(told(&watches), Some(false));
        fs::rename(path("next"), path("data")).unwrap();
        assert_eq!(told(&watches), Some(true));
        let watches = watching(&path("not/yet/rules.yaml"));
        fs::create_dir(path("not")).unwrap();
        assert_eq!(told(&watches), Some(true));
    }
}
