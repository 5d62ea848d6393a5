//! Watches the rules file and its secrets, and reloads when they change.
//!
//! The **folders** are watched, not the files: an editor, `mv`, git or a `ConfigMap` puts another file in the place of
//! the one that was watched, and its watch would die with it. A file system that reports nothing (NFS, some
//! overlays), a lost watch and an overflowing queue are caught by looking every [`POLL`].

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::supervise::Supervised;
use crate::acme::Renewing;
use crate::admin::LastReload;
use crate::clock::Clock;
use crate::config::{Cause, REST, Reload, Reloader};
use crate::diagnostic::{Finding, Findings, Severity};
use crate::live::Live;
use crate::pipeline::Relearn;
use crate::report::metrics;
use crate::rules::RuleSet;
use crate::store::Store;

/// The longest that changes without a rest put a reload off.
const LONGEST_UNREST: Duration = Duration::from_secs(2);
/// How often the files are looked at although nothing was reported.
pub const POLL: Duration = Duration::from_secs(5);

/// The watch over one rules file.
pub struct Watch {
    /// Reloads it.
    pub reloader: Arc<Reloader>,
    /// The rules in force.
    pub live: Arc<Live<RuleSet>>,
    /// Is told its settings.
    pub store: Arc<dyn Store>,
    /// Rung to reload at once.
    pub now: Arc<Notify>,
    /// Is told what became of the last reload.
    pub reloads: Arc<Live<Option<LastReload>>>,
    /// The time.
    pub clock: Clock,
    /// A secret was learnt: its sender waits for it to be in force.
    pub learnt: mpsc::Receiver<Relearn>,
    /// Is told what became of it.
    pub supervised: Arc<Supervised>,
    /// Is told that the rules are others: it may be another certificate that is to be asked for.
    pub renewing: Arc<Renewing>,
}

impl Watch {
    /// Reloads on every change and whenever `now` is rung, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let changed = Arc::new(Notify::new());
        let mut folders = Folders::new(Arc::clone(&changed));
        // Of its own pace: changes that never end must not put off the look.
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut files = self.reloader.files();
            files.extend(self.live.current().files.iter().cloned());
            folders.watch(&files);
            let (cause, sender) = tokio::select! {
                Some(sender) = self.learnt.recv() => (Cause::Change, Some(sender)),
                () = self.now.notified() => (Cause::Operator, None),
                _ = poll.tick() => (Cause::Time, None),
                () = changed.notified() => rested(&changed, &self.now, &mut self.learnt).await,
                () = stop.cancelled() => return,
            };
            let asked = cause == Cause::Operator;
            // Not for what a changed file brings: nobody waits for that, and most often nothing has changed that matters.
            if asked {
                self.supervised.reloading();
            }
            let reloading = Arc::clone(&self.reloader);
            let outcome = match tokio::task::spawn_blocking(move || reloading.reload(cause)).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    // A panic in the compiler of rules is a bug; the rules in force stay.
                    error!(%error, "reload");
                    self.supervised.reloaded(asked);
                    continue;
                }
            };
            if let Reload::InForce { rules, .. } = &outcome {
                self.store.adopt(rules.store.settings);
                // More deliveries may be under way now, which take descriptors; those of connections are as at the start.
                super::places(rules);
                self.renewing.changed(rules.acme(), asked);
            }
            report(&outcome);
            self.remember(&outcome);
            self.supervised.reloaded(asked);
            // Who waits for the end of the reload learns of it so.
            drop(sender);
        }
    }
}

impl Watch {
    /// Remembers what became of a reload, if it had something to do.
    fn remember(&self, outcome: &Reload) {
        let none = Findings::new();
        let (in_force, findings) = match outcome {
            Reload::Unchanged => {
                let was_kept = (*self.reloads.current())
                    .as_ref()
                    .is_some_and(|last| !last.in_force);
                if !was_kept || self.reloader.is_refused() {
                    return;
                }
                // The file was put back as it was.
                (true, &none)
            }
            Reload::InForce { rules, warnings, .. } => {
                metrics::reloaded("in force");
                metrics::keep_to(rules);
                (true, warnings)
            }
            Reload::Kept(findings) => {
                metrics::reloaded("kept");
                (false, findings)
            }
        };
        let lines = findings.into_iter().take(LastReload::FINDINGS);
        drop(self.reloads.replace(Some(LastReload {
            at: self.clock.now(),
            in_force,
            findings: lines.map(Finding::line).collect(),
            errors: findings.errors(),
        })));
    }
}

/// Waits until nothing has changed for a while, or until a reload is asked for.
async fn rested(
    changed: &Notify,
    now: &Notify,
    learnt: &mut mpsc::Receiver<Relearn>,
) -> (Cause, Option<Relearn>) {
    let rest = async { while tokio::time::timeout(REST, changed.notified()).await.is_ok() {} };
    tokio::select! {
        Some(sender) = learnt.recv() => (Cause::Change, Some(sender)),
        () = now.notified() => (Cause::Operator, None),
        _ = tokio::time::timeout(LONGEST_UNREST, rest) => (Cause::Change, None),
    }
}

