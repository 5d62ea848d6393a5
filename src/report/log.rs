//! Destinations of log lines: stderr, and a rotating file if configured.
//!
//! Each destination has its own writer thread behind a bounded queue, so that a slow disk or a
//! stuck pipe never delays a request. Lines that do not fit are dropped and counted. The guard
//! flushes at exit. `log_file.rs` writes the file.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use parking_lot::Mutex;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::log_file::{self, RotatingFile};
use crate::base::clock::Clock;
use crate::base::escape;
use crate::rules::{LogFormat, LogSettings};

/// Maximum lines queued for a slow destination. Further ones are dropped.
const MAX_WAITING_LINES: usize = 16_384;

/// Size of a write buffer, in bytes.
const BATCH: usize = 64 << 10;
/// Pause of the writer thread after each flush.
const REST: Duration = Duration::from_millis(2);

/// Log target of the HTTP/2 implementation.
const HTTP_2: &str = "h2";

/// Dropped lines of each destination, because its queue was full.
static DROPPED: Mutex<Vec<ErrorCounter>> = Mutex::new(Vec::new());

/// A writer that batches lines. Waking the thread for every line would cost a request more than the
/// line itself. A flush means that no line is left, so the thread pauses while lines gather.
struct Batches<W: Write>(BufWriter<W>);

impl<W: Write> Write for Batches<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(&one_line(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        std::thread::sleep(REST);
        Ok(())
    }
}

/// Escapes a line, so that foreign data in it can neither start a new line nor control a terminal.
/// Both formats stay valid, since the text is escaped as in JSON. A line arrives whole.
fn one_line(line: &[u8]) -> Cow<'_, [u8]> {
    let (text, end) = match line.split_last() {
        Some((b'\n', text)) => (text, "\n"),
        _ => (line, ""),
    };
    let text = String::from_utf8_lossy(text);
    match (&text, escape::line(&text)) {
        (Cow::Borrowed(_), Cow::Borrowed(_)) => Cow::Borrowed(line),
        (_, escaped) => Cow::Owned(format!("{escaped}{end}").into_bytes()),
    }
}

/// Flushes the logs on drop. Keep it to the end of the program.
#[must_use = "dropping it ends the logging"]
pub struct LogGuard {
    _workers: Vec<WorkerGuard>,
}

/// Starts logging. `journal` is true if stderr goes to the journal, which adds timestamps itself.
pub fn start(settings: &LogSettings, journal: bool) -> Result<LogGuard, String> {
    let filter = || filter(&settings.level);
    let mut workers = Vec::new();
    let mut writer = |destination: Box<dyn Write + Send>| {
        let destination = Batches(BufWriter::with_capacity(BATCH, destination));
        let (writer, worker) = NonBlockingBuilder::default()
            .buffered_lines_limit(MAX_WAITING_LINES)
            .finish(destination);
        workers.push(worker);
        let mut dropped = DROPPED.lock();
        dropped.push(writer.error_counter());
        writer
    };
    let with_time = !journal;
    let stderr = layer(settings.format, with_time, writer(Box::new(io::stderr()))).with_filter(filter()?);
    let file = match &settings.file {
        None => None,
        Some(file) => {
            let appender = RotatingFile::open(file, Clock::system())
                .map_err(|error| format!("cannot log to `{}`: {error}", file.path.display()))?;
            Some(layer(settings.format, true, writer(Box::new(appender))).with_filter(filter()?))
        }
    };
    tracing_subscriber::registry()
        .with(stderr)
        .with(file)
        .try_init()
        .map_err(|error| error.to_string())?;
    Ok(LogGuard { _workers: workers })
}

/// Returns the lines lost since the start: a queue was full, or the log file could not be written.
pub fn dropped_lines() -> u64 {
    let dropped = DROPPED.lock();
    let dropped = dropped.iter().map(|counter| counter.dropped_lines() as u64);
    dropped.sum::<u64>().saturating_add(log_file::lost())
}

/// Returns the reason why the log file cannot be written, while that lasts.
pub fn failure() -> Option<String> {
    log_file::failure()
}

/// Builds the filter for `level`. Unless `level` names HTTP/2's own lines, only their errors are
/// logged: it warns of every misbehaving connection, as often as clients like.
fn filter(level: &str) -> Result<EnvFilter, String> {
    let filter = EnvFilter::builder()
        .parse(level)
        .map_err(|error| error.to_string())?;
    let is_named = level
        .split(',')
        .any(|directive| directive.trim_start().starts_with(HTTP_2));
    if is_named || filter.max_level_hint() < Some(LevelFilter::WARN) {
        return Ok(filter);
    }
    let quiet = format!("{HTTP_2}=error").parse();
    Ok(filter.add_directive(quiet.map_err(|error: ParseError| error.to_string())?))
}

/// Returns a boxed layer of either format.
fn layer<S>(
    format: LogFormat,
    with_time: bool,
    writer: tracing_appender::non_blocking::NonBlocking,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_target(false)
        .with_ansi(false);
    match (format, with_time) {
        (LogFormat::Text, true) => layer.boxed(),
        (LogFormat::Text, false) => layer.without_time().boxed(),
        (LogFormat::Json, true) => layer.json().flatten_event(true).boxed(),
        (LogFormat::Json, false) => layer.json().flatten_event(true).without_time().boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_and_controls_nothing() {
        for (line, expected) in [
            ("INFO plain é\n", "INFO plain é\n"),
            ("a\nINFO b\u{1b}[2J\n", "a\\nINFO b\\u001b[2J\n"),
            ("{\"a\":\"\u{202e}\u{9b}\"}\n", "{\"a\":\"\\u202e\\u009b\"}\n"),
            ("", ""),
        ] {
            assert_eq!(one_line(line.as_bytes()), expected.as_bytes(), "{line}");
        }
        assert!(matches!(one_line(b"plain\n"), Cow::Borrowed(_)));
        assert_eq!(one_line(b"a\xffb\n"), "a\u{fffd}b\n".as_bytes());
    }

    #[test]
    fn http2_lines_are_errors_only_unless_the_level_names_them() {
        for (level, expected) in [
            ("info", "h2=error,info"),
            ("hookyard=debug", "hookyard=debug,h2=error"),
            ("info,h2=debug", "h2=debug,info"),
            ("h2::proto=trace", "h2::proto=trace"),
            ("error", "error"),
            ("off", "off"),
        ] {
            assert_eq!(filter(level).unwrap().to_string(), expected, "{level}");
        }
        assert!(filter("h2=loud").is_err());
    }
}
