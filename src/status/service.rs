//! The source of all status: asks the store, the rules and the counters of the daemon.
//!
//! The store is asked within a time limit, so that status also answers when the store does not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::base::clock::{Clock, Timestamp};
use crate::base::live::Live;
use crate::pipeline::Dispatcher;
use crate::report::metrics::{self, Moment};
use crate::report::{self, ExpectationState, Metrics};
use crate::rules::{RuleSet, Tls};
use crate::status::STORE_LIMIT;
use crate::status::process::figures;
use crate::status::snapshot::StoreStatus;
use crate::status::snapshot::{
    CertificateStatus, Deliveries, ExpectationStatus, Inflight, NodeStatus, PauseStatus, ReloadStatus, Rules,
    Status,
};
use crate::store::postgres::ServerReport;
use crate::store::{Concurrency, Counts, Health, NodeState, Pauses, Place, Store, Wanted};

/// Maximum time for which the first delivery in the queue may be due. A short delay by other work
/// is normal, a longer one is reported as a problem.
const OVERDUE_LIMIT: Duration = Duration::from_mins(5);

/// Result of a reload.
#[derive(Clone, Debug)]
pub struct LastReload {
    pub at: Timestamp,
    /// True if the rules of this reload are in force.
    pub in_force: bool,
    /// Diagnostics, one line each. At most [`LastReload::FINDINGS`].
    pub diagnostics: Vec<String>,
    /// The same diagnostics with the line of the file and a caret.
    pub rendered: Vec<String>,
    /// Number of errors among all diagnostics. A file with errors does not load.
    pub errors: usize,
}

impl LastReload {
    /// Maximum diagnostics kept. `hookyard check` shows all.
    pub const FINDINGS: usize = 20;
}

/// Unavailable rules, and what each is missing.
pub type Unavailable = BTreeMap<Arc<str>, String>;

/// Gathers the status of the daemon.
pub struct StatusService {
    /// Path of the rules file.
    pub path: PathBuf,
    /// Rules in force.
    pub live: Arc<Live<RuleSet>>,
    pub reloads: Arc<Live<Option<LastReload>>>,
    pub store: Arc<dyn Store>,
    pub place: Place,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    /// Memory of bodies in flight, in bytes.
    pub inflight: Arc<AtomicU64>,
    /// Start of the daemon.
    pub started: Timestamp,
    /// Addresses of the listeners.
    pub listening: Vec<String>,
    /// Cancelled when the daemon begins to stop.
    pub stopping: CancellationToken,
    /// Unavailable rules, as last checked.
    pub unavailable: Arc<Live<Unavailable>>,
    /// Rules and targets that the operator has paused.
    pub pauses: Arc<Live<Pauses>>,
    /// Source of what runs and of the health of targets.
    pub dispatcher: Arc<Dispatcher>,
    /// Expected arrivals.
    pub expectations: Arc<Live<Vec<ExpectationState>>>,
    /// The latest promises of the store's server. `None` for a file.
    pub server: Arc<Live<Option<ServerReport>>>,
}

/// Answers of the store.
pub(super) struct StoreAnswer {
    counts: Counts,
    pub(super) health: Health,
    pub(super) overdue: Duration,
    nodes: Vec<NodeState>,
}

impl StoreAnswer {
    /// The nodes. `sha256` is that of the rules of this one.
    fn nodes(&self, sha256: &str) -> Vec<NodeStatus> {
        let nodes = self.nodes.iter().cloned();
        nodes.map(|node| NodeStatus::of(node, sha256)).collect()
    }
}

impl StatusService {
    /// Endpoints and rules that expect arrivals, with the last ones.
    pub fn expectations(&self) -> Vec<ExpectationStatus> {
        let now = self.clock.now();
        let expectations = self.expectations.current();
        let states = expectations.iter();
        states.map(|state| ExpectationStatus::of(state, now)).collect()
    }

