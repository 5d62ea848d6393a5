//! Say what happened: facts in, log lines out.
//!
//! One line per arrival with its outcome, one per attempt. Values that a stranger sent are bounded; a secret or a
//! payload is in none of them. Where the lines go is decided in `log`.

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

/// One arrival and what became of it.
pub struct Arrival<'a> {
    received: &'a Received,
    outcome: &'static str,
    rules: String,
    handshake: Option<&'static str>,
    /// A rule that takes it although it is not verified, and why it is not.
    unverified: String,
    why: String,
    /// Whether the body may hold a secret.
    withheld: bool,
    /// Whether anybody may have sent it: its line is throttled.
    anybodys: bool,
}

impl<'a> Arrival<'a> {
    /// Taken for `new` rules; others had taken it before.
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

    /// Its signed content came before, with another value of a header that rules read and the signature does not cover.
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

    /// Verified, and no rule wants it.
    pub fn ignored(received: &'a Received, why: String) -> Self {
        Self {
            why,
            ..Self::new(received, "ignored")
        }
    }

    /// Not trusted.
    pub fn refused(received: &'a Received, refusal: &Refusal) -> Self {
        metrics::refused(&received.endpoint, refusal.reason());
        let outcome = if refusal.is_stale() { "stale" } else { "refused" };
        Self {
            why: refusal.to_string(),
            withheld: refusal.handshake().is_some(),
            ..Self::new(received, outcome)
        }
    }

    /// Genuine, and its body cannot be read.
    pub fn unread(received: &'a Received, outcome: &'static str, decode: &str, why: &str) -> Self {
        Self {
            why: format!("decode {decode}: {why}"),
            ..Self::new(received, outcome)
        }
    }

    /// It could not be written down.
    pub fn failed(received: &'a Received, why: &str) -> Self {
        Self {
            why: why.to_owned(),
            ..Self::new(received, "unavailable")
        }
    }

    /// A handshake that was answered; `why` says what else came of it.
    pub fn greeted(received: &'a Received, handshake: &'static str, why: String) -> Self {
        Self {
            handshake: Some(handshake),
            why,
            withheld: true,
            ..Self::new(received, "handshake")
        }
    }

    /// The same, taken by `rule` although it is not verified.
    #[must_use]
    pub fn unverified(self, rule: &str, why: &str) -> Self {
        Self {
            unverified: format!("rule {rule} only observes: {why}"),
            ..self
        }
    }

    /// The same without the body, which may hold a secret.
    #[must_use]
    pub fn withheld(self) -> Self {
        Self {
            withheld: true,
            ..self
        }
    }

    /// The same, of which nothing proves who has sent it.
    #[must_use]
    pub fn unproven(self) -> Self {
        Self {
            anybodys: true,
            ..self
        }
    }

    /// The kind of line it is, if a stranger can cause such lines.
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

/// What was altered, in words.
pub fn altered(of: EventId, header: &str) -> String {
    format!(
        "the same signed content came as {of}, with another `{header}`, which its signature does not cover: nothing runs"
    )
}

/// A duplicate that is known by its signed content alone. If its sender signs the same content each time, a new event has
/// just been dropped.
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

/// One line for an arrival.
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

/// A field that is left out when there is nothing to say.
fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// How much of a body is logged at debug level, in bytes.
const MAX_LOGGED_BODY: usize = 4096;

/// The beginning of a body, escaped.
fn bounded(body: &[u8]) -> String {
    body.get(..MAX_LOGGED_BODY.min(body.len()))
        .unwrap_or_default()
        .escape_ascii()
        .to_string()
}

/// A request that never became an arrival: no such endpoint, wrong method, too large, too slow, too often.
pub fn turned_away(path: &str, client: Option<std::net::IpAddr>, status: u16, why: &str) {
    turned_away_with(path, client, status, why, || None);
}

/// As [`turned_away`], with what may help; it is asked for only if the line is written.
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
        // The operator can help: with a larger limit.
        warn!(path, client, status, why, hint, left_out, "turned away");
    } else {
        info!(path, client, status, why, hint, left_out, "turned away");
    }
}

