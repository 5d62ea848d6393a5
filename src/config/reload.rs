//! Reload of the rules file: activates the next rule set, or keeps the current one.
//!
//! The new file is loaded, validated and compiled as a whole, then swapped in one step. If there is
//! any error, nothing changes. A rejected file is retried when one of its files changes, including
//! missing ones. It is also retried with growing pauses, since something else may be missing on
//! this machine. A reload that hangs and is abandoned changes nothing when it returns.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::environment::environment;
use super::include;
use super::load::{LoadAttempt, Loaded, attempt};
use super::source::{fingerprint, read, sha256};
use crate::base::clock::{Clock, Timestamp};
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::include::{Include, NamePattern};
use crate::base::live::Live;
use crate::rules::RuleSet;

/// Minimum time without changes before the files are read. A file that changes may be half written.
pub const REST: Duration = Duration::from_millis(200);

/// Outcome of a reload.
#[derive(Debug)]
pub enum Reload {
    /// The files are the same as those in force.
    Unchanged,
    /// A new rule set is in force.
    InForce {
        rules: Arc<RuleSet>,
        warnings: Diagnostics,
        /// Changed keys that take effect only after a restart.
        restart: Vec<&'static str>,
    },
    /// The old rule set stays, for these reasons.
    Kept(Diagnostics),
}

/// Reason to read the files again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A watched file or folder changed.
    Change,
    /// The polling interval passed. A rejected file with unchanged content is retried now and then,
    /// since something else that was missing may exist by now.
    Time,
    /// The operator asked for a reload, and gets an answer in any case.
    Operator,
}

impl Cause {
    /// Name of the cause in log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Time => "time",
            Self::Operator => "operator",
        }
    }
}

/// First pause before an unchanged rejected file is retried. Each retry doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Maximum pause between retries of an unchanged rejected file.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// Judge of a new rule set against the one in force. It returns the reasons why the old one stays.
pub type Gate = Box<dyn Fn(&RuleSet, &RuleSet) -> Diagnostics + Send + Sync>;

/// Reloader of one rules file.
pub struct Reloader {
    path: PathBuf,
    live: Arc<Live<RuleSet>>,
    gate: Gate,
    refused: Mutex<Option<RejectedFile>>,
    /// Number of reloads started. Only the latest may change anything; older ones were abandoned.
    latest: AtomicU64,
}

/// The last rejected version of the file.
#[derive(Clone, Debug)]
struct RejectedFile {
    /// Digest of its files.
    fingerprint: String,
    /// Files that were read for it, and the files that it includes.
    files: BTreeSet<PathBuf>,
    includes: Vec<Include>,
    /// Its diagnostics, so that they are logged only once.
    messages: Vec<String>,
    /// Time of the next retry with unchanged files, and the pause before it. `None`: it is judged
    /// again only if the operator asks, because nothing is missing.
    retry: Option<(Instant, Duration)>,
}

impl RejectedFile {
    /// Records a rejected version. The pause grows while the files stay the same as in `before`.
    fn new(
        fingerprint: String,
        (files, includes): (BTreeSet<PathBuf>, Vec<Include>),
        diagnostics: &Diagnostics,
        before: Option<&Self>,
        now: Instant,
    ) -> Self {
        let same = before.filter(|before| before.fingerprint == fingerprint);
        let pause = same.map_or(FIRST_PAUSE, |before| {
            let pause = before.retry.map(|(_, pause)| pause * 2);
            pause.unwrap_or(FIRST_PAUSE).min(LONGEST_PAUSE)
        });
        Self {
            fingerprint,
            files,
            includes,
            messages: diagnostics.iter().map(Diagnostic::line).collect(),
            retry: Some((now + pause, pause)),
        }
    }
}

impl Reloader {
    /// A new file is put in force if it loads and `gate` gives no reason against it.
    pub fn new(path: &Path, live: Arc<Live<RuleSet>>, gate: Gate) -> Self {
        Self {
            path: path.to_owned(),
            live,
            gate,
            refused: Mutex::new(None),
            latest: AtomicU64::new(0),
        }
    }

