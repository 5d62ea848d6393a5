//! `hookyard man`: a manual page per command, generated from the definitions of the command line.

use std::path::PathBuf;

use clap::CommandFactory;

use super::{YES, fail};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder, which must exist.
    folder: PathBuf,
}

pub fn run(arguments: &Arguments) -> u8 {
    let folder = &arguments.folder;
    match clap_mangen::generate_to(super::Arguments::command(), folder) {
        Ok(()) => YES,
        Err(error) => fail(&format!("cannot write into `{}`: {error}", folder.display())),
    }
}
