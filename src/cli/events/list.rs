//! `hookyard events list`: deliveries or refusals, newest first, and the table format of
//! deliveries.

use std::path::Path;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde_json::{Value, json};

use super::look;
use super::select::{DeliveryStatus, Selection};
use crate::cli::location::unusable;
use crate::cli::table::{aligned, one_line};
use crate::cli::{Format, NO, UNKNOWN, YES, complain, fail, say, wrong};
use crate::store::{History, ListedDelivery, RefusedRequest};

/// Maximum length of a reason in a row, in characters.
const REASON: usize = 80;
/// Maximum refusals read. More than the default of `store.keep.refused`.
const REFUSALS: usize = 100_000;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Only deliveries in this state. `refused` lists the latest refused requests instead.
    #[arg(long, value_enum)]
    state: Option<Listed>,
    /// Maximum number of rows.
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    limit: usize,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listed {
    /// Deliveries in this state.
    Deliveries(DeliveryStatus),
    /// Requests that were refused.
    Refused,
}

impl ValueEnum for Listed {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Deliveries(DeliveryStatus::Waiting),
            Self::Deliveries(DeliveryStatus::Done),
            Self::Deliveries(DeliveryStatus::Superseded),
            Self::Deliveries(DeliveryStatus::Dead),
            Self::Refused,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Deliveries(standing) => standing.to_possible_value(),
            Self::Refused => Some(PossibleValue::new("refused").help("It was not let in")),
        }
    }
}

pub fn run(path: &Path, arguments: &Arguments) -> Result<u8, u8> {
    let history = look(path)?;
    let selection = &arguments.selection;
    let state = match arguments.state {
        Some(Listed::Refused) => return refused(path, &history, arguments),
        Some(Listed::Deliveries(standing)) => Some(standing.name()),
        None => None,
    };
    let mut search = selection
        .search(state)
        .map_err(|diagnostics| wrong(&diagnostics))?;
    let found = search
        .newest(&history, arguments.limit)
        .map_err(|error| unusable(path, &error))?;
    if found.cut {
        complain("there are older ones, which were not read");
    }
    if found.entries.is_empty() && arguments.format == Format::Text {
        complain(&format!(
            "no delivery{} in `{}`",
            search.described(),
            path.display()
        ));
    }
    // A hit may be among the older ones.
    let none = if found.cut { UNKNOWN } else { NO };
    if found.entries.is_empty() && arguments.format == Format::Text {
        return Ok(none);
    }
    let text = match arguments.format {
        Format::Json => {
            json!({"deliveries": found.entries.iter().map(as_json).collect::<Vec<_>>()}).to_string()
        }
        Format::Text => {
            let lines = found.entries.iter().map(line);
            aligned(
                &[COLUMN_NAMES.map(str::to_owned)]
                    .into_iter()
                    .chain(lines)
                    .collect::<Vec<_>>(),
            )
        }
    };
    Ok(say(&text, if found.entries.is_empty() { none } else { YES }))
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
        delivery.rule.to_string(),
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
    let state = &entry.delivery.state;
    summary.extend(state.reason().map(str::to_owned));
    // The first attempt is due at once.
    let due = state.due().filter(|due| *due > entry.received_at);
    summary.extend(due.map(|due| format!("due {due}")));
    match entry.replays {
        0 => {}
        1 => summary.push("replayed once".to_owned()),
        times => summary.push(format!("replayed {times} times")),
    }
    if let Some(why) = &entry.delivery.unverified {
        summary.push(format!("not verified: {why}"));
    }
    summary.join("; ")
}

/// Formats a delivery as JSON.
pub fn as_json(entry: &ListedDelivery) -> Value {
    let delivery = &entry.delivery;
    let state = &delivery.state;
    let due = state.due().map(|due| due.to_string());
    let ended = state.ended_at().map(|at| at.to_string());
    let reason = state.reason();
    json!({
        "delivery": delivery.id.to_string(),
        "event": delivery.event.to_string(),
        "received_at": entry.received_at.to_string(),
        "endpoint": entry.endpoint,
        "rule": &*delivery.rule,
        "state": DeliveryStatus::of(entry).name(),
        "action": delivery.action.saturating_add(1),
        "attempt": delivery.attempt,
        "due": due,
        "ended_at": ended,
        "reason": reason,
        "replays": entry.replays,
        "unverified": delivery.unverified.as_deref(),
        "failure_of": delivery.failure_of.map(|failed| failed.to_string()),
    })
}

/// Lists the latest refusals.
fn refused(path: &Path, history: &History, arguments: &Arguments) -> Result<u8, u8> {
    let selection = &arguments.selection;
    if selection.rule.is_some() || selection.condition.is_some() {
        return Err(fail(
            "what was refused has no rule, and its body is not kept: leave `--rule` and `--where` out",
        ));
    }
    let search = selection
        .search(None)
        .map_err(|diagnostics| wrong(&diagnostics))?;
    let filter = &search.filter;
    let mut refused = history
        .refused(REFUSALS)
        .map_err(|error| unusable(path, &error))?;
    refused.retain(|refused| {
        filter.since.is_none_or(|since| refused.at >= since)
            && filter
                .endpoint
                .as_ref()
                .is_none_or(|endpoint| **endpoint == *refused.endpoint)
    });
    refused.truncate(arguments.limit);
    let code = if refused.is_empty() { NO } else { YES };
    let text = match arguments.format {
        Format::Json => {
            json!({"refused": refused.iter().map(refused_as_json).collect::<Vec<_>>()}).to_string()
        }
        Format::Text if refused.is_empty() => {
            complain(&format!(
                "no refused request{} in `{}`",
                search.described(),
                path.display()
            ));
            return Ok(NO);
        }
        Format::Text => {
            let column_names = ["received at", "endpoint", "client", "reason"].map(str::to_owned);
            let lines = refused.iter().map(|refused| {
                [
                    refused.at.to_string(),
                    one_line(&refused.endpoint, REASON),
                    refused
                        .client
                        .map_or_else(|| "-".to_owned(), |client| client.to_string()),
                    one_line(&refused.reason, 2 * REASON),
                ]
            });
            aligned(&[column_names].into_iter().chain(lines).collect::<Vec<_>>())
        }
    };
    Ok(say(&text, code))
}

fn refused_as_json(refused: &RefusedRequest) -> Value {
    json!({
        "received_at": refused.at.to_string(),
        "endpoint": &*refused.endpoint,
        "client": refused.client.map(|client| client.to_string()),
        "state": "refused",
        "reason": refused.reason,
        "headers": refused.headers,
    })
}
