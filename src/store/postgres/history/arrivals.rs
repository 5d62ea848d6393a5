//! Lists of arrivals: events and records of both rings, merged by id.

use tokio_postgres::Row;
use uuid::Uuid;

use super::{History, damaged, status};
use crate::base::clock::Timestamp;
use crate::event::{ArrivalOutcome, EventId};
use crate::store::columns::{self, integer, parsed};
use crate::store::postgres::failure::Failure;
use crate::store::postgres::link::Link;
use crate::store::postgres::row;
use crate::store::{ArrivalFilter, ArrivalWindow, ListedArrival, StoreError, TailCursor};

/// A statement for the wanted arrivals: `$1` to `$9` are the [`Wanted`] ones. The conditions on their
/// ids or rows follow, and the order of those that are read. Headers are looked up for these only.
macro_rules! arrivals {
    ($events:literal, $records:literal, $order:literal) => {
        concat!(
            "SELECT w.id, w.received_at, w.endpoint, w.client, w.outcome, w.status, w.reason, w.is_replay, w.operator, \
                 w.method, coalesce(w.headers, r.headers, k.headers, '[]'), w.size FROM ( \
                 SELECT * FROM ( \
                     SELECT id, day, received_at, endpoint, client, CASE WHEN is_replay THEN 'ignored' \
                         WHEN fired_by IS NOT NULL THEN 'fired' ELSE 'accepted' END AS outcome, status, \
                         coalesce(answer_error, '') AS reason, is_replay, fired_by AS operator, method, \
                         NULL AS headers, size FROM events e WHERE $8::boolean AND ",
            $events,
            " AND (($5::text IS NULL AND $6::text IS NULL) OR EXISTS (SELECT 1 FROM deliveries d WHERE d.event = e.id \
                     AND ($5 IS NULL OR d.rule = $5) AND ($6 IS NULL OR (CASE WHEN d.state IN ('debounced', 'queued', 'ready') \
                         THEN 'waiting' ELSE d.state END = $6 AND ($6 <> 'dead' OR d.failure_of IS NULL))))) \
                 UNION ALL \
                     SELECT id, NULL, received_at, endpoint, client, outcome, status, reason, false, NULL, method, \
                         headers, size FROM arrivals WHERE $9::boolean AND ",
            $records,
            ") a WHERE ($1::text IS NULL OR outcome = $1) AND ($2::text IS NULL OR endpoint = $2) \
                 AND ($3::bigint IS NULL OR received_at >= $3) AND ($4::bigint IS NULL OR received_at < $4) \
                 AND ($7::text IS NULL OR regexp_replace(client, '^::ffff:([0-9.]+)$', '\\1')::inet <<= $7::text::inet) ",
            $order,
            ") w LEFT JOIN requests r ON r.event = w.id AND r.day = w.day LEFT JOIN requests_kept k ON k.event = w.id "
        )
    };
}

const WINDOW: &str = concat!(
    arrivals!(
        "($10::uuid IS NULL OR id >= $10) AND ($11::uuid IS NULL OR id < $11)",
        "($10 IS NULL OR id >= $10) AND ($11 IS NULL OR id < $11)",
        "ORDER BY id DESC LIMIT $12"
    ),
    "ORDER BY w.id DESC"
);

const AFTER: &str = concat!(
    arrivals!(
        "((seq > $10 AND seq <= $11) OR seq = ANY ($12::bigint[]))",
        "((seq > $13 AND seq <= $14) OR seq = ANY ($15::bigint[]))",
        ""
    ),
    "ORDER BY w.id"
);

const LAST_EVENT: &str =
    "SELECT id FROM events WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT 1 OFFSET $2";

const LAST_RECORD: &str =
    "SELECT id FROM arrivals WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT 1 OFFSET $2";

const END: &str =
    "SELECT (SELECT coalesce(max(seq), 0) FROM events), (SELECT coalesce(max(seq), 0) FROM arrivals)";

/// The values of a filter.
struct Wanted {
    outcome: Option<&'static str>,
    since: Option<i64>,
    until: Option<i64>,
    network: Option<String>,
    events: bool,
    records: bool,
}

impl Wanted {
    fn of(filter: &ArrivalFilter) -> Self {
        Self {
            outcome: filter.outcome.map(ArrivalOutcome::name),
            since: filter.since.map(Timestamp::as_millis),
            until: filter.until.map(Timestamp::as_millis),
            network: filter.client.map(|network| network.trunc().to_string()),
            events: filter.may_be_event(),
            records: filter.may_be_record(),
        }
    }
}

/// Rows of one table that are read: those after one row up to another, and some before.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub after: i64,
    pub until: i64,
    pub late: Vec<i64>,
}

