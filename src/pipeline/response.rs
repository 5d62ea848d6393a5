//! Answers to trusted events as the rules state them, at once or after the deliveries have ended.

use std::sync::Arc;

use http::StatusCode;
use tokio_util::sync::CancellationToken;

use crate::act::{ActionContext, PerformedAction};
use crate::event::EventId;
use crate::payload::{Event, EventNameReader};
use crate::pipeline::answer::Answer;
use crate::pipeline::outcome_waiters::{DeliveryEnd, OutcomeWait};
use crate::report::{self, Metrics};
use crate::rules::{AnswerKind, Endpoint, Rule, StatedAnswer};

/// Maximum description of a failed template, in bytes. The rest is cut off.
const MAX_FAULT: usize = 512;

/// Waits for the outcome of the awaited deliveries, each given by its rule, until the limit or the
/// daemon's end.
pub(super) async fn outcome(
    mut wait: OutcomeWait,
    deliveries: &[&Rule],
    limit: impl Future<Output = ()>,
    closing: &CancellationToken,
    reply: &ResponseBuilder<'_>,
) -> Answer {
    let mut ended: Vec<DeliveryEnd> = Vec::with_capacity(deliveries.len());
    let collect = async {
        while ended.len() < deliveries.len() {
            let Some(next) = wait.next().await else { break };
            ended.push(next);
        }
    };
    let in_time = tokio::select! {
        biased;
        () = collect => true,
        () = limit => false,
        () = closing.cancelled() => false,
    };
    if !in_time {
        let of = |name: &str| ended.iter().filter(|one| *one.rule == *name).count();
        let all = |name: &str| deliveries.iter().filter(|rule| *rule.name == *name).count();
        let finished = ended
            .iter()
            .map(|one| &one.rule)
            .filter(|name| of(name) == all(name));
        let finished: Vec<Arc<str>> = finished.map(Arc::clone).collect();
        ended.extend(wait.so_far());
        reply.late(&finished, &ended)
    } else if ended.len() == deliveries.len() && ended.iter().all(|delivery| delivery.done) {
        reply.success("done", &ended)
    } else {
        reply.failed(&ended)
    }
}

/// Builds the answer to a trusted event.
pub(super) struct ResponseBuilder<'r> {
    pub(super) endpoint: &'r Endpoint,
    /// The rules that may state the answer, in the order of the file.
    pub(super) rules: Vec<&'r Rule>,
    pub(super) event: &'r Event,
    /// True if all rules that accept the event have verified it.
    pub(super) verified: bool,
    pub(super) metrics: &'r Metrics,
}

/// An answer that the rules file states, and the rule that states it. `None`: the endpoint.
type Stated<'r> = (&'r StatedAnswer, Option<&'r Rule>);

impl<'r> ResponseBuilder<'r> {
    fn id(&self) -> EventId {
        self.event.received.id
    }

    /// The status of success.
    pub(super) fn success_status(&self) -> StatusCode {
        let stated = self.stated(AnswerKind::Success, |_| true);
        stated
            .and_then(|(answer, _)| answer.status)
            .unwrap_or(StatusCode::OK)
    }

    /// Answers success. If the body cannot be rendered, the default body is sent: the event is
    /// accepted, and the sender must not be told otherwise.
    pub(super) fn success(&self, word: &'static str, ended: &[DeliveryEnd]) -> Answer {
        let mut answer = Answer::new(self.success_status(), word, Some(self.id()));
        self.shape_as_success(&mut answer, ended);
        answer
    }

    /// Answers that an action failed.
    fn failed(&self, ended: &[DeliveryEnd]) -> Answer {
        let failed = |rule: &Rule| {
            let mut of_rule = ended.iter().filter(|delivery| delivery.rule == rule.name);
            of_rule.any(|delivery| !delivery.done)
        };
        let answer = Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", Some(self.id()));
        self.or_as_success(AnswerKind::Failed, failed, answer, ended)
    }

    /// Answers that the actions have not ended in time. `finished` are the rules whose actions have.
    pub(super) fn late(&self, finished: &[Arc<str>], ended: &[DeliveryEnd]) -> Answer {
        let is_running = |rule: &Rule| rule.is_awaited() && !finished.contains(&rule.name);
        self.late_of(self.id(), is_running, ended)
    }

    /// Answers that the first delivery of the event `id` has not ended yet.
    pub(super) fn still_pending(&self, id: EventId) -> Answer {
        self.late_of(id, Rule::is_awaited, &[])
    }

    fn late_of(&self, id: EventId, of: impl Fn(&Rule) -> bool, ended: &[DeliveryEnd]) -> Answer {
        let mut answer = Answer::new(StatusCode::GATEWAY_TIMEOUT, "pending", Some(id));
        if let Some(stated) = self.stated(AnswerKind::Late, of) {
            self.shape(&mut answer, stated, ended);
        }
        answer
    }

    /// Answers that the event was taken before, as the event `first`. `reject`: the default status
    /// is 409.
    pub(super) fn duplicate(&self, word: &'static str, first: Option<EventId>, reject: bool) -> Answer {
        if !reject {
            let answer = Answer::new(self.success_status(), word, first);
            return self.or_as_success(AnswerKind::Duplicate, |_| true, answer, &[]);
        }
        let mut answer = Answer::new(StatusCode::CONFLICT, word, first);
        if let Some(stated) = self.stated(AnswerKind::Duplicate, |_| true) {
            self.shape(&mut answer, stated, &[]);
        }
        answer
    }

