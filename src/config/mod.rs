//! Loader of rules files: returns a [`RuleSet`], or all diagnostics.
//!
//! `serve`, `check`, `explain` and every reload call [`load`], so `check` reports exactly what
//! `serve` would. `document` is the file's shape, `compile` gives it meaning, and `reload`
//! activates the next version. This module is the only reader of the environment.

mod acme;
mod admin;
mod compile;
mod concurrency;
mod cross_checks;
mod debounce;
mod document;
mod endpoint;
mod limit;
mod listen;
mod listen_conflicts;
mod paths;
mod reads;
mod reload;
mod replays;
mod rule;
mod settings;
mod tls;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use paths::{AdminSocket, Layout, Said, said, store_of};
pub use reload::{Cause, REST, Reload, Reloader, restart_needed};

use crate::base::diagnostic::{Diagnostic, Diagnostics, Source};
use crate::base::file;
use crate::base::file::{ReadError, slow};
use crate::base::secret::{Keyring, NOT_LOOKED_AT};
use crate::base::yaml::{Document, MAX_TEXT};
use crate::rules::{Admin, RuleSet, StoreSettings};

/// Diagnostic code for a rules file that does not exist.
const MISSING: &str = "missing";
/// Diagnostic code for a rules file that cannot be read, so its validity is unknown.
const UNREADABLE: &str = "unreadable";
/// Diagnostic code for a rules file that was not read within the time limit.
const SLOW: &str = "slow";

/// True if the rules file could be read at all.
pub fn was_read(diagnostics: &Diagnostics) -> bool {
    let mut codes = diagnostics.iter().map(|diagnostic| diagnostic.code);
    !codes.any(|code| [MISSING, UNREADABLE, SLOW].contains(&code))
}

/// True if the rules file does not exist.
pub fn is_missing(diagnostics: &Diagnostics) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.code == MISSING)
}

pub fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// Returns an environment variable, if it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is the door to the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Path of the store for the rules file `rules`, whose settings are loaded.
pub fn store_path(rules: &Path, settings: &StoreSettings) -> PathBuf {
    Layout::of_process().store(rules, settings.path.as_deref())
}

/// Path of the admin socket of the daemon that serves `rules` on `store`. `None` if it has none.
pub fn socket_path(rules: &Path, admin: &Admin, store: &Path) -> Option<PathBuf> {
    let said = match &admin.socket {
        None => AdminSocket::NotSaid,
        Some(None) => AdminSocket::None,
        Some(Some(socket)) => AdminSocket::At(socket.clone()),
    };
    Layout::of_process().socket(rules, &said, store)
}

/// A rules file that loaded, with its warnings.
#[derive(Debug)]
pub struct Loaded {
    pub rules: RuleSet,
    /// Contains no errors.
    pub warnings: Diagnostics,
}

/// Reads and compiles the file at `path`. If there is any error, returns all diagnostics in file
/// order instead. The generation is 0 until the rule set is activated.
pub fn load(path: &Path, environment: Vec<(OsString, OsString)>) -> Result<Loaded, Diagnostics> {
    let text = read(path).map_err(|diagnostic| {
        let mut diagnostics = Diagnostics::new();
        diagnostics.push(diagnostic);
        diagnostics
    })?;
    load_text(path, text, environment)
}

/// Like [`load`], for a text that was read already.
pub fn load_text(
    path: &Path,
    text: String,
    environment: Vec<(OsString, OsString)>,
) -> Result<Loaded, Diagnostics> {
    attempt(path, text, environment).outcome
}

/// Result of compiling a text, and the files that were read for it. A text that does not load has
/// files too: a missing file may be the reason, so it must be watched.
struct LoadAttempt {
    outcome: Result<Loaded, Diagnostics>,
    files: BTreeSet<PathBuf>,
}

/// Like [`load_text`], and also returns the files that were read.
///
/// A panic while compiling is a fault of hookyard. It counts as a file that does not load, so that
/// `check`, the log and `status` report it and the rules in force stay.
fn attempt(path: &Path, text: String, environment: Vec<(OsString, OsString)>) -> LoadAttempt {
    let compiling = AssertUnwindSafe(|| compile_text(path, text, environment));
    catch_unwind(compiling).unwrap_or_else(|_| {
        let message = "hookyard failed while reading this file, which is a fault of hookyard";
        let mut diagnostics = Diagnostics::new();
        diagnostics
            .push(Diagnostic::unplaced("internal", message).hint("undo the latest change of the file"));
        LoadAttempt {
            outcome: Err(diagnostics),
            files: BTreeSet::from([path.to_owned()]),
        }
    })
}

