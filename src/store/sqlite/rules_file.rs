//! Which rules file uses the store, and for which rules deliveries wait.

use std::path::{Path, PathBuf};

use rusqlite::OptionalExtension;

use super::change::{Batch, WriteError, WriteOp};
use super::{Answer, SqliteStore};

const READ: &str = "SELECT value FROM meta WHERE key = 'rules'";

const WRITE: &str = "INSERT INTO meta (key, value) VALUES ('rules', ?1) \
     ON CONFLICT (key) DO UPDATE SET value = excluded.value";

const WAITING: &str =
    "SELECT rule, count(*) FROM deliveries WHERE state = 'waiting' GROUP BY rule ORDER BY rule";

/// A rules file to be remembered.
struct Remember(String);

impl WriteOp for Remember {
    type Output = ();

    fn apply(&self, batch: &mut Batch<'_>) -> Result<(), WriteError> {
        batch.connection.execute(WRITE, [&self.0])?;
        Ok(())
    }
}

impl SqliteStore {
    /// The rules file that used the store last; none: no daemon has, or one that did not write it down.
    pub fn rules_file(&self) -> Answer<'_, Option<PathBuf>> {
        self.read(|writer| {
            let connection = &writer.file.connection;
            let found = connection.query_row(READ, [], |row| row.get::<_, String>(0));
            let found = found.optional().map_err(|error| writer.meaning(&error))?;
            Ok(found.map(PathBuf::from))
        })
    }

    /// From now on this rules file uses the store.
    pub fn set_rules_file(&self, path: &Path) -> Answer<'_, ()> {
        let path = path.to_string_lossy().into_owned();
        self.write(move || Remember(path))
    }

    /// The rules for which deliveries wait, by name, and how many. It reads all that wait.
    pub fn rules_owed(&self) -> Answer<'_, Vec<(String, u64)>> {
        self.read(|writer| {
            let read = || {
                let mut waiting = writer.file.connection.prepare(WAITING)?;
                let read = waiting.query_map([], |row| {
                    let count: i64 = row.get(1)?;
                    Ok((row.get(0)?, u64::try_from(count).unwrap_or(0)))
                })?;
                read.collect::<rusqlite::Result<_>>()
            };
            read().map_err(|error| writer.meaning(&error))
        })
    }
}
