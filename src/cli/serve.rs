//! `hookyard serve`.

use std::path::PathBuf;

use super::{NO, UNKNOWN, YES, coloured, rules_path};
use crate::daemon::{self, StartError};

/// The arguments of `hookyard serve`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The rules file [default: `rules.yaml`, else `/etc/hookyard/rules.yaml`].
    rules: Option<PathBuf>,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> u8 {
    let path = rules_path(arguments.rules.as_ref());
    match daemon::run(&path) {
        Ok(()) => YES,
        Err(StartError::Rules(findings)) => {
            eprintln!("{}\n", findings.render(coloured(&std::io::stderr())));
            eprintln!(
                "`{}` does not load: {} findings; nothing was started",
                path.display(),
                findings.errors()
            );
            NO
        }
        Err(StartError::Other(message)) => {
            eprintln!("error: {message}");
            UNKNOWN
        }
    }
}
