//! Consistency of a store: the rows agree with each other and with the sums, and each of them can be
//! read.
//!
//! The server holds the constraints of the schema by itself. These checks hold what is written in
//! the comments of `schema.sql`.

use std::sync::Arc;

use tokio_postgres::Row;
use uuid::Uuid;

use super::History;
use crate::event::{Decision, EventId};
use crate::store::columns::{self, Unreadable, integer};
use crate::store::postgres::failure::Failure;
use crate::store::postgres::link::Link;
use crate::store::postgres::target::Target;
use crate::store::postgres::{arrivals, reading, request_rows, row};
use crate::store::{CheckReport, Counts, StoreError};

/// Maximum unreadable rows of a table that are reported.
const UNREADABLE: usize = 5;

/// Rows that are read at once.
const PAGE: usize = 200;

/// The whole store is read, in its order on disk.
const PATIENT: &str = "SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on";

const SIZE: &str = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c \
     JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'";

/// The sums as they must be, in the order of [`SUMS`].
pub(super) const COUNTED: &str = "SELECT (SELECT count(*) FROM queue WHERE state <> 'dropped'), \
     (SELECT count(*) FROM ended WHERE state <> 'dead' OR failure_of IS NOT NULL), \
     (SELECT count(*) FROM ended WHERE state = 'dead' AND failure_of IS NULL), (SELECT count(*) FROM events), \
     (SELECT count(*) FROM dedup_keys), (SELECT count(*) FROM sightings), \
     (SELECT coalesce(sum(kept), 0)::bigint FROM events)";

const SUMS: &str = "SELECT coalesce(sum(pending), 0)::bigint, coalesce(sum(done), 0)::bigint, \
     coalesce(sum(dead), 0)::bigint, coalesce(sum(events), 0)::bigint, coalesce(sum(dedup_keys), 0)::bigint, \
     coalesce(sum(sightings), 0)::bigint, coalesce(sum(bytes), 0)::bigint FROM tally";

/// Names of the sums.
const NAMES: [&str; 7] = [
    "deliveries that have not ended",
    "deliveries that have ended",
    "dead letters",
    "events",
    "dedup keys",
    "sightings",
    "bytes of events",
];

const EVENTS: &str = "SELECT id, decision FROM events WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2";

const ARRIVALS: &str =
    "SELECT id, weight FROM arrivals WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2";

/// An inconsistency: its name, and a query for the number of rows that have it and one of them.
macro_rules! inconsistencies {
    ($($what:literal: $rows:literal,)+) => {
        &[$(($what, concat!("SELECT count(*), min(id::text) FROM (", $rows, ") AS rows(id)"))),+]
    };
}

