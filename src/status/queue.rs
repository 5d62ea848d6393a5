//! The queue: what runs, and what each waiting delivery waits for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::act::{TargetState, WAITS_FOR_CIRCUIT, WAITS_FOR_RATE, WAITS_FOR_TARGET};
use crate::base::clock::Timestamp;
use crate::pipeline::RunningAttempt;
use crate::rules::RuleSet;
use crate::status::PauseStatus;
use crate::store::{
    Backlog, BacklogEntry, DeliveryId, DeliveryState, GroupBacklog, PauseSubject, Pauses, WAITING_LISTED,
};

/// Maximum running attempts that are listed, the oldest ones.
pub const RUNNING_LISTED: usize = 200;

/// The queue of deliveries at one moment. Times are RFC 3339 in UTC, durations are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueueStatus {
    /// Time of this answer.
    pub at: String,
    /// Time for which the oldest due delivery has been due. Paused rules do not count.
    pub overdue: f64,
    /// Earliest due time of the deliveries that do not wait for a turn in a group.
    pub next_due: Option<String>,
    /// Number of deliveries that wait.
    pub waiting: u64,
    /// Number of attempts that run.
    pub running: u64,
    /// Maximum attempts that run at once, those of rules that only append left out.
    pub slots: u64,
    /// Numbers of waiting deliveries by what they wait for.
    pub waits_for: WaitCounts,
    /// Attempts that run, the oldest first. At most 200.
    pub running_attempts: Vec<RunningStatus>,
    /// The first waiting deliveries: by due time, then those in groups. At most 100 of each.
    pub first: Vec<WaitingStatus>,
    /// The concurrency groups with the most queued deliveries. At most 100.
    pub groups: Vec<GroupStatus>,
    /// Number of all concurrency groups with deliveries that have not ended.
    pub group_count: u64,
    /// Targets of forwards that fail, are probed, paused, or paced. At most 1,024 of each.
    pub targets: Vec<TargetStatus>,
}

/// Numbers of waiting deliveries by what they wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitCounts {
    /// Their rule is paused.
    pub paused: u64,
    /// No newer one has to arrive for a while.
    pub debounce: u64,
    /// Their turn in a concurrency group.
    pub group: u64,
    /// A later due time: the next attempt after a failure, a target that must not be called yet.
    pub later: u64,
    /// A free slot: they are due.
    pub room: u64,
}

/// An attempt that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunningStatus {
    pub delivery: String,
    pub event: String,
    pub rule: String,
    /// Number of the action, from 1.
    pub action: usize,
    /// Kind of the action. `null` if the rule in force has no such action.
    pub kind: Option<String>,
    /// True if the action belongs to `on_failure`.
    pub on_failure: bool,
    /// Number of the attempt at this action, from 1.
    pub attempt: u32,
    /// Time at which the attempt began.
    pub since: String,
    /// Time for which it has run.
    pub elapsed: f64,
    /// Maximum time for it, by the rules in force.
    pub limit: Option<f64>,
    /// True if the attempt can be stopped and is not being stopped yet.
    pub stoppable: bool,
    /// The user who is stopping it.
    pub stopped_by: Option<String>,
}

/// A delivery that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WaitingStatus {
    pub delivery: String,
    pub event: String,
    pub rule: String,
    /// Number of the action that is next, from 1.
    pub action: usize,
    /// Number of the next attempt at it, from 1.
    pub attempt: u32,
    pub received_at: String,
    pub due: Option<String>,
    /// `paused`, `debounce`, `group`, `circuit`, `rate`, `target`, `retry`, `later` or `room`.
    /// `later` if the reason is not known any more.
    pub waits_for: String,
    /// The concurrency group that it waits for.
    pub group: Option<String>,
    /// Number of deliveries before it in that group, those that have begun left out.
    pub ahead: Option<u64>,
}

/// A concurrency group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupStatus {
    pub name: String,
    /// The rule of its oldest delivery.
    pub rule: String,
    /// Deliveries that have their turn: they run, or wait for their next attempt.
    pub begun: u64,
    /// Deliveries that wait for their turn.
    pub queued: u64,
    /// Maximum deliveries that have their turn at once.
    pub limit: u32,
}

