//! The daemon's state for `hookyard status` and the metrics.
//!
//! `service.rs` gathers the state, `snapshot.rs` is its JSON shape.

mod process;
mod service;
mod snapshot;

use std::time::Duration;

pub use service::{LastReload, StatusService, Unavailable};
pub use snapshot::{CertificateStatus, Deliveries, ExpectationStatus, PauseStatus, Status, StoreStatus};

/// Maximum wait for the store's answer. After that the store counts as not answering.
pub const STORE_LIMIT: Duration = Duration::from_secs(5);
