//! Rules with their state: `hookyard rules list`, and the view of the rules.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::report::metrics::RuleFigures;
use crate::rules::{Endpoint, Rule, RuleSet};
use crate::status::{PauseStatus, Unavailable};
use crate::store::{BacklogCounts, PauseSubject, Pauses, SecretUse};

/// A rule with its state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RuleStatus {
    pub name: String,
    /// Path of the endpoint. `null` if the rule is gone from the rules file.
    pub endpoint: Option<String>,
    /// `enabled`, `disabled` or `gone`.
    pub state: String,
    pub paused: Option<PauseStatus>,
    /// Deliveries that wait, for whatever reason.
    pub waiting: u64,
    /// Attempts that run.
    pub running: u64,
    /// Those that wait until no newer one has arrived for a while.
    pub debounced: u64,
    /// Those that wait for their turn in a concurrency group.
    pub queued: u64,
    /// Dead letters.
    pub dead: u64,
    /// Time of its last event since the start of the daemon.
    pub last_match: Option<String>,
    /// Its last failed attempt since the start of the daemon.
    pub last_failure: Option<FailureStatus>,
    /// Attempts of the last 24 hours. `null` if none is known.
    pub day: Option<RuleDay>,
    /// Maximum deliveries of one concurrency group that run at once. `null` without a group.
    pub group_limit: Option<u32>,
    /// Time without a new event after which a delivery is due, in seconds. `null` without debounce.
    pub debounce: Option<f64>,
    /// Secrets by which its events are verified.
    pub secrets: Vec<SecretStatus>,
    /// What this machine lacks for the rule.
    pub unavailable: Option<String>,
    /// Warnings of the load that point into the rule, one line each, as `hookyard check` prints them.
    pub warnings: Vec<String>,
    /// The rule as the file writes it. Only where one rule is asked for.
    pub source: Option<RuleText>,
}

/// A rule as the file writes it. Secrets that are written out are masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleText {
    /// Path of the file.
    pub file: String,
    /// Number of the first line, from 1.
    pub first_line: usize,
    pub lines: Vec<String>,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureStatus {
    pub at: String,
    /// Id of the delivery.
    pub delivery: String,
    /// The outcome in words, such as `exit 3`.
    pub reason: String,
}

/// Attempts of a rule in the last 24 hours, those of `on_failure` left out. An attempt that was
/// interrupted or stopped does not count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RuleDay {
    /// Time from which attempts are counted. Less than 24 hours ago after a start of the daemon.
    pub since: String,
    pub done: u64,
    pub failed: u64,
    /// Share of the attempts that succeeded, from 0 to 1. `null` without an attempt.
    pub success: Option<f64>,
    /// Duration in seconds that 95 of 100 attempts do not exceed, within 20 %.
    pub p95: Option<f64>,
}

/// A secret of a rule. Never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretStatus {
    /// Name of the scheme.
    pub scheme: String,
    /// Origin of the secret as the rules file names it, such as `env:NAME`.
    pub source: String,
    /// End of its validity.
    pub not_after: Option<String>,
    /// Arrival of the last event that it verified. Written to the store now and then.
    pub last_match: Option<String>,
}

/// Everything that [`statuses`] is made from.
pub struct RuleFacts<'a> {
    pub rules: &'a RuleSet,
    pub pauses: &'a Pauses,
    pub unavailable: &'a Unavailable,
    pub last_matches: &'a BTreeMap<Arc<str>, Timestamp>,
    pub figures: HashMap<Arc<str>, RuleFigures>,
    pub backlog: &'a BTreeMap<String, BacklogCounts>,
    /// Number of running attempts by rule.
    pub running: &'a HashMap<Arc<str>, u64>,
    /// Number of dead letters by rule.
    pub dead: &'a HashMap<String, u64>,
    pub secrets: &'a [SecretUse],
}

/// Lists the rules in force in the order of the file, then those that are gone but paused or waited
/// for.
pub fn statuses(facts: &RuleFacts<'_>) -> Vec<RuleStatus> {
    let of_file = facts.rules.endpoints.iter().flat_map(|endpoint| {
        let rules = endpoint.rules.iter();
        rules.map(move |rule| facts.of_rule(endpoint, rule))
    });
    let waited = facts.backlog.keys().map(|name| Arc::from(&**name));
    let waited = waited.chain(facts.running.keys().cloned());
    let mut gone: BTreeSet<Arc<str>> = facts.pauses.rules.iter().cloned().chain(waited).collect();
    gone.retain(|name| facts.rules.rule(name).is_none());
    let gone = gone.iter().map(|name| RuleStatus {
        state: "gone".to_owned(),
        ..facts.of_name(name)
    });
    of_file.chain(gone).collect()
}

