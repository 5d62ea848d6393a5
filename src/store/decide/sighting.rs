//! Sightings: whether a request alters a header of a known content, and what is remembered of it.

use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::event::{DedupKey, EventId};
use crate::store::{Headers, Sighting};

/// The remembered sighting of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The first arrival with that key.
    pub event: EventId,
    /// The headers that were read of it.
    pub headers: Headers,
    /// The last moment at which the sighting counts.
    pub until: Timestamp,
}

impl Seen {
    /// True if the sighting still counts for an arrival at `at`.
    fn counts_at(&self, at: Timestamp) -> bool {
        self.until >= at
    }
}

/// The first arrival with a content, and the header whose value was different then.
pub type Altered = (EventId, Arc<str>);

/// Finds the header that a sighting would change. `seen` looks up a key. Returns the first arrival
/// with the content, and that header.
pub fn alteration<E>(
    sighting: &Sighting,
    mut seen: impl FnMut(&DedupKey) -> Result<Option<Seen>, E>,
) -> Result<Option<Altered>, E> {
    for key in &sighting.keys {
        if let Some(seen) = seen(key)?.filter(|seen| seen.counts_at(sighting.at))
            && let Some(header) = sighting.headers.changed(&seen.headers)
        {
            return Ok(Some((seen.event, header)));
        }
    }
    Ok(None)
}

/// Decides what is remembered of a key after a sighting that alters nothing. Returns `None` if
/// nothing changes. A known sighting is prolonged only if `prolong` is set, because a repeated
/// request must not prolong it.
pub fn remembered(sighting: &Sighting, seen: Option<Seen>, prolong: bool) -> Option<Seen> {
    let Some(seen) = seen.filter(|seen| seen.counts_at(sighting.at)) else {
        return Some(Seen {
            event: sighting.event,
            headers: sighting.headers.clone(),
            until: sighting.remember_until,
        });
    };
    let headers = sighting.headers.added_to(&seen.headers);
    (prolong || headers != seen.headers).then(|| Seen {
        event: seen.event,
        headers,
        until: seen.until.max(sighting.remember_until),
    })
}
