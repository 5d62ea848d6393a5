//! `hookyard events tail`.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::slice;
use std::thread;
use std::time::Duration;

use super::list::{HEADS, as_json, line};
use super::look;
use super::select::Selection;
use crate::base::escape;
use crate::cli::place::unusable;
use crate::cli::table::{in_columns, widen};
use crate::cli::{Format, YES, fail, wrong};
use crate::store::StoreError;
use crate::store::sqlite::{History, ListedDelivery};

/// How often it looks for new ones.
const PAUSE: Duration = Duration::from_millis(500);
/// How many new ones it reads at once.
const PAGE: usize = 1000;

/// The arguments of `hookyard events tail`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// With how many of those that are there it begins.
    #[arg(long, default_value_t = 10, value_name = "NUMBER")]
    lines: usize,
    /// How each is printed; JSON is one object a line.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs it until it is interrupted, or nobody reads on.
pub fn run(path: &Path, arguments: &Arguments) -> Result<u8, u8> {
    let failed = |error: StoreError| unusable(path, &error);
    let mut search = arguments
        .selection
        .search(None)
        .map_err(|diagnostics| wrong(&diagnostics))?;
    let history = look(path)?;
    let mut seen = history.last_row().map_err(failed)?;
    let mut latest = search.newest(&history, arguments.lines).map_err(failed)?.entries;
    drop(history);
    latest.reverse();
    let mut widths = [0; HEADS.len()];
    let heads = HEADS.map(str::to_owned);
    widen(&mut widths, slice::from_ref(&heads));
    let mut print = |entries: &[ListedDelivery], heads: Option<[String; HEADS.len()]>| {
        let text = match arguments.format {
            Format::Json => {
                let lines: Vec<String> = entries.iter().map(|entry| as_json(entry).to_string()).collect();
                lines.join("\n")
            }
            Format::Text => {
                let lines: Vec<_> = heads.into_iter().chain(entries.iter().map(line)).collect();
                widen(&mut widths, &lines);
                in_columns(&widths, &lines)
            }
        };
        let mut stdout = std::io::stdout().lock();
        if text.is_empty() {
            return Ok(());
        }
        match writeln!(stdout, "{}", escape::text(&text)).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(YES),
            Err(error) => Err(fail(&format!("cannot write to standard output: {error}"))),
        }
    };
    print(&latest, Some(heads))?;
    loop {
        thread::sleep(PAUSE);
        // Opened anew each time: a daemon may have started or ended since.
        let read = History::open(path).and_then(|history| {
            // After the newest have been dropped, their places are given again.
            seen = seen.min(history.last_row()?);
            let mut new = history.after(&search.filter, seen, PAGE)?;
            seen = match new.last() {
                Some(last) if new.len() >= PAGE => last.row,
                _ => history.last_row()?,
            };
            let mut wanted = Vec::new();
            for entry in new.drain(..) {
                if search.reads(&history, &entry)? {
                    wanted.push(entry);
                }
            }
            Ok(wanted)
        });
        match read {
            Ok(new) => print(&new, None)?,
            Err(error) if error.may_pass() => {}
            Err(error) => return Err(failed(error)),
        }
    }
}
