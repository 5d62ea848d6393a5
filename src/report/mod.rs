//! Log lines and counters for everything that happens.
//!
//! An arrival has one line with its outcome, an attempt has another. Values from clients are
//! limited in length. No line contains a secret, and only the debug level shows payloads.
//! Destinations are left to `log.rs`.

mod log;
mod log_file;
pub mod metrics;

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error, info, warn};

pub use log::{LogGuard, dropped_lines, failure as log_failure, start};

use crate::base::clock::Timestamp;
use crate::base::throttle;
use crate::event::{EventId, Received};
use crate::store::{DeliveryId, Interrupted, Settlement};
use crate::verify::Refusal;

/// The log line of one arrival.
pub struct Arrival<'a> {
    received: &'a Received,
    outcome: &'static str,
    rules: String,
    handshake: Option<&'a str>,
    /// The rule that accepts the request without verification, and the reason why it is unverified.
    unverified: String,
    why: String,
    /// True if the body may hold a secret.
    withheld: bool,
    /// True if the sender has proved nothing, so that the line is throttled.
    anybodys: bool,
}

impl<'a> Arrival<'a> {
    /// An event accepted for `new` rules. For the `duplicates` it was accepted before.
    pub fn taken<'n>(
        received: &'a Received,
        new: impl Iterator<Item = &'n str>,
        duplicates: impl Iterator<Item = &'n str>,
    ) -> Self {
        let (new, duplicates): (Vec<&str>, Vec<&str>) = (new.collect(), duplicates.collect());
        let outcome = if new.is_empty() { "duplicate" } else { "accepted" };
        let rules = if new.is_empty() { &duplicates } else { &new };
        let why = match (new.is_empty(), duplicates.is_empty()) {
            (false, false) => format!("a duplicate for {}", duplicates.join(", ")),
            _ => String::new(),
        };
        Self {
            rules: rules.join(", "),
            why,
            ..Self::new(received, outcome)
        }
    }

    /// A repeated signed content with another value of a header that rules read and the signature
    /// does not cover.
    pub fn altered<'n>(
        received: &'a Received,
        rules: impl Iterator<Item = &'n str>,
        of: EventId,
        header: &str,
    ) -> Self {
        let rules: Vec<&str> = rules.collect();
        Self {
            rules: rules.join(", "),
            why: altered(of, header),
            ..Self::new(received, "altered")
        }
    }

    /// A verified event that no rule matches.
    pub fn ignored(received: &'a Received, why: String) -> Self {
        Self {
            why,
            ..Self::new(received, "ignored")
        }
    }

    /// A request that no rule trusts.
    pub fn refused(received: &'a Received, refusal: &Refusal) -> Self {
        metrics::refused(&received.endpoint, refusal.reason());
        let outcome = if refusal.is_stale() { "stale" } else { "refused" };
        Self {
            why: refusal.to_string(),
            withheld: refusal.handshake().is_some(),
            ..Self::new(received, outcome)
        }
    }

    /// A genuine request with an unreadable body.
    pub fn unread(received: &'a Received, outcome: &'static str, decode: &str, why: &str) -> Self {
        Self {
            why: format!("decode {decode}: {why}"),
            ..Self::new(received, outcome)
        }
    }

    /// An event that could not be stored.
    pub fn failed(received: &'a Received, why: &str) -> Self {
        Self {
            why: why.to_owned(),
            ..Self::new(received, "unavailable")
        }
    }

    /// An answered handshake. `why` describes further results.
    pub fn greeted(received: &'a Received, handshake: &'a str, why: String) -> Self {
        Self {
            handshake: Some(handshake),
            why,
            withheld: true,
            ..Self::new(received, "handshake")
        }
    }

    /// Marks the event as accepted by `rule` without verification.
    #[must_use]
    pub fn unverified(self, rule: &str, why: &str) -> Self {
        Self {
            unverified: format!("rule {rule} only observes: {why}"),
            ..self
        }
    }

    /// Leaves the body out of the log, since it may hold a secret.
    #[must_use]
    pub fn withheld(self) -> Self {
        Self {
            withheld: true,
            ..self
        }
    }

    /// Marks the sender as unproven.
    #[must_use]
    pub fn unproven(self) -> Self {
        Self {
            anybodys: true,
            ..self
        }
    }

    /// Returns the kind of line for throttling, if unverified clients can cause such lines.
    fn throttled(&self) -> Option<&'static str> {
        match self.outcome {
            "accepted" => None,
            "ignored" => self.anybodys.then_some("ignored"),
            "duplicate" | "altered" | "refused" | "stale" | "handshake" | "unavailable" => Some(self.outcome),
            _ => Some("unreadable"),
        }
    }

    fn new(received: &'a Received, outcome: &'static str) -> Self {
        Self {
            received,
            outcome,
            rules: String::new(),
            handshake: None,
            unverified: String::new(),
            why: String::new(),
            withheld: false,
            anybodys: false,
        }
    }
}