const INCONSISTENCIES: &[(&str, &str)] = inconsistencies! {
    "deliveries without an event":
        "SELECT id FROM deliveries d WHERE NOT EXISTS (SELECT 1 FROM events WHERE id = d.event)",
    "deliveries that have ended and wait":
        "SELECT q.id FROM queue q JOIN ended e ON e.id = q.id WHERE q.state <> 'dropped'",
    "dropped deliveries that have not ended":
        "SELECT id FROM queue q WHERE state = 'dropped' AND NOT EXISTS (SELECT 1 FROM ended WHERE id = q.id)",
    "dropped deliveries that no node has":
        "SELECT id FROM queue WHERE state = 'dropped' AND node IS NULL",
    "leased deliveries of a node that is gone":
        "SELECT id FROM queue q WHERE node IS NOT NULL AND NOT EXISTS (SELECT 1 FROM nodes WHERE id = q.node)",
    "leases without a node or a time":
        "SELECT id FROM queue WHERE (lease IS NOT NULL AND node IS NULL) OR (lease IS NOT NULL AND leased_at IS NULL)",
    "leased deliveries that wait for their turn":
        "SELECT id FROM queue WHERE lease > 0 AND state NOT IN ('ready', 'dropped')",
    "events without a delivery":
        "SELECT id FROM events e WHERE NOT EXISTS (SELECT 1 FROM queue WHERE event = e.id) \
         AND NOT EXISTS (SELECT 1 FROM ended WHERE event = e.id)",
    "events without a request":
        "SELECT id FROM events e WHERE NOT EXISTS (SELECT 1 FROM requests WHERE event = e.id AND day = e.day) \
         AND NOT EXISTS (SELECT 1 FROM requests_kept WHERE event = e.id)",
    "events whose size is not that of their body":
        "SELECT id FROM events e WHERE size <> coalesce((SELECT length(body) FROM requests WHERE event = e.id AND day = e.day), \
         (SELECT length(body) FROM requests_kept WHERE event = e.id), size)",
    "events that are also recorded as arrivals without an event":
        "SELECT id FROM arrivals WHERE id IN (SELECT id FROM events) OR outcome = 'accepted'",
    "deliveries that ended without a reason":
        "SELECT id FROM ended WHERE reason IS NULL AND state IN ('superseded', 'dead')",
    "debounced deliveries without the arrival of the first":
        "SELECT id FROM queue WHERE state = 'debounced' AND debounced_since IS NULL",
    "deliveries that wait in a group without a name or a limit":
        "SELECT id FROM queue WHERE (group_key IS NULL AND state = 'queued') OR (group_key IS NOT NULL AND group_limit < 1)",
    "groups whose next delivery waits although the limit allows it":
        "SELECT min(id::text) FROM queue WHERE group_key IS NOT NULL AND state <> 'debounced' GROUP BY group_key \
         HAVING bool_and(state = 'queued')",
    "deliveries with a running attempt although no node has them":
        "SELECT id FROM queue WHERE begun_at IS NOT NULL AND (state <> 'ready' OR node IS NULL)",
    "deliveries whose interruptions have no time":
        "SELECT id FROM queue WHERE interruptions > 0 AND interrupted_at IS NULL",
    "deliveries with an impossible action, attempt or replay":
        "SELECT id FROM deliveries WHERE action < 0 OR attempt < 1 OR replays < 0",
    "deliveries whose replays are not among their attempts":
        "SELECT id FROM deliveries d WHERE replays <> \
         (SELECT count(*) FROM attempts WHERE delivery = d.id AND outcome = 'replayed')",
    "deliveries for a failure that is not recorded, or with one that is not theirs":
        "SELECT id FROM deliveries d WHERE (failure_of IS NOT NULL) <> EXISTS (SELECT 1 FROM failures WHERE delivery = d.id) \
         OR EXISTS (SELECT 1 FROM deliveries f WHERE f.id = d.failure_of AND f.event <> d.event)",
    "deliveries of an impossible element, or for a failure of another element":
        "SELECT id FROM deliveries d WHERE item < 0 \
         OR EXISTS (SELECT 1 FROM deliveries f WHERE f.id = d.failure_of AND f.item IS DISTINCT FROM d.item)",
    "failures without a delivery":
        "SELECT delivery FROM failures f WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE id = f.delivery)",
    "attempts without a delivery, or with an impossible action, number or duration":
        "SELECT delivery FROM attempts a WHERE action < 0 OR number < 1 OR duration < 0 \
         OR NOT EXISTS (SELECT 1 FROM deliveries WHERE id = a.delivery)",
    "dedup keys without a key":
        "SELECT event FROM dedup_keys WHERE length(key) = 0",
    "sightings without a key":
        "SELECT event FROM sightings WHERE length(key) = 0",
    "pauses without a name, a time or a user":
        "SELECT name FROM pauses WHERE name = '' OR since < 0 OR paused_by = ''",
    "expectations without a name or a time":
        "SELECT name FROM expectations WHERE name = '' OR since < 0 OR last_arrival < 0 OR noticed_at < 0",
};