/// Says what became of a reload.
fn report(outcome: &Reload) {
    match outcome {
        Reload::Unchanged => {}
        Reload::InForce {
            rules,
            warnings,
            restart,
        } => {
            log_findings(warnings);
            for key in restart {
                warn!(key, "changed, and takes effect at the next restart only");
            }
            let (generation, sha256) = (rules.generation, &rules.sha256);
            info!(generation, %sha256, endpoints = rules.endpoints.len(), rules = rules.names.len(), "reloaded");
        }
        Reload::Kept(findings) => {
            log_findings(findings);
            let count = findings.errors();
            error!(
                findings = count,
                "the rules file does not load; the rules in force stay"
            );
        }
    }
}

/// The folders under watch.
struct Folders {
    watcher: Option<RecommendedWatcher>,
    /// The names of the files that matter.
    names: Arc<Mutex<HashSet<OsString>>>,
    watched: BTreeSet<(PathBuf, u64)>,
}

impl Folders {
    /// Watches nothing yet; changes ring `changed`.
    fn new(changed: Arc<Notify>) -> Self {
        let names = Arc::<Mutex<HashSet<OsString>>>::default();
        let known = Arc::clone(&names);
        let on_event = move |event: notify::Result<notify::Event>| match event {
            // Reading the files is an event, too; it must not lead to reading them again.
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
            // Lines that actions append to a file beside the rules are no change of the rules.
            Ok(event)
                if matches!(event.kind, EventKind::Modify(ModifyKind::Data(_)))
                    && !event.paths.iter().any(|path| is_known(&known, path)) => {}
            // Anything else, an overflow or an error included, is worth a look; an unchanged file costs a digest.
            _ => changed.notify_one(),
        };
        let watcher = notify::recommended_watcher(on_event)
            .and_then(alive)
            .inspect_err(
                |error| warn!(%error, "files cannot be watched; they are looked at every few seconds"),
            )
            .ok();
        Self {
            watcher,
            names,
            watched: BTreeSet::new(),
        }
    }

    /// Watches the folders of the files: also where a symbolic link leads, and also anew where a folder was removed and
    /// made again.
    fn watch(&mut self, files: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let names = files
            .iter()
            .flat_map(|file| [file.clone(), std::fs::canonicalize(file).unwrap_or_default()]);
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names
            .filter_map(|file| file.file_name().map(OsStr::to_owned))
            .collect();
        let wanted: BTreeSet<(PathBuf, u64)> = files
            .iter()
            .flat_map(|file| folders(file))
            .filter_map(|folder| Some((folder.clone(), inode(&folder)?)))
            .collect();
        for (gone, _) in self.watched.difference(&wanted) {
            // The kernel has dropped it already where the folder is gone.
            drop(watcher.unwatch(gone));
        }
        let mut kept = BTreeSet::new();
        for entry in wanted {
            let known = self.watched.contains(&entry);
            if known || watcher.watch(&entry.0, RecursiveMode::NonRecursive).is_ok() {
                kept.insert(entry);
            }
        }
        self.watched = kept;
    }
}

/// The watcher, if the thread behind it could be started: that it could not is told by the first use alone, by a panic
/// but for this one, and by another when it is dropped.
fn alive(mut watcher: RecommendedWatcher) -> notify::Result<RecommendedWatcher> {
    match watcher.configure(notify::Config::default()) {
        Ok(_) => Ok(watcher),
        Err(error) => {
            std::mem::forget(watcher);
            Err(error)
        }
    }
}

/// Whether a path ends in the name of a file that matters.
fn is_known(names: &Mutex<HashSet<OsString>>, path: &Path) -> bool {
    let names = names.lock().unwrap_or_else(PoisonError::into_inner);
    path.file_name().is_some_and(|name| names.contains(name))
}

/// The folder of a file, and that of what it links to.
fn folders(file: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new(".")).to_owned()
    };
    let mut folders = vec![parent(file)];
    if let Ok(target) = std::fs::canonicalize(file) {
        folders.push(parent(&target));
    }
    folders
}

/// Tells a folder from one of the same name that was made later.
fn inode(folder: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(folder).ok().map(|metadata| metadata.ino())
}
/// One line for each finding. Notes are for `check`: they need no attention at each start.
pub fn log_findings(findings: &Findings) {
    for finding in findings {
        match finding.severity {
            Severity::Error => error!(code = finding.code, "{}", finding.line()),
            Severity::Warning => warn!(code = finding.code, "{}", finding.line()),
            Severity::Note => debug!(code = finding.code, "{}", finding.line()),
        }
    }
}