/// Describes an altered request.
pub fn altered(of: EventId, header: &str) -> String {
    format!(
        "the same signed content came as {of}, with another `{header}`, which its signature does not cover: nothing runs"
    )
}

/// Warns of a duplicate that is recognised by its signed content alone. If the sender signs the
/// same content each time, a new event has just been dropped.
pub fn repeated(received: &Received, rule: &str, scheme: &str) {
    if let Some(left_out) = throttle::allow("repeated") {
        let endpoint = &*received.endpoint;
        warn!(
            event = %received.id,
            endpoint,
            rule,
            scheme,
            left_out,
            "a duplicate is recognised by its signed content alone: if the sender signs the same content for each event, set \
             `on_duplicate: run`, or let it sign a `timestamp` or an `id`"
        );
    }
}

/// Writes the line of an arrival.
pub fn arrival(arrival: &Arrival<'_>) {
    let received = arrival.received;
    metrics::arrived(&received.endpoint, arrival.outcome);
    let Some(left_out) = arrival.throttled().map_or(Some(0), throttle::allow) else {
        return;
    };
    let left_out = throttle::some(left_out);
    let client = received.client.map(tracing::field::display);
    let (rules, why) = (some(&arrival.rules), some(&arrival.why));
    let unverified = some(&arrival.unverified);
    let (event, endpoint, outcome) = (
        tracing::field::display(received.id),
        &*received.endpoint,
        arrival.outcome,
    );
    match outcome {
        _ if unverified.is_some() => warn!(
            event,
            endpoint,
            client,
            outcome,
            rules,
            unverified,
            why,
            bytes = received.body.len(),
            left_out,
            "arrival"
        ),
        "accepted" | "duplicate" | "ignored" | "handshake" => {
            info!(
                event,
                endpoint,
                client,
                outcome,
                rules,
                handshake = arrival.handshake,
                why,
                bytes = received.body.len(),
                left_out,
                "arrival"
            );
        }
        "unavailable" => error!(event, endpoint, client, outcome, why, left_out, "arrival"),
        _ => warn!(
            event,
            endpoint,
            client,
            outcome,
            rules,
            why,
            bytes = received.body.len(),
            left_out,
            "arrival"
        ),
    }
    if !arrival.withheld {
        debug!(event, body = %bounded(&received.body), "arrival body");
    }
}

/// Returns `None` for an empty text, so that the field is omitted.
fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Maximum part of a body logged at debug level, in bytes.
const MAX_LOGGED_BODY: usize = 4096;

/// Returns the beginning of a body, escaped.
fn bounded(body: &[u8]) -> String {
    body.get(..MAX_LOGGED_BODY.min(body.len()))
        .unwrap_or_default()
        .escape_ascii()
        .to_string()
}

/// Logs a request that never became an arrival: no such endpoint, wrong method, too large, too slow
/// or above a rate limit.
pub fn turned_away(path: &str, client: Option<std::net::IpAddr>, status: u16, why: &str) {
    turned_away_with(path, client, status, why, || None);
}

