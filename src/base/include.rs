//! Files by path or by a pattern of names, such as `rules.d/*.yaml`.
//!
//! A pattern stands in the last part of the path only, so that one folder decides what it matches.
//! As in a shell, it leaves out names that begin with a dot unless it begins with one itself:
//! editors keep their locks and copies under such names.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// Signs that make a name a pattern.
const SIGNS: [char; 4] = ['*', '?', '[', '{'];

/// Files to include.
#[derive(Clone, Debug)]
pub enum Include {
    File(PathBuf),
    Pattern(NamePattern),
}

/// A pattern of file names in one folder.
#[derive(Clone, Debug)]
pub struct NamePattern {
    /// The pattern with its folder.
    path: PathBuf,
    names: GlobMatcher,
    /// True if the pattern begins with a dot.
    hidden: bool,
}

impl Include {
    /// Reads a path, of which the last part may be a pattern. The error says what is wrong.
    pub fn new(path: PathBuf) -> Result<Self, String> {
        let is_pattern = |part: &str| part.contains(SIGNS);
        let folder = path.parent().unwrap_or(Path::new(""));
        if folder.to_str().is_some_and(is_pattern) {
            return Err("a pattern stands in the name of the file, not of a folder".to_owned());
        }
        match path.file_name().and_then(OsStr::to_str) {
            None => Err("it names no file".to_owned()),
            Some(name) if !is_pattern(name) => Ok(Self::File(path)),
            Some(name) => {
                let glob = GlobBuilder::new(name).backslash_escape(true).build();
                let glob = glob.map_err(|error| error.kind().to_string())?;
                let (names, hidden) = (glob.compile_matcher(), name.starts_with('.'));
                Ok(Self::Pattern(NamePattern { path, names, hidden }))
            }
        }
    }

    /// The files, sorted by name. A pattern in a folder that does not exist has none.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        match self {
            Self::File(path) => Ok(vec![path.clone()]),
            Self::Pattern(pattern) => pattern.files(),
        }
    }

    /// The path as it is named, perhaps with a pattern.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Pattern(pattern) => pattern.path(),
        }
    }

    pub fn pattern(&self) -> Option<&NamePattern> {
        match self {
            Self::File(_) => None,
            Self::Pattern(pattern) => Some(pattern),
        }
    }
}

impl NamePattern {
    /// The pattern with its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn matches(&self, name: &OsStr) -> bool {
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        (self.hidden || !is_hidden) && self.names.is_match(name)
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let entries = match folder.read_dir() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if self.matches(&name) {
                files.push(folder.join(name));
            }
        }
        files.sort();
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_in_the_last_part_and_leaves_hidden_files_out() {
        let pattern = |path: &str| Include::new(path.into()).unwrap();
        let matched = |path: &str, name: &str| pattern(path).pattern().unwrap().matches(OsStr::new(name));
        assert!(matched("/etc/rules.d/*.yaml", "a.yaml"));
        assert!(matched("/etc/rules.d/{a,b}?.yaml", "b1.yaml"));
        assert!(matched("/etc/rules.d/.*.yaml", ".a.yaml"));
        for name in ["a.yml", "a.yaml~", ".a.yaml", ".#a.yaml"] {
            assert!(!matched("/etc/rules.d/*.yaml", name), "{name}");
        }
        assert!(pattern("/etc/rules.d/a.yaml").pattern().is_none());
        for wrong in ["/etc/*/a.yaml", "/etc/**/*.yaml", "/", "/etc/..", "/etc/[a.yaml"] {
            assert!(Include::new(wrong.into()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_files_of_a_pattern_are_sorted_and_a_missing_folder_has_none() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yaml", "c.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let files = |path: &str| Include::new(folder.path().join(path)).unwrap().files().unwrap();
        assert_eq!(
            files("*.yaml"),
            [folder.path().join("a.yaml"), folder.path().join("b.yaml")]
        );
        assert!(files("none/*.yaml").is_empty());
    }
}
