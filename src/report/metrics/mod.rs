//! Metrics: counters updated by `report`, and gauges gathered on request.
//!
//! The text format is `OpenMetrics` 1.0, which Prometheus reads
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>). The number of label values is
//! bounded: a label is an endpoint or a rule of the rules file, or one of a few words. A reload
//! removes the series of names that the file no longer has. `docs/reference/metrics.md` lists every
//! series.

mod counters;
mod day;
mod labels;
mod render;
mod rule_day;

pub use counters::{Attempted, Metrics};
pub use day::{Day, DaySlot, SLOT as DAY_SLOT, Sample};
pub use render::{CONTENT_TYPE, Moment, render};
pub use rule_day::{Failure, MAX_RULES as MAX_RULE_FIGURES, RuleFigures};
