//! How the daemon is: the one shape that the socket answers with and `hookyard status` reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How the daemon is. Moments are RFC 3339, in UTC; lengths of time are seconds, sizes bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The version of the daemon.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub started_at: String,
    /// How long ago that was.
    pub uptime: u64,
    /// What is wrong, in words; nothing if it is well.
    pub problems: Vec<String>,
    /// Whether new events are taken.
    pub ready: bool,
    /// The rules in force.
    pub rules: Rules,
    /// What became of the last reload; none: there was none since the start.
    pub last_reload: Option<ReloadStatus>,
    /// Rules that need something which this machine does not have, and what that is.
    #[serde(default)]
    pub unavailable: BTreeMap<String, String>,
    /// Where it listens.
    pub listening: Vec<String>,
    /// The certificate; none: there is no TLS.
    pub certificate: Option<CertificateStatus>,
    /// What waits, and what has ended; none: the store does not answer.
    pub deliveries: Option<Deliveries>,
    /// The store; none: it does not answer.
    pub store: Option<StoreStatus>,
    /// Bodies of requests in flight.
    pub inflight: Inflight,
    /// Log lines lost since the start, because stderr or the log file was too slow or could not be written.
    #[serde(default)]
    pub log_lines_dropped: u64,
    /// Memory of the process.
    pub resident_bytes: u64,
    /// When each rule was last given an event, since the start.
    pub last_arrivals: BTreeMap<String, String>,
}

/// The rules in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// The rules file.
    pub path: String,
    /// Which set of rules it is, counted from the start.
    pub generation: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
    /// How many rules.
    pub count: usize,
    /// On how many endpoints.
    pub endpoints: usize,
}

/// The certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// Until when it is valid; none: there is none yet.
    pub until: Option<String>,
    /// When an authority is asked for the next; none: it is being asked, or the certificate comes from files.
    pub renewal: Option<String>,
    /// Why that was in vain the last time, if it was.
    pub failure: Option<String>,
}

/// A reload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReloadStatus {
    /// When.
    pub at: String,
    /// Whether its rules are in force; else those from before are.
    pub in_force: bool,
    /// What was found, as `hookyard check` prints it in one line each.
    pub diagnostics: Vec<String>,
}

/// Deliveries by what they are doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deliveries {
    /// They wait for their turn, or for their next attempt.
    pub waiting: u64,
    /// They are under way.
    pub running: u64,
    /// They are done, or superseded.
    pub ended: u64,
    /// Dead letters.
    pub dead: u64,
    /// For how long the first in the queue has been due.
    pub overdue: f64,
}

/// Bodies of requests in flight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inflight {
    /// How many bytes they hold.
    pub bytes: u64,
    /// The bound on that: `server.max_inflight`.
    pub max_bytes: u64,
}

/// The store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Its file.
    pub path: String,
    /// How many bytes are in use in it.
    pub bytes: u64,
    /// The bound on that.
    pub max_bytes: Option<u64>,
    /// Why it takes no new events, if it does not.
    pub full: Option<String>,
    /// How many events it holds.
    pub events: u64,
    /// How many nonces it remembers.
    pub dedup_keys: u64,
    /// How many of the latest refusals it holds.
    pub refusals: u64,
}
