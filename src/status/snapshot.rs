//! The status as JSON: written by the admin API, read by `hookyard status`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::units::HumanDuration;
use crate::report::ExpectationState;
use crate::store::{NodeState, Pause};

/// Status of the daemon. Times are RFC 3339 in UTC, durations are in seconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub started_at: String,
    /// Time since the start.
    pub uptime: u64,
    /// Problems in words. Empty if there are none.
    pub problems: Vec<String>,
    /// True if new events are accepted.
    pub ready: bool,
    /// Rules in force.
    pub rules: Rules,
    /// Result of the last reload. `None` if there was none since the start.
    pub last_reload: Option<ReloadStatus>,
    /// Rules that need something that this machine does not have, and what is missing.
    #[serde(default)]
    pub unavailable: BTreeMap<String, String>,
    /// Rules and targets that the operator has paused.
    #[serde(default)]
    pub paused: Vec<PauseStatus>,
    /// Endpoints and rules with `expect_every`.
    #[serde(default)]
    pub expectations: Vec<ExpectationStatus>,
    /// Addresses of the listeners.
    pub listening: Vec<String>,
    /// Certificate of the TLS listeners. `None` without TLS.
    pub certificate: Option<CertificateStatus>,
    /// Numbers of deliveries. `None` if the store does not answer.
    pub deliveries: Option<Deliveries>,
    /// State of the store. `None` if the store does not answer.
    pub store: Option<StoreStatus>,
    /// Nodes that share the store, this one included. Empty if the store is a file.
    #[serde(default)]
    pub nodes: Vec<NodeStatus>,
    pub inflight: Inflight,
    /// Log lines lost since the start. A destination was too slow or could not be written.
    #[serde(default)]
    pub log_lines_dropped: u64,
    /// Resident memory of the process.
    pub resident_bytes: u64,
    /// Time of each rule's last event since the start.
    pub last_arrivals: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rules {
    /// Path of the rules file.
    pub path: String,
    /// Number of the set of rules, counted from the start.
    pub generation: u64,
    /// SHA-256 of the rules file, in hex.
    pub sha256: String,
    /// Number of rules.
    pub count: usize,
    /// Number of endpoints.
    pub endpoints: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateStatus {
    /// End of validity. `None` if there is no certificate yet.
    pub until: Option<String>,
    /// Time of the next renewal. `None` while one is in progress, or if the certificate comes from
    /// files.
    pub renewal: Option<String>,
    /// Error of the last renewal, if it failed.
    pub failure: Option<String>,
}

/// A node of a store that several share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeStatus {
    pub name: String,
    /// True for the node that answers.
    pub is_self: bool,
    /// Version of hookyard.
    pub version: String,
    pub started_at: String,
    /// Time since its last heartbeat.
    pub silent_for: f64,
    /// Generation of its rules.
    pub generation: u64,
    /// SHA-256 of its rules file, in hex.
    pub sha256: String,
    /// True if its rules are those of the node that answers.
    pub same_rules: bool,
    /// Deliveries that run on it.
    pub running: u64,
}

impl NodeStatus {
    /// `sha256` is that of the node that answers.
    pub fn of(node: NodeState, sha256: &str) -> Self {
        Self {
            name: node.name.to_string(),
            is_self: node.is_self,
            version: node.version,
            started_at: node.since.to_string(),
            silent_for: node.silent_for.as_secs_f64(),
            generation: node.generation,
            same_rules: node.sha256 == sha256,
            sha256: node.sha256,
            running: node.leases,
        }
    }

    /// The node as text.
    pub fn text(&self) -> String {
        let rules = match (self.is_self, self.same_rules) {
            (true, _) => "this one".to_owned(),
            (false, true) => "same rules".to_owned(),
            (false, false) => format!("other rules, generation {}", self.generation),
        };
        let running = self.running;
        let heard = self.silent_for;
        format!(
            "hookyard {}, since {}, {rules}, {running} running, heard of {heard:.0} s ago",
            self.version, self.started_at
        )
    }
}

/// A rule or target that is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PauseStatus {
    /// `rule` or `target`.
    pub kind: String,
    /// Name of the rule, or scheme, host and port of the target.
    pub name: String,
    pub since: String,
    /// The user who paused it.
    pub by: String,
}

