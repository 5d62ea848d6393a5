//! Loading of a rules file for tests of the rules: with given secrets, and without this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::source::folder_of;
use super::{compile, include};
use crate::base::diagnostic::{Diagnostics, Source};
use crate::base::secret::{Keyring, NOT_LOOKED_AT, Secret};
use crate::base::yaml::Document;
use crate::rules::RuleSet;

/// Rules whose secrets a test gives.
#[derive(Debug)]
pub struct PretendedRules {
    /// The rules, or what is wrong with them. The sources in [`Self::missing`] are not reported.
    pub outcome: Result<RuleSet, Diagnostics>,
    /// Sources that the rules need and that are not given.
    pub missing: BTreeSet<String>,
    /// Sources that are given and that nothing needs.
    pub unused: BTreeSet<String>,
    /// The texts, for settings that a test changes.
    pub documents: Vec<Document>,
}

/// Compiles a text. Nothing of this machine is read but what the text includes.
pub fn load_pretended(path: &Path, text: String, secrets: BTreeMap<String, Secret>) -> PretendedRules {
    load_with_literals(path, text, secrets).0
}

/// As [`load_pretended`], and returns the secrets that are written out.
pub(super) fn load_with_literals(
    path: &Path,
    text: String,
    secrets: BTreeMap<String, Secret>,
) -> (PretendedRules, BTreeSet<String>) {
    let mut diagnostics = Diagnostics::without(NOT_LOOKED_AT);
    let given: BTreeSet<String> = secrets.keys().cloned().collect();
    let source = Source {
        path: path.to_owned(),
        text,
    };
    let texts = include::read(path, source, &mut diagnostics);
    let keyring = Keyring::pretended(secrets, &folder_of(path)).including(texts.folders);
    let documents = texts.documents.unwrap_or_default();
    let compiled = match documents.as_slice() {
        [] => None,
        documents => compile::compile(documents, &keyring, &mut diagnostics),
    };
    let asked = keyring.asked();
    let missing: BTreeSet<String> = asked.difference(&given).cloned().collect();
    let unused = given.difference(&asked).cloned().collect();
    let diagnostics = diagnostics.without_set_aside().sorted_from(path);
    let outcome = match compiled {
        Some(mut rules) if !diagnostics.has_errors() && missing.is_empty() => {
            rules.sha256 = texts.sha256;
            Ok(rules)
        }
        _ => Err(diagnostics),
    };
    let pretended = PretendedRules {
        outcome,
        missing,
        unused,
        documents,
    };
    (pretended, keyring.literals())
}
