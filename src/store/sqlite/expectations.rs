//! Expected arrivals.

use rusqlite::{Connection, params};

use super::write_op::{Batch, WriteError, WriteOp};
use crate::base::clock::Timestamp;
use crate::store::{Expectation, ExpectationSubject};

const KEEP: &str = "INSERT OR REPLACE INTO expectations (kind, name, since, last_arrival, noticed_at) \
     VALUES (?1, ?2, ?3, ?4, ?5)";

const FORGET: &str = "DELETE FROM expectations WHERE kind = ?1 AND name = ?2";

const LIST: &str = "SELECT kind, name, since, last_arrival, noticed_at FROM expectations ORDER BY kind, name";

/// A write of changed expectations, and of those that are gone.
pub(super) struct NoteExpectations {
    pub kept: Vec<Expectation>,
    pub forgotten: Vec<ExpectationSubject>,
}

impl WriteOp for NoteExpectations {
    type Output = ();

    fn apply(&self, batch: &mut Batch<'_>) -> Result<(), WriteError> {
        let mut forget = batch.connection.prepare_cached(FORGET)?;
        for subject in &self.forgotten {
            forget.execute(params![subject.kind(), subject.name()])?;
        }
        let mut keep = batch.connection.prepare_cached(KEEP)?;
        for known in &self.kept {
            keep.execute(params![
                known.subject.kind(),
                known.subject.name(),
                known.since.as_millis(),
                known.last_arrival.map(Timestamp::as_millis),
                known.noticed_at.map(Timestamp::as_millis),
            ])?;
        }
        Ok(())
    }
}

pub(super) fn list(connection: &Connection) -> rusqlite::Result<Vec<Expectation>> {
    let mut list = connection.prepare_cached(LIST)?;
    let read = list.query_map([], |row| {
        let (kind, name): (String, String) = (row.get(0)?, row.get(1)?);
        let since = Timestamp::from_millis(row.get(2)?);
        let last_arrival = row.get::<_, Option<i64>>(3)?.map(Timestamp::from_millis);
        let noticed_at = row.get::<_, Option<i64>>(4)?.map(Timestamp::from_millis);
        // The constraint of the table allows no other kind.
        let subject = ExpectationSubject::from_columns(&kind, &name);
        Ok(subject.map(|subject| Expectation {
            subject,
            since,
            last_arrival,
            noticed_at,
        }))
    })?;
    read.filter_map(Result::transpose).collect()
}
