//! Sightings on disk: looked up and written with an event, or written alone for requests that no
//! rule wanted.
//!
//! The latter wait in a bounded queue until the next transaction, which writes them first. They
//! therefore count from the moment of the answer.

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{OptionalExtension, params};

use super::columns;
use super::write_op::{Batch, WriteError};
use crate::base::clock::Timestamp;
use crate::event::DedupKey;
use crate::store::decide::sighting::{Altered, Seen, alteration, remembered};
use crate::store::{Headers, SIGHTINGS_KEPT, Sighting};

/// Maximum sightings that wait to be written, about 300 bytes each. Later ones are dropped and
/// counted.
const WAITING: usize = 16_384;

/// Waiting sightings after which the writer is woken. Until then they are written with the next
/// transaction, at the latest by the next sweep.
const WOKEN_FOR: usize = 256;

const SEEN: &str = "SELECT event, headers, remember_until FROM sightings WHERE endpoint = ?1 AND key = ?2";

const REMEMBER: &str = "INSERT INTO sightings (endpoint, key, event, headers, remember_until) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key, endpoint) DO UPDATE SET \
     event = excluded.event, headers = excluded.headers, remember_until = excluded.remember_until";

pub(super) const EXPIRED: &str = "DELETE FROM sightings WHERE seq IN \
     (SELECT seq FROM sightings INDEXED BY sightings_until WHERE remember_until < ?1 LIMIT ?2)";

/// Deletes the oldest sightings beyond the limit.
pub(super) const SURPLUS: &str = "DELETE FROM sightings WHERE seq IN \
     (SELECT seq FROM sightings WHERE seq <= (SELECT max(seq) FROM sightings) - ?1 ORDER BY seq LIMIT ?2)";

#[derive(Debug, Default)]
pub(super) struct Sightings {
    waiting: Mutex<Waiting>,
}

/// The state behind the lock.
#[derive(Debug, Default)]
struct Waiting {
    sightings: Vec<Sighting>,
    dropped: u64,
}

impl Sightings {
    /// Queues a sighting, or drops it if the queue is full. Returns true if the writer must be
    /// woken.
    pub fn add(&self, sighting: Sighting) -> bool {
        let mut waiting = self.waiting();
        if waiting.sightings.len() >= WAITING {
            waiting.dropped += 1;
            return false;
        }
        waiting.sightings.push(sighting);
        waiting.sightings.len().is_multiple_of(WOKEN_FOR)
    }

    /// Takes all waiting sightings, in the order of arrival.
    pub fn take(&self) -> Vec<Sighting> {
        let Waiting { sightings, dropped } = std::mem::take(&mut *self.waiting());
        if dropped > 0 {
            tracing::warn!(
                dropped,
                limit = WAITING,
                "too many ignored events waited for the store: a replay of those that were dropped, with other headers, \
                 would not be recognised"
            );
        }
        sightings
    }

    /// Puts sightings that could not be written back in front of the queue.
    pub fn put_back(&self, mut sightings: Vec<Sighting>) {
        let mut waiting = self.waiting();
        sightings.append(&mut waiting.sightings);
        waiting.dropped += sightings.len().saturating_sub(WAITING) as u64;
        sightings.truncate(WAITING);
        waiting.sightings = sightings;
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }
}

/// The first arrival with the content of `sighting` and the header that was different then, if
/// there is one.
pub(super) fn altered(batch: &Batch<'_>, sighting: &Sighting) -> Result<Option<Altered>, WriteError> {
    alteration(sighting, |key| seen(batch, sighting, key))
}

/// Remembers a sighting that alters nothing. Returns the number of new keys. `prolong` prolongs a
/// known sighting.
pub(super) fn remember(batch: &Batch<'_>, sighting: &Sighting, prolong: bool) -> Result<i64, WriteError> {
    let mut new = 0;
    for key in &sighting.keys {
        let known = seen(batch, sighting, key)?;
        let is_new = known.is_none();
        let Some(seen) = remembered(sighting, known, prolong) else {
            continue;
        };
        batch.connection.prepare_cached(REMEMBER)?.execute(params![
            sighting.endpoint,
            key.as_bytes(),
            seen.event.to_string(),
            seen.headers.to_string(),
            seen.until.as_millis(),
        ])?;
        new += i64::from(is_new);
    }
    Ok(new)
}

/// Writes sightings that have waited. One that would alter a header is skipped: the first sighting
/// counts.
pub(super) fn write(batch: &mut Batch<'_>, sightings: &[Sighting]) -> rusqlite::Result<()> {
    for sighting in sightings {
        let written = altered(batch, sighting).and_then(|altered| match altered {
            Some(_) => Ok(0),
            None => remember(batch, sighting, false),
        });
        match written {
            Ok(new) => batch.effects.counters.sightings += new,
            Err(WriteError::Statement(error)) => return Err(error),
            Err(WriteError::Own(error)) => tracing::warn!(%error, "a sighting is not remembered"),
        }
    }
    Ok(())
}

/// Forgets one step of expired or surplus sightings, at most `rows` of each kind. Returns their
/// number.
pub(super) fn sweep(batch: &mut Batch<'_>, before: Timestamp, rows: i64) -> rusqlite::Result<usize> {
    let mut expired = batch.connection.prepare_cached(EXPIRED)?;
    let mut deleted = expired.execute(params![before.as_millis(), rows])?;
    let limit = columns::integer(SIGHTINGS_KEPT);
    deleted += batch
        .connection
        .prepare_cached(SURPLUS)?
        .execute(params![limit, rows])?;
    batch.effects.counters.sightings -= columns::integer(deleted);
    Ok(deleted)
}

/// Reads the sighting of a key.
fn seen(batch: &Batch<'_>, sighting: &Sighting, key: &DedupKey) -> Result<Option<Seen>, WriteError> {
    let mut seen = batch.connection.prepare_cached(SEEN)?;
    let found = seen.query_row(params![sighting.endpoint, key.as_bytes()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?))
    });
    let Some((event, headers, until)) = found.optional()? else {
        return Ok(None);
    };
    Ok(Some(Seen {
        event: columns::parsed("event", &event)?,
        headers: Headers::parse(&headers),
        until: Timestamp::from_millis(until),
    }))
}