/// As [`turned_away`], with a hint that is computed only if the line is written.
pub fn turned_away_with(
    path: &str,
    client: Option<std::net::IpAddr>,
    status: u16,
    why: &str,
    hint: impl FnOnce() -> Option<String>,
) {
    metrics::turned_away(status);
    let kind = match status {
        404 => "no such endpoint",
        405 => "wrong method",
        408 => "too slow",
        413 => "too large",
        429 => "rate limit",
        _ => "turned away",
    };
    let Some(left_out) = throttle::allow(kind) else {
        return;
    };
    let path: String = path.chars().take(MAX_LOGGED_PATH).collect();
    let client = client.map(tracing::field::display);
    let (hint, left_out) = (hint(), throttle::some(left_out));
    if status == 413 {
        // The operator can help with a larger limit.
        warn!(path, client, status, why, hint, left_out, "turned away");
    } else {
        info!(path, client, status, why, hint, left_out, "turned away");
    }
}

/// Maximum logged path, in characters.
const MAX_LOGGED_PATH: usize = 200;

/// Logs a peer's error before its first request. `about` names the step (`TLS handshake` …).
pub fn peer_failed(about: &'static str, error: &dyn std::fmt::Display, client: Option<std::net::IpAddr>) {
    if let Some(left_out) = throttle::allow(about) {
        let (client, left_out) = (client.map(tracing::field::display), throttle::some(left_out));
        info!(%error, client, left_out, "{about}");
    }
}

/// Logs the end of a connection that concerns only its peer. Debug level only.
pub fn connection_ended(
    about: &'static str,
    error: &dyn std::fmt::Display,
    client: Option<std::net::IpAddr>,
) {
    if tracing::enabled!(tracing::Level::DEBUG)
        && let Some(left_out) = throttle::allow("connection")
    {
        let (client, left_out) = (client.map(tracing::field::display), throttle::some(left_out));
        debug!(%error, client, left_out, "{about}");
    }
}

/// The log line of one attempt at one action.
pub struct AttemptLine<'a> {
    pub event: EventId,
    pub delivery: DeliveryId,
    pub rule: &'a Arc<str>,
    /// Kind of the action.
    pub action: &'static str,
    /// Destination of a request.
    pub target: Option<&'a str>,
    /// Number of the attempt at this action, from 1.
    pub number: u32,
    /// `done`, `failed`, `dead`, `interrupted` or `cancelled`.
    pub outcome: &'static str,
    /// Result in words: `exit 3`, `HTTP 503` …
    pub detail: &'a str,
    pub duration: Duration,
    /// Decision on the delivery.
    pub settlement: &'a Settlement,
    /// True if the action belongs to `on_failure`.
    pub for_failure: bool,
}

/// Writes the line of an attempt.
pub fn attempt(attempt: &AttemptLine<'_>) {
    let AttemptLine {
        event,
        delivery,
        rule,
        action,
        target,
        number,
        outcome,
        detail,
        ..
    } = attempt;
    metrics::attempted(rule, action, outcome, attempt.duration);
    let milliseconds = attempt.duration.as_millis();
    let next = match attempt.settlement {
        Settlement::Next { action, .. } => format!("action {}", action + 1),
        Settlement::Done { .. } => "done".to_owned(),
        Settlement::Superseded { .. } => "superseded".to_owned(),
        Settlement::Retry { due } => format!("retry at {due}"),
        Settlement::Wait { due } => format!("put off to {due}"),
        Settlement::Interrupted { .. } => "after the next start".to_owned(),
        Settlement::Dead { .. } if attempt.for_failure => "given up".to_owned(),
        Settlement::Dead { failure: Some(_), .. } => "dead letter, on_failure".to_owned(),
        Settlement::Dead { .. } => "dead letter".to_owned(),
    };
    let on_failure = attempt.for_failure.then_some(true);
    match attempt.settlement {
        _ if attempt.for_failure => {}
        Settlement::Done { .. } => metrics::ended(rule, "done"),
        Settlement::Superseded { .. } => metrics::ended(rule, "superseded"),
        Settlement::Dead { .. } => metrics::ended(rule, "dead"),
        Settlement::Next { .. }
        | Settlement::Retry { .. }
        | Settlement::Wait { .. }
        | Settlement::Interrupted { .. } => {}
    }
    let rule = &***rule;
    if *outcome == "done" {
        info!(%event, %delivery, rule, on_failure, action, target, attempt = number, outcome, detail, milliseconds, next, "attempt");
    } else {
        warn!(%event, %delivery, rule, on_failure, action, target, attempt = number, outcome, detail, milliseconds, next, "attempt");
    }
}

