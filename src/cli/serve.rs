//! `hookyard serve`: starts the daemon, and reports why it did not start.

use std::path::PathBuf;

use super::{NO, UNKNOWN, YES, coloured, complain_styled, fail, naming, rules_path};
use crate::base::count::counted;
use crate::config;
use crate::daemon::{self, StartError};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The rules file [default: `rules.yaml`, else `/etc/hookyard/rules.yaml`].
    rules: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> u8 {
    let path = rules_path(arguments.rules.as_ref());
    match daemon::run(&path) {
        Ok(()) => YES,
        Err(StartError::Rules(diagnostics)) => {
            let was_read = config::was_read(&diagnostics);
            let diagnostics = naming("serve RULES", diagnostics);
            complain_styled(&format!(
                "{}\n\n`{}` does not load: {}; nothing was started",
                diagnostics.render(coloured(&std::io::stderr())),
                path.display(),
                counted(diagnostics.errors(), "error")
            ));
            if was_read { NO } else { UNKNOWN }
        }
        // If the log has started, it has already written the error to stderr.
        Err(StartError::Other(_)) if tracing::enabled!(target: "hookyard::daemon", tracing::Level::ERROR) => {
            UNKNOWN
        }
        Err(StartError::Other(message)) => fail(&message),
    }
}
