//! Puts the next rule set in force, or keeps the one that is.
//!
//! The new file is loaded whole, validated and compiled; then it is swapped in one step. On any finding nothing
//! changes. Two reloads never run at once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{environment, fingerprint, load_text, read};
use crate::diagnostic::{Finding, Findings};
use crate::live::Live;
use crate::rules::RuleSet;

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

/// Reloads one rules file.
#[derive(Debug)]
pub struct Reloader {
    path: PathBuf,
    live: Arc<Live<RuleSet>>,
    /// Held while a reload runs: the fingerprint of what was last refused, so that it is reported once.
    refused: Mutex<Option<String>>,
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

    /// The rules file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the files again. Unless `forced`, files that hold what they held are left alone. It reads files and
    /// compiles: not for an async worker.
    pub fn reload(&self, forced: bool) -> Reload {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.live.current();
        let text = match read(&self.path) {
            Ok(text) => text,
            Err(message) => {
                if !forced && refused.as_deref() == Some(message.as_str()) {
                    return Reload::Unchanged;
                }
                let mut findings = Findings::new();
                findings.push(Finding::unplaced("unreadable", message.clone()));
                *refused = Some(message);
                return Reload::Kept(findings);
            }
        };
        let seen = fingerprint(&sha256_of(&text), &current.files);
        if !forced && (seen == current.fingerprint || refused.as_ref() == Some(&seen)) {
            // A file that was put back as it was is no longer the refused one.
            if seen == current.fingerprint {
                *refused = None;
            }
            return Reload::Unchanged;
        }
        match load_text(&self.path, text, environment()) {
            Ok(loaded) => {
                let mut rules = loaded.rules;
                rules.generation = current.generation + 1;
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
                *refused = Some(seen);
                Reload::Kept(findings)
            }
        }
    }
}

/// The digest of a text as a [`RuleSet`] names it.
fn sha256_of(text: &str) -> String {
    use sha2::{Digest, Sha256};
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

/// The keys whose change takes effect at the next start only.
fn restart_needed(old: &RuleSet, new: &RuleSet) -> Vec<&'static str> {
    let (before, after) = (&old.server, &new.server);
    [
        ("server.listen", before.listen != after.listen),
        (
            "server.request_timeout",
            before.request_timeout != after.request_timeout,
        ),
        (
            "server.max_connections",
            before.max_connections != after.max_connections,
        ),
        ("server.stop_grace", before.stop_grace != after.stop_grace),
        ("store.path", old.store.path != new.store.path),
        ("log", old.log != new.log),
    ]
    .into_iter()
    .filter_map(|(key, changed)| changed.then_some(key))
    .collect()
}