    fn refused(&self) -> MutexGuard<'_, Option<RejectedFile>> {
        self.refused.lock()
    }

    /// The rules file, and the files that were read when it was last rejected.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let refused = self.refused();
        let mut files = BTreeSet::from([self.path.clone()]);
        files.extend(refused.iter().flat_map(|refused| refused.files.iter().cloned()));
        files
    }

    /// The patterns of `include`, of the rules in force and of the last rejected file.
    pub fn patterns(&self) -> Vec<NamePattern> {
        let current = self.live.current();
        let refused = self.refused();
        let includes = refused.iter().flat_map(|refused| &refused.includes);
        let patterns = current.includes.iter().chain(includes);
        patterns.filter_map(Include::pattern).cloned().collect()
    }

    /// Digest of the rules file with this SHA-256, and of the files that it was made with.
    fn fingerprint(&self, sha256: &str, includes: &[Include], files: &BTreeSet<PathBuf>) -> String {
        fingerprint(sha256, &include::digest(includes, &self.path), files)
    }

    /// True if the last version of the file was rejected.
    pub fn is_refused(&self) -> bool {
        self.refused().is_some()
    }

    /// Reloads the files. Unchanged files are skipped unless the operator asked. Blocks on file
    /// access and compilation, so call it outside async workers.
    pub fn reload(&self, cause: Cause) -> Reload {
        let ticket = self.begin();
        let current = self.live.current();
        let mut files = [&self.path].into_iter().chain(&current.files);
        if cause == Cause::Time && files.any(|file| is_being_written(file)) {
            return Reload::Unchanged;
        }
        // The lock is released before files are read: a read may hang.
        let before = self.refused().clone();
        let asked = cause == Cause::Operator;
        let text = match read(&self.path) {
            Ok(text) => text,
            Err(mut diagnostic) => {
                // No hint: the daemon already knows the name of its rules file.
                diagnostic.hint = None;
                let mut diagnostics = Diagnostics::new();
                diagnostics.push(diagnostic);
                let now = RejectedFile::new(
                    String::new(),
                    (BTreeSet::new(), Vec::new()),
                    &diagnostics,
                    None,
                    Instant::now(),
                );
                return self.reject(ticket, now, diagnostics, asked);
            }
        };
        let sha256 = sha256(&text);
        if !asked && self.fingerprint(&sha256, &current.includes, &current.files) == current.fingerprint {
            // A file that was restored to the version in force is not rejected any more.
            if self.is_last(ticket) {
                *self.refused() = None;
            }
            return Reload::Unchanged;
        }
        let is_waiting = |refused: &RejectedFile| match cause {
            Cause::Change => true,
            Cause::Time => refused.retry.is_none_or(|(at, _)| Instant::now() < at),
            Cause::Operator => false,
        };
        if let Some(refused) = before.as_ref().filter(|refused| is_waiting(refused))
            && self.fingerprint(&sha256, &refused.includes, &refused.files) == refused.fingerprint
        {
            return Reload::Unchanged;
        }
        let loaded = attempt(&self.path, text, environment());
        let LoadAttempt {
            outcome,
            files,
            includes,
            fingerprint,
        } = loaded;
        let mut is_gated = false;
        let outcome = outcome.and_then(|loaded| {
            let reasons = (self.gate)(&current, &loaded.rules);
            is_gated = reasons.has_errors();
            if is_gated { Err(reasons) } else { Ok(loaded) }
        });
        match outcome {
            Ok(loaded) => self.activate(ticket, loaded, &current),
            Err(diagnostics) => {
                let before = before.as_ref();
                let files = (files, includes);
                let mut now = RejectedFile::new(fingerprint, files, &diagnostics, before, Instant::now());
                now.retry = now.retry.filter(|_| !is_gated);
                self.reject(ticket, now, diagnostics, asked)
            }
        }
    }

    /// Abandons the running reload, which takes longer than `limit`. The rules in force stay.
    pub fn give_up(&self, cause: Cause, limit: Duration) -> Reload {
        let ticket = self.begin();
        let message = format!(
            "loading `{}` takes longer than {} s: a file, folder or program that it names does not answer",
            self.path.display(),
            limit.as_secs()
        );
        let mut diagnostics = Diagnostics::new();
        diagnostics.push(Diagnostic::unplaced("slow", message));
        let files = (self.files(), Vec::new());
        let now = RejectedFile::new(String::new(), files, &diagnostics, None, Instant::now());
        self.reject(ticket, now, diagnostics, cause == Cause::Operator)
    }

    /// Starts a reload. All earlier ones become outdated.
    fn begin(&self) -> u64 {
        self.latest.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn is_last(&self, ticket: u64) -> bool {
        self.latest.load(Ordering::Relaxed) == ticket
    }

    /// Activates a new rule set, unless this reload was abandoned.
    fn activate(&self, ticket: u64, loaded: Loaded, current: &RuleSet) -> Reload {
        let mut rules = loaded.rules;
        rules.generation = current.generation + 1;
        if let (Some(tls), Some(before)) = (&mut rules.server.tls, &current.server.tls) {
            tls.succeed(before);
        }
        let restart = restart_needed(current, &rules);
        let mut refused = self.refused();
        if !self.is_last(ticket) {
            return Reload::Unchanged;
        }
        *refused = None;
        drop(self.live.replace(rules));
        Reload::InForce {
            rules: self.live.current(),
            warnings: loaded.warnings,
            restart,
        }
    }

    /// Keeps the old rule set. The same diagnostics are reported again only if `asked`.
    fn reject(&self, ticket: u64, now: RejectedFile, diagnostics: Diagnostics, asked: bool) -> Reload {
        let mut refused = self.refused();
        if !self.is_last(ticket) {
            return Reload::Unchanged;
        }
        let known = refused
            .as_ref()
            .is_some_and(|before| before.messages == now.messages);
        *refused = Some(now);
        if known && !asked {
            Reload::Unchanged
        } else {
            Reload::Kept(diagnostics)
        }
    }
}