/// A target of forwards, by one route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetStatus {
    /// Scheme, host and port.
    pub target: String,
    /// `closed`: requests are sent. `open`: none is. `half-open`: one request probes the target.
    pub circuit: String,
    /// Failures in a row while the circuit is closed.
    pub failures: u32,
    /// Time of the last change of the circuit.
    pub since: Option<String>,
    /// Time of the next probe, if the circuit is open.
    pub next_try: Option<String>,
    /// Deliveries that wait for their turn by `rate`.
    pub paced: u64,
    pub paused: Option<PauseStatus>,
}

/// Everything that [`queue`] is made from.
pub struct QueueFacts<'a> {
    pub now: Timestamp,
    /// Time for which the first delivery that is not paused has been due.
    pub overdue: Duration,
    pub rules: &'a RuleSet,
    pub pauses: &'a Pauses,
    pub backlog: Backlog,
    pub running: Vec<RunningAttempt>,
    /// The reasons for which deliveries were put off, as far as they are known.
    pub put_off: HashMap<DeliveryId, Arc<str>>,
    pub targets: Vec<TargetState>,
}

/// Makes the view of the queue.
pub fn queue(facts: &QueueFacts<'_>) -> QueueStatus {
    let running: HashMap<Arc<str>, u64> = running_by_rule(&facts.running);
    let waits_for = counts(facts, &running);
    let due = facts.backlog.rules.iter();
    let due = due.filter(|(rule, _)| !facts.pauses.rules.contains(rule.as_str()));
    let next_due = due.filter_map(|(_, counts)| counts.next_due).min();
    let is_running: HashSet<DeliveryId> = facts.running.iter().map(|one| one.attempt.delivery).collect();
    let waiting = |entry: &&BacklogEntry| !is_running.contains(&entry.listed.delivery.id);
    let first = facts.backlog.first.iter().filter(waiting);
    let (queued, by_due): (Vec<_>, Vec<_>) = first.partition(|entry| entry.group.is_some());
    let by_due = by_due.into_iter().take(WAITING_LISTED);
    let first = by_due.chain(queued).map(|entry| waiting_status(facts, entry));
    QueueStatus {
        at: facts.now.to_string(),
        overdue: facts.overdue.as_secs_f64(),
        next_due: next_due.map(|due| due.to_string()),
        waiting: waits_for.all(),
        running: facts.running.len() as u64,
        slots: facts.rules.wanted.concurrency.slots as u64,
        waits_for,
        first: first.collect(),
        running_attempts: running_statuses(facts),
        groups: facts.backlog.groups.iter().map(group).collect(),
        group_count: facts.backlog.group_count,
        targets: targets(facts),
    }
}

/// Counts running attempts by rule.
pub fn running_by_rule(running: &[RunningAttempt]) -> HashMap<Arc<str>, u64> {
    let mut by_rule: HashMap<Arc<str>, u64> = HashMap::new();
    for one in running {
        *by_rule.entry(Arc::clone(&one.attempt.rule)).or_default() += 1;
    }
    by_rule
}

impl WaitCounts {
    pub fn all(&self) -> u64 {
        self.paused + self.debounce + self.group + self.later + self.room
    }
}

fn counts(facts: &QueueFacts<'_>, running: &HashMap<Arc<str>, u64>) -> WaitCounts {
    let mut waits = WaitCounts::default();
    for (rule, counts) in &facts.backlog.rules {
        // A running delivery counts as due, or after a change of the clock as later.
        let running = running.get(rule.as_str()).copied().unwrap_or_default();
        let due = counts.due.saturating_sub(running);
        let later = counts.later.saturating_sub(running.saturating_sub(counts.due));
        if facts.pauses.rules.contains(rule.as_str()) {
            waits.paused += due + later + counts.debounced + counts.queued;
            continue;
        }
        waits.debounce += counts.debounced;
        waits.group += counts.queued;
        waits.later += later;
        waits.room += due;
    }
    waits
}

