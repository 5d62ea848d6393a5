//! Settings of the log: `log:`.

use std::path::PathBuf;

use serde::Deserialize;

/// Settings of the logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A level, or a filter in the syntax of `tracing-subscriber`'s `EnvFilter`.
    pub level: String,
    pub format: LogFormat,
    /// File to which the log is written in addition to stderr.
    pub file: Option<LogFile>,
}

/// Format of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// A JSON object per line.
    Json,
}

/// A log file that is rotated by time (UTC) and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Path of the file. The date is added to its name.
    pub path: PathBuf,
    pub rotate: LogRotation,
    /// Size in bytes at which the file is rotated early.
    pub size: u64,
    /// Maximum log files kept. Older ones are deleted.
    pub keep: usize,
}

/// Interval at which a log file is rotated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogRotation {
    #[serde(alias = "hour")]
    Hourly,
    #[serde(alias = "day")]
    #[default]
    Daily,
    Never,
}
