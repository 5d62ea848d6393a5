//! Sightings on disk: looked up and written with an event, or written alone for requests that no
//! rule wanted.
//!
//! The latter wait until the next transaction, which writes them first. They therefore count from the
//! moment of the answer.

use rusqlite::{OptionalExtension, params};

use super::columns;
use super::write_op::{Batch, WriteError};
use crate::base::clock::Timestamp;
use crate::event::DedupKey;
use crate::store::decide::sighting::{Altered, Seen, alteration, remembered};
use crate::store::{Headers, SIGHTINGS_KEPT, Sighting};

const SEEN: &str = "SELECT event, headers, remember_until FROM sightings WHERE endpoint = ?1 AND key = ?2";

const REMEMBER: &str = "INSERT INTO sightings (endpoint, key, event, headers, remember_until) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key, endpoint) DO UPDATE SET \
     event = excluded.event, headers = excluded.headers, remember_until = excluded.remember_until";

pub(super) const EXPIRED: &str = "DELETE FROM sightings WHERE seq IN \
     (SELECT seq FROM sightings INDEXED BY sightings_until WHERE remember_until < ?1 LIMIT ?2)";

/// Deletes the oldest sightings beyond the limit.
pub(super) const SURPLUS: &str = "DELETE FROM sightings WHERE seq IN \
     (SELECT seq FROM sightings WHERE seq <= (SELECT max(seq) FROM sightings) - ?1 ORDER BY seq LIMIT ?2)";

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