    /// Returns the status of the daemon.
    pub async fn status(&self) -> Status {
        let rules = self.live.current();
        let answer = self.ask_store().await;
        let now = self.clock.now();
        let last_reload = (*self.reloads.current()).clone();
        let mut problems = self.problems(answer.as_ref(), last_reload.as_ref());
        let tls = rules.server.tls.as_ref();
        problems.extend(tls.and_then(|tls| tls.problem(now)));
        let ready = answer.as_ref().is_ok_and(|answer| self.refusal(answer).is_none());
        let ready = ready && !self.stopping.is_cancelled();
        let (deliveries, store, nodes) = match &answer {
            Ok(answer) => (
                Some(deliveries(answer)),
                Some(self.store_status(answer, &rules)),
                answer.nodes(&rules.sha256),
            ),
            Err(_) => (None, None, Vec::new()),
        };
        let arrivals = self.metrics.last_arrivals().into_iter();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: self.started.to_string(),
            uptime: now.since(self.started).as_secs(),
            problems,
            ready,
            rules: rules_in_force(&self.path, &rules),
            last_reload: last_reload.map(|reload| ReloadStatus {
                at: reload.at.to_string(),
                in_force: reload.in_force,
                diagnostics: reload.diagnostics,
                rendered: reload.rendered,
            }),
            unavailable: self
                .unavailable
                .current()
                .iter()
                .map(|(rule, why)| (rule.to_string(), why.clone()))
                .collect(),
            paused: self.pauses.current().all.iter().map(PauseStatus::of).collect(),
            expectations: self.expectations(),
            listening: self.listening.clone(),
            certificate: tls.map(certificate),
            deliveries,
            store,
            nodes,
            inflight: Inflight {
                bytes: self.inflight.load(Ordering::Relaxed),
                max_bytes: rules.server.max_inflight,
            },
            log_lines_dropped: report::dropped_lines(),
            resident_bytes: figures().resident,
            last_arrivals: arrivals
                .map(|(rule, at)| (rule.to_string(), at.to_string()))
                .collect(),
        }
    }

    /// Returns the media type of the metrics, and their text.
    pub async fn metrics(&self) -> Result<(&'static str, String), String> {
        let StoreAnswer {
            counts,
            health,
            overdue,
            nodes,
        } = self.ask_store().await?;
        let figures = figures();
        let rules = self.live.current();
        let acme = rules.acme();
        let text = metrics::render(
            &self.metrics,
            &Moment {
                counts,
                health,
                overdue,
                nodes: nodes.iter().map(|node| node.sha256 == rules.sha256).collect(),
                generation: rules.generation,
                unavailable: self.unavailable.current().len(),
                rules: rules.names.keys().cloned().collect(),
                pauses: self.pauses.current(),
                expectations: self.expectations.current(),
                now: self.clock.now(),
                certificate_until: rules.server.tls.as_ref().and_then(Tls::until),
                certificates: acme.map(|acme| acme.issued.acme_status()),
                inflight: self.inflight.load(Ordering::Relaxed),
                resident: figures.resident,
                descriptors: figures.descriptors,
                cpu: figures.cpu,
                started: self.started,
            },
        );
        Ok((metrics::CONTENT_TYPE, text))
    }

    /// Returns the reason why no new events are accepted, if so.
    pub async fn unready(&self) -> Option<String> {
        if self.stopping.is_cancelled() {
            return Some("stopping".to_owned());
        }
        match self.ask_store().await {
            Ok(answer) => self.refusal(&answer),
            Err(why) => Some(why),
        }
    }

    /// The reason why new events are refused although the store answers.
    fn refusal(&self, answer: &StoreAnswer) -> Option<String> {
        let server = self.server.current();
        let refusal = || server.as_ref().as_ref().and_then(|server| server.refusal.clone());
        answer.health.full.clone().or_else(refusal)
    }

    /// Returns the error of the store if it does not answer. A server that is not reached makes no
    /// daemon unhealthy: a restart would not help.
    pub async fn unhealthy(&self) -> Option<String> {
        self.place.file()?;
        self.ask_store().await.err()
    }

    /// Asks the store, within [`STORE_LIMIT`].
    pub(super) async fn ask_store(&self) -> Result<StoreAnswer, String> {
        let everything = Concurrency {
            slots: usize::MAX,
            per_rule: usize::MAX,
        };
        let asking = async {
            let counts = self.store.counts().await?;
            let health = self.store.health().await?;
            // A delivery of a paused rule is not late.
            let everything = Wanted {
                paused: Arc::clone(&self.pauses.current().rules),
                ..Wanted::from(everything)
            };
            let due = self.store.next_due(everything).await?;
            let overdue = due.map_or(Duration::ZERO, |due| self.clock.now().since(due));
            let nodes = self.store.nodes().await?;
            Ok(StoreAnswer {
                counts,
                health,
                overdue,
                nodes,
            })
        };
        match timeout(STORE_LIMIT, asking).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let error: crate::store::StoreError = error;
                Err(format!("the store: {error}"))
            }
            Err(_) => Err(format!(
                "the store has not answered within {} s",
                STORE_LIMIT.as_secs()
            )),
        }
    }

    /// Lists the current problems.
    fn problems(&self, answer: Result<&StoreAnswer, &String>, reload: Option<&LastReload>) -> Vec<String> {
        let mut problems = Vec::new();
        match answer {
            Err(why) => problems.push(why.clone()),
            Ok(answer) => {
                problems.extend(answer.health.full.clone());
                if answer.overdue > OVERDUE_LIMIT {
                    let minutes = answer.overdue.as_secs() / 60;
                    problems.push(format!(
                        "the first delivery in the queue has been due for {minutes} min"
                    ));
                }
            }
        }
        if let Some(reload) = reload.filter(|reload| !reload.in_force) {
            problems.push(format!(
                "the rules file has not loaded since {}; the rules of generation {} are in force",
                reload.at,
                self.live.current().generation
            ));
        }
        problems.extend(report::log_failure());
        let unavailable = self.unavailable.current();
        let unavailable = unavailable.iter();
        problems.extend(unavailable.map(|(rule, why)| format!("the rule `{rule}` is unavailable: {why}")));
        if let Some(server) = self.server.current().as_ref() {
            problems.extend(server.warnings.iter().chain(&server.refusal).cloned());
        }
        let expectations = self.expectations.current();
        problems.extend(expectations.iter().filter_map(ExpectationState::problem));
        if self.stopping.is_cancelled() {
            problems.push("it is stopping".to_owned());
        }
        problems
    }

    fn store_status(&self, answer: &StoreAnswer, rules: &RuleSet) -> StoreStatus {
        let StoreAnswer { counts, health, .. } = answer;
        let rings = &counts.rings;
        StoreStatus {
            path: self.place.to_string(),
            server: self.server.current().as_ref().as_ref().map(ToString::to_string),
            bytes: health.size,
            max_bytes: rules.store.settings.max_size,
            full: health.full.clone(),
            events: counts.events,
            dedup_keys: counts.dedup_keys,
            ignored: rings.ignored.records,
            refused: rings.refused.records,
            arrival_bytes: rings.ignored.bytes + rings.refused.bytes,
            unrecorded: self.metrics.unrecorded_arrivals(),
        }
    }
}

/// The rules in force of the file at `path`.
pub(super) fn rules_in_force(path: &Path, rules: &RuleSet) -> Rules {
    Rules {
        path: path.display().to_string(),
        generation: rules.generation,
        sha256: rules.sha256.clone(),
        count: rules.names.len(),
        endpoints: rules.endpoints.len(),
    }
}

pub(super) fn certificate(tls: &Tls) -> CertificateStatus {
    let acme_status = tls.acme().map(|acme| acme.issued.acme_status());
    CertificateStatus {
        until: tls.until().map(|until| until.to_string()),
        renewal: acme_status
            .as_ref()
            .and_then(|acme_status| acme_status.next)
            .map(|next| next.to_string()),
        failure: acme_status.and_then(|acme_status| acme_status.failure),
    }
}

fn deliveries(answer: &StoreAnswer) -> Deliveries {
    let counts = answer.counts;
    Deliveries {
        waiting: counts.waiting,
        running: counts.leased,
        ended: counts.done,
        dead: counts.dead,
        overdue: answer.overdue.as_secs_f64(),
    }
}
