//! The counters. The daemon makes them, and hands them to everything that counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::day::Day;
use super::labels::{
    ActionLabels, ArrivalLabels, AttemptLabels, BuildLabels, EndedLabels, EndpointLabels, NameLabel,
    OutcomeLabels, RefusedLabels, RingLabels, ShedLabels, StatusLabels,
};
use super::rule_day::Ended;
use crate::base::clock::Timestamp;
use crate::rules::RuleSet;
use crate::store::{DeliveryId, INTERRUPTED, Ring};

/// Upper bounds of the buckets for an attempt's duration, in seconds.
const DURATIONS: [f64; 11] = [0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0];

/// Counters of a daemon.
pub struct Metrics {
    pub(super) registry: Registry,
    arrivals: Family<ArrivalLabels, Counter>,
    refusals: Family<RefusedLabels, Counter>,
    turned_away: Family<StatusLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    durations: Family<ActionLabels, Histogram, fn() -> Histogram>,
    ended: Family<EndedLabels, Counter>,
    reloads: Family<OutcomeLabels, Counter>,
    shed: Family<ShedLabels, Counter>,
    unrecorded: Family<RingLabels, Counter>,
    unrendered: Family<EndpointLabels, Counter>,
    /// Time of the last event of each rule.
    latest: Mutex<BTreeMap<Arc<str>, Timestamp>>,
    rules: Mutex<BTreeSet<Arc<str>>>,
    /// Endpoints of the rules in force.
    endpoints: Mutex<BTreeSet<Arc<str>>>,
    /// Figures of the last 24 hours.
    pub day: Day,
}