/// Maximum log lines about attempts that were interrupted by the end of the last daemon.
const INTERRUPTED_LOGGED: usize = 20;

/// Logs attempts that the last daemon did not finish, with the names of their actions.
pub fn interrupted(all: &[(Interrupted, &'static str)]) {
    for (interrupted, action) in all {
        metrics::interrupted(&interrupted.rule, action);
    }
    for (interrupted, action) in all.iter().take(INTERRUPTED_LOGGED) {
        let Interrupted {
            event,
            delivery,
            rule,
            attempt,
            since,
            ..
        } = interrupted;
        let on_failure = interrupted.for_failure.then_some(true);
        warn!(%event, %delivery, rule = &**rule, on_failure, action, attempt, began = %since, "interrupted by the end of the last daemon");
    }
    let more = all.len().saturating_sub(INTERRUPTED_LOGGED);
    if more > 0 {
        warn!(
            more,
            "further attempts were interrupted by the end of the last daemon; `hookyard events list` shows their deliveries"
        );
    }
}

/// Warns that the name of a delivery's group could not be rendered.
pub fn groupless(received: &Received, rule: &str, why: &str) {
    let Some(left_out) = throttle::allow("group") else {
        return;
    };
    let left_out = throttle::some(left_out);
    warn!(event = %received.id, rule, why, left_out, "the group of its deliveries is taken to be the rule's own");
}

/// Warns of an unreadable payload. Rules that do not read payloads accept the event; `others`
/// cannot match it.
pub fn not_asked<'r>(received: &Received, others: impl Iterator<Item = &'r str>, why: &str) {
    let Some(left_out) = throttle::allow("unreadable") else {
        return;
    };
    let not_asked = others.collect::<Vec<_>>().join(", ");
    let (not_asked, left_out) = (some(&not_asked), throttle::some(left_out));
    warn!(event = %received.id, endpoint = &*received.endpoint, why, not_asked, left_out, "the payload cannot be read");
}

/// Logs a delivery that was superseded before it began.
pub fn superseded(event: EventId, rule: &Arc<str>, why: &str) {
    metrics::ended(rule, "superseded");
    info!(%event, rule = &**rule, why, next = "superseded", "superseded");
}

/// Logs a delivery that was put off because no attempt at its action was possible.
pub fn put_off(event: EventId, delivery: DeliveryId, rule: &str, why: &str, due: Timestamp) {
    debug!(%event, %delivery, rule, why, %due, "put off");
}

/// Logs a delivery that became a dead letter without an attempt.
pub fn undeliverable(event: EventId, rule: &Arc<str>, why: &str) {
    metrics::ended(rule, "dead");
    warn!(%event, rule = &**rule, why, next = "dead letter", "undeliverable");
}

/// Warns of an answer whose body could not be rendered.
pub fn unrendered(received: &Received, why: &str) {
    let Some(left_out) = throttle::allow("answer") else {
        return;
    };
    let left_out = throttle::some(left_out);
    warn!(event = %received.id, endpoint = &*received.endpoint, why, left_out, "the answer's body could not be rendered");
}

/// Warns of an attempt whose delivery was dropped before the attempt ended.
pub fn overtaken(delivery: DeliveryId) {
    warn!(%delivery, "the delivery was dropped during its attempt: the outcome of the attempt is not kept");
}

/// Logs a store call that failed.
pub fn store_failed(what: &str, why: &str) {
    error!(what, why, "store");
}

/// Logs a worker that ended by a panic outside its action.
pub fn worker_failed(why: &str) {
    error!(why, "worker");
}
