//! `hookyard store`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::place::{StoreLocation, unusable};
use super::{Format, NO, YES, fail, say};
use crate::store::StoreError;
use crate::store::sqlite::{Soundness, back_up, check, vacuum};

/// The arguments of `hookyard store`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: StoreLocation,
    #[command(subcommand)]
    command: StoreCommand,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum StoreCommand {
    /// Read the whole store and say whether it is sound, and how much of everything there is. A daemon may be running on it.
    Check {
        /// How the result is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Copy one moment of the store into a new file, which is a store itself. A daemon may be running on it.
    Backup {
        /// The new file; it is an error if it is there.
        file: PathBuf,
    },
    /// Write the store anew, as small as it can be. Not while a daemon runs on it.
    Vacuum,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> u8 {
    let path = match arguments.place.store() {
        Ok(path) => path,
        Err(code) => return code,
    };
    match &arguments.command {
        StoreCommand::Check { format } => match check(&path) {
            Ok(found) => {
                let text = match format {
                    Format::Json => as_json(&found).to_string(),
                    Format::Text => as_text(&path, &found),
                };
                say(&text, if found.faults.is_empty() { YES } else { NO })
            }
            Err(error) => unusable(&path, &error),
        },
        StoreCommand::Backup { file } => match back_up(&path, file) {
            Ok(()) => say(
                &format!("`{}` is a copy of `{}`", file.display(), path.display()),
                YES,
            ),
            Err(error) => unusable(&path, &error),
        },
        StoreCommand::Vacuum => match vacuum(&path) {
            Ok(done) => say(
                &format!(
                    "`{}` had {} bytes and has {}",
                    path.display(),
                    done.before,
                    done.after
                ),
                YES,
            ),
            Err(error @ StoreError::InUse { .. }) => {
                fail(&format!("{error}: stop it first"));
                NO
            }
            Err(error) => unusable(&path, &error),
        },
    }
}

/// For people.
fn as_text(path: &Path, found: &Soundness) -> String {
    let counts = found.counts;
    let mut lines = vec![format!(
        "{} is {}: {} bytes, {} of them free",
        path.display(),
        if found.faults.is_empty() {
            "sound"
        } else {
            "DAMAGED"
        },
        found.size,
        found.free
    )];
    lines.extend(
        found
            .faults
            .iter()
            .map(|fault| format!("  {}", crate::base::escape::line(fault))),
    );
    lines.push(format!(
        "{} events; {} deliveries wait, {} are done, {} dead; {} nonces remembered; {} refusals",
        counts.events, counts.waiting, counts.done, counts.dead, counts.dedup_keys, counts.refused
    ));
    lines.join("\n")
}

/// For programs.
fn as_json(found: &Soundness) -> serde_json::Value {
    let counts = found.counts;
    json!({
        "sound": found.faults.is_empty(),
        "faults": found.faults,
        "bytes": found.size,
        "free_bytes": found.free,
        "events": counts.events,
        "waiting": counts.waiting,
        "done": counts.done,
        "dead": counts.dead,
        "nonces": counts.dedup_keys,
        "refused": counts.refused,
    })
}
