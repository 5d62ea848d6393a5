//! Secrets: their sources in a rules file, and how they are read, kept and compared.
//!
//! A [`Secret`] is never printed, is zeroized on drop, and is compared in constant time, including
//! its length. A [`Keyring`] reads the sources `env:NAME`, `file:/path`, `credential:NAME` or the
//! literal text. The keyring remembers the files that it read, so that they can be watched. An
//! empty secret is always an error. The strength of a secret is left to `weak_secret.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::file::{Contents, ReadError, slow};
use crate::base::yaml::Node;
use crate::base::{file, weak_secret};

/// The error of an offline keyring for every source.
pub const NOT_LOOKED_AT: &str = "nothing of this machine is looked at";
/// Secrets of `rules.example.yaml`, as text and in base64. They cause a note in place of a warning:
/// the quick start begins without warnings, and `check` still says that strangers know them.
const OF_THE_EXAMPLE: [&str; 2] = ["only-for-this-example", "b25seS1mb3ItdGhpcy1leGFtcGxl"];
/// Maximum size of a secret file, in bytes.
const MAX_SECRET: u64 = 64 << 10;

#[derive(Clone)]
pub struct Secret {
    bytes: Zeroizing<Vec<u8>>,
}

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Zeroizing::new(bytes),
        }
    }

    /// The bytes, for keying a MAC or for sending them.
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// True if `candidate` is this secret. The time depends on the candidate's length alone.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        // Digests are compared, because a comparison of the bytes would reveal the secret's length.
        Sha256::digest(self.expose())
            .ct_eq(&Sha256::digest(candidate))
            .into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Reads secrets at load. Clones share what was read.
#[derive(Clone, Debug)]
pub struct Keyring {
    shared: Arc<KeyringSources>,
    /// Secrets that a test of rules gives. Nothing else is read if there are any.
    pretended: Option<Arc<PretendedSecrets>>,
    folder: Arc<Path>,
}

#[derive(Debug)]
struct KeyringSources {
    environment: BTreeMap<OsString, OsString>,
    offline: bool,
    /// Folders of the included files, by the paths of their texts.
    folders: HashMap<PathBuf, Arc<Path>>,
    files: Mutex<BTreeSet<PathBuf>>,
    /// Secrets that are written out in the file.
    literals: Mutex<BTreeSet<String>>,
}

/// Secrets that a test of rules gives.
#[derive(Debug)]
struct PretendedSecrets {
    given: BTreeMap<String, Secret>,
    asked: Mutex<BTreeSet<String>>,
}

impl Keyring {
    /// A keyring over a snapshot of the environment. Relative `file:` paths start at `folder`, the
    /// folder of the rules file.
    pub fn new(environment: impl IntoIterator<Item = (OsString, OsString)>, folder: &Path) -> Self {
        let environment = environment.into_iter().collect();
        Self::of_files(environment, false, folder, HashMap::new())
    }

    fn of_files(
        environment: BTreeMap<OsString, OsString>,
        offline: bool,
        folder: &Path,
        folders: HashMap<PathBuf, Arc<Path>>,
    ) -> Self {
        let shared = KeyringSources {
            environment,
            offline,
            folders,
            files: Mutex::new(BTreeSet::new()),
            literals: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            pretended: None,
            folder: folder.into(),
        }
    }

    /// The same keyring, for rules with included files: their folders, by the paths of their texts.
    #[must_use]
    pub fn including(&self, folders: HashMap<PathBuf, Arc<Path>>) -> Self {
        let environment = self.shared.environment.clone();
        Self {
            pretended: self.pretended.clone(),
            ..Self::of_files(environment, self.shared.offline, &self.folder, folders)
        }
    }

    /// The keyring for what stands at `node`: relative paths start at the folder of its file.
    #[must_use]
    pub fn at(&self, node: Node<'_>) -> Self {
        let folder = self.shared.folders.get(node.path()).unwrap_or(&self.folder);
        Self {
            shared: Arc::clone(&self.shared),
            pretended: self.pretended.clone(),
            folder: Arc::clone(folder),
        }
    }

    /// A keyring that reads nothing from this machine: every source is an error that says
    /// [`NOT_LOOKED_AT`].
    pub fn offline(folder: &Path) -> Self {
        Self::of_files(BTreeMap::new(), true, folder, HashMap::new())
    }

    /// A keyring that reads nothing from this machine. The secrets are `given`, by their sources as
    /// the rules file names them.
    pub fn pretended(given: BTreeMap<String, Secret>, folder: &Path) -> Self {
        Self {
            pretended: Some(Arc::new(PretendedSecrets {
                given,
                asked: Mutex::default(),
            })),
            ..Self::offline(folder)
        }
    }

    /// True if the secrets are those of a test.
    pub fn is_pretended(&self) -> bool {
        self.pretended.is_some()
    }

    /// The sources that were asked for: those that were given, and those that were not.
    pub fn asked(&self) -> BTreeSet<String> {
        let asked = self
            .pretended
            .as_ref()
            .map(|pretended| pretended.asked.lock().clone());
        asked.unwrap_or_default()
    }

