//! The status of a daemon that has no store yet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::clock::{Clock, Timestamp};
use crate::base::live::Live;
use crate::rules::RuleSet;
use crate::status::Status;
use crate::status::process::figures;
use crate::status::service::{certificate, rules_in_force};
use crate::status::snapshot::Inflight;

/// Status before the store is reached.
pub struct StartingStatus {
    /// Path of the rules file.
    pub path: PathBuf,
    /// Rules in force.
    pub live: Arc<Live<RuleSet>>,
    pub clock: Clock,
    /// Start of the daemon.
    pub started: Timestamp,
    /// Addresses of the listeners.
    pub listening: Vec<String>,
}

impl StartingStatus {
    /// The status of a daemon that waits for something.
    pub fn status(&self, waits_for: &str) -> Status {
        let rules = self.live.current();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: self.started.to_string(),
            uptime: self.clock.now().since(self.started).as_secs(),
            problems: vec![waits_for.to_owned()],
            ready: false,
            rules: rules_in_force(&self.path, &rules),
            last_reload: None,
            unavailable: BTreeMap::default(),
            paused: Vec::new(),
            expectations: Vec::new(),
            listening: self.listening.clone(),
            certificate: rules.server.tls.as_ref().map(certificate),
            deliveries: None,
            store: None,
            nodes: Vec::new(),
            inflight: Inflight {
                bytes: 0,
                max_bytes: rules.server.max_inflight,
            },
            log_lines_dropped: crate::report::dropped_lines(),
            resident_bytes: figures().resident,
            last_arrivals: BTreeMap::default(),
        }
    }
}