impl PauseStatus {
    pub fn of(pause: &Pause) -> Self {
        Self {
            kind: pause.subject.kind().to_owned(),
            name: pause.subject.name().to_string(),
            since: pause.since.to_string(),
            by: pause.by.to_string(),
        }
    }

    /// The pause as text: `paused since … by …`.
    pub fn text(&self) -> String {
        format!("paused since {} by {}", self.since, self.by)
    }

    /// What the pause means for a new delivery.
    pub fn waits(&self) -> String {
        let Self { kind, name, .. } = self;
        format!("its delivery waits: the {kind} {name} is {}", self.text())
    }
}

/// An endpoint or rule with `expect_every`, and the last genuine arrival.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ExpectationStatus {
    /// Path of the endpoint.
    pub endpoint: String,
    /// Name of the rule. `None` if any verified request on the endpoint is expected.
    pub rule: Option<String>,
    /// Longest time without a genuine arrival, in seconds.
    pub expect_every: f64,
    /// Time of the last genuine arrival. `None` if there was none since `since`.
    pub last_arrival: Option<String>,
    /// Time at which `expect_every` came into force first.
    pub since: String,
    /// Time since the last genuine arrival, else since `since`, in seconds.
    pub quiet: f64,
    /// True if nothing genuine came for too long.
    pub silent: bool,
}

impl ExpectationStatus {
    pub fn of(state: &ExpectationState, now: Timestamp) -> Self {
        Self {
            endpoint: state.endpoint.to_string(),
            rule: state.rule().map(ToString::to_string),
            expect_every: state.every.as_secs_f64(),
            last_arrival: state.known.last_arrival.map(|at| at.to_string()),
            since: state.known.since.to_string(),
            quiet: state.quiet_for(now).as_secs_f64(),
            silent: state.is_silent(),
        }
    }

    /// The expectation as text: `expected every …, last … ago`.
    pub fn text(&self) -> String {
        let duration =
            |seconds| HumanDuration(Duration::from_secs_f64(f64::max(seconds, 0.0).floor())).rounded();
        let (every, quiet) = (
            HumanDuration(Duration::from_secs_f64(self.expect_every)),
            duration(self.quiet),
        );
        let last = match &self.last_arrival {
            Some(at) => format!("last at {at}, {quiet} ago"),
            None => format!("none for {quiet}"),
        };
        let mark = if self.silent { "SILENT, " } else { "" };
        format!("{mark}expected every {every}, {last}")
    }
}

/// Result of a reload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadStatus {
    pub at: String,
    /// True if the rules of this reload are in force. Otherwise the previous rules are.
    pub in_force: bool,
    /// Diagnostics, one line each, as `hookyard check` prints them.
    pub diagnostics: Vec<String>,
    /// The same diagnostics with the line of the file and a caret below the place.
    #[serde(default)]
    pub rendered: Vec<String>,
}

/// Numbers of deliveries by state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Deliveries {
    /// Waiting for their turn or for their next attempt.
    pub waiting: u64,
    /// Running now.
    pub running: u64,
    /// Done or superseded.
    pub ended: u64,
    /// Dead letters.
    pub dead: u64,
    /// Time for which the first delivery in the queue has been due.
    pub overdue: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Inflight {
    /// Memory in use.
    pub bytes: u64,
    /// Limit: `server.max_inflight`.
    pub max_bytes: u64,
}

/// State of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoreStatus {
    /// Version and address of the server. `None` if the store is a file, or not asked yet.
    #[serde(default)]
    pub server: Option<String>,
    /// Path of the file.
    pub path: String,
    /// Size in use.
    pub bytes: u64,
    /// Maximum size.
    pub max_bytes: Option<u64>,
    /// Reason why no new events are accepted, if so.
    pub full: Option<String>,
    /// Number of events.
    pub events: u64,
    /// Number of remembered dedup keys.
    pub dedup_keys: u64,
    /// Number of records of verified arrivals that became no event.
    pub ignored: u64,
    /// Number of records of all other arrivals.
    pub refused: u64,
    /// Bytes of these records.
    pub arrival_bytes: u64,
    /// Arrivals of which no record was kept, since the daemon started.
    pub unrecorded: u64,
}
