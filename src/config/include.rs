//! `include:` of the rules file: the other files that rules are read from.
//!
//! An included file has `endpoints`, `rules` and `schemes` only. All files are read and parsed
//! before any of them is compiled: if one fails, none counts. Each text is read once, and its digest
//! is that of what was read, so that a change during the load is seen afterwards.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::source::{self, MISSING, UNREADABLE, folder_of, sha256};
use crate::base::diagnostic::{Diagnostic, Diagnostics, Source};
use crate::base::file::{self, Contents, ReadError};
use crate::base::include::Include;
use crate::base::yaml::{Document, MAX_TEXT, Node, SizeCount};

/// Maximum number of included files, and of entries of `include`.
pub(super) const MAX_INCLUDED: usize = 1000;
/// Maximum size of the rules file and all included files together, in bytes.
const MAX_TOGETHER: usize = 16 << 20;

/// Keys of an included file.
const KEYS: [&str; 3] = ["endpoints", "rules", "schemes"];
/// Keys of the main file alone.
const OF_MAIN: [&str; 7] = [
    "server",
    "store",
    "deliveries",
    "admin",
    "log",
    "reload",
    "defaults",
];

/// The texts of one rule set.
pub(super) struct RulesTexts {
    /// The main file and then the included ones. `None` if one of them could not be read.
    pub documents: Option<Vec<Document>>,
    /// `include` of the main file.
    pub includes: Vec<Include>,
    /// The included files, also those that could not be read.
    pub files: BTreeSet<PathBuf>,
    /// Folders of the included files, by the paths of their texts.
    pub folders: HashMap<PathBuf, Arc<Path>>,
    /// Digest of the included files, as they were read.
    pub digest: String,
    /// SHA-256 of the rules, in hex. Of one file, that of its text.
    pub sha256: String,
}

/// An included file: its path, and what was read.
type Included = (PathBuf, Result<Contents, ReadError>);

/// Parses a text as the rules file at `location`, and reads the files that it includes.
pub(super) fn read(location: &Path, main: Source, diagnostics: &mut Diagnostics) -> RulesTexts {
    let before = diagnostics.errors();
    let main_sha256 = sha256(&main.text);
    let mut reading = Reading {
        texts: RulesTexts {
            documents: None,
            includes: Vec::new(),
            files: BTreeSet::new(),
            folders: HashMap::new(),
            digest: String::new(),
            sha256: main_sha256.clone(),
        },
        digest: IncludedDigest::default(),
        hashes: vec![format!("{main_sha256}  {}\n", name_of(location))],
        together: main.text.len(),
    };
    let mut size = SizeCount::default();
    let Some(document) = parse(main, &mut size, diagnostics) else {
        return reading.texts;
    };
    let entries = entries(document.root(), location, diagnostics);
    reading.texts.includes = entries.iter().map(|(_, include)| include.clone()).collect();
    let mut included = Vec::new();
    for (at, listed) in list(&reading.texts.includes, location) {
        let Some((node, _)) = entries.get(at) else {
            continue;
        };
        let source = reading.file(location, listed, *node, diagnostics);
        // The file that goes beyond the bound is reported, and not each one after it.
        if !size.is_beyond() {
            included.extend(source.and_then(|source| parse(source, &mut size, diagnostics)));
        }
    }
    for document in &included {
        check(document.root(), diagnostics);
    }
    let mut texts = reading.texts;
    if !texts.files.is_empty() {
        texts.sha256 = sha256(&reading.hashes.concat());
    }
    texts.digest = reading.digest.finish();
    if diagnostics.errors() == before {
        included.insert(0, document);
        texts.documents = Some(included);
    }
    texts
}

/// The files that a text includes, as it names them. None of them is read.
pub(super) fn named(location: &Path, main: Source) -> Vec<Include> {
    let mut left_to_the_load = Diagnostics::new();
    let document = Document::parse(main, &mut left_to_the_load);
    document.map_or_else(Vec::new, |document| {
        let entries = entries(document.root(), location, &mut left_to_the_load);
        entries.into_iter().map(|(_, include)| include).collect()
    })
}

