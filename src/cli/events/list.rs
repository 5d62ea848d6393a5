//! `hookyard events list`: arrivals, newest first. Also the table formats of arrivals and of
//! deliveries.

use std::path::Path;

use clap::builder::RangedU64ValueParser;
use serde_json::json;

use super::arrivals::ArrivalSelection;
use super::{look, names};
use crate::base::clock::Clock;
use crate::cli::location::unusable;
use crate::cli::table::{aligned, one_line};
use crate::cli::{Format, NO, UNKNOWN, YES, complain, say};
use crate::history::{ArrivalRow, DeliveryStatus, Phase};
use crate::store::{Delivery, ListedArrival, ListedDelivery, Place};

/// Maximum length of a reason in a row, in characters.
const REASON: usize = 80;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: ArrivalSelection,
    /// Maximum number of rows.
    #[arg(long, default_value_t = 50, value_name = "NUMBER", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    limit: usize,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(place: &Place, rules: Option<&Path>, arguments: &Arguments) -> Result<u8, u8> {
    let history = look(place)?;
    let search = arguments
        .selection
        .search(|| names(rules))
        .map_err(|error| error.report())?;
    let found = search
        .newest(&history, arguments.limit)
        .map_err(|error| unusable(place, &error))?;
    if !found.complete {
        complain("there are older ones, which were not read");
    }
    // A hit may be among the older ones.
    let none = if found.complete { NO } else { UNKNOWN };
    let code = if found.arrivals.is_empty() { none } else { YES };
    let text = match arguments.format {
        Format::Json => {
            let now = Clock::system().now();
            let rows = found.arrivals.iter().map(|arrival| ArrivalRow::of(arrival, now));
            json!({"arrivals": rows.collect::<Vec<_>>()}).to_string()
        }
        Format::Text if found.arrivals.is_empty() => {
            complain(&format!("no arrival{} in `{}`", search.described(), place));
            return Ok(none);
        }
        Format::Text => {
            let lines = found.arrivals.iter().map(arrival_line);
            let column_names = ARRIVAL_COLUMNS.map(str::to_owned);
            aligned(&[column_names].into_iter().chain(lines).collect::<Vec<_>>())
        }
    };
    Ok(say(&text, code))
}

/// Column titles for [`arrival_line`].
pub const ARRIVAL_COLUMNS: [&str; 7] = [
    "id",
    "received at",
    "endpoint",
    "client",
    "outcome",
    "deliveries",
    "reason",
];

/// Names the user who replayed an ignored arrival. Stores of earlier versions do not.
pub fn replayed(by: Option<&str>) -> String {
    format!("replayed by {}", by.unwrap_or("the operator"))
}

/// Formats an arrival as a table row.
pub fn arrival_line(arrival: &ListedArrival) -> [String; 7] {
    let mut reasons = Vec::new();
    if !arrival.reason.is_empty() {
        reasons.push(arrival.reason.clone());
    }
    if arrival.is_replayed {
        reasons.push(replayed(arrival.replayed_by.as_deref()));
    }
    reasons.extend(arrival.fired_by.as_ref().map(|user| format!("by {user}")));
    reasons.extend(arrival.deliveries.iter().filter_map(|entry| {
        let details = details(entry).join("; ");
        let of_rule = if arrival.deliveries.len() > 1 {
            format!("{}: {details}", named(&entry.delivery))
        } else {
            details.clone()
        };
        (!details.is_empty()).then_some(of_rule)
    }));
    let reason = reasons.join("; ");
    let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    [
        arrival.id.to_string(),
        arrival.received_at.to_string(),
        one_line(&arrival.endpoint, REASON),
        or_none(arrival.client.clone().unwrap_or_default()),
        arrival.outcome.to_string(),
        or_none(deliveries(arrival)),
        or_none(one_line(&reason, REASON)),
    ]
}

/// Maximum elements of a rule that are named one by one. Of more, only their states are counted.
const ELEMENTS_NAMED: usize = 4;