impl History {
    /// Lists the wanted arrivals of the latest `rows` before an id, newest first, at most `limit`.
    pub fn arrivals_in_window(
        &self,
        filter: &ArrivalFilter,
        before: Option<EventId>,
        rows: usize,
        limit: usize,
    ) -> Result<ArrivalWindow, StoreError> {
        let wanted = Wanted::of(filter);
        let before = filter.end(before).map(Uuid::from);
        let skipped = integer(rows.saturating_sub(1));
        self.ask(async |link| {
            let mut last: Vec<EventId> = Vec::new();
            for (sql, is_wanted) in [(LAST_EVENT, wanted.events), (LAST_RECORD, wanted.records)] {
                if is_wanted {
                    for read in link.query(sql, &[&before, &skipped]).await? {
                        last.push(row::id(&read, 0)?);
                    }
                }
            }
            let floor = filter.floor(last);
            let from = filter.start(floor).map(Uuid::from);
            let read = link
                .query(
                    WINDOW,
                    &[
                        &wanted.outcome,
                        &filter.endpoint,
                        &wanted.since,
                        &wanted.until,
                        &filter.rule,
                        &filter.state,
                        &wanted.network,
                        &wanted.events,
                        &wanted.records,
                        &from,
                        &before,
                        &integer(limit),
                    ],
                )
                .await?;
            let arrivals: Result<_, Failure> = read.iter().map(|read| self.listed(read)).collect();
            Ok(ArrivalWindow {
                arrivals: arrivals?,
                floor,
            })
        })
    }

    /// Lists arrivals that were written after a cursor, in the order of their ids, and moves the
    /// cursor behind them.
    pub fn listed_after(
        &self,
        filter: &ArrivalFilter,
        cursor: &mut TailCursor,
        limit: usize,
    ) -> Result<Vec<ListedArrival>, StoreError> {
        let end = self.tail_cursor()?;
        let range = |seen: i64, end: i64| {
            let after = seen.min(end);
            Rows {
                after,
                until: end.min(after.saturating_add(integer(limit))),
                late: Vec::new(),
            }
        };
        let events = range(cursor.events, end.events);
        let records = range(cursor.records, end.records);
        let listed = self.ask(async |link| self.in_rows(link, filter, &events, &records).await)?;
        // Without the rows of a kind that is not wanted, that kind is read to its end.
        cursor.events = if filter.may_be_event() {
            events.until
        } else {
            end.events
        };
        cursor.records = if filter.may_be_record() {
            records.until
        } else {
            end.records
        };
        Ok(listed)
    }

    /// The position of a tail that has read everything.
    pub fn tail_cursor(&self) -> Result<TailCursor, StoreError> {
        self.ask(end)
    }

    /// Lists the wanted arrivals among rows, in the order of their ids.
    pub(super) async fn in_rows(
        &self,
        link: &Link,
        filter: &ArrivalFilter,
        events: &Rows,
        records: &Rows,
    ) -> Result<Vec<ListedArrival>, Failure> {
        let wanted = Wanted::of(filter);
        let read = link
            .query(
                AFTER,
                &[
                    &wanted.outcome,
                    &filter.endpoint,
                    &wanted.since,
                    &wanted.until,
                    &filter.rule,
                    &filter.state,
                    &wanted.network,
                    &wanted.events,
                    &wanted.records,
                    &events.after,
                    &events.until,
                    &events.late,
                    &records.after,
                    &records.until,
                    &records.late,
                ],
            )
            .await?;
        read.iter().map(|read| self.listed(read)).collect()
    }

    fn listed(&self, read: &Row) -> Result<ListedArrival, Failure> {
        let is_replayed: bool = read.try_get(7)?;
        let operator: Option<String> = read.try_get(8)?;
        let (outcome, headers) = (read.try_get(4)?, read.try_get(10)?);
        let columns = || Ok((parsed("outcome", outcome)?, columns::headers(headers)?));
        let (outcome, headers) = columns().map_err(|unreadable| damaged(self.target(), unreadable))?;
        Ok(ListedArrival {
            id: row::id(read, 0)?,
            received_at: row::time(read, 1)?,
            endpoint: read.try_get(2)?,
            client: read.try_get(3)?,
            method: read.try_get(9)?,
            headers,
            size: row::count(read, 11)?,
            outcome,
            status: status(read.try_get(5)?),
            reason: read.try_get(6)?,
            is_replayed,
            replayed_by: operator.clone().filter(|_| is_replayed),
            fired_by: operator.filter(|_| !is_replayed),
            deliveries: Vec::new(),
        })
    }
}

/// The last rows of both tables.
pub(super) async fn end(link: &Link) -> Result<TailCursor, Failure> {
    let rows = link.query(END, &[]).await?;
    let read = rows.first().ok_or_else(|| Failure::unexpected("no end"))?;
    Ok(TailCursor {
        events: read.try_get(0)?,
        records: read.try_get(1)?,
    })
}
