//! How an event is answered that is trusted: in the words of its rules, at once or when its deliveries have ended.

use std::time::Duration;

use http::StatusCode;
use tokio_util::sync::CancellationToken;

use crate::act::ActionContext;
use crate::payload::Event;
use crate::pipeline::answer::Answer;
use crate::pipeline::outcome_waiters::{DeliveryEnd, OutcomeWait};
use crate::report;
use crate::rules::Respond;

/// Waits for the outcome of the awaited deliveries, up to the limit or the daemon's end.
pub(super) async fn outcome(
    mut wait: OutcomeWait,
    deliveries: usize,
    limit: Duration,
    closing: &CancellationToken,
    reply: &ResponseBuilder<'_>,
) -> Answer {
    let collect = async {
        let mut ended: Vec<DeliveryEnd> = Vec::with_capacity(deliveries);
        while ended.len() < deliveries {
            let Some(next) = wait.next().await else { break };
            ended.push(next);
        }
        ended
    };
    let id = Some(reply.event.received.id);
    let waited = tokio::select! {
        waited = tokio::time::timeout(limit, collect) => waited.ok(),
        () = closing.cancelled() => None,
    };
    match waited {
        None => Answer::new(StatusCode::GATEWAY_TIMEOUT, "pending", id),
        Some(ended) if ended.len() == deliveries && ended.iter().all(|delivery| delivery.done) => {
            reply.success("done", &ended)
        }
        Some(ended) => {
            let mut answer = reply.success("failed", &ended);
            answer.status = StatusCode::INTERNAL_SERVER_ERROR;
            answer
        }
    }
}

/// How an event is answered that is trusted.
pub(super) struct ResponseBuilder<'r> {
    /// How the endpoint, or the rule, wants it answered.
    pub(super) respond: &'r Respond,
    /// The event.
    pub(super) event: &'r Event,
    /// Whether all who take it have verified it.
    pub(super) verified: bool,
}

impl ResponseBuilder<'_> {
    /// The endpoint's own way of saying yes. A body that cannot be rendered gives way to the plain answer: the event is
    /// taken, and the sender must not be told otherwise.
    pub(super) fn success(&self, word: &'static str, ended: &[DeliveryEnd]) -> Answer {
        let mut answer = Answer::new(self.respond.status, word, Some(self.event.received.id));
        self.shape(&mut answer, ended);
        answer
    }

    /// Gives an answer the body and the headers that the rules file asks for.
    pub(super) fn shape(&self, answer: &mut Answer, ended: &[DeliveryEnd]) {
        if let Some(body) = &self.respond.body {
            let performed = ended.iter().flat_map(|delivery| &delivery.actions);
            let actions: Vec<_> = performed.map(|(action, outcome)| (*action, outcome)).collect();
            let rule = ended.first().map_or("", |delivery| &delivery.rule);
            let action_context = ActionContext {
                event: self.event,
                rule,
                delivery: String::new(),
                attempt: 1,
                replays: 0,
                withheld: &[],
                failure: None,
                verified: self.verified,
            };
            match body.render(&action_context.values_with_actions(&actions)) {
                Ok(text) => {
                    answer
                        .headers
                        .insert(http::header::CONTENT_TYPE, content_type(&text));
                    answer.body = text.into();
                }
                Err(error) => report::unrendered(&self.event.received, &error.to_string()),
            }
        }
        for (name, value) in &self.respond.headers {
            answer.headers.insert(name, value.clone());
        }
    }
}

/// JSON if it is JSON; else plain text, never something that a browser would run.
fn content_type(text: &str) -> http::HeaderValue {
    let json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    http::HeaderValue::from_static(if json {
        "application/json"
    } else {
        "text/plain; charset=utf-8"
    })
}