/// Characters of a path that are logged.
const MAX_LOGGED_PATH: usize = 200;

/// A peer does not speak as it must before its first request: `about` says what (`TLS handshake` …).
pub fn peer_failed(about: &'static str, error: &dyn std::fmt::Display, client: Option<std::net::IpAddr>) {
    if let Some(left_out) = throttle::allow(about) {
        let (client, left_out) = (client.map(tracing::field::display), throttle::some(left_out));
        info!(%error, client, left_out, "{about}");
    }
}

/// A connection has ended in a way that concerns only its peer. Written at debug level only.
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

/// One attempt at one action.
pub struct AttemptLine<'a> {
    /// The event.
    pub event: EventId,
    /// The delivery.
    pub delivery: DeliveryId,
    /// The rule's name.
    pub rule: &'a Arc<str>,
    /// The action's kind.
    pub action: &'static str,
    /// Where a request went.
    pub target: Option<&'a str>,
    /// Which attempt at this action it was, from 1.
    pub number: u32,
    /// `done`, `failed`, `dead`, `interrupted` or `cancelled`.
    pub outcome: &'static str,
    /// `exit 3`, `HTTP 503` …
    pub detail: &'a str,
    /// How long it took.
    pub duration: Duration,
    /// What becomes of the delivery.
    pub settlement: &'a Settlement,
    /// Whether it was made for the failure of another delivery (`on_failure`).
    pub for_failure: bool,
}

/// One line for an attempt.
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

/// Attempts that the last daemon did not bring to an end, with the names of their actions.
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

/// The group of a delivery could not be told.
pub fn groupless(received: &Received, rule: &str, why: &str) {
    let Some(left_out) = throttle::allow("group") else {
        return;
    };
    let left_out = throttle::some(left_out);
    warn!(event = %received.id, rule, why, left_out, "the group of its deliveries is taken to be the rule's own");
}

/// An event was taken whose payload cannot be read, by rules that do not look into it; `others` would have had to.
pub fn not_asked<'r>(received: &Received, others: impl Iterator<Item = &'r str>, why: &str) {
    let Some(left_out) = throttle::allow("unreadable") else {
        return;
    };
    let not_asked = others.collect::<Vec<_>>().join(", ");
    let (not_asked, left_out) = (some(&not_asked), throttle::some(left_out));
    warn!(event = %received.id, endpoint = &*received.endpoint, why, not_asked, left_out, "the payload cannot be read");
}

/// A delivery that another has replaced before it began.
pub fn superseded(event: EventId, rule: &Arc<str>, why: &str) {
    metrics::ended(rule, "superseded");
    info!(%event, rule = &**rule, why, next = "superseded", "superseded");
}

/// A delivery that waits, for no attempt could be made at its action.
pub fn put_off(event: EventId, delivery: DeliveryId, rule: &str, why: &str, due: Timestamp) {
    debug!(%event, %delivery, rule, why, %due, "put off");
}

/// A delivery that became a dead letter without an attempt.
pub fn undeliverable(event: EventId, rule: &Arc<str>, why: &str) {
    metrics::ended(rule, "dead");
    warn!(%event, rule = &**rule, why, next = "dead letter", "undeliverable");
}

/// A body of an answer that could not be rendered.
pub fn unrendered(received: &Received, why: &str) {
    let Some(left_out) = throttle::allow("answer") else {
        return;
    };
    let left_out = throttle::some(left_out);
    warn!(event = %received.id, endpoint = &*received.endpoint, why, left_out, "the answer's body could not be rendered");
}

/// An attempt has ended at a delivery that was dropped meanwhile.
pub fn overtaken(delivery: DeliveryId) {
    warn!(%delivery, "the delivery was dropped meanwhile: how its attempt went is not kept");
}

/// The store could not do what it was asked for.
pub fn store_failed(what: &str, why: &str) {
    error!(what, why, "store");
}

/// A worker ended by a panic outside its action.
pub fn worker_failed(why: &str) {
    error!(why, "worker");
}
