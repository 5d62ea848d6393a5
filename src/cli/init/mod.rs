//! `hookyard init`: a rules file for one sender, a test of it, and what the service needs.
//!
//! All files are written, or none: a file that is there is never changed. `sender.rs` knows what a
//! sender needs, and `files.rs` what stands in the files.

mod files;
mod sender;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use self::files::File;
use self::sender::Sender;
use super::{YES, fail, say};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The sender: a name that `hookyard schemes` lists, `own` for your own scripts, or `none` for no
    /// verification.
    #[arg(long, value_name = "NAME", default_value = "own")]
    sender: String,
    /// The folder of the files, made if it is missing.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

pub fn run(arguments: &Arguments) -> u8 {
    let written = Sender::named(&arguments.sender).and_then(|sender| {
        let is_made = make(&arguments.dir)?;
        let next = write_for(&sender, &arguments.dir);
        if is_made && next.is_err() {
            fs::remove_dir(&arguments.dir).ok();
        }
        next
    });
    match written {
        Ok(next) => say(&next, YES),
        Err(message) => fail(&message),
    }
}

/// Makes the folder if it is missing. Returns true if it was.
fn make(folder: &Path) -> Result<bool, String> {
    match fs::create_dir(folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(_) if folder.is_dir() => Ok(false),
        Err(error) => Err(format!("cannot make the folder `{}`: {error}", folder.display())),
    }
}

/// Writes the files for a sender. Returns what to do next.
fn write_for(sender: &Sender, dir: &Path) -> Result<String, String> {
    let folder =
        fs::canonicalize(dir).map_err(|error| format!("cannot write into `{}`: {error}", dir.display()))?;
    let files = files::of(sender, &folder)?;
    write(&folder, &files)?;
    Ok(files::next(sender, dir, &files))
}

/// Writes all files, or none if one of them is there or cannot be written.
fn write(folder: &Path, files: &[File]) -> Result<(), String> {
    let shown = |file: &File| folder.join(file.name).display().to_string();
    if let Some(file) = files
        .iter()
        .find(|file| folder.join(file.name).symlink_metadata().is_ok())
    {
        return Err(format!(
            "`{}` is there already, so nothing is written: choose another folder with `--dir`",
            shown(file)
        ));
    }
    for (at, file) in files.iter().enumerate() {
        if let Err(error) = write_one(&folder.join(file.name), file) {
            // A file that another program has written in between is not removed.
            for written in files.iter().take(at) {
                fs::remove_file(folder.join(written.name)).ok();
            }
            return Err(format!(
                "cannot write `{}`: {error}; nothing is written",
                shown(file)
            ));
        }
    }
    Ok(())
}

fn write_one(path: &Path, file: &File) -> io::Result<()> {
    let mut open = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(file.mode)
        .open(path)?;
    let written = open
        .write_all(file.text.as_bytes())
        .and_then(|()| open.sync_all());
    if written.is_err() {
        fs::remove_file(path).ok();
    }
    written
}
