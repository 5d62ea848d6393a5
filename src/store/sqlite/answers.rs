//! Marks on events whose answer was not sent as the rules state it.

use rusqlite::params;

use super::write_op::{Batch, WriteError, WriteOp};
use crate::event::EventId;

const MARK: &str = "UPDATE events SET answer_error = ?2 WHERE id = ?1";

/// A write of the reason why the stated body was not sent. Without the event nothing is written.
pub(super) struct MarkAnswer {
    pub event: EventId,
    pub why: String,
}

impl WriteOp for MarkAnswer {
    type Output = ();

    fn apply(&self, batch: &mut Batch<'_>) -> Result<(), WriteError> {
        let mut mark = batch.connection.prepare_cached(MARK)?;
        mark.execute(params![self.event.to_string(), self.why])?;
        Ok(())
    }
}
