//! Loading of a rules file: the compiled rules, or all diagnostics.
//!
//! `serve`, `explain` and every reload call [`load`]. `check.rs` compiles a text that no daemon
//! serves.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::include::RulesTexts;
use super::source::{fingerprint, folder_of, read, sha256};
use super::{compile, include, rule_source};
use crate::base::diagnostic::{Diagnostic, Diagnostics, Source};
use crate::base::include::Include;
use crate::base::secret::Keyring;
use crate::rules::RuleSet;

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

/// Like [`load`], for a file that is to take the place of the rules file at `location`.
pub fn load_in_place_of(
    location: &Path,
    path: &Path,
    environment: Vec<(OsString, OsString)>,
) -> Result<Loaded, Diagnostics> {
    let text = read(path).map_err(|diagnostic| [diagnostic].into_iter().collect::<Diagnostics>())?;
    attempt_in_place_of(location, path, text, environment).outcome
}

/// Result of compiling a text, and the files that were read for it. A text that does not load has
/// files too: a missing file may be the reason, so it must be watched.
pub(super) struct LoadAttempt {
    pub outcome: Result<Loaded, Diagnostics>,
    pub files: BTreeSet<PathBuf>,
    pub includes: Vec<Include>,
    /// Digest of all of them, as they were read.
    pub fingerprint: String,
}

/// Like [`load_text`], and also returns the files that were read.
///
/// A panic while compiling is a fault of hookyard. It counts as a file that does not load, so that
/// `check`, the log and `status` report it and the rules in force stay.
pub(super) fn attempt(path: &Path, text: String, environment: Vec<(OsString, OsString)>) -> LoadAttempt {
    attempt_in_place_of(path, path, text, environment)
}

/// Like [`attempt`], for a text that diagnostics call `path`, and that stands at `location`.
fn attempt_in_place_of(
    location: &Path,
    path: &Path,
    text: String,
    environment: Vec<(OsString, OsString)>,
) -> LoadAttempt {
    let main_sha256 = sha256(&text);
    let compiling = AssertUnwindSafe(|| compile_text(location, path, text, environment));
    catch_unwind(compiling).unwrap_or_else(|_| {
        let message = "hookyard failed while reading this file, which is a fault of hookyard";
        let mut diagnostics = Diagnostics::new();
        diagnostics
            .push(Diagnostic::unplaced("internal", message).hint("undo the latest change of the file"));
        let files = BTreeSet::from([path.to_owned()]);
        LoadAttempt {
            outcome: Err(diagnostics),
            fingerprint: fingerprint(&main_sha256, "", &files),
            files,
            includes: Vec::new(),
        }
    })
}

fn compile_text(
    location: &Path,
    path: &Path,
    text: String,
    environment: Vec<(OsString, OsString)>,
) -> LoadAttempt {
    let mut diagnostics = Diagnostics::new();
    let main_sha256 = sha256(&text);
    let source = Source {
        path: path.to_owned(),
        text,
    };
    let texts = include::read(location, source, &mut diagnostics);
    let RulesTexts {
        documents,
        includes,
        files: included,
        folders,
        digest,
        sha256,
    } = texts;
    let keyring = Keyring::new(environment, &folder_of(location)).including(folders);
    let compiled = documents.and_then(|documents| compile::compile(&documents, &keyring, &mut diagnostics));
    let mut files = keyring.files();
    files.insert(path.to_owned());
    files.extend(included);
    let fingerprint = fingerprint(&main_sha256, &digest, &files);
    let diagnostics = diagnostics.sorted_from(path);
    let outcome = match compiled {
        Some(mut rules) if !diagnostics.has_errors() => {
            rules.files.clone_from(&files);
            rules.includes.clone_from(&includes);
            rules.fingerprint.clone_from(&fingerprint);
            rules.sha256 = sha256;
            rule_source::add_warnings(&mut rules.endpoints, &diagnostics);
            Ok(Loaded {
                rules,
                warnings: diagnostics,
            })
        }
        _ => Err(diagnostics),
    };
    LoadAttempt {
        outcome,
        files,
        includes,
        fingerprint,
    }
}