fn running_statuses(facts: &QueueFacts<'_>) -> Vec<RunningStatus> {
    let running = facts.running.iter().take(RUNNING_LISTED).map(|one| {
        let attempt = &one.attempt;
        let rule = facts.rules.rule(&attempt.rule);
        let action = rule.and_then(|(_, rule)| rule.step(attempt.for_failure, attempt.action));
        RunningStatus {
            delivery: attempt.delivery.to_string(),
            event: attempt.event.to_string(),
            rule: attempt.rule.to_string(),
            action: attempt.action.saturating_add(1),
            kind: action.map(|(action, _)| action.name().to_owned()),
            on_failure: attempt.for_failure,
            attempt: attempt.number,
            since: attempt.since.to_string(),
            elapsed: facts.now.since(attempt.since).as_secs_f64(),
            limit: action.map(|(action, _)| action.timeout().as_secs_f64()),
            stoppable: one.stopped_by.is_none() && action.is_none_or(|(action, _)| !action.is_light()),
            stopped_by: one.stopped_by.as_ref().map(ToString::to_string),
        }
    });
    running.collect()
}

fn waiting_status(facts: &QueueFacts<'_>, entry: &BacklogEntry) -> WaitingStatus {
    let delivery = &entry.listed.delivery;
    WaitingStatus {
        delivery: delivery.id.to_string(),
        event: delivery.event.to_string(),
        rule: delivery.rule.to_string(),
        action: delivery.action.saturating_add(1),
        attempt: delivery.attempt,
        received_at: entry.listed.received_at.to_string(),
        due: delivery.state.due().map(|due| due.to_string()),
        waits_for: cause(facts, entry).to_owned(),
        group: entry.group.as_deref().map(group_name),
        ahead: entry.group.as_ref().map(|_| entry.ahead),
    }
}

/// What a delivery waits for.
fn cause(facts: &QueueFacts<'_>, entry: &BacklogEntry) -> &'static str {
    let delivery = &entry.listed.delivery;
    if facts.pauses.rules.contains(&delivery.rule) {
        return "paused";
    }
    match delivery.state {
        DeliveryState::Debounced { .. } => "debounce",
        DeliveryState::Queued { .. } => "group",
        _ if delivery.state.due().is_some_and(|due| due <= facts.now) => "room",
        _ => match facts.put_off.get(&delivery.id).map(|why| &**why) {
            Some(WAITS_FOR_TARGET) => "target",
            Some(WAITS_FOR_CIRCUIT) => "circuit",
            Some(WAITS_FOR_RATE) => "rate",
            None if delivery.attempt > 1 => "retry",
            _ => "later",
        },
    }
}

/// The name of a group as the rules file writes it. A rule's own group has the name of the rule.
fn group_name(key: &str) -> String {
    let name = key.strip_prefix("group:").or_else(|| key.strip_prefix("rule:"));
    name.unwrap_or(key).to_owned()
}

fn group(group: &GroupBacklog) -> GroupStatus {
    GroupStatus {
        name: group_name(&group.name),
        rule: group.rule.clone(),
        begun: group.begun,
        queued: group.queued,
        limit: group.limit,
    }
}

/// Targets that are known to the circuits and pacers, and paused ones.
fn targets(facts: &QueueFacts<'_>) -> Vec<TargetStatus> {
    let pause = |target: &str| {
        let pause = facts.pauses.of(&PauseSubject::Target(target.into()));
        pause.map(PauseStatus::of)
    };
    let mut listed: BTreeMap<(String, usize), TargetStatus> = BTreeMap::new();
    for (at, state) in facts.targets.iter().enumerate() {
        let status = TargetStatus {
            target: state.target.clone(),
            circuit: state.circuit.to_owned(),
            failures: state.failures,
            since: state.changed.map(|ago| facts.now.minus(ago).to_string()),
            next_try: state.next_try.map(|wait| facts.now.plus(wait).to_string()),
            paced: state.paced,
            paused: pause(&state.target),
        };
        listed.insert((state.target.clone(), at), status);
    }
    for paused in facts.pauses.targets() {
        if !facts.targets.iter().any(|state| *state.target == *paused) {
            let status = TargetStatus {
                target: paused.to_string(),
                circuit: "closed".to_owned(),
                failures: 0,
                since: None,
                next_try: None,
                paced: 0,
                paused: pause(&paused),
            };
            listed.insert((paused.to_string(), 0), status);
        }
    }
    listed.into_values().collect()
}
