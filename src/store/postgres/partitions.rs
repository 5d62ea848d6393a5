//! The tables of requests, one for each day. A past day is dropped at once, which costs a hundredth
//! of deleting its rows.
//!
//! Tables are made ahead. If one is missing, `requests_rest` takes the rows of its day. Days are
//! those of the server's clock. Before a table is dropped, the requests of events that are still
//! kept are copied to `requests_kept`.

use std::time::Duration;

use parking_lot::Mutex;
use uuid::Uuid;

use super::failure::Failure;
use super::link::Link;
use crate::store::Keep;
use crate::store::columns::integer;
use crate::store::decide::retention::StepBudget;

const DAY: Duration = Duration::from_hours(24);

/// Retention from which requests are not deleted but go with the table of their day.
const LONG: Duration = Duration::from_hours(48);

/// Maximum rows of a past day that one statement looks at.
const LOOKED_AT: usize = 10_000;

/// Maximum statements of one sweep that look at rows of a past day.
const LOOKS: usize = 100;

/// Days for which tables are made: yesterday, and a week ahead. A day that `requests_rest` has rows
/// of gets no table any more.
const MISSING: &str = "SELECT d.day::text, (d.day + 1)::text, 'requests_' || to_char(d.day, 'YYYYMMDD') \
     FROM (SELECT (now() AT TIME ZONE 'utc')::date + n AS day FROM generate_series(-1, 7) n) d \
     WHERE to_regclass('requests_' || to_char(d.day, 'YYYYMMDD')) IS NULL \
     AND NOT EXISTS (SELECT 1 FROM requests_rest r WHERE r.day = d.day) ORDER BY d.day";

/// The earliest table of a day that is more than $1 days ago.
const PAST: &str = "SELECT to_date(right(c.relname, 8), 'YYYYMMDD')::text, c.relname::text \
     FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
     WHERE i.inhparent = 'requests'::regclass AND c.relname ~ '^requests_[0-9]{8}$' \
     AND (now() AT TIME ZONE 'utc')::date - to_date(right(c.relname, 8), 'YYYYMMDD') > $1 ORDER BY c.relname LIMIT 1";

/// The last of the next rows of a day.
const LAST_OF: &str =
    "SELECT event FROM requests WHERE day = $1::text::date AND event > $2 ORDER BY event OFFSET $3 LIMIT 1";

/// The requests of a day that are still needed.
const NEEDED: &str = "SELECT r.event, e.kept FROM requests r JOIN events e ON e.id = r.event \
     WHERE r.day = $1::text::date AND r.event > $2 AND r.event <= $3 ORDER BY r.event";

const COPY: &str = "INSERT INTO requests_kept (event, headers, body) SELECT r.event, r.headers, r.body \
     FROM requests r JOIN events e ON e.id = r.event WHERE r.day = $1::text::date AND r.event = ANY ($2) \
     FOR KEY SHARE OF e ON CONFLICT (event) DO NOTHING";

const DELETE_ROWS: &str = "DELETE FROM requests WHERE event = ANY ($1)";

const DELETE_REST: &str = "DELETE FROM requests_rest WHERE event = ANY ($1)";

/// The table of a past day whose requests are being copied, and the last event that was looked at.
#[derive(Debug, Default)]
pub(super) struct Moved(Mutex<Option<(String, Uuid)>>);

impl Moved {
    fn after(&self, table: &str) -> Uuid {
        match &*self.0.lock() {
            Some((moved, last)) if moved == table => *last,
            _ => Uuid::nil(),
        }
    }

    fn note(&self, table: &str, last: Uuid) {
        *self.0.lock() = Some((table.to_owned(), last));
    }
}

/// The statement that deletes the requests of events that are forgotten.
pub(super) fn delete_statement(keep: &Keep) -> &'static str {
    if keep.done < LONG {
        DELETE_ROWS
    } else {
        DELETE_REST
    }
}

/// Makes the tables of the coming days that are missing.
pub(super) async fn make(link: &Link) -> Result<(), Failure> {
    for missing in link.query(MISSING, &[]).await? {
        let (day, next, table): (&str, &str, &str) =
            (missing.try_get(0)?, missing.try_get(1)?, missing.try_get(2)?);
        // `ATTACH` does not stop new events, as `CREATE TABLE … PARTITION OF` would.
        let made = define(
            link,
            &format!(
                "CREATE TABLE {table} (LIKE requests INCLUDING ALL); \
                 ALTER TABLE requests ATTACH PARTITION {table} FOR VALUES FROM ('{day}') TO ('{next}')"
            ),
        )
        .await?;
        if !made {
            break;
        }
    }
    Ok(())
}

/// Drops the table of one past day, after copying what is still needed. Goes on where the last call
/// has stopped.
pub(super) async fn drop_one(link: &Link, keep: &Keep, moved: &Moved) -> Result<(), Failure> {
    let days = keep.done.as_secs().div_ceil(DAY.as_secs()) + 1;
    let days = i32::try_from(days).unwrap_or(i32::MAX);
    let past = link.query(PAST, &[&days]).await?;
    let Some(past) = past.first() else {
        return Ok(());
    };
    let (day, table): (&str, &str) = (past.try_get(0)?, past.try_get(1)?);
    let mut after = moved.after(table);
    for _ in 0..LOOKS {
        let offset = integer(LOOKED_AT - 1);
        let last = link.query(LAST_OF, &[&day, &after, &offset]).await?;
        let last: Option<Uuid> = last.first().map(|row| row.try_get(0)).transpose()?;
        copy(link, day, (after, last.unwrap_or(Uuid::max()))).await?;
        let Some(last) = last else {
            return define(link, &format!("DROP TABLE {table}")).await.map(drop);
        };
        moved.note(table, last);
        after = last;
    }
    Ok(())
}

/// Copies the requests of a range of events that are still needed.
async fn copy(link: &Link, day: &str, (after, last): (Uuid, Uuid)) -> Result<(), Failure> {
    let mut events: Vec<Uuid> = Vec::new();
    let mut budget = StepBudget::default();
    for needed in link.query(NEEDED, &[&day, &after, &last]).await? {
        let kept: i64 = needed.try_get(1)?;
        events.push(needed.try_get(0)?);
        budget.spend(1, u64::try_from(kept).unwrap_or(0));
        if !budget.is_left() {
            link.execute(COPY, &[&day, &events]).await?;
            events.clear();
            budget = StepBudget::default();
        }
    }
    link.execute(COPY, &[&day, &events]).await.map(drop)
}

/// Runs a definition, unless others use the table for longer than a moment. New events would have to
/// wait behind it. Returns false if it was undone; a later sweep tries again.
async fn define(link: &Link, definition: &str) -> Result<bool, Failure> {
    let defined = link
        .run(&format!(
            "BEGIN; SET LOCAL lock_timeout = '200ms'; {definition}; COMMIT"
        ))
        .await;
    match defined {
        Ok(()) => Ok(true),
        Err(Failure::Lost(detail)) => Err(Failure::Lost(detail)),
        // Another node makes it at this moment, or reads it. The next sweep looks again.
        Err(Failure::Conflict(_)) => {
            link.run("ROLLBACK").await?;
            Ok(false)
        }
        Err(failure) => {
            link.run("ROLLBACK").await?;
            tracing::warn!(error = %failure.into_error(), "cannot make or drop the table of a day");
            Ok(false)
        }
    }
}
