//! Files that only their owner can read, written completely or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes a file that only its owner can read. The content is complete and synced before `name`
/// links or renames it to its final path. Until then it is in a temporary file in the same folder.
/// After an error nothing is left of it.
pub fn write_private(
    file: &Path,
    parts: &[&[u8]],
    name: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let beside = beside(file);
    // Left behind by a daemon with the same process id that crashed before removing it.
    fs::remove_file(&beside).ok();
    let written = put(&beside, parts).and_then(|()| name(&beside, file));
    fs::remove_file(&beside).ok();
    written?;
    File::open(folder_of(file))?.sync_all()
}

/// The path of the temporary file for [`write_private`].
pub fn beside(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    folder_of(file).join(format!(".{name}.{}.new", std::process::id()))
}

fn folder_of(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn put(file: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    for part in parts {
        new.write_all(part)?;
    }
    new.sync_all()
}
