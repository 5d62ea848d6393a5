//! Where the store is, for whoever looks at it from outside: also by rules that do not load here, for want of a secret.

use std::path::{Path, PathBuf};

use super::{folder_of, read, store_path};
use crate::diagnostic::{Findings, Source};
use crate::rules::StoreSettings;
use crate::store::Settings;
use crate::yaml::Document;

/// What a rules file says of the daemon's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {
    /// It cannot be read.
    Unreadable,
    /// Nothing: it is in its usual place.
    NotSaid,
    /// That there is none.
    None,
    /// Where it is.
    At(PathBuf),
}

/// What the rules file at `path` says of the daemon's socket.
pub fn socket_of(path: &Path) -> Socket {
    let mut findings = Findings::new();
    let Ok(text) = read(path) else {
        return Socket::Unreadable;
    };
    let path_of = path.to_owned();
    let source = Source { path: path_of, text };
    let Some(document) = Document::parse(source, &mut findings) else {
        return Socket::Unreadable;
    };
    let admin = document.root().given("admin");
    let named = admin.and_then(|admin| admin.given("socket"));
    match named.and_then(|named| named.as_str()) {
        None => Socket::NotSaid,
        Some("none") => Socket::None,
        Some(named) => Socket::At(folder_of(path).join(named)),
    }
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
