//! What becomes of events when the machine or a target fails: each fault has its outcome, and none of them loses what
//! was answered or takes it twice.

mod disk;
mod resources;
mod stopping;
mod targets;

use crate::scenario::{Daemon, Sending};

/// An event, signed, so that it is known again.
fn event(daemon: &Daemon, number: usize) -> Sending {
    let body = format!("{{\"n\":{number}}}");
    daemon.post("/in").json(body).github("k")
}

/// The attempts that the daemon has logged as JSON: outcome, detail and what comes next.
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
