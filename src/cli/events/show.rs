//! `hookyard events show`: the request, its payload, its deliveries with all attempts, and the
//! decision of each rule by the current rules file.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::capture::{event_of, request, text_or_bytes};
use super::list::{as_json, named, reason};
use super::select::{DeliveryStatus, decoded};
use super::stored::{StoredArrival, stored};
use super::{find, look};
use crate::base::count::counted;
use crate::base::escape;
use crate::base::json::JsonTree;
use crate::cli::explain::{self, Explained};
use crate::cli::location::unusable;
use crate::cli::{Format, NO, YES, complain, say};
use crate::config;
use crate::event::{ArrivalOutcome, EventId};
use crate::payload::{BodyKind, Event, Payload};
use crate::status::PauseStatus;
use crate::store::{AttemptRecord, History, ListedDelivery, Named, PauseSubject, Pauses, StoreError};

/// Maximum payload shown, in bytes.
const PAYLOAD: usize = 16 << 10;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The arrival with all its deliveries, or one delivery. A unique prefix of the id is enough.
    id: String,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

struct EventView {
    stored: StoredArrival,
    /// The event with its payload, or the reason why that cannot be decoded.
    event: Result<Event, String>,
    deliveries: Vec<(ListedDelivery, Vec<AttemptRecord>)>,
    pauses: Pauses,
    /// The decision of each rule by the current rules file, or the reason why it is unknown. `None`
    /// without a rules file.
    explained: Option<Result<Vec<Explained>, String>>,
}

pub fn run(path: &Path, rules: Option<&Path>, arguments: &Arguments) -> Result<u8, u8> {
    let history = look(path)?;
    let named = find(path, &history, &arguments.id)?;
    let shown = read(&history, rules, named).map_err(|error| unusable(path, &error))?;
    let Some(shown) = shown else {
        complain(&format!("the event `{}` is gone", event_of(named)));
        return Ok(NO);
    };
    let text = match arguments.format {
        Format::Json => shown.to_json().to_string(),
        Format::Text => shown.to_text(),
    };
    Ok(say(&text, YES))
}

/// Reads the event and its deliveries from the store.
fn read(history: &History, rules: Option<&Path>, named: Named) -> Result<Option<EventView>, StoreError> {
    let id = event_of(named);
    let Some(stored) = stored(history, id)? else {
        return Ok(None);
    };
    let mut deliveries = Vec::new();
    for entry in history.of_event(id)? {
        let meant = match named {
            Named::Event(_) => true,
            Named::Delivery { id, .. } => entry.delivery.id == id,
        };
        if meant {
            let attempts = history.attempts(entry.delivery.id)?;
            deliveries.push((entry, attempts));
        }
    }
    let whole = stored.whole.clone();
    let event = whole.and_then(|()| decoded(&stored.received, &stored.decode));
    let explained = match (&event, rules) {
        (Ok(event), Some(rules)) => Some(explain(rules, event)),
        _ => None,
    };
    Ok(Some(EventView {
        stored,
        event,
        deliveries,
        pauses: Pauses::new(history.pauses()?),
        explained,
    }))
}

/// Explains the decision of each rule of the endpoint, by the current rules file.
fn explain(rules: &Path, event: &Event) -> Result<Vec<Explained>, String> {
    let shown = rules.display();
    let loaded = config::load(rules, config::environment()).map_err(|diagnostics| {
        let errors = counted(diagnostics.errors(), "error");
        format!("`{shown}` does not load here: {errors}; `hookyard check {shown}` says which")
    })?;
    let path = &event.received.endpoint;
    let mut endpoints = loaded.rules.endpoints.iter();
    let endpoint = endpoints
        .find(|endpoint| endpoint.path == *path)
        .ok_or_else(|| format!("`{shown}` has no endpoint `{path}`"))?;
    Ok(explain::explain_all(endpoint, event).0)
}

