//! Refused requests: a log line with the reason, a record in the store, and an answer without it.

use std::sync::Arc;

use http::StatusCode;

use crate::event::Received;
use crate::pipeline::answer::Answer;
use crate::pipeline::authorization::Authorization;
use crate::pipeline::unmatched::no_rule;
use crate::report::{self, Arrival, Metrics};
use crate::rules::Endpoint;
use crate::store::{Enqueued, RefusedRequest, Store};
use crate::verify::Refusal;

/// Answer to a genuine sender whose body is unreadable for the rules.
pub const INVALID: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "invalid payload");

/// Answer to a genuine sender whose body is too large after decompression.
pub const TOO_LARGE: (StatusCode, &str) = (StatusCode::PAYLOAD_TOO_LARGE, "too large");

/// Answers a request that no rule trusts.
pub(super) fn refuse_untrusted(
    metrics: &Metrics,
    store: &dyn Store,
    endpoint: &Endpoint,
    received: &Received,
    authorization: &Authorization<'_>,
) -> Answer {
    let Some(refusal) = authorization.refusal() else {
        // Nothing is verified here because no rule is in force here.
        let status = StatusCode::NOT_FOUND.as_u16();
        report::turned_away(
            metrics,
            &received.path,
            received.client,
            status,
            &no_rule(endpoint),
        );
        return Answer::new(StatusCode::NOT_FOUND, "not found", None);
    };
    refuse(metrics, store, endpoint, received, &refusal)
}

/// Logs the reason of a refusal. The answer does not contain it.
pub(super) fn refuse(
    metrics: &Metrics,
    store: &dyn Store,
    endpoint: &Endpoint,
    received: &Received,
    refusal: &Refusal,
) -> Answer {
    if let Some(too_large) = refusal.is_unreadable() {
        let answer = if too_large { TOO_LARGE } else { INVALID };
        return refuse_unreadable(metrics, store, endpoint, received, answer, &refusal.to_string());
    }
    report::arrival(metrics, &Arrival::refused(received, refusal));
    record(store, received, refusal.to_string());
    if refusal.is_stale() {
        return Answer::new(StatusCode::BAD_REQUEST, "stale", None);
    }
    if refusal.is_malformed() {
        return Answer::new(StatusCode::BAD_REQUEST, "bad request", None);
    }
    // Only challenges of enabled rules: credentials for a disabled one would not help.
    let enabled = endpoint.rules.iter().filter(|rule| rule.enabled);
    let mut challenges =
        enabled.filter_map(|rule| endpoint.verifications.get(rule.verification)?.challenge());
    Answer::refused(challenges.next())
}

/// Answers a genuine request whose body is unreadable for every rule that might match it.
pub(super) fn refuse_unreadable(
    metrics: &Metrics,
    store: &dyn Store,
    endpoint: &Endpoint,
    received: &Received,
    (status, word): (StatusCode, &'static str),
    why: &str,
) -> Answer {
    report::arrival(
        metrics,
        &Arrival::unread(received, word, endpoint.decode.name(), why),
    );
    // The sender may never retry, so at least the request's arrival can be looked up.
    record(store, received, format!("{word}: {why}"));
    Answer::new(status, word, None)
}

/// Stores a record of a refused request.
fn record(store: &dyn Store, received: &Received, reason: String) {
    store.refuse(RefusedRequest {
        at: received.at,
        endpoint: Arc::clone(&received.endpoint),
        client: received.client,
        reason,
        headers: names(received),
    });
}

/// Returns the names of the headers: enough to see what a sender forgot, without secrets.
fn names(received: &Received) -> String {
    let names: Vec<&str> = received.headers.keys().map(http::HeaderName::as_str).collect();
    names.join(", ")
}

/// Returns the log line of an altered request of which nothing was accepted, and stores it among
/// the refused requests.
pub(super) fn altered<'r>(
    received: &'r Received,
    rules: &[Arc<str>],
    taken: &[Enqueued],
    store: &dyn Store,
) -> Option<Arrival<'r>> {
    if taken.iter().any(Enqueued::is_new) {
        return None;
    }
    let (of, header) = taken.iter().find_map(|taken| match taken {
        Enqueued::Altered { of, header } => Some((*of, header)),
        _ => None,
    })?;
    record(
        store,
        received,
        format!("altered: {}", report::altered(of, header)),
    );
    Some(Arrival::altered(
        received,
        rules.iter().map(|rule| &**rule),
        of,
        header,
    ))
}
