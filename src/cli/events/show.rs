//! `hookyard events show`: the request, its payload, its deliveries with all attempts, and the
//! decision of each rule by the current rules file.

use std::path::Path;

use serde_json::json;

use super::list::{named, reason, replayed};
use super::{find, look};
use crate::base::clock::Clock;
use crate::base::count::counted;
use crate::base::escape;
use crate::cli::explain;
use crate::cli::location::unusable;
use crate::cli::{Format, NO, YES, complain, say};
use crate::config;
use crate::event::{ArrivalOutcome, EventId};
use crate::history::{DeliveryStatus, ReadArrival, StoredArrival, event_of, headers, pretty, raw_text};
use crate::store::{AttemptRecord, ListedDelivery, Place};

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

pub fn run(place: &Place, rules: Option<&Path>, arguments: &Arguments) -> Result<u8, u8> {
    let history = look(place)?;
    let named = find(place, &history, &arguments.id)?;
    let loaded = rules.map(load);
    let known = loaded.as_ref().map(|loaded| match loaded {
        Ok(loaded) => Ok(&loaded.rules),
        Err(why) => Err(why.as_str()),
    });
    let read = ReadArrival::read(&history, known, named).map_err(|error| unusable(place, &error))?;
    let Some(arrival) = read else {
        complain(&format!("the event `{}` is gone", event_of(named)));
        return Ok(NO);
    };
    let text = match arguments.format {
        Format::Json => serde_json::to_string(&arrival.detail(Clock::system().now())).unwrap_or_default(),
        Format::Text => text(&arrival),
    };
    Ok(say(&text, YES))
}

/// Loads the rules file. The error is the reason why that fails.
fn load(rules: &Path) -> Result<config::Loaded, String> {
    config::load(rules, config::environment()).map_err(|diagnostics| {
        let shown = rules.display();
        let errors = counted(diagnostics.errors(), "error");
        format!("`{shown}` does not load here: {errors}; `hookyard check {shown}` says which")
    })
}

/// Formats the arrival as text. Untrusted text stays on one line or is indented, so that it cannot
/// imitate other lines.
fn text(arrival: &ReadArrival) -> String {
    let stored = &arrival.stored;
    let received = &stored.received;
    let query = if received.query.is_empty() {
        String::new()
    } else {
        format!("?{}", received.query)
    };
    let client = received
        .client
        .map_or_else(String::new, |client| format!(" from {client}"));
    let is_event =
        matches!(stored.outcome, ArrivalOutcome::Accepted | ArrivalOutcome::Fired) || stored.is_replay;
    let kind = if is_event { "event" } else { "arrival" };
    let mut lines = vec![
        format!("{kind} {}", received.id),
        format!("received {}{client}", received.at),
        format!("endpoint {}", received.endpoint),
    ];
    lines.extend(describe(stored));
    lines.extend([
        String::new(),
        format!("{} {}{query}", received.method, received.path),
    ]);
    lines.extend(headers(received).map(|(name, value)| {
        let value = value
            .as_text()
            .map_or_else(|| json!(value).to_string(), str::to_owned);
        format!("{name}: {value}")
    }));
    lines.push(String::new());
    lines.extend(payload(arrival));
    for delivery in &arrival.deliveries {
        lines.push(String::new());
        lines.extend(delivery_lines(&delivery.entry, &delivery.attempts));
        lines.extend(arrival.pause_of(delivery).map(|pause| {
            let subject = match pause.kind.as_str() {
                "rule" => "the rule".to_owned(),
                kind => format!("the {kind} {}", pause.name),
            };
            format!("waits: {subject} is {}", pause.text())
        }));
    }
    match &arrival.explained {
        None => {}
        Some(Err(why)) => lines.extend([String::new(), format!("no explanation: {why}")]),
        Some(Ok(explained)) => {
            lines.extend([String::new(), "by the rules as they are now:".to_owned()]);
            lines.extend(explained.iter().flat_map(explain::lines));
        }
    }
    let lines: Vec<_> = lines.iter().map(|line| escape::line(line)).collect();
    lines.join("\n")
}

/// Formats the outcome, the reason and the decision of then.
fn describe(stored: &StoredArrival) -> Vec<String> {
    let answered = match (&stored.fired_by, stored.status) {
        (Some(user), _) => format!("by {user}"),
        (None, Some(status)) => format!("answered {status}"),
        (None, None) => "answered when its deliveries had ended".to_owned(),
    };
    let replayed = if stored.is_replay {
        format!("; {}", replayed(stored.replayed_by.as_deref()))
    } else {
        String::new()
    };
    let mut lines = vec![format!("outcome {}, {answered}{replayed}", stored.outcome)];
    if !stored.reason.is_empty() {
        lines.push(format!("reason {}", stored.reason));
    }
    if !stored.verified_by.is_empty() {
        lines.push(format!("verified by {}", stored.verified_by.join(", ")));
    }
    let decision = &stored.decision;
    if decision.generation == 0 {
        return lines;
    }
    lines.push(format!(
        "decided by generation {} of the rules (sha256 {}…)",
        decision.generation, decision.rules_sha256
    ));
    lines.extend(
        decision
            .rules
            .iter()
            .map(|decided| match (decided.matched, &decided.verified_by) {
                (true, Some(by)) => format!("  yes {}, verified by {by}", decided.rule),
                (true, None) => format!("  yes {}", decided.rule),
                (false, _) => format!("  no  {}: {}", decided.rule, decided.reason),
            }),
    );
    if decision.unlisted > 0 {
        let more = counted(decision.unlisted, "further rule");
        lines.push(format!("  {more} of the endpoint"));
    }
    lines
}

/// Formats the payload, pretty-printed and cut.
fn payload(arrival: &ReadArrival) -> Vec<String> {
    let stored = &arrival.stored;
    let received = &stored.received;
    let size = received.body.len();
    if size == 0 {
        let why = match stored.outcome {
            _ if stored.size > 0 => "the body is not kept",
            ArrivalOutcome::Refused
            | ArrivalOutcome::Limited
            | ArrivalOutcome::TooLarge
            | ArrivalOutcome::TooSlow => "the body is empty, or was not read",
            _ => "the body is empty",
        };
        return vec![why.to_owned()];
    }
    let fault = arrival.fault().map(|why| format!("it cannot be decoded: {why}"));
    let mut lines: Vec<String> = fault.into_iter().collect();
    let shown = match &arrival.event {
        Ok(event) => pretty(event, PAYLOAD),
        Err(_) => raw_text(&received.body, PAYLOAD),
    };
    lines.extend(
        shown
            .text
            .trim_end()
            .split('\n')
            .map(|line| format!("  | {line}")),
    );
    if shown.cut {
        lines.push(format_cut(size, received.id));
    }
    lines
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