/// The texts while they are being read.
struct Reading {
    texts: RulesTexts,
    digest: IncludedDigest,
    /// SHA-256 and name of each file, as lines.
    hashes: Vec<String>,
    /// Bytes of all files.
    together: usize,
}

impl Reading {
    /// Reads an included file. Reports at `node`, which names it, why it has no text.
    fn file(
        &mut self,
        location: &Path,
        listed: io::Result<PathBuf>,
        node: Node<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Source> {
        let path = match listed {
            Ok(path) => path,
            Err(error) => {
                self.digest.add_unlisted(&error);
                let message = format!("cannot list the folder of `{}`: {error}", written(node));
                diagnostics.push(node.error(UNREADABLE, message));
                return None;
            }
        };
        if self.texts.files.len() == MAX_INCLUDED {
            let message = format!("more than {MAX_INCLUDED} included files");
            diagnostics.push(node.error("include", message));
            return None;
        }
        self.texts.files.insert(path.clone());
        let read: Included = (path.clone(), file::read(&path, MAX_TEXT as u64));
        self.digest.add(&read);
        let shown = shown(location, &path);
        let text = text(read, &shown, node, diagnostics)?;
        self.together = self.together.saturating_add(text.len());
        if self.together > MAX_TOGETHER {
            let message =
                format!("the rules file and those that it includes have more than {MAX_TOGETHER} bytes");
            diagnostics.push(node.error("too-large", message));
            return None;
        }
        let line = format!("{}  {}\n", sha256(&text), shown_below(location, &path));
        self.hashes.push(line);
        let folder = folder_of(&path).into();
        self.texts.folders.insert(shown.clone(), folder);
        Some(Source { path: shown, text })
    }
}

/// Parses one file. Keys of its own that begin with `x-` are for the user's anchors.
pub(super) fn parse(source: Source, size: &mut SizeCount, diagnostics: &mut Diagnostics) -> Option<Document> {
    let document = Document::parse_after(source, size, diagnostics)?;
    Some(document.without_keys(|key| key.starts_with("x-")))
}

/// Reads the entries of `include`, each with its place.
fn entries<'d>(root: Node<'d>, main: &Path, diagnostics: &mut Diagnostics) -> Vec<(Node<'d>, Include)> {
    let Some(node) = root.given("include") else {
        return Vec::new();
    };
    let items = node.one_or_many();
    if items.len() > MAX_INCLUDED {
        let message = format!("{} entries; at most {MAX_INCLUDED} are read", items.len());
        diagnostics.push(node.error("include", message));
        return Vec::new();
    }
    let folder = folder_of(main);
    let mut entries = Vec::new();
    for item in items {
        let Some(text) = item.as_str().filter(|text| !text.is_empty()) else {
            let diagnostic = item.error("wrong-value", "`include` is a path, or a list of paths");
            diagnostics.push(diagnostic.hint("write `include: [rules.d/*.yaml]`"));
            continue;
        };
        match Include::new(folder.join(text)) {
            Ok(Include::File(path)) if path == absolute(main) => {
                diagnostics.push(item.error("include", "the file includes itself"));
            }
            Ok(include) => entries.push((item, include)),
            Err(why) => {
                let diagnostic = item.error("include", format!("`{text}`: {why}"));
                diagnostics.push(diagnostic.hint("write a file, `rules.d/deploy.yaml`, or `rules.d/*.yaml`"));
            }
        }
    }
    entries
}

/// Lists the included files once each, with the index of the entry that names them. A pattern leaves
/// out the main file. At most one file more than may be read.
fn list(includes: &[Include], main: &Path) -> Vec<(usize, io::Result<PathBuf>)> {
    let mut seen = HashSet::from([absolute(main)]);
    let mut list = Vec::new();
    for (at, include) in includes.iter().enumerate() {
        match include.files() {
            Ok(files) => {
                let new = files.into_iter().filter(|file| seen.insert(file.clone()));
                let left = (MAX_INCLUDED + 1).saturating_sub(list.len());
                list.extend(new.take(left).map(|file| (at, Ok(file))));
            }
            Err(error) => list.push((at, Err(error))),
        }
    }
    list
}

