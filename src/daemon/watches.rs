//! Watches over a set of files, through `notify`.
//!
//! Folders are watched for names that appear, vanish or are replaced: an editor, `mv`, git or a
//! `ConfigMap` replaces the watched file by another one. Writes are watched on the file itself. One
//! watcher has the folders and another the files, since the kernel filters by kind of event for
//! each. So a write to any other file of the folder, such as the database, wakes no thread.
//!
//! Watched for a path: the file, its name in its folder, every symbolic link on the way, and the
//! first missing name if the path ends early. Watched for a pattern: all names in its folder that
//! match.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use notify::{Config, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::base::include::NamePattern;

/// Maximum symbolic links that are followed. The kernel has the same limit.
const MAX_LINKS: usize = 40;

/// Watched changes of a folder: its names, and the folder itself.
const OF_FOLDER: EventKindMask = EventKindMask::CREATE
    .union(EventKindMask::REMOVE)
    .union(EventKindMask::MODIFY_NAME);
/// Watched changes of a file: its content and permissions, and the file itself. Without opening and
/// reading, since each reload would cause the next.
const OF_FILE: EventKindMask = EventKindMask::MODIFY_DATA
    .union(EventKindMask::ACCESS_CLOSE)
    .union(EventKindMask::MODIFY_META)
    .union(EventKindMask::REMOVE)
    .union(EventKindMask::MODIFY_NAME);

#[derive(Debug)]
pub struct Watches {
    watched: Mutex<Watched>,
    names: Arc<Mutex<Names>>,
    changed: Arc<Notify>,
}

/// The two watchers.
#[derive(Debug)]
struct Watched {
    folders: PathGroup,
    files: PathGroup,
}

/// A watcher and its paths, each with the inode that the watch was set on.
#[derive(Debug)]
struct PathGroup {
    watcher: RecommendedWatcher,
    paths: BTreeMap<PathBuf, Inode>,
}

/// Paths whose events count.
#[derive(Debug, Default)]
struct Names {
    now: HashSet<PathBuf>,
    /// Paths of the call before. An event on its way during a call may name a path that no longer
    /// counts, such as a missing folder that was just created.
    before: HashSet<PathBuf>,
    /// Folders, with the names in them that count.
    matching: Vec<(PathBuf, NamePattern)>,
}

/// Device and inode number.
type Inode = (u64, u64);

/// A folder and the relevant name in it, or a file.
type Spot = (PathBuf, Option<OsString>);

impl Watches {
    pub fn new() -> notify::Result<Self> {
        let (names, changed) = (Arc::default(), Arc::default());
        let watched = Watched {
            folders: PathGroup::new(OF_FOLDER, &names, &changed)?,
            files: PathGroup::new(OF_FILE, &names, &changed)?,
        };
        Ok(Self {
            watched: Mutex::new(watched),
            names,
            changed,
        })
    }

    /// Watches these files and the files of these patterns from now on, and no others. Blocks on file
    /// access, so call it outside async workers.
    pub fn watch(&self, files: &BTreeSet<PathBuf>, patterns: &[NamePattern]) {
        // The pattern itself is a name that does not exist, in the folder to watch.
        let paths = files.iter().map(PathBuf::as_path);
        let paths = paths.chain(patterns.iter().map(NamePattern::path));
        let spots: BTreeSet<Spot> = paths.flat_map(spots).collect();
        let mut matching = Vec::new();
        let (mut folders, mut contents) = (BTreeMap::new(), BTreeMap::new());
        let mut now = HashSet::new();
        for (path, name) in spots {
            let Some(inode) = inode(&path) else { continue };
            let wanted = if name.is_some() {
                &mut folders
            } else {
                &mut contents
            };
            // Two paths of one inode are one watch in the kernel. Its events come under one path
            // only.
            let path = &*wanted.entry(inode).or_insert(path);
            let named = |pattern: &&NamePattern| pattern.path().file_name() == name.as_deref();
            let patterns = patterns.iter().filter(named);
            matching.extend(patterns.map(|pattern| (path.clone(), pattern.clone())));
            now.extend(name.map(|name| path.join(name)));
            now.insert(path.clone());
        }
        // Only an abandoned load can hold the lock, on a file system that hangs. This load
        // continues without it.
        let Some(mut watched) = self.watched.try_lock() else {
            return;
        };
        // Before the watches are set, so that none of their events is ignored. The threads of the
        // watchers take this lock, too.
        self.names.lock().replace(now, matching);
        watched.folders.keep_to(folders);
        watched.files.keep_to(contents);
    }