/// True if the file was modified so recently that it may still be being written. A later change or
/// poll reads it.
fn is_being_written(path: &Path) -> bool {
    let Ok(metadata) = std::fs::metadata(path) else {
        return false;
    };
    let seconds = Timestamp::from_seconds(metadata.mtime());
    let fraction = Duration::from_nanos(u64::try_from(metadata.mtime_nsec()).unwrap_or_default());
    Clock::system().now().distance(seconds.plus(fraction)) < REST
}

/// Changed keys that take effect only at the next start.
pub fn restart_needed(old: &RuleSet, new: &RuleSet) -> Vec<&'static str> {
    let (before, after) = (&old.server, &new.server);
    [
        ("server.listen", before.listen != after.listen),
        ("server.tls", before.tls.is_some() != after.tls.is_some()),
        (
            "server.request_timeout",
            before.request_timeout != after.request_timeout,
        ),
        (
            "server.max_connections",
            before.max_connections != after.max_connections,
        ),
        ("server.stop_grace", before.stop_grace != after.stop_grace),
        ("node", old.node != new.node),
        ("log", old.log != new.log),
    ]
    .into_iter()
    .filter_map(|(key, changed)| changed.then_some(key))
    .chain(old.store.restart_needed(&new.store))
    .chain(old.admin.restart_needed(&new.admin))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    #[test]
    fn a_poll_does_not_read_a_file_that_was_just_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.yaml");
        std::fs::write(&path, "rules: []\n").unwrap();
        let rules = load(&path, environment()).unwrap().rules;
        let reloader = Reloader::new(
            &path,
            Arc::new(Live::new(rules)),
            Box::new(|_, _| Diagnostics::new()),
        );
        // Editors leave an empty file for a moment.
        std::fs::write(&path, "").unwrap();
        assert!(matches!(reloader.reload(Cause::Time), Reload::Unchanged));
        assert!(matches!(reloader.reload(Cause::Operator), Reload::Kept(_)));
        std::fs::write(&path, "server: {max_body: 1KiB}\nrules: []\n").unwrap();
        std::thread::sleep(REST * 2);
        assert!(matches!(reloader.reload(Cause::Time), Reload::InForce { .. }));
    }

    /// Returns a reloader with valid rules in force and `text` in the file.
    fn refusing(folder: &Path, text: &str) -> Reloader {
        let path = folder.join("rules.yaml");
        std::fs::write(&path, "rules: []\n").unwrap();
        let rules = load(&path, environment()).unwrap().rules;
        let reloader = Reloader::new(
            &path,
            Arc::new(Live::new(rules)),
            Box::new(|_, _| Diagnostics::new()),
        );
        std::fs::write(&path, text).unwrap();
        assert!(matches!(reloader.reload(Cause::Change), Reload::Kept(_)));
        std::thread::sleep(REST * 2);
        reloader
    }

    #[test]
    fn a_refused_file_is_retried_after_a_change_and_with_growing_pauses() {
        let folder = tempfile::tempdir().unwrap();
        let sockets = folder.path().join("sockets");
        let text = format!(
            "server: {{listen: 'unix:{}/h.sock'}}\nrules: []\n",
            sockets.display()
        );
        let reloader = refusing(folder.path(), &text);
        // That folder is not watched, so it is found only after the pause.
        std::fs::create_dir(&sockets).unwrap();
        for cause in [Cause::Time, Cause::Change, Cause::Time] {
            assert!(matches!(reloader.reload(cause), Reload::Unchanged));
            assert!(reloader.is_refused());
        }
        reloader.refused().as_mut().unwrap().retry = Some((Instant::now(), FIRST_PAUSE));
        assert!(matches!(reloader.reload(Cause::Time), Reload::InForce { .. }));
    }

    #[test]
    fn the_pause_doubles_up_to_a_bound_and_resets_with_another_file() {
        let now = Instant::now();
        let next = |before: Option<&RejectedFile>, fingerprint: &str| {
            RejectedFile::new(
                fingerprint.to_owned(),
                (BTreeSet::new(), Vec::new()),
                &Diagnostics::new(),
                before,
                now,
            )
        };
        let mut refused = next(None, "a");
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pauses.push(refused.retry.unwrap().1.as_secs());
            refused = next(Some(&refused), "a");
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(
            next(Some(&refused), "b").retry,
            Some((now + FIRST_PAUSE, FIRST_PAUSE))
        );
    }

    #[test]
    fn a_refused_file_loads_once_a_missing_secret_exists() {
        let folder = tempfile::tempdir().unwrap();
        let text = "rules: [{name: a, endpoint: /a, verify: {github: {secret: 'file:key'}}, actions: [append: out]}]\n";
        let reloader = refusing(folder.path(), text);
        assert!(matches!(reloader.reload(Cause::Time), Reload::Unchanged));
        std::fs::write(folder.path().join("key"), "0123456789abcdef").unwrap();
        assert!(matches!(reloader.reload(Cause::Time), Reload::InForce { .. }));
    }

    #[test]
    fn an_abandoned_reload_changes_nothing_when_it_returns() {
        let folder = tempfile::tempdir().unwrap();
        let reloader = refusing(folder.path(), "rules: [\n");
        let hung = reloader.begin();
        let limit = Duration::from_secs(1);
        assert!(matches!(reloader.give_up(Cause::Time, limit), Reload::Kept(_)));
        // Logged once, and again if the operator asks.
        assert!(matches!(reloader.give_up(Cause::Time, limit), Reload::Unchanged));
        assert!(matches!(
            reloader.give_up(Cause::Operator, limit),
            Reload::Kept(_)
        ));
        let current = reloader.live.current();
        let late = load(
            &{
                let path = folder.path().join("late.yaml");
                std::fs::write(&path, "rules: []\n").unwrap();
                path
            },
            environment(),
        );
        assert!(matches!(
            reloader.activate(hung, late.unwrap(), &current),
            Reload::Unchanged
        ));
        assert!(reloader.is_refused() && Arc::ptr_eq(&reloader.live.current(), &current));
    }
}
