//! The daemon's state for `hookyard status` and the metrics.
//!
//! `service.rs` gathers the state, `snapshot.rs` is its JSON shape. `views.rs` makes the data of the
//! operator's views: `rules.rs`, `queue.rs`, `problems.rs` and `day.rs` are their shapes. One shape is
//! the JSON of the admin API and of the command line, and the data of the page.

mod day;
mod problems;
mod process;
mod queue;
mod rules;
mod service;
mod snapshot;
mod starting;
mod views;

use std::time::Duration;

pub use day::{DaySeries, SlotStatus};
pub use problems::{DeadGroupStatus, ProblemGroups, ProblemsStatus, RefusedGroupStatus};
pub use queue::{
    GroupStatus, QueueStatus, RUNNING_LISTED, RunningStatus, TargetStatus, WaitCounts, WaitingStatus,
};
pub use rules::{FailureStatus, RuleDay, RuleStatus, RuleText, SecretStatus};
pub use service::{LastReload, StatusService, Unavailable};
pub use snapshot::{
    CertificateStatus, Deliveries, ExpectationStatus, NodeStatus, PauseStatus, ReloadStatus, Status,
    StoreStatus,
};
pub use starting::StartingStatus;
pub use views::SystemStatus;

/// Maximum wait for the store's answer. After that the store counts as not answering.
pub const STORE_LIMIT: Duration = Duration::from_secs(5);
