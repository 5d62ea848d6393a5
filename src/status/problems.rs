//! Problems: dead letters and refused arrivals in groups, and what is wrong with the daemon.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::{CertificateStatus, ReloadStatus, Status};
use crate::store::{DeadGroup, Groups, History, RefusedGroup, StoreError};

/// Problems of the daemon and in its store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemsStatus {
    /// Problems in words, as `hookyard status` shows them: a full store, a certificate that ends,
    /// rules that do not load. Empty if there are none.
    pub problems: Vec<String>,
    /// The last reload, if the rules file did not load.
    pub failed_reload: Option<ReloadStatus>,
    /// Unavailable rules, and what this machine lacks for them.
    pub unavailable: BTreeMap<String, String>,
    /// The certificate, if its renewal has failed.
    pub certificate: Option<CertificateStatus>,
    /// Reason why no new events are accepted.
    pub store_full: Option<String>,
    /// Log lines lost since the start.
    pub log_lines_dropped: u64,
    /// Arrivals of which no record was kept, since the start.
    pub unrecorded: u64,
    /// Dead letters and refused arrivals. `null` if the store cannot be read.
    pub groups: Option<ProblemGroups>,
}

/// Dead letters and refused arrivals in groups, those with the most members first. At most 200
/// groups of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemGroups {
    pub dead: Vec<DeadGroupStatus>,
    /// Number of all groups of dead letters.
    pub dead_groups: usize,
    /// Number of dead letters that were looked at, the latest ones.
    pub dead_looked_at: u64,
    /// True if there are older dead letters, which were not looked at.
    pub dead_cut: bool,
    pub refused: Vec<RefusedGroupStatus>,
    /// Number of all groups of refused arrivals.
    pub refused_groups: usize,
    /// Number of records that were looked at, the latest ones of both rings.
    pub refused_looked_at: u64,
    /// True if there are older records, which were not looked at.
    pub refused_cut: bool,
}

/// Dead letters of a rule with the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadGroupStatus {
    pub rule: String,
    /// The stable part of the reason: ids, digests, times, numbers of at least five digits and the
    /// number of attempts are replaced by `…`. Exit codes and HTTP statuses stay.
    pub reason: String,
    pub count: u64,
    /// Time at which the first one ended.
    pub first: String,
    /// Time at which the last one ended.
    pub last: String,
    /// Id of the delivery that arrived last.
    pub sample_delivery: String,
    /// Id of its event.
    pub sample_event: String,
    /// Its whole reason.
    pub sample_reason: String,
}

/// Arrivals on an endpoint that were refused for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedGroupStatus {
    pub endpoint: String,
    /// The outcome: `refused`, `stale`, `unreadable`, `too-large` …
    pub outcome: String,
    /// The stable part of the reason: numbers, ids and digests are replaced by `…`.
    pub reason: String,
    pub count: u64,
    pub first: String,
    pub last: String,
    /// Id of the latest arrival.
    pub sample: String,
    /// Its whole reason.
    pub sample_reason: String,
}

impl ProblemsStatus {
    pub fn new(status: Status, groups: Option<ProblemGroups>) -> Self {
        let store = status.store.as_ref();
        Self {
            problems: status.problems,
            failed_reload: status.last_reload.filter(|reload| !reload.in_force),
            unavailable: status.unavailable,
            certificate: status
                .certificate
                .filter(|certificate| certificate.failure.is_some()),
            store_full: store.and_then(|store| store.full.clone()),
            log_lines_dropped: status.log_lines_dropped,
            unrecorded: store.map_or(0, |store| store.unrecorded),
            groups,
        }
    }
}

impl ProblemGroups {
    /// Reads the groups of a store.
    pub fn read(history: &History) -> Result<Self, StoreError> {
        let dead = history.dead_groups()?;
        let refused = history.refused_groups()?;
        Ok(Self::of(dead, refused))
    }

    fn of(dead: Groups<DeadGroup>, refused: Groups<RefusedGroup>) -> Self {
        Self {
            dead: dead.groups.into_iter().map(DeadGroupStatus::of).collect(),
            dead_groups: dead.number,
            dead_looked_at: dead.looked_at,
            dead_cut: dead.is_cut,
            refused: refused.groups.into_iter().map(RefusedGroupStatus::of).collect(),
            refused_groups: refused.number,
            refused_looked_at: refused.looked_at,
            refused_cut: refused.is_cut,
        }
    }
}

impl DeadGroupStatus {
    fn of(group: DeadGroup) -> Self {
        Self {
            rule: group.rule,
            reason: group.reason,
            count: group.count,
            first: group.first.to_string(),
            last: group.last.to_string(),
            sample_delivery: group.sample.to_string(),
            sample_event: group.sample_event.to_string(),
            sample_reason: group.sample_reason,
        }
    }
}

impl RefusedGroupStatus {
    fn of(group: RefusedGroup) -> Self {
        Self {
            endpoint: group.endpoint,
            outcome: group.outcome.name().to_owned(),
            reason: group.reason,
            count: group.count,
            first: group.first.to_string(),
            last: group.last.to_string(),
            sample: group.sample.to_string(),
            sample_reason: group.sample_reason,
        }
    }
}
