//! Arrivals as the store keeps them, with their payload decoded again.

use std::sync::Arc;

use crate::base::json_plan::Plan;
use crate::event::{ArrivalOutcome, Decision, EventId, Received, VerifiedBy};
use crate::payload::Event;
use crate::store::{History, StoreError};

/// An arrival as the store keeps it: an event, or the record of what became no event.
#[derive(Clone, Debug)]
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
    /// The user who replayed it, if it was ignored.
    pub replayed_by: Option<String>,
    /// Verifications that succeeded.
    pub verified_by: Vec<String>,
    /// Bytes of the body as it arrived.
    pub size: u64,
    /// The reason why the body cannot be read, if it is not kept whole.
    pub whole: Result<(), String>,
}

impl StoredArrival {
    /// Decodes the payload. The error says why that fails.
    pub fn event(&self) -> Result<Event, String> {
        self.whole.clone()?;
        decoded(&self.received, &self.decode)
    }
}

/// Reads an arrival. Returns `None` if there is none with this id.
pub fn stored(history: &History, id: EventId) -> Result<Option<StoredArrival>, StoreError> {
    if let Some(stored) = history.event(id)? {
        let outcome = match &stored.fired_by {
            _ if stored.is_replay => ArrivalOutcome::Ignored,
            Some(_) => ArrivalOutcome::Fired,
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
            replayed_by: stored.fired_by.clone().filter(|_| stored.is_replay),
            fired_by: stored.fired_by.filter(|_| !stored.is_replay),
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
        replayed_by: None,
        fired_by: None,
        size: record.size,
    }))
}

/// Decodes the body of a request. The error says why that fails.
pub fn decoded(received: &Arc<Received>, decode: &str) -> Result<Event, String> {
    let plan = Arc::new(Plan::everything());
    Event::from_store(Arc::clone(received), decode, None, &plan)
}
