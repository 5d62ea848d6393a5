//! `hookyard man`: the manual pages, one a command, made of the same definitions that the command line is read by.

use std::path::PathBuf;

use clap::CommandFactory;

use super::{YES, fail};

/// The arguments of `hookyard man`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder; it is there already.
    folder: PathBuf,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> u8 {
    let folder = &arguments.folder;
    match clap_mangen::generate_to(super::Arguments::command(), folder) {
        Ok(()) => YES,
        Err(error) => fail(&format!("cannot write into `{}`: {error}", folder.display())),
    }
}
