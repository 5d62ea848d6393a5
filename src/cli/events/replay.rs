//! Replays of ignored arrivals: the running daemon matches them by its rules, and runs them.

use serde_json::{Value, json};

use crate::admin::ReplayAnswer;
use crate::base::escape;
use crate::cli::ask::{NotAnswered, ask};
use crate::cli::location::StoreLocation;
use crate::cli::status;
use crate::event::EventId;
use crate::store::Place;

/// Maximum decisions shown for an arrival that no rule matches.
const SHOWN: usize = 5;

/// The result for one arrival.
pub struct ReplayedArrival {
    id: EventId,
    answer: ReplayAnswer,
}

/// Asks the daemon to replay arrivals. The error is the exit code.
pub fn replay(
    store_location: &StoreLocation,
    store: &Place,
    ids: &[EventId],
    dry_run: bool,
) -> Result<Vec<ReplayedArrival>, String> {
    let Ok(socket) = status::socket_of(store_location, status::BY_RULES) else {
        return Err("ignored arrivals are replayed by the running daemon".to_owned());
    };
    let shown = socket.display();
    let absent = |error: std::io::Error| {
        format!(
            "no daemon answers at `{shown}`: {error}; ignored arrivals are replayed by the running daemon"
        )
    };
    if let Some(other) = status::other_store(&socket, store).map_err(absent)? {
        return Err(format!(
            "the daemon at `{shown}` has the store `{other}`, not `{store}`"
        ));
    }
    let mut replayed = Vec::with_capacity(ids.len());
    for id in ids {
        let query = if dry_run { "?dry_run=1" } else { "" };
        let operation = format!("POST /api/v1/arrivals/{id}/replay{query}");
        let answer = ask(&socket, &operation, &json!({})).map_err(|error| match error {
            NotAnswered::Absent(error) => absent(error),
            error => error.describe(&socket, &format!("replay {id}")),
        })?;
        replayed.push(ReplayedArrival { id: *id, answer });
    }
    Ok(replayed)
}

impl ReplayedArrival {
    /// True if a rule accepted the arrival, or would.
    pub fn is_accepted(&self) -> bool {
        !self.answer.accepted.is_empty()
    }

    /// Formats the result as text.
    pub fn lines(&self, dry_run: bool) -> Vec<String> {
        let (id, answer) = (self.id, &self.answer);
        let mut lines = Vec::new();
        if let Some(why) = &answer.refused {
            lines.push(format!("{id} cannot be replayed: {why}"));
        }
        if self.is_accepted() {
            let runs = if dry_run { "would run" } else { "runs" };
            lines.push(format!("{id} {runs}: {}", answer.accepted.join(", ")));
        }
        lines.extend(answer.waits.iter().map(|waits| format!("  {waits}")));
        for (rule, of) in &answer.duplicates {
            lines.push(format!("{id} is a duplicate of {of} for {rule}: it runs nothing"));
        }
        if answer.refused.is_none() && !self.is_accepted() && answer.duplicates.is_empty() {
            lines.push(format!("{id} matches no rule in force"));
            let nearest = answer.decisions.iter().take(SHOWN);
            lines.extend(nearest.map(|(rule, reason)| {
                let reason = reason.as_deref().unwrap_or("matches");
                format!("  no  {rule}: {reason}")
            }));
        }
        lines.iter().map(|line| escape::line(line).into_owned()).collect()
    }

    /// Formats the result as JSON.
    pub fn to_json(&self) -> Value {
        let duplicates = self.answer.duplicates.iter();
        json!({
            "id": self.id.to_string(),
            "refused": self.answer.refused,
            "accepted": self.answer.accepted,
            "waits": self.answer.waits,
            "duplicates": duplicates.map(|(rule, of)| json!({"rule": rule, "of": of})).collect::<Vec<_>>(),
            "rules": self.answer.decisions.iter().map(|(rule, reason)| {
                json!({"rule": rule, "matched": reason.is_none(), "reason": reason})
            }).collect::<Vec<_>>(),
        })
    }
}
