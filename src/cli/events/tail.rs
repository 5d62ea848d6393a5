//! `hookyard events tail`: the latest arrivals, then each new one.
//!
//! The store is read at intervals, so the command works with and without a running daemon.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::arrivals::ArrivalSelection;
use super::list::{ARRIVAL_COLUMNS, arrival_line};
use super::{look, names};
use crate::base::clock::Clock;
use crate::base::escape;
use crate::cli::location::unusable;
use crate::cli::table::{in_columns, widen};
use crate::cli::{Format, YES, fail};
use crate::history::ArrivalRow;
use crate::store::{ListedArrival, Place, Records, StoreError};

/// Interval between reads of the store.
const PAUSE: Duration = Duration::from_millis(500);
/// Maximum new events, and maximum new records, per read.
const PAGE: usize = 1000;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: ArrivalSelection,
    /// Number of existing arrivals to print first.
    #[arg(long, default_value_t = 10, value_name = "NUMBER")]
    lines: usize,
    /// Output format. JSON is one object per line.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs until it is interrupted, or until the output is closed.
pub fn run(place: &Place, rules: Option<&Path>, arguments: &Arguments) -> Result<u8, u8> {
    let failed = |error: StoreError| unusable(place, &error);
    let search = arguments
        .selection
        .search(|| names(rules))
        .map_err(|error| error.report())?;
    let history = look(place)?;
    let mut seen = history.tail().map_err(failed)?;
    let mut latest = search.newest(&history, arguments.lines).map_err(failed)?.arrivals;
    drop(history);
    latest.reverse();
    let mut printer = Printer {
        format: arguments.format,
        widths: [0; ARRIVAL_COLUMNS.len()],
    };
    printer.print(&latest, Some(ARRIVAL_COLUMNS.map(str::to_owned)))?;
    loop {
        thread::sleep(PAUSE);
        // Reopened each time, since a daemon may have started or stopped.
        let read = Records::at(place).history().and_then(|history| {
            let mut wanted = Vec::new();
            for entry in history.arrivals_after(&search.query.filter, &mut seen, PAGE)? {
                if search.wants(&history, &entry)? {
                    wanted.push(entry);
                }
            }
            Ok(wanted)
        });
        match read {
            Ok(new) => printer.print(&new, None)?,
            Err(error) if error.may_pass() => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Prints arrivals in columns that only grow.
struct Printer {
    format: Format,
    widths: [usize; ARRIVAL_COLUMNS.len()],
}

impl Printer {
    /// Prints arrivals below `column_names`. The error is the exit code.
    fn print(
        &mut self,
        entries: &[ListedArrival],
        column_names: Option<[String; ARRIVAL_COLUMNS.len()]>,
    ) -> Result<(), u8> {
        let text = match self.format {
            Format::Json => {
                let now = Clock::system().now();
                let rows = entries
                    .iter()
                    .map(|entry| json!(ArrivalRow::of(entry, now)).to_string());
                rows.collect::<Vec<_>>().join("\n")
            }
            Format::Text => {
                let lines: Vec<_> = column_names
                    .into_iter()
                    .chain(entries.iter().map(arrival_line))
                    .collect();
                widen(&mut self.widths, &lines);
                in_columns(&self.widths, &lines)
            }
        };
        if text.is_empty() {
            return Ok(());
        }
        let mut stdout = std::io::stdout().lock();
        match writeln!(stdout, "{}", escape::text(&text)).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(YES),
            Err(error) => Err(fail(&format!("cannot write to standard output: {error}"))),
        }
    }
}
