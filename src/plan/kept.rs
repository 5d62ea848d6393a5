//! Reader of the arrivals that a store keeps, newest first.

use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::event::{ArrivalOutcome, Decision, EventId};
use crate::pipeline::KeptArrival;
use crate::store::{ArrivalFilter, ArrivalWindow, History, ProofRecord, StoreError};

/// Arrivals that are listed by one query.
const PAGE: usize = 1000;

/// An arrival that a store keeps, with its decision.
#[derive(Debug)]
pub struct Kept {
    pub arrival: KeptArrival,
    pub outcome: ArrivalOutcome,
    /// The decision of then.
    pub decision: Decision,
}

/// The arrivals to read.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// Earliest arrival. `None`: the oldest that is kept.
    pub since: Option<Timestamp>,
    /// Maximum number of arrivals.
    pub last: usize,
}

/// Reads the arrivals of a range, newest first, until `each` returns false. Returns the time of the
/// oldest one that was read.
pub fn each_kept(
    history: &History,
    range: Range,
    mut each: impl FnMut(&Kept) -> bool,
) -> Result<Option<Timestamp>, StoreError> {
    let filter = ArrivalFilter {
        since: range.since,
        ..ArrivalFilter::default()
    };
    let (mut before, mut left, mut oldest) = (None, range.last, None);
    while left > 0 {
        let limit = left.min(PAGE);
        let ArrivalWindow { arrivals, floor } = history.arrivals_in_window(&filter, before, PAGE, limit)?;
        let last = arrivals.last().map(|last| last.id);
        before = if arrivals.len() < limit { floor } else { last };
        left -= arrivals.len();
        for arrival in arrivals {
            let Some(kept) = read_kept(history, arrival.id, arrival.outcome)? else {
                continue;
            };
            oldest = Some(arrival.received_at);
            if !each(&kept) {
                return Ok(oldest);
            }
        }
        if before.is_none() {
            break;
        }
    }
    Ok(oldest)
}

/// Reads one arrival. An event that was replayed had the outcome of its arrival.
pub fn read_kept(
    history: &History,
    id: EventId,
    outcome: ArrivalOutcome,
) -> Result<Option<Kept>, StoreError> {
    if let Some(event) = history.event(id)? {
        let proofs = event.decision.verified.iter().map(|by| ProofRecord {
            scheme: Arc::clone(&by.scheme),
            secret: by.secret.clone(),
            sent_at: None,
            signed: false,
            dedup_keys: Vec::new(),
        });
        return Ok(Some(Kept {
            arrival: KeptArrival {
                proofs: proofs.collect(),
                received: event.received,
                is_whole: true,
            },
            outcome,
            decision: event.decision,
        }));
    }
    let record = history.arrival(id)?;
    Ok(record.map(|record| Kept {
        arrival: KeptArrival {
            is_whole: record.check_whole().is_ok(),
            received: record.received,
            proofs: record.proofs,
        },
        outcome: record.outcome,
        decision: record.decision,
    }))
}
