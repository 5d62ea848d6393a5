//! The metrics as text: the counters, and the gauges of the moment.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::counters::Metrics;
use super::labels::{
    ExpectationLabels, LineLabels, NameLabel, NodeLabels, OutcomeLabels, RingLabels, RuleLabels, StateLabels,
};
use crate::acme::AcmeStatus;
use crate::base::clock::Timestamp;
use crate::base::throttle;
use crate::report::{ExpectationState, log};
use crate::store::{Counts, Health, PauseSubject, Pauses, Ring};

/// Media type of the output of [`render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// State at the time of the request.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Contents of the store.
    pub counts: Counts,
    /// State of the store.
    pub health: Health,
    /// Time for which the first delivery in the queue has been due.
    pub overdue: Duration,
    /// The nodes of the store, each true if its rules are those in force here.
    pub nodes: Vec<bool>,
    /// Generation of the rules in force.
    pub generation: u64,
    /// Number of unavailable rules.
    pub unavailable: usize,
    /// Names of the rules in force.
    pub rules: Vec<Arc<str>>,
    /// Rules and targets that the operator has paused.
    pub pauses: Arc<Pauses>,
    /// Expected arrivals.
    pub expectations: Arc<Vec<ExpectationState>>,
    pub now: Timestamp,
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

/// Returns all metrics as text.
pub fn render(metrics: &Metrics, moment: &Moment) -> String {
    let mut output = String::new();
    let current = current(metrics, moment);
    let process = process(moment);
    let done = text::encode_registry(&mut output, &metrics.registry)
        .and_then(|()| text::encode_registry(&mut output, &current))
        .and_then(|()| text::encode_registry(&mut output, &process))
        .and_then(|()| text::encode_eof(&mut output));
    // Writing into memory cannot fail.
    debug_assert!(done.is_ok(), "{done:?}");
    output
}

/// Gathers the gauges and counters of this moment.
fn current(metrics: &Metrics, moment: &Moment) -> Registry {
    let mut registry = Registry::with_prefix("hookyard");
    deliveries(&mut registry, &moment.counts);
    last_arrivals(&mut registry, metrics);
    paused(&mut registry, moment);
    expectations(&mut registry, moment);
    logs(&mut registry);
    if let Some(status) = &moment.certificates {
        certificate_orders(&mut registry, status);
    }
    rules(&mut registry, moment);
    store(&mut registry, &moment.counts, &moment.health);
    nodes(&mut registry, &moment.nodes);
    registry
}

/// Adds the nodes that share the store.
fn nodes(registry: &mut Registry, nodes: &[bool]) {
    let family = Family::<NodeLabels, Gauge>::default();
    for (rules, is_same) in [("same", true), ("other", false)] {
        let count = nodes.iter().filter(|same| **same == is_same).count();
        if !nodes.is_empty() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            family.get_or_create(&NodeLabels { rules }).set(count);
        }
    }
    registry.register(
        "nodes",
        "Nodes that share the store, by whether their rules are those of this one",
        family,
    );
}

/// Adds the deliveries in the store.
fn deliveries(registry: &mut Registry, counts: &Counts) {
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
}

/// Adds the time of each rule's last event.
fn last_arrivals(registry: &mut Registry, metrics: &Metrics) {
    let latest = Family::<RuleLabels, Gauge<f64, AtomicU64>>::default();
    for (rule, at) in metrics.last_arrivals() {
        let rule = NameLabel(rule);
        latest.get_or_create(&RuleLabels { rule }).set(seconds(at));
    }
    registry.register(
        "last_arrival_timestamp_seconds",
        "When a rule was last given an event",
        latest,
    );
}

/// Adds which rules and targets are paused. A paused rule that is gone from the file counts, too.
fn paused(registry: &mut Registry, moment: &Moment) {
    let rules = Family::<RuleLabels, Gauge>::default();
    let mut targets = 0.0;
    for rule in &moment.rules {
        let rule = NameLabel(Arc::clone(rule));
        rules.get_or_create(&RuleLabels { rule }).set(0);
    }
    for pause in &moment.pauses.all {
        let name = NameLabel(Arc::clone(pause.subject.name()));
        match &pause.subject {
            PauseSubject::Rule(_) => {
                rules.get_or_create(&RuleLabels { rule: name }).set(1);
            }
            PauseSubject::Target(_) => targets += 1.0,
        }
    }
    registry.register("rule_paused", "1 while a rule is paused, else 0", rules);
    registry.register(
        "targets_paused",
        "Targets of forwards that are paused",
        ConstGauge::new(targets),
    );
}

