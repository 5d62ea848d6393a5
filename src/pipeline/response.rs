//! Answers to trusted events as the rules define them, at once or after the deliveries have ended.

use std::time::Duration;

use http::StatusCode;
use tokio_util::sync::CancellationToken;

use crate::act::ActionContext;
use crate::payload::Event;
use crate::pipeline::answer::Answer;
use crate::pipeline::outcome_waiters::{DeliveryEnd, OutcomeWait};
use crate::report;
use crate::rules::Respond;

/// Waits for the outcome of the awaited deliveries, until the limit or the daemon's end.
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

/// Builds the answer to a trusted event.
pub(super) struct ResponseBuilder<'r> {
    /// Settings of the rule or the endpoint.
    pub(super) respond: &'r Respond,
    pub(super) event: &'r Event,
    /// True if all rules that accept the event have verified it.
    pub(super) verified: bool,
}

impl ResponseBuilder<'_> {
    /// Answers success. If the body cannot be rendered, the default body is sent: the event is
    /// accepted, and the sender must not be told otherwise.
    pub(super) fn success(&self, word: &'static str, ended: &[DeliveryEnd]) -> Answer {
        let mut answer = Answer::new(self.respond.status, word, Some(self.event.received.id));
        self.shape(&mut answer, ended);
        answer
    }

    /// Adds the body and the headers from the rules file to an answer.
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

/// Returns the type for JSON if the text is JSON. Otherwise plain text, which no browser executes.
fn content_type(text: &str) -> http::HeaderValue {
    let json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    http::HeaderValue::from_static(if json {
        "application/json"
    } else {
        "text/plain; charset=utf-8"
    })
}
