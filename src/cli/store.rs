//! `hookyard store`: integrity check, backup and vacuum of the store.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::location::{StoreLocation, unusable};
use super::{Format, NO, UNKNOWN, YES, fail, say};
use crate::base::count::counted;
use crate::config;
use crate::store::postgres;
use crate::store::{CheckReport, Counts, Place, Records, StoreError};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    store_location: StoreLocation,
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, clap::Subcommand)]
enum StoreCommand {
    /// Read the whole store, report if it is sound, and count its contents. A daemon may be running
    /// on it.
    Check {
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Copy a snapshot of the store to a new file, which is itself a store. A daemon may be running
    /// on it.
    Backup {
        /// The new file. It must not exist.
        file: PathBuf,
    },
    /// Copy a stopped store in a file into the store, which is empty and on a server.
    ///
    /// Everything is copied, or nothing. The file stays as it is. Its events, deliveries, attempts,
    /// dedup keys and pauses go on where they were.
    Move {
        /// The file of the store that is copied. No daemon may be running on it.
        file: PathBuf,
    },
    /// Rewrite the store to its minimum size. No daemon may be running on it.
    Vacuum,
    /// Print the SQL that makes the tables on a server, for its administrator. The daemon
    /// makes them itself if its role may.
    Schema,
}

pub fn run(arguments: &Arguments) -> u8 {
    if matches!(arguments.command, StoreCommand::Schema) {
        return match schema_of(&arguments.store_location) {
            Ok(schema) => say(&postgres::statements(&schema), YES),
            Err(code) => code,
        };
    }
    let place = match arguments.store_location.store() {
        Ok(place) => place,
        Err(code) => return code,
    };
    let records = Records::at(&place);
    if let (Place::Postgres(target), Some(instead)) = (&place, in_place_of(&arguments.command)) {
        return fail(&format!(
            "`{place}` is on a server: {}",
            instead.replace("SCHEMA", &target.schema)
        ));
    }
    match &arguments.command {
        StoreCommand::Schema => UNKNOWN,
        StoreCommand::Check { format } => match records.check() {
            Ok(found) => {
                let text = match format {
                    Format::Json => as_json(&found).to_string(),
                    Format::Text => as_text(&place, &found),
                };
                say(&text, if found.faults.is_empty() { YES } else { NO })
            }
            Err(error) => unusable(&place, &error),
        },
        StoreCommand::Backup { file } => match records.back_up(file) {
            Ok(()) => say(&format!("`{}` is a copy of `{place}`", file.display()), YES),
            Err(error) => unusable(&place, &error),
        },
        StoreCommand::Move { file } => match records.move_from(file) {
            Ok(counts) => say(&moved(file, &place, counts), YES),
            Err(error @ StoreError::InUse { .. }) => {
                fail(&format!("{error}: stop it first"));
                NO
            }
            Err(error) => unusable(&place, &error),
        },
        StoreCommand::Vacuum => match records.vacuum() {
            Ok(done) => say(
                &format!("`{place}` had {} bytes and has {}", done.before, done.after),
                YES,
            ),
            Err(error @ StoreError::InUse { .. }) => {
                fail(&format!("{error}: stop it first"));
                NO
            }
            Err(error) => unusable(&place, &error),
        },
    }
}

/// The program that takes the place of a file's command on a server.
fn in_place_of(command: &StoreCommand) -> Option<&'static str> {
    match command {
        StoreCommand::Backup { .. } => Some("use `pg_dump --schema=SCHEMA`, or the backups of the server"),
        StoreCommand::Vacuum => {
            Some("it frees space by itself (autovacuum); `VACUUM FULL` shrinks its files")
        }
        StoreCommand::Check { .. } | StoreCommand::Move { .. } | StoreCommand::Schema => None,
    }
}

/// Name of the schema: that of the store, if it is on a server, else the default one.
fn schema_of(location: &StoreLocation) -> Result<String, u8> {
    let is_named = location.named_place().is_some() || location.rules().is_some();
    match is_named.then(|| location.store()).transpose()? {
        Some(Place::Postgres(target)) => Ok(target.schema.clone()),
        _ => Ok(config::DEFAULT_SCHEMA.to_owned()),
    }
}

/// The line about a store that was copied.
fn moved(file: &Path, place: &Place, counts: Counts) -> String {
    format!(
        "`{}` was copied to `{place}`: {}; deliveries: {} wait, {} are done, {} dead",
        file.display(),
        counted(counts.events, "event"),
        counts.waiting,
        counts.done,
        counts.dead
    )
}

/// Formats the result as text.
fn as_text(place: &Place, found: &CheckReport) -> String {
    let counts = found.counts;
    let mut lines = vec![format!(
        "{place} is {}: {} bytes, {} of them free",
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
        "{}; deliveries: {} wait, {} are done, {} dead; {} remembered; {} and {} in the rings",
        counted(counts.events, "event"),
        counts.waiting,
        counts.done,
        counts.dead,
        counted(counts.dedup_keys, "dedup key"),
        counted(counts.rings.ignored.records, "ignored arrival"),
        counted(counts.rings.refused.records, "refused one")
    ));
    lines.join("\n")
}

/// Formats the result as JSON.
fn as_json(found: &CheckReport) -> serde_json::Value {
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
        "dedup_keys": counts.dedup_keys,
        "ignored": counts.rings.ignored.records,
        "refused": counts.rings.refused.records,
    })
}
