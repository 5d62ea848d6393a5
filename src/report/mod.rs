//! Log lines and counters for everything that happens.
//!
//! An arrival has one line with its outcome, an attempt has another. Values from clients are
//! limited in length. No line contains a secret, and only the debug level shows payloads.
//! Destinations are left to `log.rs`. The counters are a value, [`Metrics`].

mod arrival;
mod connection;
mod delivery;
mod expectation_state;
mod log;
mod log_file;
pub mod metrics;

pub use arrival::{Arrival, altered, arrival, groupless, not_asked, repeated, unrendered};
pub use connection::{connection_ended, peer_failed, turned_away, turned_away_with};
pub use delivery::{
    AttemptLine, attempt, cut_off, interrupted, overtaken, put_off, stopping_attempt, store_failed,
    superseded, undeliverable, worker_failed,
};
pub use expectation_state::ExpectationState;
pub use log::{LogGuard, dropped_lines, failure as log_failure, start};
pub use metrics::Metrics;