/// An attempt that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Attempted<'a> {
    /// Time of its end.
    pub at: Timestamp,
    pub rule: &'a Arc<str>,
    pub delivery: DeliveryId,
    /// Kind of the action.
    pub action: &'static str,
    pub outcome: &'static str,
    /// Result in words.
    pub detail: &'a str,
    pub duration: Duration,
    /// True if the action belongs to `on_failure`.
    pub for_failure: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        let durations = Family::<_, _, fn() -> Histogram>::new_with_constructor(|| Histogram::new(DURATIONS));
        let mut metrics = Self {
            registry: Registry::with_prefix("hookyard"),
            arrivals: Family::default(),
            refusals: Family::default(),
            turned_away: Family::default(),
            attempts: Family::default(),
            durations,
            ended: Family::default(),
            reloads: Family::default(),
            shed: Family::default(),
            unrecorded: Family::default(),
            unrendered: Family::default(),
            latest: Mutex::default(),
            rules: Mutex::default(),
            endpoints: Mutex::default(),
            day: Day::default(),
        };
        metrics.register();
        metrics
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Counts arrivals of which no record was kept.
    pub fn unrecorded(&self, ring: Ring, number: u64) {
        let ring = ring.name();
        self.unrecorded.get_or_create(&RingLabels { ring }).inc_by(number);
    }

    /// Number of arrivals of which no record was kept, since the daemon started.
    pub fn unrecorded_arrivals(&self) -> u64 {
        let of = |ring: Ring| {
            let ring = ring.name();
            self.unrecorded.get_or_create(&RingLabels { ring }).get()
        };
        Ring::ALL.into_iter().map(of).sum()
    }

    /// Names the families in the registry.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "arrivals",
            "Requests on an endpoint, by what became of them",
            self.arrivals.clone(),
        );
        registry.register(
            "refusals",
            "Requests that were not trusted, by why",
            self.refusals.clone(),
        );
        registry.register(
            "turned_away",
            "Requests that met no endpoint, or were too large or too slow, by status",
            self.turned_away.clone(),
        );
        registry.register(
            "attempts",
            "Attempts at actions, by how they went",
            self.attempts.clone(),
        );
        registry.register(
            "attempt_duration_seconds",
            "How long attempts took",
            self.durations.clone(),
        );
        registry.register(
            "deliveries_ended",
            "Deliveries that ended, by how",
            self.ended.clone(),
        );
        registry.register(
            "reloads",
            "Reloads of the rules, by what became of them",
            self.reloads.clone(),
        );
        registry.register(
            "bodies_shed",
            "Bodies that were not read because `max_inflight` was reached, by how",
            self.shed.clone(),
        );
        registry.register(
            "arrivals_unrecorded",
            "Arrivals of which no record was kept, because too many came at once or the store failed",
            self.unrecorded.clone(),
        );
        registry.register(
            "answers_unrendered",
            "Answers sent with the default body, because the stated one could not be rendered",
            self.unrendered.clone(),
        );
        for ring in Ring::ALL {
            let ring = ring.name();
            drop(self.unrecorded.get_or_create(&RingLabels { ring }));
        }
        for how in ["evicted", "refused"] {
            // Created at zero, so that the first increase is visible.
            drop(self.shed.get_or_create(&ShedLabels { how }));
        }
        let build = Family::<BuildLabels, Gauge>::default();
        let version = env!("CARGO_PKG_VERSION");
        build.get_or_create(&BuildLabels { version }).set(1);
        registry.register("build_info", "The version", build);
    }

    /// Counts an answered request on an endpoint.
    pub fn arrived(&self, endpoint: &Arc<str>, outcome: &'static str) {
        let endpoint = NameLabel(Arc::clone(endpoint));
        let labels = ArrivalLabels { endpoint, outcome };
        self.arrivals.get_or_create(&labels).inc();
        self.day.arrived(outcome);
    }

    /// Counts a request that was not trusted.
    pub fn refused(&self, endpoint: &Arc<str>, reason: &'static str) {
        let endpoint = NameLabel(Arc::clone(endpoint));
        let labels = RefusedLabels { endpoint, reason };
        self.refusals.get_or_create(&labels).inc();
    }

    /// Counts a request that was rejected before it became an arrival.
    pub fn turned_away(&self, status: u16) {
        self.turned_away.get_or_create(&StatusLabels { status }).inc();
        self.day.turned_away();
    }

    /// Counts an answer whose stated body could not be rendered.
    pub fn unrendered(&self, endpoint: &Arc<str>) {
        let endpoint = NameLabel(Arc::clone(endpoint));
        self.unrendered.get_or_create(&EndpointLabels { endpoint }).inc();
    }

    /// Counts a body that was `evicted` or `refused` because `max_inflight` was reached.
    pub fn body_shed(&self, how: &'static str) {
        self.shed.get_or_create(&ShedLabels { how }).inc();
    }

    /// Records that a rule has accepted an event.
    pub fn accepted(&self, rule: &Arc<str>, at: Timestamp) {
        self.latest.lock().insert(Arc::clone(rule), at);
    }

    /// Counts an attempt that has ended.
    pub fn attempted(&self, attempted: &Attempted<'_>) {
        let Attempted {
            at,
            rule,
            delivery,
            action,
            outcome,
            detail,
            duration,
            for_failure,
        } = *attempted;
        self.count_attempt(rule, action, outcome);
        let durations = self.durations.get_or_create(&ActionLabels { action });
        durations.observe(duration.as_secs_f64());
        self.day.attempted(outcome);
        let is_done = outcome == "done";
        if !for_failure && (is_done || outcome == "failed" || outcome == "dead") {
            self.day.rules.lock().count(&Ended {
                at,
                rule,
                delivery,
                is_done,
                detail,
                duration,
            });
        }
    }

    /// Counts an attempt that was interrupted by the end of the last daemon. Its duration is
    /// unknown.
    pub fn interrupted(&self, rule: &Arc<str>, action: &'static str) {
        self.count_attempt(rule, action, INTERRUPTED);
    }

    fn count_attempt(&self, rule: &Arc<str>, action: &'static str, outcome: &'static str) {
        let labels = AttemptLabels {
            rule: NameLabel(Arc::clone(rule)),
            action,
            outcome,
        };
        self.attempts.get_or_create(&labels).inc();
    }

    /// Counts a delivery that has ended as `done`, `superseded` or `dead`.
    pub fn ended(&self, rule: &Arc<str>, state: &'static str) {
        let rule = NameLabel(Arc::clone(rule));
        self.ended.get_or_create(&EndedLabels { rule, state }).inc();
        if state == "dead" {
            self.day.died();
        }
    }

    /// Counts a reload: `in force` or `kept`.
    pub fn reloaded(&self, outcome: &'static str) {
        self.reloads.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Removes the series of names that the rules no longer have. A family is cleared as a whole:
    /// its counters begin at zero, which Prometheus takes for a restart.
    pub fn keep_to(&self, rules: &RuleSet) {
        let mut latest = self.latest.lock();
        latest.retain(|rule, _| rules.names.contains_key(rule));
        drop(latest);
        let mut days = self.day.rules.lock();
        days.retain(|rule| rules.names.contains_key(rule));
        drop(days);
        if lost_any(&self.rules, rules.names.keys().chain(rules.silences.keys())) {
            self.attempts.clear();
            self.ended.clear();
        }
        let endpoints = rules.endpoints.iter().map(|endpoint| &endpoint.path);
        if lost_any(&self.endpoints, endpoints) {
            self.arrivals.clear();
            self.refusals.clear();
            self.unrendered.clear();
        }
        for endpoint in &rules.endpoints {
            // Created at zero, so that the first increase is visible.
            let endpoint = NameLabel(Arc::clone(&endpoint.path));
            drop(self.unrendered.get_or_create(&EndpointLabels { endpoint }));
        }
    }

    /// Returns the time of each rule's last event since the start.
    pub fn last_arrivals(&self) -> BTreeMap<Arc<str>, Timestamp> {
        self.latest.lock().clone()
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
