//! A copy of a stopped store in a file into an empty store on a server.
//!
//! Everything is copied in one transaction, or nothing. While it lasts, no node can join. The requests
//! of events are kept apart from the tables of days, so that no day ends them.

use std::path::Path;
use std::sync::Arc;

use tokio_postgres::types::ToSql;

use super::check::COUNTED;
use super::{Reader, current, failed};
use crate::store::postgres::failure::Failure;
use crate::store::postgres::link::Link;
use crate::store::postgres::schema;
use crate::store::postgres::target::Target;
use crate::store::postgres::text::clean;
use crate::store::sqlite::{ColumnKind, ColumnValues, Export};
use crate::store::{Counts, StoreError};

/// The copy may take longer than any other transaction.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
     LOCK TABLE nodes IN EXCLUSIVE MODE";

/// Contents of a store that is in use, or was.
const IS_USED: &str = "SELECT EXISTS (SELECT 1 FROM nodes) OR EXISTS (SELECT 1 FROM events) OR EXISTS (SELECT 1 FROM queue) \
     OR EXISTS (SELECT 1 FROM ended) OR EXISTS (SELECT 1 FROM arrivals) OR EXISTS (SELECT 1 FROM dedup_keys)";

const NUMBER_ON: &str = "SELECT setval(pg_get_serial_sequence('events', 'seq'), (SELECT coalesce(max(seq), 0) + 1 FROM events)), \
     setval(pg_get_serial_sequence('queue', 'seq'), (SELECT coalesce(max(seq), 0) + 1 FROM deliveries)), \
     setval(pg_get_serial_sequence('attempts', 'seq'), (SELECT coalesce(max(seq), 0) + 1 FROM attempts)), \
     setval(pg_get_serial_sequence('arrivals', 'seq'), (SELECT coalesce(max(seq), 0) + 1 FROM arrivals))";

/// Sets the sums: those of the operator's commands are the only ones.
const SUM: &str = "INSERT INTO tally (node, slot, pending, done, dead, events, dedup_keys, sightings, bytes) \
     VALUES (0, 0, $1, $2, $3, $4, $5, $6, $7) ON CONFLICT (node, slot) DO UPDATE SET pending = excluded.pending, \
     done = excluded.done, dead = excluded.dead, events = excluded.events, dedup_keys = excluded.dedup_keys, \
     sightings = excluded.sightings, bytes = excluded.bytes";

use ColumnKind::{Blob as B, Body as Z, Integer as I, Text as T};

/// A table that is copied: the rows of the file, by their order, and the statement that writes them.
struct Copied {
    read: &'static str,
    kinds: &'static [ColumnKind],
    write: &'static str,
}

