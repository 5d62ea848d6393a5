//! Where the store is, for whoever looks at it from outside: also by rules that do not load here, for want of a secret.

use std::path::{Path, PathBuf};

use super::{folder_of, read, store_path};
use crate::diagnostic::{Findings, Source};
use crate::rules::StoreSettings;
use crate::store::Settings;
use crate::yaml::Document;

/// The socket that the rules file at `path` names; the inner `None` if it says that there is none, the outer if it says
/// nothing or cannot be read.
pub fn socket_of(path: &Path) -> Option<Option<PathBuf>> {
    let mut findings = Findings::new();
    let source = Source {
        path: path.to_owned(),
        text: read(path).ok()?,
    };
    let document = Document::parse(source, &mut findings)?;
    let admin = document.root().given("admin")?;
    let named = admin.given("socket")?.as_str()?;
    Some((named != "none").then(|| folder_of(path).join(named)))
}

/// Where the store of the rules file at `path` is; on an error, all that keeps it from being told.
pub fn store_of(path: &Path) -> Result<PathBuf, Findings> {
    let mut findings = Findings::new();
    let text = match read(path) {
        Ok(text) => text,
        Err(finding) => {
            findings.push(finding);
            return Err(findings);
        }
    };
    let source = Source {
        path: path.to_owned(),
        text,
    };
    let Some(document) = Document::parse(source, &mut findings) else {
        return Err(findings);
    };
    let named = document
        .root()
        .given("store")
        .and_then(|store| store.given("path"));
    let settings = StoreSettings {
        path: named
            .and_then(|named| named.as_str())
            .map(|named| folder_of(path).join(named)),
        settings: Settings::default(),
    };
    Ok(store_path(&settings))
}
