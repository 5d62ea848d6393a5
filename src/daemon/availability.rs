//! Which rules are unavailable: what they need is missing on this machine.
//!
//! Looked for at once when other rules are in force, then with growing pauses. The result is what `status` and the
//! metrics show. A delivery does not depend on it: each attempt looks for itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::base::live::Live;
use crate::rules::RuleSet;
use crate::status::Unavailable;

/// The pause after a look that has found a change, and the unit of all pauses.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest pause between two looks.
const LONGEST: Duration = Duration::from_mins(1);

/// Looks until `stop`, and tells `known`. At the start the loader has told the log already.
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

/// Says what has changed.
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
