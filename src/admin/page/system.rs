//! View of the daemon itself, with small charts of the last 24 hours.

use serde::Serialize;

use crate::admin::page::sources::{Sources, ViewError};
use crate::status::{DaySeries, SlotStatus, SystemStatus};

/// The daemon, and how the page shows it.
#[derive(Debug, Serialize)]
pub struct SystemView {
    #[serde(flatten)]
    pub system: SystemStatus,
    charts: Vec<Chart>,
}

/// A small chart.
#[derive(Debug, Serialize)]
struct Chart {
    title: &'static str,
    /// The sum of counts. Of other values the last one that is known.
    figure: Option<f64>,
    /// The largest value.
    max: f64,
    /// Unit of the values: `bytes`, `seconds` or `number`.
    unit: &'static str,
    /// Points of the line in a box of 96 by 30, as SVG writes them.
    line: String,
    /// The same, closed to an area.
    area: String,
}

pub async fn read(sources: &Sources) -> Result<SystemView, ViewError> {
    let system = sources.status.system().await;
    let charts = charts(&system.day);
    Ok(SystemView { system, charts })
}

/// A value of a slot.
type Value = fn(&SlotStatus) -> Option<f64>;

fn charts(day: &DaySeries) -> Vec<Chart> {
    let kinds: [(&str, &str, Value); 8] = [
        ("Arrivals", "number", |slot| {
            Some(number(slot.arrivals.values().sum()))
        }),
        ("Turned away", "number", |slot| Some(number(slot.turned_away))),
        ("Attempts that succeeded", "number", |slot| {
            Some(number(slot.attempts_done))
        }),
        ("Attempts that failed", "number", |slot| {
            Some(number(slot.attempts_failed))
        }),
        ("Dead letters", "number", |slot| Some(number(slot.dead_letters))),
        ("Oldest due delivery", "seconds", |slot| slot.overdue),
        ("Memory", "bytes", |slot| slot.resident_bytes.map(number)),
        ("Store", "bytes", |slot| slot.store_bytes.map(number)),
    ];
    let charts = kinds.map(|(title, unit, value)| chart(day, title, unit, value));
    charts.into()
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn number(value: u64) -> f64 {
    value as f64
}

/// Slots of a day.
const SLOTS: usize = 96;
/// Height of a chart.
const HEIGHT: f64 = 30.0;

fn chart(day: &DaySeries, title: &'static str, unit: &'static str, value: Value) -> Chart {
    let values: Vec<Option<f64>> = day.slots.iter().map(value).collect();
    let max = values.iter().flatten().copied().fold(0.0, f64::max);
    // The last slot is at the right end.
    let first = SLOTS.saturating_sub(values.len());
    let points: Vec<(usize, f64)> = values
        .iter()
        .enumerate()
        .filter_map(|(at, value)| {
            let height = if max > 0.0 {
                (*value)? / max * (HEIGHT - 2.0)
            } else {
                0.0
            };
            Some((first + at, HEIGHT - 1.0 - height))
        })
        .collect();
    // A line needs two points.
    let before = points.first().filter(|_| points.len() == 1);
    let points: Vec<(usize, f64)> = before
        .map(|(x, y)| (x.saturating_sub(1), *y))
        .into_iter()
        .chain(points.iter().copied())
        .collect();
    let line: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y:.1}")).collect();
    let line = line.join(" ");
    let area = match (points.first(), points.last()) {
        (Some((from, _)), Some((to, _))) => format!("{from},{HEIGHT} {line} {to},{HEIGHT}"),
        _ => String::new(),
    };
    Chart {
        title,
        figure: match unit {
            "number" => Some(values.iter().flatten().sum()),
            _ => values.iter().rev().find_map(|value| *value),
        },
        max,
        unit,
        line,
        area,
    }
}
