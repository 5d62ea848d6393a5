//! Failures of the machine or of a target: each has its outcome. No answered event is lost or
//! accepted twice.

mod disk;
mod resources;
mod stopping;
mod targets;

use crate::scenario::{Daemon, Sending};

/// A signed event, so that a repetition is recognised.
fn event(daemon: &Daemon, number: usize) -> Sending {
    let body = format!("{{\"n\":{number}}}");
    daemon.post("/in").json(body).github("k")
}

/// Logged attempts (JSON): outcome, detail and next step.
fn attempts(daemon: &Daemon, rule: &str) -> Vec<[String; 3]> {
    let log = daemon.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let attempts = lines.filter(|line| line["message"] == "attempt" && line["rule"] == rule);
    attempts
        .map(|line| {
            ["outcome", "detail", "next"].map(|key| line[key].as_str().unwrap_or_default().to_owned())
        })
        .collect()
}
