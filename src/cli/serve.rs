//! `hookyard serve`.

use std::path::PathBuf;

use super::{NO, UNKNOWN, YES, coloured, complain_styled, fail, naming, rules_path};
use crate::base::diagnostic::counted;
use crate::config;
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
        // The log goes to stderr, too: where it has started it has said so already.
        Err(StartError::Other(_)) if tracing::enabled!(target: "hookyard::daemon", tracing::Level::ERROR) => {
            UNKNOWN
        }
        Err(StartError::Other(message)) => fail(&message),
    }
}
