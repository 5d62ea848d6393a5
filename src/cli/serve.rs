//! `hookyard serve`.

use std::path::PathBuf;

use super::{NO, UNKNOWN, YES, coloured, rules_path};
use crate::daemon::{self, StartError};

/// Run the daemon.
///
/// The rules file is reloaded when it changes, and at once on SIGHUP; a broken one changes nothing. SIGTERM stops
/// in order: what was taken and is not done stays in the store and goes on at the next start.
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
            eprintln!("`{}` does not load: {} findings; nothing was started", path.display(), findings.errors());
            NO
        }
        Err(StartError::Other(message)) => {
            eprintln!("error: {message}");
            UNKNOWN
        }
    }
}
