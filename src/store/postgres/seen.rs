//! The sightings of a batch of new events. The sibling of `dedup_keys.rs`.

use std::convert::Infallible;

use tokio_postgres::Row;
use uuid::Uuid;

use super::batch_keys::{BatchKeys, KeyChange};
use super::failure::Failure;
use super::link::Link;
use crate::base::clock::Timestamp;
use crate::event::DedupKey;
use crate::store::decide::sighting::{Altered, Seen, alteration, remembered};
use crate::store::{Headers, Sighting};

const KNOWN: &str = "SELECT a.n, s.event, s.headers, s.remember_until \
     FROM unnest($1::bytea[], $2::text[]) WITH ORDINALITY AS a(key, endpoint, n) \
     JOIN sightings s ON s.key = a.key AND s.endpoint = a.endpoint";

const INSERT: &str = "WITH written AS ( \
         INSERT INTO sightings (key, endpoint, event, headers, remember_until) \
         SELECT * FROM unnest($1::bytea[], $2::text[], $3::uuid[], $4::text[], $5::int8[]) \
         ON CONFLICT (key, endpoint) DO NOTHING RETURNING 1) \
     SELECT 1 / (CASE WHEN count(*) = cardinality($1) THEN 1 ELSE 0 END) FROM written";

const RENEW: &str = "WITH said AS MATERIALIZED ( \
         SELECT * FROM unnest($1::bytea[], $2::text[], $3::uuid[], $4::text[], $5::int8[], $6::uuid[], $7::text[], $8::int8[]) \
         AS a(key, endpoint, event, headers, until, event_before, headers_before, until_before)), \
     written AS (UPDATE sightings s SET event = a.event, headers = a.headers, remember_until = a.until FROM said a \
         WHERE s.key = a.key AND s.endpoint = a.endpoint AND s.event = a.event_before \
         AND s.headers = a.headers_before AND s.remember_until = a.until_before RETURNING 1) \
     SELECT 1 / (CASE WHEN count(*) = cardinality($1) THEN 1 ELSE 0 END) FROM written";

pub(super) const STATEMENTS: &[&str] = &[KNOWN, INSERT, RENEW];

/// The sightings of a batch, by their keys and endpoints.
pub(super) struct SeenContents<'c>(BatchKeys<'c, Seen>);

/// Columns of a statement that writes sightings.
#[derive(Default)]
pub(super) struct Written<'c> {
    keys: Vec<&'c [u8]>,
    endpoints: Vec<&'c str>,
    events: Vec<Uuid>,
    headers: Vec<String>,
    untils: Vec<i64>,
    events_before: Vec<Uuid>,
    headers_before: Vec<String>,
    untils_before: Vec<i64>,
}

impl<'c> SeenContents<'c> {
    /// The keys of sightings.
    pub fn of(sightings: impl Iterator<Item = &'c Sighting>) -> Self {
        let keys_of = |sighting: &'c Sighting| {
            let keys = sighting.keys.iter();
            keys.map(|key| (key.as_bytes(), &*sighting.endpoint))
        };
        Self(BatchKeys::of(sightings.flat_map(keys_of)))
    }

    /// Reads what is remembered.
    pub async fn read(&mut self, link: &Link) -> Result<(), Failure> {
        let seen = |row: &Row| Seen {
            event: row.get::<_, Uuid>(1).into(),
            headers: Headers::parse(row.get(2)),
            until: Timestamp::from_millis(row.get(3)),
        };
        self.0.read(link, KNOWN, seen).await
    }

    /// The first arrival with the content of a sighting, and the header that was different then, if
    /// there is one.
    pub fn altered(&self, sighting: &Sighting) -> Option<Altered> {
        let seen = |key: &DedupKey| {
            let seen = self.0.get(key.as_bytes(), &sighting.endpoint);
            Ok::<_, Infallible>(seen.cloned())
        };
        let Ok(altered) = alteration(sighting, seen);
        altered
    }

    /// Remembers a sighting that alters nothing. `prolong` prolongs a known one.
    pub fn remember(&mut self, sighting: &Sighting, prolong: bool) {
        for key in &sighting.keys {
            let known = self.0.get(key.as_bytes(), &sighting.endpoint).cloned();
            if let Some(seen) = remembered(sighting, known, prolong) {
                self.0.set(key.as_bytes(), &sighting.endpoint, seen);
            }
        }
    }

    /// The keys that are new.
    pub fn new_keys(&self) -> Written<'c> {
        Written::of(self.0.new_keys())
    }

    /// The keys that were there and are changed.
    pub fn renewed_keys(&self) -> Written<'c> {
        Written::of(self.0.renewed_keys())
    }
}

impl<'c> Written<'c> {
    fn of<'k>(changes: impl Iterator<Item = KeyChange<'k, 'c, Seen>>) -> Self
    where
        'c: 'k,
    {
        let mut written = Self::default();
        for KeyChange {
            key,
            owner,
            before,
            now,
        } in changes
        {
            let before = before.unwrap_or(now);
            written.keys.push(key);
            written.endpoints.push(owner);
            written.events.push(now.event.into());
            written.headers.push(now.headers.to_string());
            written.untils.push(now.until.as_millis());
            written.events_before.push(before.event.into());
            written.headers_before.push(before.headers.to_string());
            written.untils_before.push(before.until.as_millis());
        }
        written
    }
}

impl Written<'_> {
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Writes new sightings.
    pub async fn insert(&self, link: &Link) -> Result<(), Failure> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let row: [&(dyn tokio_postgres::types::ToSql + Sync); 5] = [
            &self.keys,
            &self.endpoints,
            &self.events,
            &self.headers,
            &self.untils,
        ];
        link.query(INSERT, &row).await.map(drop)
    }

    /// Writes changed sightings.
    pub async fn renew(&self, link: &Link) -> Result<(), Failure> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let row: [&(dyn tokio_postgres::types::ToSql + Sync); 8] = [
            &self.keys,
            &self.endpoints,
            &self.events,
            &self.headers,
            &self.untils,
            &self.events_before,
            &self.headers_before,
            &self.untils_before,
        ];
        link.query(RENEW, &row).await.map(drop)
    }
}