impl EventView {
    /// Formats the event as text. Untrusted text stays on one line or is indented, so that it
    /// cannot imitate other lines.
    fn to_text(&self) -> String {
        let received = &self.stored.received;
        let query = if received.query.is_empty() {
            String::new()
        } else {
            format!("?{}", received.query)
        };
        let client = received
            .client
            .map_or_else(String::new, |client| format!(" from {client}"));
        let is_event = matches!(
            self.stored.outcome,
            ArrivalOutcome::Accepted | ArrivalOutcome::Fired
        ) || self.stored.is_replay;
        let kind = if is_event { "event" } else { "arrival" };
        let mut lines = vec![
            format!("{kind} {}", received.id),
            format!("received {}{client}", received.at),
            format!("endpoint {}", received.endpoint),
        ];
        lines.extend(self.stored.describe());
        lines.extend([
            String::new(),
            format!("{} {}{query}", received.method, received.path),
        ]);
        lines.extend(
            super::capture::headers(received)
                .into_iter()
                .map(|(name, value)| {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    format!("{name}: {value}")
                }),
        );
        lines.push(String::new());
        lines.extend(self.payload());
        for (entry, attempts) in &self.deliveries {
            lines.push(String::new());
            lines.extend(delivery_lines(entry, attempts));
            let pause = self
                .pause_of(entry)
                .map(|pause| format!("waits: the rule is {}", pause.text()));
            lines.extend(pause);
        }
        match &self.explained {
            None => {}
            Some(Err(why)) => lines.extend([String::new(), format!("no explanation: {why}")]),
            Some(Ok(explained)) => {
                lines.extend([String::new(), "by the rules as they are now:".to_owned()]);
                lines.extend(explained.iter().flat_map(Explained::lines));
            }
        }
        let lines: Vec<_> = lines.iter().map(|line| escape::line(line)).collect();
        lines.join("\n")
    }

    /// The pause of the rule that the delivery waits for.
    fn pause_of(&self, entry: &ListedDelivery) -> Option<PauseStatus> {
        let rule = PauseSubject::Rule(Arc::clone(&entry.delivery.rule));
        let waits = DeliveryStatus::of(entry) == DeliveryStatus::Waiting && entry.begun_at.is_none();
        self.pauses.of(&rule).filter(|_| waits).map(PauseStatus::of)
    }

    /// The reason why the payload cannot be decoded.
    fn fault(&self) -> Option<&str> {
        match &self.event {
            Ok(event) => event.payload.decode_error.as_deref(),
            Err(why) => Some(why),
        }
    }

    /// Formats the payload, pretty-printed and cut.
    fn payload(&self) -> Vec<String> {
        let received = &self.stored.received;
        let size = received.body.len();
        if size == 0 {
            let why = match self.stored.outcome {
                _ if self.stored.size > 0 => "the body is not kept",
                ArrivalOutcome::Refused
                | ArrivalOutcome::Limited
                | ArrivalOutcome::TooLarge
                | ArrivalOutcome::TooSlow => "the body is empty, or was not read",
                _ => "the body is empty",
            };
            return vec![why.to_owned()];
        }
        let fault = self.fault().map(|why| format!("it cannot be decoded: {why}"));
        let mut lines: Vec<String> = fault.into_iter().collect();
        let mut text = match &self.event {
            Ok(Event { payload, .. }) if !matches!(payload.kind, BodyKind::Text | BodyKind::Unreadable) => {
                written(payload)
            }
            _ => String::from_utf8_lossy(&received.body).into_owned(),
        };
        let is_cut = text.len() > PAYLOAD;
        if is_cut {
            text.truncate(text.floor_char_boundary(PAYLOAD));
        }
        lines.extend(text.trim_end().split('\n').map(|line| format!("  | {line}")));
        if is_cut {
            lines.push(format_cut(size, received.id));
        }
        lines
    }

