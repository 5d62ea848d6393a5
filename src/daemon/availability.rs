//! Rules that are unavailable because something they need is missing on this machine.
//!
//! Checked at once when new rules are in force, then with growing pauses. `status` and the metrics
//! show the result. Deliveries do not depend on it: each attempt checks again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::base::live::Live;
use crate::rules::RuleSet;
use crate::status::Unavailable;

/// Pause after a check that found a change, and the unit of all pauses.
const SHORTEST: Duration = Duration::from_secs(1);
/// Maximum pause between two checks.
const LONGEST: Duration = Duration::from_mins(1);

/// Checks until `stop`, and updates `known`. At start-up, the loader has already logged unavailable
/// rules.
pub async fn run(live: Arc<Live<RuleSet>>, known: Arc<Live<Unavailable>>, stop: CancellationToken) {
    let (mut generation, mut pause, mut waited) = (0, SHORTEST, SHORTEST);
    loop {
        let rules = live.current();
        let is_new = rules.generation != generation;
        if is_new || waited >= pause {
            generation = rules.generation;
            let looking = tokio::task::spawn_blocking(move || rules.unavailable());
            let found: Unavailable = tokio::select! {
                found = looking => found.unwrap_or_default().into_iter().collect(),
                () = stop.cancelled() => return,
            };
            let changed = found != *known.current();
            tell(&known.current(), &found);
            if changed {
                drop(known.replace(found));
            }
            pause = if changed || is_new {
                SHORTEST
            } else {
                (pause * 2).min(LONGEST)
            };
            waited = Duration::ZERO;
        }
        tokio::select! {
            () = tokio::time::sleep(SHORTEST) => waited += SHORTEST,
            () = stop.cancelled() => return,
        }
    }
}

/// Logs the rules whose availability changed.
fn tell(before: &BTreeMap<Arc<str>, String>, now: &BTreeMap<Arc<str>, String>) {
    for (rule, why) in now {
        if before.get(rule) != Some(why) {
            warn!(rule = &**rule, why, "unavailable");
        }
    }
    for rule in before.keys() {
        if !now.contains_key(rule) {
            info!(rule = &**rule, "available again");
        }
    }
}
