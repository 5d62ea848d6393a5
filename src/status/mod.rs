//! The daemon's state, gathered once for `hookyard status`, systemd's status line and the metrics.

mod process;
mod service;
mod snapshot;
mod systemd;

use std::time::Duration;

pub use service::{LastReload, StatusService, Unavailable};
pub use snapshot::Status;
pub use systemd::SystemdStatus;

/// Longest wait for the store's answer; after it the store counts as not answering.
pub const STORE_LIMIT: Duration = Duration::from_secs(5);