const TABLES: &[Copied] = &[
    Copied {
        read: "SELECT e.seq, e.seq, e.id, received_at, endpoint, method, path, query, parameters, client, decode, size, status, \
             decision, is_replay, answer_error, fired_by, headers, b.body, b.lz4_size \
             FROM events e JOIN bodies b ON b.event = e.seq WHERE e.seq > ?1 ORDER BY e.seq",
        kinds: &[I, T, I, T, T, T, T, T, T, T, I, I, T, I, T, T, T, Z],
        write: "WITH s AS MATERIALIZED (SELECT * FROM unnest($1::int8[], $2::text[], $3::int8[], $4::text[], $5::text[], $6::text[], \
                 $7::text[], $8::text[], $9::text[], $10::text[], $11::int8[], $12::int8[], $13::text[], $14::int8[], $15::text[], \
                 $16::text[], $17::text[], $18::bytea[]) AS s(seq, id, received_at, endpoint, method, path, query, parameters, \
                 client, decode, size, status, decision, is_replay, answer_error, fired_by, headers, body)), \
             kept AS (INSERT INTO requests_kept (event, headers, body) SELECT id::uuid, headers, body FROM s) \
             INSERT INTO events (seq, id, received_at, endpoint, method, path, query, parameters, client, decode, size, kept, status, \
                 decision, is_replay, answer_error, fired_by, node, look_at) OVERRIDING SYSTEM VALUE \
             SELECT seq, id::uuid, received_at, endpoint, method, path, query, parameters, client, decode, size, \
                 length(body) + octet_length(headers), status::int4, decision, is_replay <> 0, answer_error, fired_by, '', received_at FROM s",
    },
    Copied {
        read: "SELECT d.seq, d.seq, d.id, e.id, rule, item, state, action, attempt, due, d.ended_at, reason, unverified, replays, \
             group_key, group_limit, group_overlap, debounced_since, failure_of, interruptions, interrupted_at \
             FROM deliveries d JOIN events e ON e.seq = d.event WHERE d.seq > ?1 ORDER BY d.seq",
        kinds: &[I, T, T, T, I, T, I, I, I, I, T, T, I, T, I, T, I, T, I, I],
        write: "WITH s AS MATERIALIZED (SELECT * FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::text[], \
                 $7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::text[], $12::text[], $13::int8[], $14::text[], $15::int8[], \
                 $16::text[], $17::int8[], $18::text[], $19::int8[], $20::int8[]) AS s(seq, id, event, rule, item, state, action, \
                 attempt, due, ended_at, reason, unverified, replays, group_key, group_limit, group_overlap, debounced_since, \
                 failure_of, interruptions, interrupted_at)), \
             over AS (INSERT INTO ended (id, seq, event, rule, item, state, action, attempt, due, ended_at, reason, unverified, replays, \
                 group_key, group_limit, failure_of) \
                 SELECT id::uuid, seq, event::uuid, rule, item::int4, CASE state WHEN 'dropped' THEN 'dead' ELSE state END, action::int4, \
                     attempt::int4, due, ended_at, reason, unverified, replays::int4, group_key, group_limit::int4, failure_of::uuid \
                 FROM s WHERE ended_at IS NOT NULL) \
             INSERT INTO queue (id, seq, event, rule, item, state, action, attempt, due, superseded, unverified, replays, group_key, \
                 group_limit, group_overlap, debounced_since, failure_of, interruptions, interrupted_at) \
             SELECT id::uuid, seq, event::uuid, rule, item::int4, state, action::int4, attempt::int4, due, reason, unverified, \
                 replays::int4, group_key, group_limit::int4, group_overlap, debounced_since, failure_of::uuid, interruptions::int4, \
                 interrupted_at FROM s WHERE ended_at IS NULL",
    },
    Copied {
        read: "SELECT f.delivery, d.id, f.action, f.reason, f.output FROM failures f JOIN deliveries d ON d.seq = f.delivery \
             WHERE f.delivery > ?1 ORDER BY f.delivery",
        kinds: &[T, T, T, T],
        write: "INSERT INTO failures (delivery, action, reason, output) SELECT id::uuid, action, reason, output \
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS s(id, action, reason, output)",
    },
    Copied {
        read: "SELECT a.seq, a.seq, d.id, a.action, a.number, a.started_at, a.duration, a.outcome, a.detail, a.stdout, a.stderr \
             FROM attempts a JOIN deliveries d ON d.seq = a.delivery WHERE a.seq > ?1 ORDER BY a.seq",
        kinds: &[I, T, I, I, I, I, T, T, B, B],
        write: "INSERT INTO attempts (seq, delivery, node, action, number, started_at, duration, outcome, detail, stdout, stderr) \
             OVERRIDING SYSTEM VALUE SELECT seq, id::uuid, '', action::int4, number::int4, started_at, duration, outcome, detail, \
             stdout, stderr FROM unnest($1::int8[], $2::text[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::text[], \
             $8::text[], $9::bytea[], $10::bytea[]) \
             AS s(seq, id, action, number, started_at, duration, outcome, detail, stdout, stderr)",
    },
    Copied {
        read: "SELECT seq, key, rule, event, remember_until FROM dedup_keys WHERE seq > ?1 ORDER BY seq",
        kinds: &[B, T, T, I],
        write: "INSERT INTO dedup_keys (key, rule, event, remember_until) SELECT key, rule, event::uuid, remember_until \
             FROM unnest($1::bytea[], $2::text[], $3::text[], $4::int8[]) AS s(key, rule, event, remember_until)",
    },
    Copied {
        read: "SELECT seq, key, endpoint, event, headers, remember_until FROM sightings WHERE seq > ?1 ORDER BY seq",
        kinds: &[B, T, T, T, I],
        write: "INSERT INTO sightings (key, endpoint, event, headers, remember_until) SELECT key, endpoint, event::uuid, headers, \
             remember_until FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::int8[]) \
             AS s(key, endpoint, event, headers, remember_until)",
    },
    Copied {
        read: "SELECT seq, seq, id, ring, outcome, received_at, endpoint, method, path, query, parameters, client, headers, decode, \
             size, status, reason, decision, proofs, weight, body, lz4_size FROM arrivals WHERE seq > ?1 ORDER BY seq",
        kinds: &[I, T, T, T, I, T, T, T, T, T, T, T, T, I, I, T, T, T, I, Z],
        write: "INSERT INTO arrivals (seq, id, node, ring, outcome, received_at, endpoint, method, path, query, parameters, client, \
                 headers, decode, size, status, reason, decision, proofs, weight, body) OVERRIDING SYSTEM VALUE \
             SELECT seq, id::uuid, '', ring, outcome, received_at, endpoint, method, path, query, parameters, client, headers, decode, \
                 size, status::int4, reason, decision, proofs, weight, body FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], \
                 $5::int8[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], \
                 $14::int8[], $15::int8[], $16::text[], $17::text[], $18::text[], $19::int8[], $20::bytea[]) \
             AS s(seq, id, ring, outcome, received_at, endpoint, method, path, query, parameters, client, headers, decode, size, status, \
                 reason, decision, proofs, weight, body)",
    },
    Copied {
        read: "SELECT * FROM (SELECT row_number() OVER (ORDER BY endpoint, scheme, source) AS n, endpoint, scheme, source, last_matched \
             FROM secrets) WHERE n > ?1 ORDER BY n",
        kinds: &[T, T, T, I],
        write: "INSERT INTO secrets (endpoint, scheme, source, last_matched) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[])",
    },
    Copied {
        read: "SELECT * FROM (SELECT row_number() OVER (ORDER BY kind, name) AS n, kind, name, since, paused_by FROM pauses) \
             WHERE n > ?1 ORDER BY n",
        kinds: &[T, T, I, T],
        write: "INSERT INTO pauses (kind, name, since, paused_by) SELECT * FROM unnest($1::text[], $2::text[], $3::int8[], $4::text[])",
    },
    Copied {
        read: "SELECT * FROM (SELECT row_number() OVER (ORDER BY kind, name) AS n, kind, name, since, last_arrival, noticed_at \
             FROM expectations) WHERE n > ?1 ORDER BY n",
        kinds: &[T, T, I, I, I],
        write: "INSERT INTO expectations (kind, name, since, last_arrival, noticed_at) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[], $5::int8[])",
    },
];