/// Digest of the included files as they are now.
pub(super) fn digest(includes: &[Include], main: &Path) -> String {
    let mut digest = IncludedDigest::default();
    for (_, listed) in list(includes, main).into_iter().take(MAX_INCLUDED) {
        match listed {
            Ok(path) => {
                let read = file::read(&path, MAX_TEXT as u64);
                digest.add(&(path, read));
            }
            Err(error) => digest.add_unlisted(&error),
        }
    }
    digest.finish()
}

/// Digest of names and contents.
#[derive(Default)]
struct IncludedDigest(Sha256);

impl IncludedDigest {
    fn add(&mut self, (path, read): &Included) {
        let path = path.as_os_str().as_encoded_bytes();
        self.0.update(path.len().to_le_bytes());
        self.0.update(path);
        let (state, bytes): (u8, &[u8]) = match read {
            Ok(contents) => (0, &contents.bytes),
            Err(ReadError::Io(_)) => (1, b""),
            Err(ReadError::NotAFile(_)) => (2, b""),
            Err(ReadError::TooLarge(_)) => (3, b""),
            Err(ReadError::Slow) => (4, b""),
        };
        self.0.update([state]);
        self.0.update(Sha256::digest(bytes));
    }

    fn add_unlisted(&mut self, error: &io::Error) {
        self.0.update(error.kind().to_string());
    }

    fn finish(self) -> String {
        data_encoding::HEXLOWER.encode(&self.0.finalize())
    }
}

/// The text of an included file. Reports at `node`, which names it, why it has none.
fn text((_, read): Included, shown: &Path, node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    let is_file = !matches!(read, Err(ReadError::NotAFile(_)));
    let (code, message) = match source::text(shown, read) {
        Ok(text) => return Some(text),
        Err((MISSING, _)) => {
            let diagnostic = node.error("include", format!("there is no file `{}`", shown.display()));
            diagnostics.push(diagnostic.hint("a pattern, such as `rules.d/*.yaml`, may match nothing"));
            return None;
        }
        Err((code, message)) => (if is_file { code } else { "include" }, message),
    };
    diagnostics.push(node.error(code, message));
    None
}

/// Checks the keys of an included file.
fn check(root: Node<'_>, diagnostics: &mut Diagnostics) {
    if root.value().is_null() {
        let diagnostic = root.error("empty", "the file is empty");
        diagnostics.push(diagnostic.hint("an included file without rules says so: `rules: []`"));
        return;
    }
    if !root.is_mapping() {
        diagnostics.push(root.error(
            "wrong-value",
            "an included file is a mapping: `rules:`, then `- name: …`",
        ));
        return;
    }
    for (key, node) in root.entries() {
        let origin = node.key_origin();
        if key == "include" {
            let message = "an included file includes no other files";
            let diagnostic = Diagnostic::error(origin, "include", message);
            diagnostics.push(diagnostic.hint("name all files in the main file"));
        } else if OF_MAIN.contains(&key) {
            let diagnostic =
                Diagnostic::error(origin, "include", format!("`{key}` stands in the main file only"));
            diagnostics.push(diagnostic.hint("an included file has `endpoints`, `rules` and `schemes`"));
        } else if !KEYS.contains(&key) {
            diagnostics.push(crate::base::yaml::unknown(
                origin,
                "unknown-key",
                "key",
                key,
                KEYS,
            ));
        } else if node.value().is_null() {
            let message = format!("`{key}` has no value; remove the key or give it one");
            diagnostics.push(Diagnostic::error(origin, "null-value", message));
        }
    }
}

fn written(node: Node<'_>) -> &str {
    node.as_str().unwrap_or_default()
}

fn absolute(path: &Path) -> PathBuf {
    folder_of(path).join(path.file_name().unwrap_or_default())
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The path of an included file as seen from the main file's folder.
fn shown_below(main: &Path, file: &Path) -> String {
    let below = file.strip_prefix(folder_of(main)).unwrap_or(file);
    below.display().to_string()
}

/// The path of an included file in diagnostics: beside the main file, as the user named that.
fn shown(main: &Path, file: &Path) -> PathBuf {
    let folder = main.parent().unwrap_or(Path::new(""));
    match file.strip_prefix(folder_of(main)) {
        Ok(below) => folder.join(below),
        Err(_) => file.to_owned(),
    }
}