/// Adds the expected arrivals.
fn expectations(registry: &mut Registry, moment: &Moment) {
    let silent = Family::<ExpectationLabels, Gauge>::default();
    let quiet = Family::<ExpectationLabels, Gauge<f64, AtomicU64>>::default();
    for state in &*moment.expectations {
        let labels = ExpectationLabels {
            endpoint: NameLabel(Arc::clone(&state.endpoint)),
            rule: NameLabel(state.rule().cloned().unwrap_or_default()),
        };
        silent.get_or_create(&labels).set(i64::from(state.is_silent()));
        let seconds = state.quiet_for(moment.now).as_secs_f64();
        quiet.get_or_create(&labels).set(seconds);
    }
    registry.register(
        "silent",
        "1 while nothing genuine has come for `expect_every`, else 0",
        silent,
    );
    registry.register(
        "expected_arrival_age_seconds",
        "How long ago the last genuine arrival was, else since when one is expected",
        quiet,
    );
}

/// Adds the queue, the rules in force and their certificate.
fn rules(registry: &mut Registry, moment: &Moment) {
    let mut gauge =
        |name: &str, help: &str, value: f64| registry.register(name, help, ConstGauge::new(value));
    gauge(
        "overdue_seconds",
        "For how long the first delivery in the queue has been due",
        moment.overdue.as_secs_f64(),
    );
    gauge(
        "rules_generation",
        "Generation of the rules in force",
        float(moment.generation),
    );
    gauge(
        "rules_unavailable",
        "Rules that need something which this machine does not have",
        float(u64::try_from(moment.unavailable).unwrap_or(u64::MAX)),
    );
    if let Some(until) = moment.certificate_until {
        gauge(
            "certificate_expiry_timestamp_seconds",
            "Until when the certificate is valid",
            seconds(until),
        );
    }
    gauge(
        "inflight_bytes",
        "Memory that bodies of requests in flight hold",
        float(moment.inflight),
    );
}

/// Adds the contents and the work of the store.
fn store(registry: &mut Registry, counts: &Counts, health: &Health) {
    let mut gauge =
        |name: &str, help: &str, value: f64| registry.register(name, help, ConstGauge::new(value));
    gauge("store_events", "Events in the store", float(counts.events));
    gauge(
        "store_dedup_keys",
        "Dedup keys that are remembered",
        float(counts.dedup_keys),
    );
    gauge("store_bytes", "Bytes in use in the store", float(health.size));
    let full = if health.full.is_some() { 1.0 } else { 0.0 };
    gauge("store_full", "1 while the store takes no new events", full);
    let records = Family::<RingLabels, Gauge<f64, AtomicU64>>::default();
    let bytes = Family::<RingLabels, Gauge<f64, AtomicU64>>::default();
    for ring in Ring::ALL {
        let (size, ring) = (counts.rings.get(ring), ring.name());
        records
            .get_or_create(&RingLabels { ring })
            .set(float(size.records));
        bytes.get_or_create(&RingLabels { ring }).set(float(size.bytes));
    }
    registry.register(
        "store_arrivals",
        "Records of arrivals that became no event",
        records,
    );
    registry.register("store_arrivals_bytes", "Bytes of these records", bytes);
    let mut counter =
        |name: &str, help: &str, value: f64| registry.register(name, help, ConstCounter::new(value));
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
    let left_out = Family::<LineLabels, Counter>::default();
    for (kind, count) in throttle::left_out() {
        left_out.get_or_create(&LineLabels { kind }).inc_by(count);
    }
    registry.register(
        "log_lines_left_out",
        "Log lines that were not written because their kind came too often",
        left_out,
    );
    registry.register(
        "log_lines_dropped",
        "Log lines that were lost because stderr or the log file was too slow or could not be written",
        ConstCounter::new(float(log::dropped_lines())),
    );
    let failing = if log::failure().is_some() { 1.0 } else { 0.0 };
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