/// The state of one rule. `None` if it is neither in force, nor paused, nor waited for.
pub fn status(facts: &RuleFacts<'_>, name: &str) -> Option<RuleStatus> {
    if let Some((endpoint, rule)) = facts.rules.rule(name) {
        let source = rule.source.as_ref().map(|source| RuleText {
            file: source.file.display().to_string(),
            first_line: source.first_line,
            lines: source.text.lines().map(str::to_owned).collect(),
        });
        return Some(RuleStatus {
            source,
            ..facts.of_rule(endpoint, rule)
        });
    }
    let is_known = facts.pauses.rules.contains(name)
        || facts.backlog.contains_key(name)
        || facts.running.contains_key(name);
    is_known.then(|| RuleStatus {
        state: "gone".to_owned(),
        ..facts.of_name(&name.into())
    })
}

impl RuleFacts<'_> {
    fn of_rule(&self, endpoint: &Endpoint, rule: &Rule) -> RuleStatus {
        let state = if rule.enabled { "enabled" } else { "disabled" };
        RuleStatus {
            endpoint: Some(endpoint.path.to_string()),
            state: state.to_owned(),
            group_limit: rule.concurrency.as_ref().map(|group| group.limit),
            debounce: rule.debounce.map(|debounce| debounce.quiet.as_secs_f64()),
            secrets: self.secrets_of(endpoint, rule),
            unavailable: self.unavailable.get(&rule.name).cloned(),
            warnings: rule
                .source
                .as_ref()
                .map(|source| source.warnings.clone())
                .unwrap_or_default(),
            ..self.of_name(&rule.name)
        }
    }

    /// The part that the rules file does not know.
    fn of_name(&self, name: &Arc<str>) -> RuleStatus {
        let backlog = self.backlog.get(&**name).copied().unwrap_or_default();
        let running = self.running.get(name).copied().unwrap_or_default();
        let figures = self.figures.get(name);
        let pause = self.pauses.of(&PauseSubject::Rule(Arc::clone(name)));
        RuleStatus {
            name: name.to_string(),
            paused: pause.map(PauseStatus::of),
            waiting: backlog.all().saturating_sub(running),
            running,
            debounced: backlog.debounced,
            queued: backlog.queued,
            dead: self.dead.get(&**name).copied().unwrap_or_default(),
            last_match: self.last_matches.get(name).map(ToString::to_string),
            last_failure: figures.and_then(|figures| {
                let failure = figures.last_failure.as_ref()?;
                Some(FailureStatus {
                    at: failure.at.to_string(),
                    delivery: failure.delivery.to_string(),
                    reason: failure.detail.clone(),
                })
            }),
            day: figures.map(RuleDay::of),
            ..RuleStatus::default()
        }
    }

    fn secrets_of(&self, endpoint: &Endpoint, rule: &Rule) -> Vec<SecretStatus> {
        let verifications = rule.alternatives.iter();
        let verifications =
            verifications.filter_map(|alternative| endpoint.verifications.get(alternative.verification));
        let secrets = verifications.flat_map(|verification| {
            let scheme = verification.scheme();
            verification
                .secrets()
                .into_iter()
                .map(move |(source, not_after)| {
                    let used = self.secrets.iter().find(|used| {
                        used.endpoint == endpoint.path && used.scheme == *scheme && used.source == source
                    });
                    SecretStatus {
                        scheme: scheme.to_string(),
                        source: source.to_string(),
                        not_after: not_after.map(|end| end.to_string()),
                        last_match: used.map(|used| used.last_matched.to_string()),
                    }
                })
        });
        secrets.collect()
    }
}

impl RuleDay {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    fn of(figures: &RuleFigures) -> Self {
        let all = figures.done + figures.failed;
        Self {
            since: figures.since.to_string(),
            done: figures.done,
            failed: figures.failed,
            success: (all > 0).then(|| figures.done as f64 / all as f64),
            p95: figures.p95.map(|p95| p95.as_secs_f64()),
        }
    }
}