    /// The secret that a test gives for a source.
    fn given(&self, source: &str) -> Option<Secret> {
        let pretended = self.pretended.as_ref()?;
        pretended.asked.lock().insert(source.to_owned());
        pretended.given.get(source).cloned()
    }

    /// True if nothing on this machine is read: no secrets and no other files.
    pub fn is_offline(&self) -> bool {
        self.shared.offline
    }

    /// A variable of the environment.
    pub fn variable(&self, name: &str) -> Option<&OsString> {
        self.shared.environment.get(&OsString::from(name))
    }

    /// The folder of the rules file, or after [`Self::at`] of the node's file, at which relative paths start.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files that were read, to be watched.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        self.shared.files.lock().clone()
    }

    /// The secrets that are written out in the file, to be masked where it is shown.
    pub fn literals(&self) -> BTreeSet<String> {
        self.shared.literals.lock().clone()
    }

    /// The secret that `node` names, or a diagnostic. A literal secret in the rules file is a
    /// warning, and so are quotes and a name that were copied with the secret.
    pub fn read(&self, node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Secret> {
        self.check(node, diagnostics, |secret| {
            weak_secret::pasted(secret)
                .map(str::to_owned)
                .into_iter()
                .collect()
        })
    }

    /// As [`Self::read`], for a secret that must not be guessed. A secret of fewer than `least`
    /// bytes, or with another weakness, is a warning too.
    pub fn read_shared(&self, node: Node<'_>, least: usize, diagnostics: &mut Diagnostics) -> Option<Secret> {
        let literal = node.as_str().filter(|text| source_of(text).is_none());
        if literal.is_some_and(|text| weak_secret::is_unexpanded(text.as_bytes())) {
            let diagnostic = node.error(
                "secret",
                "variables are not replaced here: this text itself would be the secret",
            );
            diagnostics.push(diagnostic.hint("write `env:NAME`"));
            return None;
        }
        self.check(node, diagnostics, |secret| weak_secret::weaknesses(secret, least))
    }

    /// Reads the secret that `node` names, and adds at most one warning for all its weaknesses.
    fn check(
        &self,
        node: Node<'_>,
        diagnostics: &mut Diagnostics,
        weaknesses: impl Fn(&[u8]) -> Vec<String>,
    ) -> Option<Secret> {
        let Some(text) = node.as_str() else {
            diagnostics.push(node.error(
                "secret",
                "a secret is text: `env:NAME`, `file:/path` or `credential:NAME`",
            ));
            return None;
        };
        match self.at(node).resolve(text) {
            Ok((secret, warning)) => {
                let weaknesses = weaknesses(secret.expose());
                let all: Vec<String> = warning.into_iter().chain(weaknesses).collect();
                if OF_THE_EXAMPLE.contains(&text) {
                    let message = "a secret of the example, which strangers know";
                    let public = Diagnostic::note(node.origin(), "secret", message);
                    diagnostics.push(public.hint("choose another one before strangers reach this daemon"));
                } else if !all.is_empty() {
                    diagnostics.push(node.warning("secret", all.join("; ")));
                }
                Some(secret)
            }
            Err(message) => {
                diagnostics.push(node.error("secret", message));
                None
            }
        }
    }

    /// The secret that `text` names, with an optional warning. The error never contains the secret.
    pub fn resolve(&self, text: &str) -> Result<(Secret, Option<String>), String> {
        if self.is_offline() && source_of(text).is_some() {
            if let Some(secret) = self.given(text) {
                return Ok((secret, None));
            }
            return Err(NOT_LOOKED_AT.to_owned());
        }
        let (bytes, what, warning) = if let Some(name) = text.strip_prefix("env:") {
            let value = self
                .variable(name)
                .ok_or_else(|| format!("the environment variable `{name}` is not set"))?;
            (
                value.clone().into_vec(),
                format!("the environment variable `{name}`"),
                None,
            )
        } else if let Some(path) = text.strip_prefix("file:") {
            let path = self.folder.join(path);
            let (bytes, warning) = self.file(&path)?;
            (bytes, format!("the file `{}`", path.display()), warning)
        } else if let Some(name) = text.strip_prefix("credential:") {
            let folder = self.variable("CREDENTIALS_DIRECTORY").ok_or(
                "`$CREDENTIALS_DIRECTORY` is not set: systemd sets it where the unit has `LoadCredential=`",
            )?;
            if name.contains('/') || name.is_empty() || name.starts_with('.') {
                return Err(format!("`{name}` is not the name of a credential"));
            }
            let path = Path::new(folder).join(name);
            (self.file(&path)?.0, format!("the credential `{name}`"), None)
        } else {
            self.shared.literals.lock().insert(text.to_owned());
            let warning = "a secret written out in the rules file: prefer `env:`, `file:` or `credential:`";
            (
                text.as_bytes().to_vec(),
                "the secret".to_owned(),
                Some(warning.to_owned()),
            )
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(format!("{what} is empty"));
        }
        Ok((Secret::new(bytes), warning))
    }

    /// The bytes of a secret file, which is watched from now on.
    fn file(&self, path: &Path) -> Result<(Vec<u8>, Option<String>), String> {
        self.watch(path);
        read(path)
    }

    /// The path and the content of a file that may receive its secret later. Relative paths start
    /// at the folder of the rules file. The last part is a warning.
    pub fn learnt(&self, path: &str) -> Result<(PathBuf, Option<Secret>, Option<String>), String> {
        let source = format!("file:{path}");
        let path = self.folder.join(path);
        if self.is_offline() {
            return Ok((path, self.given(&source), None));
        }
        self.watch(&path);
        match kept(&path)? {
            Some((secret, warning)) => Ok((path, Some(secret), warning)),
            None => Ok((path, None, None)),
        }
    }

    /// Watches a file from now on. The file may not exist yet.
    pub fn watch(&self, path: &Path) {
        let mut files = self.shared.files.lock();
        files.insert(path.to_owned());
    }
}

