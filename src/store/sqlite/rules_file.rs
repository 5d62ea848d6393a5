//! The rules file that uses the store, and the rules that have waiting deliveries.

use std::path::{Path, PathBuf};

use rusqlite::OptionalExtension;

use super::write_op::{Batch, WriteError, WriteOp};
use super::{Answer, SqliteStore};

const READ: &str = "SELECT value FROM meta WHERE key = 'rules'";

const WRITE: &str = "INSERT INTO meta (key, value) VALUES ('rules', ?1) \
     ON CONFLICT (key) DO UPDATE SET value = excluded.value";

const WAITING: &str = "SELECT rule, count(*) FROM deliveries WHERE state IN ('debounced', 'queued', 'ready') GROUP BY rule ORDER BY rule";

/// A write of the path of the rules file.
struct Remember(String);

impl WriteOp for Remember {
    type Output = ();

    fn apply(&self, batch: &mut Batch<'_>) -> Result<(), WriteError> {
        batch.connection.execute(WRITE, [&self.0])?;
        Ok(())
    }
}

impl SqliteStore {
    /// The rules file that used the store last. `None` if no daemon has recorded one.
    pub fn rules_file(&self) -> Answer<'_, Option<PathBuf>> {
        self.read(|writer| {
            let connection = &writer.file.connection;
            let found = connection.query_row(READ, [], |row| row.get::<_, String>(0));
            let found = found.optional().map_err(|error| writer.map_error(&error))?;
            Ok(found.map(PathBuf::from))
        })
    }

    /// Records the rules file that uses the store from now on.
    pub fn set_rules_file(&self, path: &Path) -> Answer<'_, ()> {
        let path = path.to_string_lossy().into_owned();
        self.write(move || Remember(path))
    }

    /// The rules that have waiting deliveries, by name, with their number. Reads all waiting
    /// deliveries.
    pub fn pending_by_rule(&self) -> Answer<'_, Vec<(String, u64)>> {
        self.read(|writer| {
            let read = || {
                let mut waiting = writer.file.connection.prepare(WAITING)?;
                let read = waiting.query_map([], |row| {
                    let count: i64 = row.get(1)?;
                    Ok((row.get(0)?, u64::try_from(count).unwrap_or(0)))
                })?;
                read.collect::<rusqlite::Result<_>>()
            };
            read().map_err(|error| writer.map_error(&error))
        })
    }
}
