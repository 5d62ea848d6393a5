//! Metrics: counters updated by `report`, and gauges gathered on request.
//!
//! The text format is `OpenMetrics` 1.0, which Prometheus reads
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>). The number of label values is
//! bounded: a label is an endpoint or a rule of the rules file, or one of a few words. A reload
//! removes the series of names that the file no longer has. `docs/metrics.md` lists every series.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::acme::AcmeStatus;
use crate::base::clock::Timestamp;
use crate::base::throttle;
use crate::rules::RuleSet;
use crate::store::{Counts, Health, INTERRUPTED};

/// Media type of the output of [`render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the buckets for an attempt's duration, in seconds.
const DURATIONS: [f64; 11] = [0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0];
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct NameLabel(Arc<str>);

impl EncodeLabelValue for NameLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&&*self.0, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Arrived {
    endpoint: NameLabel,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    endpoint: NameLabel,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempted {
    rule: NameLabel,
    action: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabels {
    action: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndedLabels {
    rule: NameLabel,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabels {
    rule: NameLabel,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Shed {
    how: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Line {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// Counters of the process.
struct Metrics {
    registry: Registry,
    arrivals: Family<Arrived, Counter>,
    refusals: Family<RefusedLabels, Counter>,
    turned_away: Family<StatusLabels, Counter>,
    attempts: Family<Attempted, Counter>,
    durations: Family<ActionLabels, Histogram, fn() -> Histogram>,
    ended: Family<EndedLabels, Counter>,
    reloads: Family<OutcomeLabels, Counter>,
    shed: Family<Shed, Counter>,
    /// Time of the last event of each rule.
    latest: Mutex<BTreeMap<Arc<str>, Timestamp>>,
    rules: Mutex<BTreeSet<Arc<str>>>,
    /// Endpoints of the rules in force.
    endpoints: Mutex<BTreeSet<Arc<str>>>,
}

/// State at the time of the request.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Contents of the store.
    pub counts: Counts,
    /// State of the store.
    pub health: Health,
    /// Time for which the first delivery in the queue has been due.
    pub overdue: Duration,
    /// Generation of the rules in force.
    pub generation: u64,
    /// Number of unavailable rules.
    pub unavailable: usize,
    /// End of the certificate's validity, if there is a certificate.
    pub certificate_until: Option<Timestamp>,
    /// State of ACME, if a certificate comes from there.
    pub certificates: Option<AcmeStatus>,
    /// Memory of bodies in flight, in bytes.
    pub inflight: u64,
    /// Resident memory of the process, in bytes.
    pub resident: u64,
    /// Number of open file descriptors.
    pub descriptors: u64,
    /// Processor time of the process.
    pub cpu: Duration,
    /// Start of the daemon.
    pub started: Timestamp,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("hookyard");
        let metrics = Self {
            arrivals: Family::default(),
            refusals: Family::default(),
            turned_away: Family::default(),
            attempts: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            ended: Family::default(),
            reloads: Family::default(),
            shed: Family::default(),
            latest: Mutex::default(),
            rules: Mutex::default(),
            endpoints: Mutex::default(),
            registry: Registry::default(),
        };
        registry.register(
            "arrivals",
            "Requests on an endpoint, by what became of them",
            metrics.arrivals.clone(),
        );
        registry.register(
            "refusals",
            "Requests that were not trusted, by why",
            metrics.refusals.clone(),
        );
        registry.register(
            "turned_away",
            "Requests that met no endpoint, or were too large or too slow, by status",
            metrics.turned_away.clone(),
        );
        registry.register(
            "attempts",
            "Attempts at actions, by how they went",
            metrics.attempts.clone(),
        );
        registry.register(
            "attempt_duration_seconds",
            "How long attempts took",
            metrics.durations.clone(),
        );
        registry.register(
            "deliveries_ended",
            "Deliveries that ended, by how",
            metrics.ended.clone(),
        );
        registry.register(
            "reloads",
            "Reloads of the rules, by what became of them",
            metrics.reloads.clone(),
        );
        registry.register(
            "bodies_shed",
            "Bodies that were not read because `max_inflight` was reached, by how",
            metrics.shed.clone(),
        );
        for how in ["evicted", "refused"] {
            // Created at zero, so that the first increase is visible.
            drop(metrics.shed.get_or_create(&Shed { how }));
        }
        let build = Family::<Build, Gauge>::default();
        let version = env!("CARGO_PKG_VERSION");
        build.get_or_create(&Build { version }).set(1);
        registry.register("build_info", "The version", build);
        Self { registry, ..metrics }
    }

    fn latest(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Timestamp>> {
        self.latest.lock()
    }
}

/// Counts an answered request on an endpoint.
pub fn arrived(endpoint: &Arc<str>, outcome: &'static str) {
    let endpoint = NameLabel(Arc::clone(endpoint));
    let arrived = Arrived { endpoint, outcome };
    METRICS.arrivals.get_or_create(&arrived).inc();
}

/// Counts a request that was not trusted.
pub(super) fn refused(endpoint: &Arc<str>, reason: &'static str) {
    let endpoint = NameLabel(Arc::clone(endpoint));
    METRICS
        .refusals
        .get_or_create(&RefusedLabels { endpoint, reason })
        .inc();
}

/// Counts a request that was rejected before it became an arrival.
pub(super) fn turned_away(status: u16) {
    METRICS.turned_away.get_or_create(&StatusLabels { status }).inc();
}

/// Counts a body that was `evicted` or `refused` because `max_inflight` was reached.
pub fn body_shed(how: &'static str) {
    METRICS.shed.get_or_create(&Shed { how }).inc();
}

/// Records that a rule has accepted an event.
pub fn given(rule: &Arc<str>, at: Timestamp) {
    METRICS.latest().insert(Arc::clone(rule), at);
}

/// Counts an attempt that has ended.
pub(super) fn attempted(rule: &Arc<str>, action: &'static str, outcome: &'static str, duration: Duration) {
    let rule = NameLabel(Arc::clone(rule));
    let attempted = Attempted {
        rule,
        action,
        outcome,
    };
    METRICS.attempts.get_or_create(&attempted).inc();
    let durations = METRICS.durations.get_or_create(&ActionLabels { action });
    durations.observe(duration.as_secs_f64());
}

/// Counts an attempt that was interrupted by the end of the last daemon. Its duration is unknown.
pub(super) fn interrupted(rule: &Arc<str>, action: &'static str) {
    let attempted = Attempted {
        rule: NameLabel(Arc::clone(rule)),
        action,
        outcome: INTERRUPTED,
    };
    METRICS.attempts.get_or_create(&attempted).inc();
}

/// Counts a delivery that has ended as `done`, `superseded` or `dead`.
pub(super) fn ended(rule: &Arc<str>, state: &'static str) {
    let rule = NameLabel(Arc::clone(rule));
    METRICS.ended.get_or_create(&EndedLabels { rule, state }).inc();
}

/// Counts a reload: `in force` or `kept`.
pub fn reloaded(outcome: &'static str) {
    METRICS.reloads.get_or_create(&OutcomeLabels { outcome }).inc();
}

/// Removes the series of names that the rules no longer have. A family is cleared as a whole: its
/// counters begin at zero, which Prometheus takes for a restart.
pub fn keep_to(rules: &RuleSet) {
    METRICS.latest().retain(|rule, _| rules.names.contains_key(rule));
    if lost_any(&METRICS.rules, rules.names.keys()) {
        METRICS.attempts.clear();
        METRICS.ended.clear();
    }
    let endpoints = rules.endpoints.iter().map(|endpoint| &endpoint.path);
    if lost_any(&METRICS.endpoints, endpoints) {
        METRICS.arrivals.clear();
        METRICS.refusals.clear();
    }
}

/// Replaces the known names. True if one of them is gone.
fn lost_any<'n>(known: &Mutex<BTreeSet<Arc<str>>>, now: impl Iterator<Item = &'n Arc<str>>) -> bool {
    let now: BTreeSet<Arc<str>> = now.cloned().collect();
    let mut known = known.lock();
    let lost = !known.is_subset(&now);
    *known = now;
    lost
}

/// Returns the time of each rule's last event since the start.
pub fn last_arrivals() -> BTreeMap<Arc<str>, Timestamp> {
    METRICS.latest().clone()
}

/// Returns all metrics as text.
pub fn render(moment: &Moment) -> String {
    let mut written = String::new();
    let now = now(moment);
    let process = process(moment);
    let done = text::encode_registry(&mut written, &METRICS.registry)
        .and_then(|()| text::encode_registry(&mut written, &now))
        .and_then(|()| text::encode_registry(&mut written, &process))
        .and_then(|()| text::encode_eof(&mut written));
    // Writing into memory cannot fail.
    debug_assert!(done.is_ok(), "{done:?}");
    written
}

/// Gathers the gauges and counters of this moment.
fn now(moment: &Moment) -> Registry {
    let Moment {
        counts,
        health,
        overdue,
        generation,
        unavailable,
        certificate_until,
        certificates,
        ..
    } = moment;
    let mut registry = Registry::with_prefix("hookyard");
    let deliveries = Family::<StateLabels, Gauge>::default();
    for (state, count) in [
        ("waiting", counts.waiting),
        ("running", counts.leased),
        ("ended", counts.done),
        ("dead", counts.dead),
    ] {
        deliveries
            .get_or_create(&StateLabels { state })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    registry.register("deliveries", "Deliveries in the store, by state", deliveries);
    let latest = Family::<RuleLabels, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    for (rule, at) in last_arrivals() {
        latest
            .get_or_create(&RuleLabels {
                rule: NameLabel(rule),
            })
            .set(seconds(at));
    }
    registry.register(
        "last_arrival_timestamp_seconds",
        "When a rule was last given an event",
        latest,
    );
    logs(&mut registry);
    if let Some(status) = certificates {
        certificate_orders(&mut registry, status);
    }
    let mut gauge =
        |name: &str, help: &str, value: f64| registry.register(name, help, ConstGauge::new(value));
    gauge(
        "overdue_seconds",
        "For how long the first delivery in the queue has been due",
        overdue.as_secs_f64(),
    );
    gauge(
        "rules_generation",
        "Generation of the rules in force",
        float(*generation),
    );
    gauge(
        "rules_unavailable",
        "Rules that need something which this machine does not have",
        float(u64::try_from(*unavailable).unwrap_or(u64::MAX)),
    );
    if let Some(until) = certificate_until {
        gauge(
            "certificate_expiry_timestamp_seconds",
            "Until when the certificate is valid",
            seconds(*until),
        );
    }
    gauge(
        "inflight_bytes",
        "Memory that bodies of requests in flight hold",
        float(moment.inflight),
    );
    gauge("store_events", "Events in the store", float(counts.events));
    gauge(
        "store_nonces",
        "Nonces that are remembered",
        float(counts.dedup_keys),
    );
    gauge("store_refusals", "Refusals in the ring", float(counts.refused));
    gauge("store_bytes", "Bytes in use in the store", float(health.size));
    let full = if health.full.is_some() { 1.0 } else { 0.0 };
    gauge("store_full", "1 while the store takes no new events", full);
    let mut counter =
        |name: &str, help: &str, value: f64| registry.register(name, help, ConstCounter::new(value));
    counter(
        "store_refusals_dropped",
        "Refusals that were not kept, for want of room",
        float(counts.refused_dropped),
    );
    counter("store_commits", "Transactions written", float(health.commits));
    counter(
        "store_commit_calls",
        "Calls that transactions carried out: by the number of transactions it is the size of a batch",
        float(health.calls),
    );
    counter(
        "store_commit_seconds",
        "How long transactions took: by their number it is the latency of one",
        health.commit_time.as_secs_f64(),
    );
    registry
}

/// Adds the counter of certificate orders.
fn certificate_orders(registry: &mut Registry, status: &AcmeStatus) {
    let orders = Family::<OutcomeLabels, Counter>::default();
    for (outcome, count) in [("issued", status.issued), ("failed", status.failed)] {
        orders.get_or_create(&OutcomeLabels { outcome }).inc_by(count);
    }
    registry.register("certificate_orders", "Certificates asked for, by outcome", orders);
}

/// Adds the metrics about the log.
fn logs(registry: &mut Registry) {
    let left_out = Family::<Line, Counter>::default();
    for (kind, count) in throttle::left_out() {
        left_out.get_or_create(&Line { kind }).inc_by(count);
    }
    registry.register(
        "log_lines_left_out",
        "Log lines that were not written because their kind came too often",
        left_out,
    );
    registry.register(
        "log_lines_dropped",
        "Log lines that were lost because stderr or the log file was too slow or could not be written",
        ConstCounter::new(float(super::log::dropped_lines())),
    );
    let failing = if super::log::failure().is_some() { 1.0 } else { 0.0 };
    registry.register(
        "log_failing",
        "1 while the log file cannot be written",
        ConstGauge::new(failing),
    );
}

/// Gathers the standard metrics of a process.
fn process(moment: &Moment) -> Registry {
    let mut registry = Registry::with_prefix("process");
    let mut gauge =
        |name: &str, help: &str, value: f64| registry.register(name, help, ConstGauge::new(value));
    gauge("resident_memory_bytes", "Resident memory", float(moment.resident));
    gauge("open_fds", "Open descriptors", float(moment.descriptors));
    gauge("start_time_seconds", "When it started", seconds(moment.started));
    registry.register(
        "cpu_seconds",
        "Processor time",
        ConstCounter::new(moment.cpu.as_secs_f64()),
    );
    registry
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53, and read as a float anyway"
)]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds are exact up to 2^53")]
fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1000.0
}