/// Copies the stopped store at `path` into an empty one, and makes its tables if they are missing.
/// Returns the numbers of rows.
pub fn move_from(target: &Arc<Target>, path: &Path) -> Result<Counts, StoreError> {
    let export = Export::open(path)?;
    let reader = Reader::connect(target).map_err(failed)?;
    reader
        .ask(async move |link| {
            schema::prepare(link, target).await?;
            current(link, target).await?;
            link.run(BEGIN).await?;
            let used = link.query(IS_USED, &[]).await?;
            if used.first().is_none_or(|read| read.get(0)) {
                let detail = format!("the store `{target}` is not empty");
                return Err(StoreError::Unexpected { detail }.into());
            }
            for table in TABLES {
                copy(link, &export, table).await?;
            }
            link.query(NUMBER_ON, &[]).await?;
            let counts = sum(link).await?;
            link.run("COMMIT").await?;
            Ok(counts)
        })
        .map_err(failed)
}

async fn copy(link: &Link, export: &Export, table: &Copied) -> Result<(), Failure> {
    let mut batches = export.rows(table.read, table.kinds);
    while let Some(mut columns) = batches.next()? {
        for column in &mut columns {
            if let ColumnValues::Texts(texts) = column {
                texts.iter_mut().flatten().for_each(clean);
            }
        }
        let parameters: Vec<&(dyn ToSql + Sync)> = columns
            .iter()
            .map(|column| match column {
                ColumnValues::Integers(values) => values as &(dyn ToSql + Sync),
                ColumnValues::Texts(values) => values,
                ColumnValues::Blobs(values) => values,
            })
            .collect();
        link.execute(table.write, &parameters).await?;
    }
    Ok(())
}

/// Counts everything, and sets the sums.
async fn sum(link: &Link) -> Result<Counts, Failure> {
    let counted = link.query(COUNTED, &[]).await?;
    let read = counted
        .first()
        .ok_or_else(|| Failure::unexpected("nothing was counted"))?;
    let sums: Result<Vec<i64>, Failure> = (0..7).map(|column| Ok(read.try_get(column)?)).collect();
    let sums = sums?;
    let parameters: Vec<&(dyn ToSql + Sync)> = sums.iter().map(|sum| sum as &(dyn ToSql + Sync)).collect();
    link.execute(SUM, &parameters).await?;
    super::check::counted(link, read).await
}