    /// Returns when a file has changed, or may have changed, since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl PathGroup {
    /// Creates a watcher that notifies `changed` of these events.
    fn new(kinds: EventKindMask, names: &Arc<Mutex<Names>>, changed: &Arc<Notify>) -> notify::Result<Self> {
        let (names, changed) = (Arc::clone(names), Arc::clone(changed));
        let on_event = move |event: notify::Result<notify::Event>| {
            let counts = event.map_or(true, |event| {
                let names = names.lock();
                // An overflow of the kernel's queue names no path. It may hide a change, as errors
                // may.
                event.need_rescan()
                    || event.paths.is_empty()
                    || event.paths.iter().any(|path| names.has(path))
            });
            if counts {
                changed.notify_one();
            }
        };
        let watcher = RecommendedWatcher::new(on_event, Config::default().with_event_kinds(kinds))?;
        Ok(Self {
            watcher: alive(watcher)?,
            paths: BTreeMap::new(),
        })
    }

    /// Watches these paths and no others.
    fn keep_to(&mut self, wanted: BTreeMap<Inode, PathBuf>) {
        let mut before = std::mem::take(&mut self.paths);
        for (inode, path) in wanted {
            // A watch belongs to an inode, and this path has another one now.
            if before.remove(&path).is_some_and(|was| was != inode) {
                self.watcher.unwatch(&path).ok();
            }
            // Also for a watched path: that costs nothing, and `notify` drops the watch of a
            // removed file.
            if self.watcher.watch(&path, RecursiveMode::NonRecursive).is_ok() {
                self.paths.insert(path, inode);
            } else {
                self.watcher.unwatch(&path).ok();
            }
        }
        for path in before.into_keys() {
            // If the file is gone, `notify` has already removed the watch.
            self.watcher.unwatch(&path).ok();
        }
    }
}

impl Names {
    fn replace(&mut self, now: HashSet<PathBuf>, matching: Vec<(PathBuf, NamePattern)>) {
        self.matching = matching;
        self.before = std::mem::replace(&mut self.now, now);
    }

    fn has(&self, path: &Path) -> bool {
        self.now.contains(path) || self.before.contains(path) || self.is_matched(path)
    }

    fn is_matched(&self, path: &Path) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return false;
        };
        let mut matching = self.matching.iter();
        matching.any(|(watched, pattern)| watched == folder && pattern.matches(name))
    }
}

/// Returns the watcher if its thread was started. If not, `notify` reports that only at the first
/// use, and panics when the watcher is dropped.
fn alive(mut watcher: RecommendedWatcher) -> notify::Result<RecommendedWatcher> {
    match watcher.configure(Config::default()) {
        Ok(_) => Ok(watcher),
        Err(error) => {
            std::mem::forget(watcher);
            Err(error)
        }
    }
}