    /// Answers that no rule wants the event. `is_proven` is false for a sender that no rule has
    /// verified: its answer is the default.
    pub(super) fn ignored(&self, is_proven: bool) -> Answer {
        let stated = is_proven
            .then(|| self.stated(AnswerKind::Ignored, |_| true))
            .flatten();
        // Without rules: success is the answer of a rule that wants the event.
        let success = self.endpoint.respond.success.as_ref();
        let mut answer = Answer::new(StatusCode::OK, "ignored", Some(self.id()));
        if let Some(stated) = stated.or_else(|| success.map(|answer| (answer, None))) {
            self.shape(&mut answer, stated, &[]);
        }
        answer
    }

    /// Changes the answer to an unreadable body as the rules state it.
    pub(super) fn unreadable(&self, answer: &mut Answer) {
        if let Some(stated) = self.stated(AnswerKind::Unreadable, |_| true) {
            self.shape(answer, stated, &[]);
        }
    }

    /// Shapes `answer` as it is stated for `kind`. If it is not, gives it the headers and the body
    /// of success.
    fn or_as_success(
        &self,
        kind: AnswerKind,
        of: impl Fn(&Rule) -> bool,
        mut answer: Answer,
        ended: &[DeliveryEnd],
    ) -> Answer {
        match self.stated(kind, of) {
            Some(stated) => self.shape(&mut answer, stated, ended),
            None => self.shape_as_success(&mut answer, ended),
        }
        answer
    }

    /// Adds the headers and the body of success, but not the status.
    fn shape_as_success(&self, answer: &mut Answer, ended: &[DeliveryEnd]) {
        if let Some(stated) = self.stated(AnswerKind::Success, |_| true) {
            let status = answer.status;
            self.shape(answer, stated, ended);
            answer.status = status;
        }
    }

    /// The stated answer: that of the first rule `of` which states it, else the endpoint's.
    fn stated(&self, kind: AnswerKind, of: impl Fn(&Rule) -> bool) -> Option<Stated<'r>> {
        let mut rules = self.rules.iter().filter(|rule| of(rule));
        rules
            .find_map(|rule| Some((rule.respond.of(kind)?, Some(*rule))))
            .or_else(|| Some((self.endpoint.respond.of(kind)?, None)))
    }

    /// The actions of the awaited deliveries: those of `rule` first, so that its positions and ids
    /// hold, then those of the others in the order of the file. Elements are in their order.
    fn performed(&self, rule: Option<&Rule>, ended: &[DeliveryEnd]) -> Vec<PerformedAction> {
        let is_first = |other: &Rule| rule.is_some_and(|rule| rule.name == other.name);
        let others = self.rules.iter().copied().filter(|other| !is_first(other));
        let mut performed = Vec::new();
        for rule in rule.into_iter().chain(others) {
            let of_rule = ended.iter().filter(|delivery| delivery.rule == rule.name);
            let mut of_rule: Vec<&DeliveryEnd> = of_rule.collect();
            of_rule.sort_by_key(|delivery| delivery.item);
            let of_rule = of_rule.into_iter();
            performed.extend(of_rule.flat_map(|delivery| delivery.actions.iter().cloned()));
        }
        performed
    }

    /// Location of the event's name: that of the rule which states the answer, else of the first one.
    fn event_name(&self, rule: Option<&'r Rule>) -> Option<&'r Arc<EventNameReader>> {
        let first = self.rules.first().copied().or(self.endpoint.rules.first());
        rule.or(first)?.event_name.as_ref()
    }

    /// Gives an answer the status, the body and the headers that are stated.
    fn shape(&self, answer: &mut Answer, (stated, rule): Stated<'r>, ended: &[DeliveryEnd]) {
        answer.status = stated.status.unwrap_or(answer.status);
        if let Some(body) = &stated.body {
            let rule = rule.or_else(|| self.rules.first().copied());
            let actions = self.performed(rule, ended);
            let event = self.event.seen_in(rule.and_then(|rule| rule.view));
            let action_context = ActionContext {
                event: &event,
                rule: rule.map_or("", |rule| &rule.name),
                delivery: String::new(),
                attempt: 1,
                replays: 0,
                withheld: &[],
                event_name: self.event_name(rule),
                actions: &actions,
                item: None,
                failure: None,
                live: None,
                verified: self.verified,
            };
            match body.render(&action_context.values()) {
                Ok(text) => {
                    answer
                        .headers
                        .insert(http::header::CONTENT_TYPE, content_type(&text));
                    answer.body = text.into();
                }
                Err(error) => {
                    let mut why = error.to_string();
                    why.truncate(why.floor_char_boundary(MAX_FAULT));
                    report::unrendered(self.metrics, &self.event.received, answer.outcome, &why);
                    answer.unrendered = Some(format!("the answer's body could not be rendered: {why}"));
                }
            }
        }
        for (name, value) in &stated.headers {
            answer.headers.insert(name, value.clone());
        }
    }
}

/// Returns the type for JSON if the text is JSON. Otherwise plain text, which no browser executes.
fn content_type(text: &str) -> http::HeaderValue {
    let json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    http::HeaderValue::from_static(if json {
        "application/json"
    } else {
        "text/plain; charset=utf-8"
    })
}