    /// Formats the event as JSON.
    fn to_json(&self) -> Value {
        let deliveries = self.deliveries.iter();
        let deliveries = deliveries.map(|(entry, attempts)| {
            let mut delivery = delivery_with_attempts(entry, attempts);
            if let (Some(members), Some(pause)) = (delivery.as_object_mut(), self.pause_of(entry)) {
                members.insert("paused".to_owned(), json!({"since": pause.since, "by": pause.by}));
            }
            delivery
        });
        let explanation = self.explained.as_ref().map(|explained| match explained {
            Ok(explained) => explained.iter().map(Explained::to_json).collect::<Value>(),
            Err(why) => json!({"error": why}),
        });
        let payload = match &self.event {
            Ok(event) => json!(event.payload.whole().value),
            Err(_) => Value::Null,
        };
        json!({
            "event": request(&self.stored.received),
            "outcome": self.stored.outcome.name(),
            "status": self.stored.status,
            "reason": (!self.stored.reason.is_empty()).then_some(&self.stored.reason),
            "verified_by": self.stored.verified_by,
            "decision": self.stored.decision,
            "replayed": self.stored.is_replay,
            "fired_by": self.stored.fired_by,
            "bytes": self.stored.size,
            "decode": self.stored.decode,
            "payload": payload,
            "undecodable": self.fault(),
            "deliveries": deliveries.collect::<Vec<_>>(),
            "rules": explanation,
        })
    }
}

/// Pretty-prints a payload, with all digits of its integers.
fn written(payload: &Payload) -> String {
    let JsonTree { value, integers } = payload.whole();
    serde_json::to_string_pretty(&integers.exactly(value)).unwrap_or_default()
}

/// The line after a payload that was cut.
fn format_cut(size: usize, event: EventId) -> String {
    format!("… cut; `hookyard events capture {event}` writes out all {size} bytes")
}

/// Formats a delivery with its attempts.
pub fn delivery_lines(entry: &ListedDelivery, attempts: &[AttemptRecord]) -> Vec<String> {
    let delivery = &entry.delivery;
    let reason = reason(entry);
    let separator = if reason.is_empty() { "" } else { ": " };
    let mut lines = vec![
        format!("delivery {} to {}", delivery.id, named(delivery)),
        format!(
            "{}, at action {}, attempt {}{separator}{reason}",
            DeliveryStatus::of(entry).name(),
            delivery.action.saturating_add(1),
            delivery.attempt
        ),
    ];
    for attempt in attempts {
        lines.push(match attempt.outcome.as_str() {
            // Operator actions, not attempts at an action.
            "replayed" | "dropped" => format!("  {} {} {}", attempt.started, attempt.outcome, attempt.detail),
            outcome => format!(
                "  {} action {}, attempt {}: {outcome}, {}, in {} ms",
                attempt.started,
                attempt.action.saturating_add(1),
                attempt.number,
                attempt.detail,
                attempt.duration.as_millis()
            ),
        });
        for (name, output) in [("stdout", &attempt.stdout), ("stderr", &attempt.stderr)] {
            let text = String::from_utf8_lossy(output);
            lines.extend(
                text.trim_end_matches('\n')
                    .split('\n')
                    .filter(|_| !text.is_empty())
                    .map(|line| format!("    {name} | {line}")),
            );
        }
    }
    lines
}

/// Formats a delivery with its attempts as JSON.
pub fn delivery_with_attempts(entry: &ListedDelivery, attempts: &[AttemptRecord]) -> Value {
    let mut delivery = as_json(entry);
    if let Some(delivery) = delivery.as_object_mut() {
        let attempts: Vec<Value> = attempts.iter().map(attempt_as_json).collect();
        delivery.insert("attempts".to_owned(), attempts.into());
    }
    delivery
}

/// Formats an attempt as JSON.
fn attempt_as_json(attempt: &AttemptRecord) -> Value {
    json!({
        "action": attempt.action.saturating_add(1),
        "attempt": attempt.number,
        "started_at": attempt.started.to_string(),
        "milliseconds": u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
        "outcome": attempt.outcome,
        "detail": attempt.detail,
        "stdout": text_or_bytes(&attempt.stdout),
        "stderr": text_or_bytes(&attempt.stderr),
    })
}
