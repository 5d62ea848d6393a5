//! Actions with all values filled in, and outcomes that a test of rules states.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};

/// An action with all values filled in.
#[derive(Clone, Debug)]
pub enum RenderedAction {
    Run(RenderedCommand),
    Forward {
        method: Method,
        url: String,
        headers: HeaderMap,
        body: Bytes,
    },
    Append {
        file: PathBuf,
        line: String,
    },
}

/// A command with all values filled in.
#[derive(Clone, Debug)]
pub struct RenderedCommand {
    /// The program and its arguments, or the script of a `shell`.
    pub words: Vec<String>,
    pub is_script: bool,
    /// Variables of the rules file.
    pub env: Vec<(String, String)>,
    pub stdin: Bytes,
    pub cwd: PathBuf,
}

/// Outcome of an attempt as a test states it. What is not stated is success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatedOutcome {
    /// Exit code of a command.
    pub exit: Option<u8>,
    pub stdout: Option<String>,
    pub stderr: Option<String>,
    /// Status of a response.
    pub status: Option<u16>,
    pub body: Option<String>,
    pub retry_after: Option<Duration>,
    /// Failure without an exit code or a status.
    pub error: Option<String>,
    /// Time that the attempt takes.
    pub takes: Duration,
}
