//! The dedup keys of a batch of new events.
//!
//! If another transaction has changed a key since it was read, the write fails as a conflict.

use tokio_postgres::Row;
use uuid::Uuid;

use super::batch_keys::{BatchKeys, KeyChange};
use super::failure::Failure;
use super::link::Link;
use crate::base::clock::Timestamp;
use crate::event::DedupKey;
use crate::store::NewDelivery;
use crate::store::decide::dedupe::Remembered;

const KNOWN: &str = "SELECT a.n, k.event, k.remember_until \
     FROM unnest($1::bytea[], $2::text[]) WITH ORDINALITY AS a(key, rule, n) \
     JOIN dedup_keys k ON k.key = a.key AND k.rule = a.rule";

/// Another transaction that inserts one of the keys is waited for.
const INSERT: &str = "WITH written AS ( \
         INSERT INTO dedup_keys (key, rule, event, remember_until) \
         SELECT * FROM unnest($1::bytea[], $2::text[], $3::uuid[], $4::int8[]) \
         ON CONFLICT (key, rule) DO NOTHING RETURNING 1) \
     SELECT 1 / (CASE WHEN count(*) = cardinality($1) THEN 1 ELSE 0 END) FROM written";

const RENEW: &str = "WITH said AS MATERIALIZED ( \
         SELECT * FROM unnest($1::bytea[], $2::text[], $3::uuid[], $4::int8[], $5::uuid[], $6::int8[]) \
         AS s(key, rule, event, until, event_before, until_before)), \
     written AS (UPDATE dedup_keys k SET event = s.event, remember_until = s.until FROM said s \
         WHERE k.key = s.key AND k.rule = s.rule AND k.event = s.event_before AND k.remember_until = s.until_before \
         RETURNING 1) \
     SELECT 1 / (CASE WHEN count(*) = cardinality($1) THEN 1 ELSE 0 END) FROM written";

pub(super) const STATEMENTS: &[&str] = &[KNOWN, INSERT, RENEW];

/// The dedup keys of a batch, with their rules.
pub(super) struct DedupKeys<'c>(BatchKeys<'c, Remembered>);

/// Columns of a statement that writes keys.
#[derive(Default)]
pub(super) struct Written<'c> {
    keys: Vec<&'c [u8]>,
    rules: Vec<&'c str>,
    events: Vec<Uuid>,
    untils: Vec<i64>,
    events_before: Vec<Uuid>,
    untils_before: Vec<i64>,
}

impl<'c> DedupKeys<'c> {
    /// The keys of deliveries.
    pub fn of(deliveries: impl Iterator<Item = &'c NewDelivery>) -> Self {
        let keys_of = |delivery: &'c NewDelivery| {
            let keys = delivery.dedup_keys.iter();
            keys.map(|key| (key.as_bytes(), &*delivery.rule))
        };
        Self(BatchKeys::of(deliveries.flat_map(keys_of)))
    }

    /// Reads what is remembered.
    pub async fn read(&mut self, link: &Link) -> Result<(), Failure> {
        let remembered = |row: &Row| Remembered {
            event: row.get::<_, Uuid>(1).into(),
            until: Timestamp::from_millis(row.get(2)),
        };
        self.0.read(link, KNOWN, remembered).await
    }

    /// Looks up a key as it is remembered now.
    pub fn remembered(&self, rule: &str, key: &DedupKey) -> Option<Remembered> {
        self.0.get(key.as_bytes(), rule).copied()
    }

    /// Remembers a key of a new delivery that arrived at `at`.
    pub fn remember(&mut self, rule: &str, key: &DedupKey, by: Remembered, at: Timestamp) {
        let known = self.remembered(rule, key);
        let now = known.map_or(by, |known| known.renewed(by, at));
        self.0.set(key.as_bytes(), rule, now);
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
    fn of<'k>(changes: impl Iterator<Item = KeyChange<'k, 'c, Remembered>>) -> Self
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
            written.rules.push(owner);
            written.events.push(now.event.into());
            written.untils.push(now.until.as_millis());
            written.events_before.push(before.event.into());
            written.untils_before.push(before.until.as_millis());
        }
        written
    }
}

impl Written<'_> {
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Writes new keys.
    pub async fn insert(&self, link: &Link) -> Result<(), Failure> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let row: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&self.keys, &self.rules, &self.events, &self.untils];
        link.query(INSERT, &row).await.map(drop)
    }

    /// Writes changed keys.
    pub async fn renew(&self, link: &Link) -> Result<(), Failure> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let Self {
            keys,
            rules,
            events,
            untils,
            events_before,
            untils_before,
        } = self;
        link.query(
            RENEW,
            &[keys, rules, events, untils, events_before, untils_before],
        )
        .await
        .map(drop)
    }
}