/// Identity of the file at a path, which another file may take.
fn inode(path: &Path) -> Option<Inode> {
    let metadata = path.symlink_metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
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
    use std::time::Duration;

    use super::*;

    // Bits of the kernel's `inotify_event.mask`.
    const ACCESS: u32 = 0x01;
    const MODIFY: u32 = 0x02;
    const CLOSE_NOWRITE: u32 = 0x10;
    const OPEN: u32 = 0x20;
    /// Events of reading, writing and touching.
    const OF_DATA: u32 = ACCESS | MODIFY | 0x04 | 0x08 | CLOSE_NOWRITE | OPEN;

    /// Returns true if a relevant change was reported. Waits for the threads of the watchers, not
    /// for time: an empty batch makes them read the pending events, and the call after it returns
    /// when all of these are handled.
    async fn told(watches: &Watches) -> bool {
        {
            let mut both = watches.watched.lock();
            let Watched { folders, files } = &mut *both;
            for group in [folders, files] {
                group.watcher.update_paths(Vec::new()).unwrap();
                group.watcher.configure(Config::default()).unwrap();
            }
        }
        tokio::time::timeout(Duration::ZERO, watches.changed())
            .await
            .is_ok()
    }

    /// Returns the events that the kernel reports for this path, to any watcher of this process.
    fn kernel_mask(path: &Path) -> u32 {
        let inode = format!(" ino:{:x} ", path.metadata().unwrap().ino());
        let descriptors = fs::read_dir("/proc/self/fdinfo").unwrap();
        let watches = descriptors
            .flatten()
            .filter_map(|descriptor| fs::read_to_string(descriptor.path()).ok())
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .filter(|line| line.starts_with("inotify ") && line.contains(&inode));
        let masks: Vec<u32> = watches
            .filter_map(|line| {
                let (_, rest) = line.split_once(" mask:")?;
                u32::from_str_radix(rest.split(' ').next()?, 16).ok()
            })
            .collect();
        assert!(!masks.is_empty(), "{} is not watched", path.display());
        masks.into_iter().fold(0, |all, mask| all | mask)
    }

    async fn watching(file: &Path) -> Watches {
        let watches = Watches::new().unwrap();
        watches.watch(&BTreeSet::from([file.to_owned()]), &[]);
        assert!(!told(&watches).await);
        watches
    }

    #[tokio::test]
    async fn writes_to_other_files_of_the_folder_are_not_even_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["rules.yaml", "hookyard.db-wal", "out.jsonl"] {
            fs::write(path(name), "x").unwrap();
        }
        let watches = watching(&path("rules.yaml")).await;
        for name in ["hookyard.db-wal", "out.jsonl"] {
            let mut file = fs::OpenOptions::new().append(true).open(path(name)).unwrap();
            file.write_all(b"more").unwrap();
            file.sync_all().unwrap();
        }
        drop(fs::read(path("rules.yaml")).unwrap());
        // The kernel has no such event for the watchers, so their threads do not wake up.
        assert_eq!(kernel_mask(folder.path()) & OF_DATA, 0);
        assert_eq!(
            kernel_mask(&path("rules.yaml")) & (ACCESS | OPEN | CLOSE_NOWRITE),
            0
        );
        assert_eq!(kernel_mask(&path("rules.yaml")) & MODIFY, MODIFY);
        assert!(!told(&watches).await);
        // A new name is reported to the watcher, but does not matter.
        fs::write(path("other"), "x").unwrap();
        assert!(!told(&watches).await);
        fs::write(path("rules.yaml"), "y").unwrap();
        assert!(told(&watches).await);
    }

    #[tokio::test]
    async fn every_change_of_a_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("rules.yaml"), folder.path().join("other"));
        let fresh = || {
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
            fresh();
            let watches = watching(&file).await;
            change();
            assert!(told(&watches).await, "{what}");
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
        watches.watch(&both, &[]);
        fs::remove_file(&file).unwrap();
        assert!(told(&watches).await);
        watches.watch(&both, &[]);
        // The report that a watch is gone is not a change.
        assert!(!told(&watches).await);
        fs::write(&file, "x").unwrap();
        assert!(told(&watches).await);
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
        let watches = watching(&path("rules.yaml")).await;
        symlink("two", path("next")).unwrap();
        assert!(!told(&watches).await);
        fs::rename(path("next"), path("data")).unwrap();
        assert!(told(&watches).await);
        let watches = watching(&path("not/yet/rules.yaml")).await;
        fs::create_dir(path("not")).unwrap();
        assert!(told(&watches).await);
    }

    #[tokio::test]
    async fn a_file_that_was_replaced_is_watched_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (file, next) = (folder.path().join("rules.yaml"), folder.path().join("next"));
        let files = BTreeSet::from([file.clone()]);
        fs::write(&file, "x").unwrap();
        // A second name keeps the first inode and its watch alive.
        fs::hard_link(&file, folder.path().join("kept")).unwrap();
        let watches = watching(&file).await;
        // Many times, since a file system gives the number of a removed inode to the next file.
        for turn in 0..20 {
            if turn % 2 == 0 {
                fs::write(&next, "y").unwrap();
                fs::rename(&next, &file).unwrap();
            } else {
                fs::remove_file(&file).unwrap();
                fs::write(&file, "y").unwrap();
            }
            // As the daemon does: watch again for each report, until there is none.
            watches.watch(&files, &[]);
            while told(&watches).await {
                watches.watch(&files, &[]);
            }
            fs::write(folder.path().join("kept"), "z").unwrap();
            assert!(!told(&watches).await, "{turn}");
            fs::OpenOptions::new()
                .append(true)
                .open(&file)
                .unwrap()
                .write_all(b"z")
                .unwrap();
            assert!(told(&watches).await, "{turn}");
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_removed_and_made_again_is_watched_again() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("etc");
        let file = folder.join("rules.yaml");
        // A name beside the folder makes its parent a watched folder, too.
        let files = BTreeSet::from([file.clone(), top.path().join("secret")]);
        let make = || {
            fs::create_dir(&folder).unwrap();
            fs::write(&file, "x").unwrap();
        };
        make();
        let watches = Watches::new().unwrap();
        watches.watch(&files, &[]);
        for turn in 0..20 {
            fs::remove_dir_all(&folder).unwrap();
            if turn % 2 == 0 {
                assert!(told(&watches).await, "{turn}");
                watches.watch(&files, &[]);
                assert!(!told(&watches).await, "{turn}");
            }
            make();
            assert!(told(&watches).await, "{turn}");
            watches.watch(&files, &[]);
            while told(&watches).await {
                watches.watch(&files, &[]);
            }
            fs::write(&file, "y").unwrap();
            assert!(told(&watches).await, "{turn}");
        }
    }

    #[tokio::test]
    async fn what_happens_while_the_watches_are_set_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("not/yet/rules.yaml");
        let watches = watching(&file).await;
        // Made after the files were read and before they are watched again, so its name is no
        // longer a missing one.
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "x").unwrap();
        watches.watch(&BTreeSet::from([file]), &[]);
        assert!(told(&watches).await);
    }
}