/// The secret in a file, with an optional warning. `None` if the file is missing or empty.
pub fn kept(path: &Path) -> Result<Option<(Secret, Option<String>)>, String> {
    let contents = match file::read(path, MAX_SECRET) {
        Err(ReadError::Io(error)) if error.kind() == ErrorKind::NotFound => return Ok(None),
        contents => contents,
    };
    let (bytes, warning) = text(path, contents)?;
    let blank = bytes.iter().all(u8::is_ascii_whitespace);
    Ok((!blank).then(|| (Secret::new(bytes), warning)))
}

/// The bytes of a secret file without one trailing newline (`\n` or `\r\n`), with an optional
/// warning.
fn read(path: &Path) -> Result<(Vec<u8>, Option<String>), String> {
    text(path, file::read(path, MAX_SECRET))
}

/// As [`read`], for contents that were already read.
fn text(path: &Path, contents: Result<Contents, ReadError>) -> Result<(Vec<u8>, Option<String>), String> {
    let shown = path.display();
    let mut contents = contents.map_err(|error| match error {
        ReadError::Io(error) => format!("cannot read the secret file `{shown}`: {error}"),
        ReadError::NotAFile(kind) => format!("the secret file `{shown}` is {kind}, not a file"),
        ReadError::TooLarge(_) => format!("`{shown}` is not a file of at most {MAX_SECRET} bytes"),
        ReadError::Slow => slow(path),
    })?;
    let mut bytes = std::mem::take(&mut *contents.bytes);
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    let open = contents.mode & 0o004 != 0;
    let warning = open.then(|| format!("every user can read `{shown}`: chmod 0640"));
    Ok((bytes, warning))
}

/// The text itself if it names a source (`env:`, `file:` or `credential:`). `None` if the text is a
/// literal secret.
pub fn source_of(text: &str) -> Option<&str> {
    let named = ["env:", "file:", "credential:"];
    named.iter().any(|kind| text.starts_with(kind)).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn keyring(folder: &Path) -> Keyring {
        let environment = [("SET", "value"), ("EMPTY", ""), ("BLANK", " \n")];
        Keyring::new(
            environment.map(|(name, value)| (name.into(), value.into())),
            folder,
        )
    }

    #[test]
    fn each_source_is_read_and_one_newline_stripped() {
        let folder = tempfile::tempdir().unwrap();
        for (content, expected) in [
            ("k\n", "k"),
            ("k\r\n", "k"),
            ("k\n\n", "k\n"),
            ("k ", "k "),
            ("k", "k"),
            ("\nk", "\nk"),
        ] {
            fs::write(folder.path().join("secret"), content).unwrap();
            let (secret, _) = keyring(folder.path()).resolve("file:secret").unwrap();
            assert_eq!(secret.expose(), expected.as_bytes(), "{content:?}");
        }
        assert_eq!(
            keyring(folder.path()).resolve("env:SET").unwrap().0.expose(),
            b"value"
        );
        let (literal, warning) = keyring(folder.path()).resolve("plain").unwrap();
        assert!(literal.matches(b"plain") && warning.is_some());
    }

    #[test]
    fn an_empty_or_missing_secret_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("newline"), "\n").unwrap();
        for source in [
            "",
            " ",
            "env:EMPTY",
            "env:BLANK",
            "env:UNSET",
            "file:newline",
            "file:none",
            "credential:x",
            "file:.",
        ] {
            assert!(keyring(folder.path()).resolve(source).is_err(), "{source}");
        }
    }

    #[test]
    fn a_credential_is_a_name_and_never_a_path() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), "t0k\n").unwrap();
        let environment = [(
            "CREDENTIALS_DIRECTORY".into(),
            folder.path().as_os_str().to_owned(),
        )];
        let keyring = Keyring::new(environment, folder.path());
        assert_eq!(keyring.resolve("credential:token").unwrap().0.expose(), b"t0k");
        for wrong in [
            "credential:../token",
            "credential:",
            "credential:.",
            "credential:none",
        ] {
            assert!(keyring.resolve(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_never_printed_and_matches_only_itself() {
        let secret = Secret::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert!(secret.matches(b"hunter2"));
        assert!(!secret.matches(b"hunter") && !secret.matches(b"") && !secret.matches(b"hunter22"));
    }
}
