//! Puts the next rule set in force, or keeps the one that is.
//!
//! The new file is loaded whole, validated and compiled; then it is swapped in one step. On any finding nothing
//! changes, and what was refused is tried again: what it lacks may be a secret file, a program or a folder that comes
//! later. Two reloads never run at once.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Attempt, attempt, environment, fingerprint, read, sha256};
use crate::clock::{Clock, Timestamp};
use crate::diagnostic::{Finding, Findings};
use crate::live::Live;
use crate::rules::RuleSet;

/// How long the files must rest before they are read: a file that is being written is not yet a rules file.
pub const REST: Duration = Duration::from_millis(200);

/// What became of a reload.
#[derive(Debug)]
pub enum Reload {
    /// The files hold what is in force already.
    Unchanged,
    /// A new set is in force.
    InForce {
        /// The new set.
        rules: Arc<RuleSet>,
        /// What is doubtful about it.
        warnings: Findings,
        /// Keys whose change needs a restart; they were left alone.
        restart: Vec<&'static str>,
    },
    /// The old set stays; this is why.
    Kept(Findings),
}

/// Why the files are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Something has changed in one of their folders.
    Change,
    /// Time has passed. What was refused is tried again although its files are what they were, for a program or a
    /// folder that was missing may be there by now.
    Time,
    /// The operator asks, and is answered whatever there is to say.
    Operator,
}

/// Reloads one rules file.
#[derive(Debug)]
pub struct Reloader {
    path: PathBuf,
    live: Arc<Live<RuleSet>>,
    /// Held while a reload runs.
    refused: Mutex<Option<Refused>>,
}

/// What was last refused.
#[derive(Debug)]
struct Refused {
    /// What its files held.
    fingerprint: String,
    /// The files that were looked at.
    files: BTreeSet<PathBuf>,
    /// What was said, to be said once.
    said: Vec<String>,
}

impl Reloader {
    /// A reloader of the file at `path` into `live`.
    pub fn new(path: &Path, live: Arc<Live<RuleSet>>) -> Self {
        Self {
            path: path.to_owned(),
            live,
            refused: Mutex::new(None),
        }
    }

    /// The rules file, and the files that were looked at when it was last refused.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files = BTreeSet::from([self.path.clone()]);
        files.extend(refused.iter().flat_map(|refused| refused.files.iter().cloned()));
        files
    }

    /// Whether the file as it was last read is not in force.
    pub fn is_refused(&self) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.is_some()
    }

    /// Reads the files again. Files that hold what they held are left alone, unless `cause` says otherwise. It reads
    /// files and compiles: not for an async worker.
    pub fn reload(&self, cause: Cause) -> Reload {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if cause == Cause::Time && is_being_written(&self.path) {
            return Reload::Unchanged;
        }
        let current = self.live.current();
        let asked = cause == Cause::Operator;
        let text = match read(&self.path) {
            Ok(text) => text,
            Err(mut finding) => {
                // The daemon has a name for it already.
                finding.hint = None;
                let mut findings = Findings::new();
                findings.push(finding);
                let now = Refused {
                    fingerprint: String::new(),
                    files: BTreeSet::new(),
                    said: said(&findings),
                };
                return keep(&mut refused, now, findings, asked);
            }
        };
        let sha256 = sha256(&text);
        if !asked && fingerprint(&sha256, &current.files) == current.fingerprint {
            // A file that was put back as it was is no longer the refused one.
            *refused = None;
            return Reload::Unchanged;
        }
        if cause == Cause::Change
            && let Some(refused) = &*refused
            && fingerprint(&sha256, &refused.files) == refused.fingerprint
        {
            return Reload::Unchanged;
        }
        let Attempt { outcome, files } = attempt(&self.path, text, environment());
        match outcome {
            Ok(loaded) => {
                let mut rules = loaded.rules;
                rules.generation = current.generation + 1;
                if let (Some(tls), Some(before)) = (&mut rules.server.tls, &current.server.tls) {
                    tls.succeed(before);
                }
                let restart = restart_needed(&current, &rules);
                *refused = None;
                drop(self.live.replace(rules));
                Reload::InForce {
                    rules: self.live.current(),
                    warnings: loaded.warnings,
                    restart,
                }
            }
            Err(findings) => {
                let now = Refused {
                    fingerprint: fingerprint(&sha256, &files),
                    files,
                    said: said(&findings),
                };
                keep(&mut refused, now, findings, asked)
            }
        }
    }
}

/// Whether somebody may be in the middle of writing the file: then it is looked at later, or because it changes again.
fn is_being_written(path: &Path) -> bool {
    let Ok(metadata) = std::fs::metadata(path) else {
        return false;
    };
    let seconds = Timestamp::from_seconds(metadata.mtime());
    let fraction = Duration::from_nanos(u64::try_from(metadata.mtime_nsec()).unwrap_or_default());
    Clock::system().now().distance(seconds.plus(fraction)) < REST
}

/// The old set stays; it is said again only to who asks.
fn keep(refused: &mut Option<Refused>, now: Refused, findings: Findings, asked: bool) -> Reload {
    let known = refused.as_ref().is_some_and(|before| before.said == now.said);
    *refused = Some(now);
    if known && !asked {
        Reload::Unchanged
    } else {
        Reload::Kept(findings)
    }
}

/// The findings as lines.
fn said(findings: &Findings) -> Vec<String> {
    findings.iter().map(Finding::line).collect()
}

/// The keys whose change takes effect at the next start only.
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
        ("admin", old.admin != new.admin),
        ("store.path", old.store.path != new.store.path),
        ("log", old.log != new.log),
    ]
    .into_iter()
    .filter_map(|(key, changed)| changed.then_some(key))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    #[test]
    fn what_is_being_written_is_not_read_because_time_has_passed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.yaml");
        std::fs::write(&path, "rules: []\n").unwrap();
        let rules = load(&path, environment()).unwrap().rules;
        let reloader = Reloader::new(&path, Arc::new(Live::new(rules)));
        // As an editor leaves it for a moment.
        std::fs::write(&path, "").unwrap();
        assert!(matches!(reloader.reload(Cause::Time), Reload::Unchanged));
        assert!(matches!(reloader.reload(Cause::Operator), Reload::Kept(_)));
        std::fs::write(&path, "server: {max_body: 1KiB}\nrules: []\n").unwrap();
        std::thread::sleep(REST * 2);
        assert!(matches!(reloader.reload(Cause::Time), Reload::InForce { .. }));
    }
}