/// Formats the deliveries of an arrival: each rule with its state.
fn deliveries(arrival: &ListedArrival) -> String {
    let is_element = |entry: &ListedDelivery| entry.delivery.item.is_some();
    let of_rule = |entry: &&ListedDelivery, rule: &str| is_element(entry) && *entry.delivery.rule == *rule;
    let mut deliveries: Vec<String> = Vec::new();
    let mut counted: Vec<&str> = Vec::new();
    for entry in &arrival.deliveries {
        let rule = &*entry.delivery.rule;
        let elements = arrival.deliveries.iter().filter(|entry| of_rule(entry, rule));
        if !is_element(entry) || elements.clone().count() <= ELEMENTS_NAMED {
            deliveries.push(format!("{} {}", named(&entry.delivery), state(entry)));
        } else if !counted.contains(&rule) {
            counted.push(rule);
            deliveries.push(format!("{rule} {}", states(elements)));
        }
    }
    one_line(&deliveries.join(", "), 2 * REASON)
}

/// Counts deliveries by their states: `998 done, 2 dead`.
fn states<'e>(entries: impl Iterator<Item = &'e ListedDelivery>) -> String {
    let mut states: Vec<(String, usize)> = Vec::new();
    for entry in entries {
        let state = state(entry);
        match states.iter_mut().find(|(known, _)| *known == state) {
            Some((_, number)) => *number += 1,
            None => states.push((state, 1)),
        }
    }
    let states = states
        .into_iter()
        .map(|(state, number)| format!("{number} {state}"));
    states.collect::<Vec<_>>().join(" and ")
}

fn state(entry: &ListedDelivery) -> String {
    let phase = Phase::at(entry, Clock::system().now());
    let state = phase.map_or_else(
        || DeliveryStatus::of(entry).name().to_owned(),
        |phase| phase.to_string(),
    );
    if entry.delivery.failure_of.is_some() {
        format!("(on_failure) {state}")
    } else {
        state
    }
}

/// The rule of a delivery, with the index of its element: `alerts[2]`.
pub fn named(delivery: &Delivery) -> String {
    match delivery.item {
        Some(item) => format!("{}[{item}]", delivery.rule),
        None => delivery.rule.to_string(),
    }
}

/// Column titles for [`line()`].
pub const COLUMN_NAMES: [&str; 8] = [
    "id",
    "received at",
    "endpoint",
    "rule",
    "state",
    "action",
    "attempt",
    "reason",
];

/// Formats a delivery as a table row.
pub fn line(entry: &ListedDelivery) -> [String; 8] {
    let delivery = &entry.delivery;
    [
        delivery.id.to_string(),
        entry.received_at.to_string(),
        one_line(&entry.endpoint, REASON),
        named(delivery),
        DeliveryStatus::of(entry).name().to_owned(),
        delivery.action.saturating_add(1).to_string(),
        delivery.attempt.to_string(),
        one_line(&reason(entry), REASON),
    ]
}

/// Formats the details of a delivery's state.
pub fn reason(entry: &ListedDelivery) -> String {
    let mut summary = Vec::new();
    if let Some(failed) = &entry.delivery.failure_of {
        summary.push(format!("on_failure of {failed}"));
    }
    // The first attempt is due at once.
    let due = entry.delivery.state.due().filter(|due| *due > entry.received_at);
    summary.extend(due.map(|due| format!("due {due}")));
    summary.extend(details(entry));
    summary.join("; ")
}

/// Returns the details of a delivery other than its state and its due time.
fn details(entry: &ListedDelivery) -> Vec<String> {
    let mut details = Vec::new();
    details.extend(entry.delivery.state.reason().map(str::to_owned));
    match entry.replays {
        0 => {}
        1 => details.push("replayed once".to_owned()),
        times => details.push(format!("replayed {times} times")),
    }
    if let Some(why) = &entry.delivery.unverified {
        details.push(format!("not verified: {why}"));
    }
    details
}
