//! Results of a request in a test: its answer, its deliveries and their actions.

use std::path::Path;

use super::attempts::{Attempt, AttemptLog};
use super::expect::relative;
use super::world::{Sent, World};
use crate::act::RenderedAction;
use crate::event::ArrivalOutcome;
use crate::pipeline::{Answer, Seen};
use crate::rules::{Endpoint, RuleSet};
use crate::store::{Delivery, DeliveryState, Store};

/// An action as it was rendered, or the reason why it failed.
pub(super) type FoundAction = Result<RenderedAction, String>;

/// Results of a request.
#[derive(Debug)]
pub(super) struct Found<'r> {
    pub endpoint: Option<&'r Endpoint>,
    pub answer: Option<Answer>,
    pub outcome: ArrivalOutcome,
    pub deliveries: Vec<FoundDelivery>,
    /// The request as conditions see it. `None` if it reached no endpoint.
    pub seen: Option<Seen>,
}

/// A delivery at the end of a test.
#[derive(Debug)]
pub(super) struct FoundDelivery {
    pub delivery: Delivery,
    /// Name of the concurrency group.
    pub group: Option<String>,
    pub attempts: usize,
    pub actions: Vec<FoundAction>,
    pub on_failure: Vec<FoundAction>,
}

impl<'r> Found<'r> {
    /// Collects what became of a request, at the end of the test.
    pub async fn of(
        world: &World,
        (rules, folder): (&'r RuleSet, &Path),
        number: usize,
        sent: Sent,
    ) -> Result<Self, String> {
        let answer = world.answers.get(&number).cloned();
        let stored = world.store.deliveries(sent.id).await;
        let stored = stored.map_err(|error| error.to_string())?;
        let log = world.log.lock();
        let own = stored.iter().filter(|delivery| delivery.failure_of.is_none());
        let deliveries: Vec<FoundDelivery> = own
            .map(|delivery| {
                let mut failures = stored.iter();
                let failure = failures.find(|other| other.failure_of == Some(delivery.id));
                let (attempts, actions) = performed(&log, &delivery.id.to_string(), folder);
                let on_failure = failure.map(|failure| performed(&log, &failure.id.to_string(), folder).1);
                FoundDelivery {
                    group: world.store.group(delivery.id).map(|name| plain(&name).to_owned()),
                    delivery: delivery.clone(),
                    attempts,
                    actions,
                    on_failure: on_failure.unwrap_or_default(),
                }
            })
            .collect();
        let endpoint = sent.received.as_ref().and_then(|received| {
            rules
                .endpoints
                .iter()
                .find(|endpoint| endpoint.path == received.endpoint)
        });
        let seen = endpoint
            .zip(sent.received)
            .map(|(endpoint, received)| Seen::of(endpoint, received));
        let outcome = match answer.as_ref().map(|answer| answer.outcome) {
            _ if !deliveries.is_empty() => ArrivalOutcome::Accepted,
            Some("pending") => ArrivalOutcome::Duplicate,
            Some(other) => ArrivalOutcome::of_answer(other),
            None => ArrivalOutcome::Unavailable,
        };
        Ok(Self {
            endpoint,
            answer,
            outcome,
            deliveries,
            seen,
        })
    }

    /// The rules that have deliveries, in the order of the file.
    pub fn rules(&self) -> Vec<&str> {
        let mut rules: Vec<&str> = Vec::new();
        for found in &self.deliveries {
            if !rules.contains(&&*found.delivery.rule) {
                rules.push(&found.delivery.rule);
            }
        }
        rules
    }

    /// The reason why a rule has no delivery, as `not` names it, and with the values found.
    pub fn reason(&self, rules: &RuleSet, name: &str) -> (String, String) {
        let told = |word: &str, text: &str| (word.to_owned(), text.to_owned());
        let (Some((endpoint, rule)), Some(&(_, index))) = (rules.rule(name), rules.names.get(name)) else {
            return told("unknown", "there is no such rule");
        };
        let is_here = self.endpoint.is_some_and(|here| here.path == endpoint.path);
        let (Some(seen), true) = (&self.seen, is_here) else {
            return told("endpoint", "the request is for another endpoint");
        };
        if !rule.enabled {
            return told("disabled", "it is not enabled");
        }
        if !seen.trusting.contains(&index) {
            return told("unverified", "it does not trust the request");
        }
        match endpoint.matcher.explain(&seen.event, index).failed {
            Some(miss) => {
                let selector = miss.selector.split(' ').next().unwrap_or_default();
                (selector.to_owned(), miss.to_string())
            }
            None if self.outcome != ArrivalOutcome::Accepted => told(
                self.outcome.name(),
                "every condition holds, and the request was not accepted",
            ),
            None => told("matches", "every condition holds"),
        }
    }
}

/// The number of attempts at a delivery, and the last attempt at each of its actions.
fn performed(log: &AttemptLog, delivery: &str, folder: &Path) -> (usize, Vec<FoundAction>) {
    let of_delivery: Vec<&Attempt> = log
        .attempts
        .iter()
        .filter(|one| one.delivery == delivery)
        .collect();
    let mut last: Vec<(usize, FoundAction)> = Vec::new();
    for attempt in &of_delivery {
        last.retain(|(action, _)| *action != attempt.action);
        let mut rendered = attempt.rendered.clone();
        match &mut rendered {
            Ok(RenderedAction::Run(command)) => command.cwd = relative(folder, &command.cwd),
            Ok(RenderedAction::Append { file, .. }) => *file = relative(folder, file),
            _ => {}
        }
        last.push((attempt.action, rendered));
    }
    last.sort_by_key(|(action, _)| *action);
    let actions = last.into_iter().map(|(_, rendered)| rendered).collect();
    (of_delivery.len(), actions)
}

/// The name of a group without the prefix that the store keeps it with.
fn plain(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, name)| name)
}

/// The state of a delivery as expectations name it.
pub(super) fn state_name(state: &DeliveryState) -> &'static str {
    match state {
        DeliveryState::Done { .. } => "done",
        DeliveryState::Dead { .. } => "dead",
        DeliveryState::Superseded { .. } => "superseded",
        DeliveryState::Debounced { .. }
        | DeliveryState::Queued { .. }
        | DeliveryState::Ready { .. }
        | DeliveryState::Running => "waiting",
    }
}
