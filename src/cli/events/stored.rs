//! Arrivals as the store keeps them, for `hookyard events show`.

use std::sync::Arc;

use crate::base::count::counted;
use crate::event::{ArrivalOutcome, Decision, EventId, Received, VerifiedBy};
use crate::store::{History, StoreError};

/// An arrival as the store keeps it: an event, or the record of what became no event.
pub struct StoredArrival {
    pub received: Arc<Received>,
    pub decode: String,
    pub outcome: ArrivalOutcome,
    /// Status of the answer. `None` if the sender waited for the outcome of the deliveries.
    pub status: Option<u16>,
    pub reason: String,
    pub decision: Decision,
    pub is_replay: bool,
    /// The user who ran a rule by hand.
    pub fired_by: Option<String>,
    /// Verifications that succeeded.
    pub verified_by: Vec<String>,
    /// Bytes of the body as it arrived.
    pub size: u64,
    /// The reason why the body cannot be read, if it is not kept whole.
    pub whole: Result<(), String>,
}

impl StoredArrival {
    /// Formats the outcome, the reason and the decision of then.
    pub fn describe(&self) -> Vec<String> {
        let answered = match (&self.fired_by, self.status) {
            (Some(user), _) => format!("by {user}"),
            (None, Some(status)) => format!("answered {status}"),
            (None, None) => "answered when its deliveries had ended".to_owned(),
        };
        let replayed = if self.is_replay {
            "; replayed by the operator"
        } else {
            ""
        };
        let mut lines = vec![format!("outcome {}, {answered}{replayed}", self.outcome)];
        if !self.reason.is_empty() {
            lines.push(format!("reason {}", self.reason));
        }
        if !self.verified_by.is_empty() {
            lines.push(format!("verified by {}", self.verified_by.join(", ")));
        }
        let decision = &self.decision;
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
}

/// Reads an arrival. Returns `None` if there is none with this id.
pub fn stored(history: &History, id: EventId) -> Result<Option<StoredArrival>, StoreError> {
    if let Some(stored) = history.event(id)? {
        let outcome = match &stored.fired_by {
            Some(_) => ArrivalOutcome::Fired,
            None if stored.is_replay => ArrivalOutcome::Ignored,
            None => ArrivalOutcome::Accepted,
        };
        return Ok(Some(StoredArrival {
            size: stored.received.body.len() as u64,
            received: stored.received,
            decode: stored.decode,
            outcome,
            status: stored.status,
            reason: stored.answer_error.unwrap_or_default(),
            verified_by: stored
                .decision
                .verified
                .iter()
                .map(VerifiedBy::to_string)
                .collect(),
            decision: stored.decision,
            is_replay: stored.is_replay,
            fired_by: stored.fired_by,
            whole: Ok(()),
        }));
    }
    let record = history.arrival(id)?;
    Ok(record.map(|record| StoredArrival {
        whole: record.check_whole(),
        verified_by: record
            .proofs
            .iter()
            .map(|proof| proof.verified_by().to_string())
            .collect(),
        received: record.received,
        decode: record.decode,
        outcome: record.outcome,
        status: Some(record.status),
        reason: record.reason,
        decision: record.decision,
        is_replay: false,
        fired_by: None,
        size: record.size,
    }))
}