fn compile_text(path: &Path, text: String, environment: Vec<(OsString, OsString)>) -> LoadAttempt {
    let mut diagnostics = Diagnostics::new();
    let sha256 = sha256(&text);
    let keyring = Keyring::new(environment, &folder_of(path));
    let source = Source {
        path: path.to_owned(),
        text,
    };
    let compiled = Document::parse(source, &mut diagnostics)
        .and_then(|document| compile::compile(&document, &keyring, &mut diagnostics));
    let mut files = keyring.files();
    files.insert(path.to_owned());
    let outcome = match compiled {
        Some(mut rules) if !diagnostics.has_errors() => {
            rules.files.clone_from(&files);
            rules.fingerprint = fingerprint(&sha256, &files);
            rules.sha256 = sha256;
            Ok(Loaded {
                rules,
                warnings: diagnostics.sorted(),
            })
        }
        _ => Err(diagnostics.sorted()),
    };
    LoadAttempt { outcome, files }
}

/// Result of a check.
#[derive(Debug)]
pub struct Checked {
    pub diagnostics: Diagnostics,
    /// Numbers of endpoints and rules. `None` if the file does not load.
    pub summary: Option<(usize, usize)>,
}

/// Checks a text without access to this machine: no secrets, programs, folders, users or variables.
/// The compiled rules cannot verify anything, so they are dropped here.
pub fn check_offline(path: &Path, text: String) -> Checked {
    let diagnostics = Diagnostics::without(NOT_LOOKED_AT);
    let keyring = Keyring::offline(&folder_of(path));
    let source = Source {
        path: path.to_owned(),
        text,
    };
    checked(source, &keyring, diagnostics)
}

/// Checks a text as if it replaced the rules file at `place`. Diagnostics call it `shown`.
pub fn check_in_place_of(place: &Path, shown: &Path, text: String) -> Checked {
    let keyring = Keyring::new(environment(), &folder_of(place));
    let source = Source {
        path: shown.to_owned(),
        text,
    };
    checked(source, &keyring, Diagnostics::new())
}

fn checked(source: Source, keyring: &Keyring, mut diagnostics: Diagnostics) -> Checked {
    let document = Document::parse(source, &mut diagnostics);
    let rules = document
        .as_ref()
        .and_then(|document| compile::compile(document, keyring, &mut diagnostics));
    let diagnostics = diagnostics.told().sorted();
    // Rules whose secret was not read are missing from the compiled ones.
    let written = document
        .as_ref()
        .and_then(|document| document.root().given("rules"))
        .map_or(0, |rules| rules.items().len());
    let summary = rules.filter(|_| !diagnostics.has_errors());
    Checked {
        summary: summary.map(|rules| (rules.endpoints.len(), written)),
        diagnostics,
    }
}

/// Folder of a rules file. Relative paths in the file start there.
fn folder_of(path: &Path) -> PathBuf {
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// Reads the file. Its size is checked first.
pub fn read(path: &Path) -> Result<String, Diagnostic> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        let diagnostic = Diagnostic::unplaced(UNREADABLE, format!("cannot read `{shown}`: {error}"));
        Diagnostic {
            code: match error.kind() {
                std::io::ErrorKind::NotFound => MISSING,
                _ => UNREADABLE,
            },
            ..diagnostic
        }
    };
    let mut contents = file::read(path, MAX_TEXT as u64).map_err(|error| match error {
        ReadError::Io(error) => unreadable(error),
        ReadError::NotAFile(kind) => {
            Diagnostic::unplaced(UNREADABLE, format!("`{shown}` is {kind}, not a file"))
        }
        ReadError::TooLarge(length) => {
            let message = format!("`{shown}` has {length} bytes; at most {MAX_TEXT} are read");
            Diagnostic::unplaced("too-large", message)
        }
        ReadError::Slow => Diagnostic::unplaced(SLOW, slow(path)),
    })?;
    String::from_utf8(std::mem::take(&mut *contents.bytes)).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Diagnostic::unplaced("not-utf-8", format!("`{shown}` is not UTF-8 at byte {at}"))
    })
}

/// SHA-256 of a text, in hex.
fn sha256(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

/// Digest of all files that a rule set was made from: the rules file, and the content and
/// permissions of each other file.
fn fingerprint<'f>(sha256: &str, files: impl IntoIterator<Item = &'f PathBuf>) -> String {
    let mut digest = Sha256::new();
    digest.update(sha256.as_bytes());
    for path in files {
        // A path may name anything: a pipe, a disk, a file that hangs.
        let state = match file::read(path, MAX_TEXT as u64) {
            Ok(contents) => {
                digest.update(Sha256::digest(&*contents.bytes));
                u64::from(contents.mode)
            }
            Err(ReadError::Io(_)) => u64::MAX,
            Err(ReadError::NotAFile(_)) => u64::MAX - 1,
            Err(ReadError::Slow) => u64::MAX - 2,
            Err(ReadError::TooLarge(length)) => length,
        };
        digest.update(state.to_le_bytes());
    }
    data_encoding::HEXLOWER.encode(&digest.finalize())
}
