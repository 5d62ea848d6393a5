//! The arrivals that were written since a tail last looked.
//!
//! The number of a row is given before the row can be seen, so a row may appear behind rows with
//! greater numbers. A tail therefore notes the numbers that are missing, and looks for them again
//! until the transactions that may have them are over.

use super::History;
use super::arrivals::{Rows, end};
use crate::store::columns::integer;
use crate::store::postgres::failure::Failure;
use crate::store::postgres::link::Link;
use crate::store::tail::{LateRows, Tail};
use crate::store::{ArrivalFilter, ListedArrival, StoreError};

/// Numbers before the first position that may belong to transactions which are not over.
const LOOKED_BACK: i64 = 1000;

const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

const EVENTS: &str = "SELECT seq FROM events WHERE (seq > $1 AND seq <= $2) OR seq = ANY ($3::bigint[])";

const RECORDS: &str = "SELECT seq FROM arrivals WHERE (seq > $1 AND seq <= $2) OR seq = ANY ($3::bigint[])";

impl History {
    /// A tail that has read everything.
    pub fn tail(&self) -> Result<Tail, StoreError> {
        self.ask(async |link| {
            let cursor = end(link).await?;
            let now = now(link).await?;
            let mut tail = Tail {
                cursor,
                ..Tail::default()
            };
            for (sql, end, late) in [
                (EVENTS, cursor.events, &mut tail.events),
                (RECORDS, cursor.records, &mut tail.records),
            ] {
                let after = end.saturating_sub(LOOKED_BACK).max(0);
                look(link, sql, (after, end), late, now).await?;
            }
            Ok(tail)
        })
    }

    /// Lists the wanted arrivals that a tail has not seen, of at most `limit` new rows of each kind,
    /// in the order of their ids.
    pub fn arrivals_after(
        &self,
        filter: &ArrivalFilter,
        tail: &mut Tail,
        limit: usize,
    ) -> Result<Vec<ListedArrival>, StoreError> {
        let mut next = tail.clone();
        let (mut listed, next) = self.ask(async move |link| {
            let (end, now) = (end(link).await?, now(link).await?);
            let mut events = Rows::default();
            let mut records = Rows::default();
            for (rows, sql, (seen, end), late) in [
                (
                    &mut events,
                    EVENTS,
                    (&mut next.cursor.events, end.events),
                    &mut next.events,
                ),
                (
                    &mut records,
                    RECORDS,
                    (&mut next.cursor.records, end.records),
                    &mut next.records,
                ),
            ] {
                let after = (*seen).min(end);
                let until = end.min(after.saturating_add(integer(limit)));
                let found = look(link, sql, (after, until), late, now).await?;
                *seen = until;
                *rows = Rows {
                    after,
                    until,
                    late: found,
                };
            }
            Ok((self.in_rows(link, filter, &events, &records).await?, next))
        })?;
        self.add_deliveries(&mut listed)?;
        *tail = next;
        Ok(listed)
    }
}

/// Looks which rows can be seen: those of a range, and late ones. Returns the late ones.
async fn look(
    link: &Link,
    sql: &'static str,
    (after, until): (i64, i64),
    late: &mut LateRows,
    now: i64,
) -> Result<Vec<i64>, Failure> {
    let missing = late.numbers();
    let rows = link.query(sql, &[&after, &until, &missing]).await?;
    let seen: Result<Vec<i64>, Failure> = rows.iter().map(|read| Ok(read.try_get(0)?)).collect();
    Ok(late.note((after, until), &seen?, now))
}

async fn now(link: &Link) -> Result<i64, Failure> {
    let rows = link.query(NOW, &[]).await?;
    let read = rows.first().ok_or_else(|| Failure::unexpected("no time"))?;
    Ok(read.try_get(0)?)
}
