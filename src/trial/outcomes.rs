//! Pretended outcomes of attempts: what a test file states, and which attempt uses which.

use std::collections::HashMap;
use std::fmt;

use parking_lot::Mutex;

use super::read::{self, Place};
use crate::act::StatedOutcome;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::yaml::{Node, unknown};
use crate::event::EventId;

/// Keys of an outcome.
const KEYS: [&str; 8] = [
    "exit",
    "stdout",
    "stderr",
    "status",
    "body",
    "retry_after",
    "error",
    "takes",
];

/// Attempts that outcomes are for: those at the actions of a rule, or at its `on_failure` actions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Attempts {
    rule: String,
    for_failure: bool,
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = if self.for_failure { "on_failure of " } else { "" };
        write!(f, "{of}`{}`", self.rule)
    }
}

/// Outcomes in the order of the attempts.
#[derive(Clone, Debug, Default)]
pub struct Outcomes(Vec<(Attempts, Vec<(StatedOutcome, Place)>)>);

impl Outcomes {
    /// Reads `outcomes`. `rules` are the names of all rules.
    pub(super) fn read(node: Option<Node<'_>>, rules: &[&str], diagnostics: &mut Diagnostics) -> Self {
        let Some(node) = node.filter(|node| read::is_mapping(*node, diagnostics)) else {
            return Self::default();
        };
        let mut outcomes = Vec::new();
        for (rule, list) in node.entries() {
            if !rules.contains(&rule) {
                let origin = list.key_origin();
                diagnostics.push(unknown(
                    origin,
                    "unknown-rule",
                    "rule",
                    rule,
                    rules.iter().copied(),
                ));
            }
            let mut add = |for_failure, list, diagnostics: &mut Diagnostics| {
                let rule = rule.to_owned();
                outcomes.push((Attempts { rule, for_failure }, of_list(list, diagnostics)));
            };
            if !list.is_mapping() {
                add(false, list, diagnostics);
            } else if read::keys(list, &["actions", "on_failure"], diagnostics) {
                for (key, list) in list.entries() {
                    add(key == "on_failure", list, diagnostics);
                }
            }
        }
        Self(outcomes)
    }
}

fn of_list(list: Node<'_>, diagnostics: &mut Diagnostics) -> Vec<(StatedOutcome, Place)> {
    let items = read::list(list, diagnostics).into_iter();
    let stated = items.filter_map(|item| Some((outcome(item, diagnostics)?, Place::of(item))));
    stated.collect()
}

fn outcome(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<StatedOutcome> {
    if !read::keys(node, &KEYS, diagnostics) {
        return None;
    }
    let mut text = |key: &str| node.given(key).and_then(|node| read::text(node, diagnostics));
    let mut stated = StatedOutcome {
        stdout: text("stdout"),
        stderr: text("stderr"),
        body: text("body"),
        error: text("error"),
        ..StatedOutcome::default()
    };
    let mut number = |key: &str, range| {
        let number = node
            .given(key)
            .and_then(|node| read::integer(node, range, diagnostics));
        number.and_then(|number| u16::try_from(number).ok())
    };
    stated.exit = number("exit", 0..256).and_then(|code| u8::try_from(code).ok());
    stated.status = number("status", 200..600);
    let mut period = |key: &str| node.given(key).and_then(|node| read::duration(node, diagnostics));
    stated.retry_after = period("retry_after");
    stated.takes = period("takes").unwrap_or_default();
    let ends = ["exit", "status", "error"].map(|key| node.given(key));
    let mut ends = ends.into_iter().flatten();
    if let (Some(_), Some(second)) = (ends.next(), ends.next()) {
        let message = "an attempt ends in one way: `exit`, `status` or `error`";
        diagnostics.push(Diagnostic::error(second.key_origin(), "wrong-value", message));
    }
    Some(stated)
}

/// The outcomes of one test, with those that are used.
#[derive(Debug)]
pub(super) struct OutcomeScript {
    of_test: Outcomes,
    /// Outcomes of steps, by event.
    of_events: Mutex<HashMap<EventId, Outcomes>>,
    /// Number of outcomes used, by event (`None`: of the test) and attempts.
    used: Mutex<HashMap<(Option<EventId>, Attempts), usize>>,
}

impl OutcomeScript {
    pub(super) fn new(of_test: Outcomes) -> Self {
        Self {
            of_test,
            of_events: Mutex::default(),
            used: Mutex::default(),
        }
    }

    pub(super) fn add(&self, event: EventId, outcomes: &Outcomes) {
        self.of_events.lock().insert(event, outcomes.clone());
    }

    /// The outcome of the next attempt for a rule, or at its `on_failure` actions.
    pub(super) fn next(
        &self,
        event: EventId,
        rule: &str,
        for_failure: bool,
    ) -> Option<(StatedOutcome, Place)> {
        let wanted = Attempts {
            rule: rule.to_owned(),
            for_failure,
        };
        let of_event = self.of_events.lock().get(&event).cloned().unwrap_or_default();
        let mut used = self.used.lock();
        let mut take = |event: Option<EventId>, outcomes: &Outcomes| {
            let (_, list) = outcomes.0.iter().find(|(attempts, _)| *attempts == wanted)?;
            let used = used.entry((event, wanted.clone())).or_default();
            let next = list.get(*used)?.clone();
            *used += 1;
            Some(next)
        };
        take(Some(event), &of_event).or_else(|| take(None, &self.of_test))
    }

    /// The first outcome of each list that no attempt has used: the attempts, their number, the place.
    pub(super) fn unused(&self) -> Vec<(String, usize, Place)> {
        let used = self.used.lock();
        let of_events = self.of_events.lock();
        let all = of_events.iter().map(|(event, outcomes)| (Some(*event), outcomes));
        let mut unused = Vec::new();
        for (event, outcomes) in all.chain([(None, &self.of_test)]) {
            for (attempts, list) in &outcomes.0 {
                let number = used.get(&(event, attempts.clone())).copied().unwrap_or(0);
                if let Some((_, place)) = list.get(number) {
                    unused.push((attempts.to_string(), number, place.clone()));
                }
            }
        }
        unused
    }
}
