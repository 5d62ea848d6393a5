//! Pauses of rules and targets.

use rusqlite::{Connection, params};

use super::write_op::{Batch, WriteError, WriteOp};
use crate::base::clock::Timestamp;
use crate::store::{Pause, PauseSubject};

const PAUSE: &str =
    "INSERT INTO pauses (kind, name, since, paused_by) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";

const RESUME: &str = "DELETE FROM pauses WHERE kind = ?1 AND name = ?2";

const LIST: &str = "SELECT kind, name, since, paused_by FROM pauses ORDER BY kind, name";

/// A write of a pause. Answers whether it is new.
pub(super) struct SetPause(pub Pause);

impl WriteOp for SetPause {
    type Output = bool;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<bool, WriteError> {
        let Pause { subject, since, by } = &self.0;
        let row = params![subject.kind(), subject.name(), since.as_millis(), by];
        Ok(batch.connection.prepare_cached(PAUSE)?.execute(row)? > 0)
    }
}

/// The end of a pause. Answers whether there was one.
pub(super) struct EndPause(pub PauseSubject);

impl WriteOp for EndPause {
    type Output = bool;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<bool, WriteError> {
        let row = params![self.0.kind(), self.0.name()];
        Ok(batch.connection.prepare_cached(RESUME)?.execute(row)? > 0)
    }
}

pub(super) fn list(connection: &Connection) -> rusqlite::Result<Vec<Pause>> {
    let mut list = connection.prepare_cached(LIST)?;
    let read = list.query_map([], |row| {
        let (kind, name): (String, String) = (row.get(0)?, row.get(1)?);
        let (since, by): (i64, String) = (row.get(2)?, row.get(3)?);
        // The constraint of the table allows no other kind.
        Ok(PauseSubject::from_columns(&kind, &name).map(|subject| Pause {
            subject,
            since: Timestamp::from_millis(since),
            by: by.into(),
        }))
    })?;
    read.filter_map(Result::transpose).collect()
}
