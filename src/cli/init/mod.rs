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
    /// The folder of the files.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

pub fn run(arguments: &Arguments) -> u8 {
    let written = Sender::named(&arguments.sender).and_then(|sender| {
        let folder = fs::canonicalize(&arguments.dir)
            .map_err(|error| format!("cannot write into `{}`: {error}", arguments.dir.display()))?;
        let files = files::of(&sender, &folder)?;
        write(&folder, &files)?;
        Ok(files::next(&sender, &arguments.dir, &files))
    });
    match written {
        Ok(next) => say(&next, YES),
        Err(message) => fail(&message),
    }
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
