//! The text of a rules file, its folder, and the digests that tell whether any of its files
//! changed.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::file::{self, Contents, ReadError, slow};
use crate::base::yaml::MAX_TEXT;

/// Diagnostic code for a rules file that does not exist.
pub(super) const MISSING: &str = "missing";
/// Diagnostic code for a rules file that cannot be read, so its validity is unknown.
pub(super) const UNREADABLE: &str = "unreadable";
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

/// Folder of a rules file. Relative paths in the file start there.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// Reads the file. Its size is checked first.
pub fn read(path: &Path) -> Result<String, Diagnostic> {
    text(path, file::read(path, MAX_TEXT as u64))
        .map_err(|(code, message)| Diagnostic::unplaced(code, message))
}

/// The text of a file that was read and is called `shown`. The error is a code and a message.
pub(super) fn text(
    shown: &Path,
    read: Result<Contents, ReadError>,
) -> Result<String, (&'static str, String)> {
    let name = shown.display();
    let mut contents = read.map_err(|error| match error {
        ReadError::Io(error) => {
            let is_missing = error.kind() == std::io::ErrorKind::NotFound;
            let code = if is_missing { MISSING } else { UNREADABLE };
            (code, format!("cannot read `{name}`: {error}"))
        }
        ReadError::NotAFile(kind) => (UNREADABLE, format!("`{name}` is {kind}, not a file")),
        ReadError::TooLarge(length) => {
            let message = format!("`{name}` has {length} bytes; at most {MAX_TEXT} are read");
            ("too-large", message)
        }
        ReadError::Slow => (SLOW, slow(shown)),
    })?;
    String::from_utf8(std::mem::take(&mut *contents.bytes)).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        ("not-utf-8", format!("`{name}` is not UTF-8 at byte {at}"))
    })
}

/// SHA-256 of a text, in hex.
pub(super) fn sha256(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

/// Digest of all files that a rule set was made from: the rules file, the included files (their
/// digest), and the content and permissions of each other file.
pub(super) fn fingerprint<'f>(
    sha256: &str,
    included: &str,
    files: impl IntoIterator<Item = &'f PathBuf>,
) -> String {
    let mut digest = Sha256::new();
    digest.update(sha256.as_bytes());
    digest.update(included.as_bytes());
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
