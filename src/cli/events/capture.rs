//! `hookyard events capture`: the body of an arrival, or the whole request as JSON for `explain
//! --captured`.
//!
//! `Authorization`, `Proxy-Authorization` and `Cookie` are left out. An output file is readable by
//! its owner only.

use std::fs::OpenOptions;
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::{find, look};
use crate::base::escape;
use crate::cli::location::unusable;
use crate::cli::{Format, NO, YES, complain, fail};
use crate::event::Received;
use crate::history::{RequestView, event_of};
use crate::store::{Place, StoreError};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The arrival, or one of its deliveries. A unique prefix of the id is enough.
    pub id: String,
    /// A file to write to instead of standard output. An existing file is overwritten.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The body only, or the whole request as JSON.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The arrival as a test for `hookyard test`, with what became of it. Append it to the test file.
    #[arg(long, conflicts_with = "format")]
    pub as_test: bool,
}

pub fn run(place: &Place, arguments: &Arguments) -> Result<u8, u8> {
    let received = whole(place, &arguments.id)?;
    let bytes = match arguments.format {
        Format::Text => received.body.to_vec(),
        Format::Json => escape::text(&format!("{:#}\n", json!(RequestView::of(&received))))
            .into_owned()
            .into_bytes(),
    };
    write(arguments.output.as_deref(), &bytes).map_err(|message| fail(&message))?;
    Ok(YES)
}

/// Reads the request of the arrival with this id prefix, with its whole body. The error is the exit
/// code.
pub fn whole(place: &Place, id: &str) -> Result<Arc<Received>, u8> {
    let failed = |error: StoreError| unusable(place, &error);
    let history = look(place)?;
    let id = event_of(find(place, &history, id)?);
    if let Some(stored) = history.event(id).map_err(failed)? {
        return Ok(stored.received);
    }
    let Some(record) = history.arrival(id).map_err(failed)? else {
        complain(&format!("the arrival `{id}` is gone"));
        return Err(NO);
    };
    record.check_whole().map_err(|why| fail(&why))?;
    Ok(record.received)
}

/// Writes to a file, or to standard output. A closed pipe is not an error.
pub fn write(output: Option<&Path>, bytes: &[u8]) -> Result<(), String> {
    if let Some(output) = output {
        // The request may be confidential, so only the owner can read the file.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(output);
        return file
            .and_then(|mut file| file.write_all(bytes))
            .map_err(|error| format!("cannot write `{}`: {error}", output.display()));
    }
    let mut stdout = std::io::stdout().lock();
    // A terminal would interpret control characters.
    let text = stdout.is_terminal().then(|| String::from_utf8_lossy(bytes));
    let shown = text.as_ref().map(|text| escape::text(text));
    let bytes = shown.as_ref().map_or(bytes, |text| text.as_bytes());
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}