/// Checks the whole store. Nodes may use it.
pub fn check(target: &Arc<Target>) -> Result<CheckReport, StoreError> {
    let history = History::open(target)?;
    history.ask(async |link| {
        link.run(PATIENT).await?;
        let mut faults = Vec::new();
        for (what, sql) in INCONSISTENCIES {
            for read in link.query(sql, &[]).await? {
                let (number, first): (i64, Option<&str>) = (read.try_get(0)?, read.try_get(1)?);
                if number > 0 {
                    faults.push(format!(
                        "{what}: {number}, for example {}",
                        first.unwrap_or_default()
                    ));
                }
            }
        }
        faults.extend(unreadable_events(link).await?);
        faults.extend(unreadable_arrivals(link).await?);
        let (wrong, counts) = counts(link).await?;
        faults.extend(wrong);
        let size = link.query(SIZE, &[&target.schema]).await?;
        Ok(CheckReport {
            faults,
            counts,
            size: size.first().map_or(Ok(0), |read| row::count(read, 0))?,
            free: 0,
        })
    })
}

/// Counts everything, and compares the sums.
async fn counts(link: &Link) -> Result<(Vec<String>, Counts), Failure> {
    let (counted, sums) = (link.query(COUNTED, &[]).await?, link.query(SUMS, &[]).await?);
    let (Some(counted), Some(sums)) = (counted.first(), sums.first()) else {
        return Err(Failure::unexpected("nothing was counted"));
    };
    let mut wrong = Vec::new();
    for (column, name) in NAMES.iter().enumerate() {
        let (is, sum): (i64, i64) = (counted.try_get(column)?, sums.try_get(column)?);
        if is != sum {
            wrong.push(format!("the sum of {name} is {sum} instead of {is}"));
        }
    }
    Ok((wrong, self::counted(link, counted).await?))
}

/// The counts of a row of [`COUNTED`].
pub(super) async fn counted(link: &Link, row: &Row) -> Result<Counts, Failure> {
    Ok(Counts {
        waiting: row::count(row, 0)?,
        leased: 0,
        done: row::count(row, 1)?,
        dead: row::count(row, 2)?,
        events: row::count(row, 3)?,
        dedup_keys: row::count(row, 4)?,
        sightings: row::count(row, 5)?,
        rings: reading::rings(link).await?,
    })
}

/// Reads every event with its request. Stops after [`UNREADABLE`] that cannot be read.
async fn unreadable_events(link: &Link) -> Result<Vec<String>, Failure> {
    let (mut faults, mut last): (_, Option<Uuid>) = (Vec::new(), None);
    while faults.len() < UNREADABLE {
        let page = link.query(EVENTS, &[&last, &integer(PAGE)]).await?;
        let Some(end) = page.last() else { break };
        last = Some(end.try_get(0)?);
        let ids: Result<Vec<EventId>, Failure> = page.iter().map(|read| row::id(read, 0)).collect();
        let requests = request_rows::read(link, &ids?).await?;
        for read in &page {
            let id: EventId = row::id(read, 0)?;
            let request = requests.get(&id).and_then(|request| request.as_ref().err());
            let decision = columns::from_json::<Decision>("decision", read.try_get(1)?).err();
            let why = decision.map(|Unreadable(why)| why);
            let why = request.map(ToString::to_string).or(why);
            faults.extend(why.map(|why| format!("event {id} cannot be read: {why}")));
        }
    }
    faults.truncate(UNREADABLE);
    Ok(faults)
}

/// Reads every record of an arrival, and compares its sizes.
async fn unreadable_arrivals(link: &Link) -> Result<Vec<String>, Failure> {
    let (mut faults, mut last): (_, Option<Uuid>) = (Vec::new(), None);
    while faults.len() < UNREADABLE {
        let page = link.query(ARRIVALS, &[&last, &integer(PAGE)]).await?;
        let Some(end) = page.last() else { break };
        last = Some(end.try_get(0)?);
        for read in &page {
            let id: EventId = row::id(read, 0)?;
            match arrivals::read(link, id).await {
                Ok(record) => {
                    let weight = row::count(read, 1)?;
                    faults.extend(record.iter().flat_map(|record| record.wrong_sizes(weight)));
                }
                Err(Failure::Failed(StoreError::Unexpected { detail })) => {
                    faults.push(format!("arrival {id} cannot be read: {detail}"));
                }
                Err(other) => return Err(other),
            }
        }
    }
    faults.truncate(UNREADABLE);
    Ok(faults)
}
