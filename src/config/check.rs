//! Checks of a text that no daemon serves: without this machine, or in the place of another file.

use std::path::Path;

use super::environment::environment;
use super::source::folder_of;
use super::{compile, include};
use crate::base::diagnostic::{Diagnostics, Source};
use crate::base::secret::{Keyring, NOT_LOOKED_AT};
use crate::base::yaml::Document;

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
    checked(path, source, &keyring, diagnostics)
}

/// Checks a text as if it replaced the rules file at `location`. Diagnostics call it `shown`.
pub fn check_in_place_of(location: &Path, shown: &Path, text: String) -> Checked {
    let keyring = Keyring::new(environment(), &folder_of(location));
    let source = Source {
        path: shown.to_owned(),
        text,
    };
    checked(location, source, &keyring, Diagnostics::new())
}

fn checked(location: &Path, source: Source, keyring: &Keyring, mut diagnostics: Diagnostics) -> Checked {
    let shown = source.path.clone();
    let texts = include::read(location, source, &mut diagnostics);
    let keyring = keyring.including(texts.folders);
    let documents = texts.documents.unwrap_or_default();
    let rules = match documents.as_slice() {
        [] => None,
        documents => compile::compile(documents, &keyring, &mut diagnostics),
    };
    let diagnostics = diagnostics.without_set_aside().sorted_from(&shown);
    // Rules whose secret was not read are missing from the compiled ones.
    let written = |document: &Document| {
        let rules = document.root().given("rules");
        rules.map_or(0, |rules| rules.items().len())
    };
    let summary = rules.filter(|_| !diagnostics.has_errors());
    Checked {
        summary: summary.map(|rules| (rules.endpoints.len(), documents.iter().map(written).sum())),
        diagnostics,
    }
}
