//! Lines about arrivals: requests on an endpoint, and what is wrong with an event.

use tracing::field::display;
use tracing::{debug, error, info, warn};

use super::metrics::Metrics;
use crate::base::throttle;
use crate::event::{ArrivalOutcome, EventId, Received};
use crate::verify::Refusal;

/// The log line of one arrival.
pub struct Arrival<'a> {
    received: &'a Received,
    outcome: &'static str,
    rules: String,
    handshake: Option<&'a str>,
    /// The rule that accepts the request without verification, and the reason why it is unverified.
    unverified: String,
    /// The alternatives of `any` by which the rules accept the request.
    verified_by: String,
    /// The user who ran the rules by hand.
    by: Option<&'a str>,
    why: String,
    /// Name of the refusal, if no rule trusts the request.
    refusal: Option<&'static str>,
    /// True if the body may hold a secret.
    withheld: bool,
    /// True if the sender has proved nothing, so that the line is throttled.
    is_unproven: bool,
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

    /// A rule that an operator runs by hand.
    pub fn fired(received: &'a Received, rule: &str, by: &'a str) -> Self {
        Self {
            rules: rule.to_owned(),
            by: Some(by),
            ..Self::new(received, "fired")
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
        let outcome = if refusal.is_stale() { "stale" } else { "refused" };
        Self {
            why: refusal.to_string(),
            refusal: Some(refusal.reason()),
            withheld: refusal.handshake().is_some(),
            ..Self::new(received, outcome)
        }
    }

    /// A genuine request with an unreadable body.
    pub fn unread(received: &'a Received, outcome: ArrivalOutcome, decode: &str, why: &str) -> Self {
        Self {
            why: format!("decode {decode}: {why}"),
            ..Self::new(received, outcome.name())
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

    /// Names the alternatives of `any` by which the rules accept the request.
    #[must_use]
    pub fn verified_by(self, verified_by: String) -> Self {
        Self { verified_by, ..self }
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
            is_unproven: true,
            ..self
        }
    }

    /// Returns the kind of line for throttling, if unverified clients can cause such lines.
    fn throttled(&self) -> Option<&'static str> {
        match self.outcome {
            "accepted" | "fired" => None,
            "ignored" => self.is_unproven.then_some("ignored"),
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
            verified_by: String::new(),
            by: None,
            why: String::new(),
            refusal: None,
            withheld: false,
            is_unproven: false,
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

/// Counts an arrival, and writes its line.
pub fn arrival(metrics: &Metrics, arrival: &Arrival<'_>) {
    let received = arrival.received;
    if let Some(reason) = arrival.refusal {
        metrics.refused(&received.endpoint, reason);
    }
    metrics.arrived(&received.endpoint, arrival.outcome);
    let Some(left_out) = arrival.throttled().map_or(Some(0), throttle::allow) else {
        return;
    };
    let left_out = throttle::some(left_out);
    let client = received.client.map(display);
    let (rules, why) = (some(&arrival.rules), some(&arrival.why));
    let (unverified, verified_by) = (some(&arrival.unverified), some(&arrival.verified_by));
    let (event, endpoint, outcome) = (display(received.id), &*received.endpoint, arrival.outcome);
    match outcome {
        _ if unverified.is_some() => warn!(
            event,
            endpoint,
            client,
            outcome,
            rules,
            unverified,
            verified_by,
            why,
            bytes = received.body.len(),
            left_out,
            "arrival"
        ),
        "accepted" | "fired" | "duplicate" | "ignored" | "handshake" => {
            info!(
                event,
                endpoint,
                client,
                outcome,
                rules,
                verified_by,
                by = arrival.by,
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

/// Reports and counts an answer whose stated body could not be rendered.
pub fn unrendered(metrics: &Metrics, received: &Received, answer: &str, why: &str) {
    metrics.unrendered(&received.endpoint);
    let Some(left_out) = throttle::allow("answer") else {
        return;
    };
    let left_out = throttle::some(left_out);
    let endpoint = &*received.endpoint;
    error!(event = %received.id, endpoint, answer, why, left_out, "the answer's body could not be rendered");
}
