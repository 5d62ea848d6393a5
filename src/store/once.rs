//! Is it new? The one place that decides, for every store.
//!
//! It is told what is remembered and writes nothing; the store remembers in the same write.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::sighting::Altered;
use super::{NewEvent, Sighting};
use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::verify::DedupKey;

/// Whether a delivery is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dedup {
    /// It is to be written down.
    New,
    /// Its rule has had it with this event.
    Duplicate(EventId),
    /// Its endpoint has seen its content with this arrival, and with another value of this header.
    Altered(EventId, Arc<str>),
}

/// Whether a nonce remembered until `until` still counts against something that arrives at `at`. The last moment
/// counts: an event is fresh up to and including the end of its window.
pub(super) fn is_remembered(until: Timestamp, at: Timestamp) -> bool {
    until >= at
}

/// How much longer than promised a nonce is kept. An arrival is compared by its own time, and may have waited a little
/// when its turn comes. And a clock that is an hour ahead for a while (a wrong time zone, a virtual machine that was
/// moved) must not have everything forgotten that is to be remembered when it is put right.
const SLACK: Duration = Duration::from_hours(2);

/// The moment before which a nonce must have expired to be forgotten at `now`.
pub(super) fn forgotten_before(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(
        now.as_millis()
            .saturating_sub(i64::try_from(SLACK.as_millis()).unwrap_or(i64::MAX)),
    )
}

/// Decides for each delivery of a taking. `altered` says what of a sighting was another before; `remembered` looks a nonce
/// up, for a rule and at a time, and says with which event it came.
pub(super) fn dedup<E>(
    taking: &NewEvent,
    mut altered: impl FnMut(&Sighting) -> Result<Option<Altered>, E>,
    mut remembered: impl FnMut(&str, &DedupKey, Timestamp) -> Result<Option<EventId>, E>,
) -> Result<Vec<Dedup>, E> {
    // Two deliveries to one rule in one taking are one delivery and its duplicate.
    let mut taken_here: HashSet<(&str, &[u8])> = HashSet::new();
    let several = taking.deliveries.len() > 1;
    let mut decided = Vec::with_capacity(taking.deliveries.len());
    // Deliveries of one verification share a sighting.
    let mut looked_at: Option<(&Arc<Sighting>, Option<Altered>)> = None;
    for delivery in &taking.deliveries {
        let mut dedup = Dedup::New;
        if let Some(sighting) = &delivery.sighting {
            let found = match &looked_at {
                Some((last, found)) if Arc::ptr_eq(last, sighting) => found.clone(),
                _ => altered(sighting)?,
            };
            if let Some((of, header)) = &found {
                dedup = Dedup::Altered(*of, Arc::clone(header));
            }
            looked_at = Some((sighting, found));
        }
        if dedup == Dedup::New && !delivery.run_duplicates {
            for dedup_key in &delivery.dedup_keys {
                if let Some(event) = remembered(&delivery.rule, dedup_key, taking.received.at)? {
                    dedup = Dedup::Duplicate(event);
                    break;
                }
                if taken_here.contains(&(&*delivery.rule, dedup_key.as_bytes())) {
                    dedup = Dedup::Duplicate(taking.received.id);
                    break;
                }
            }
        }
        if several && dedup == Dedup::New {
            let dedup_keys = delivery.dedup_keys.iter();
            taken_here.extend(dedup_keys.map(|dedup_key| (&*delivery.rule, dedup_key.as_bytes())));
        }
        decided.push(dedup);
    }
    Ok(decided)
}
