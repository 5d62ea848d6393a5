//! The last use of each secret.

use std::path::Path;

use rusqlite::{Connection, params};

use super::access::map_error;
use super::columns;
use super::validate::{check_header, read_only};
use super::write_op::{Batch, WriteError, WriteOp};
use crate::base::clock::Timestamp;
use crate::store::{SECRETS_KEPT, SecretUse, StoreError};

const NOTE: &str = "INSERT INTO secrets (endpoint, scheme, source, last_matched) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT DO UPDATE SET last_matched = max(last_matched, excluded.last_matched)";

/// Deletes the secrets whose last use is longest ago.
const TRIM: &str = "DELETE FROM secrets WHERE (endpoint, scheme, source) IN \
     (SELECT endpoint, scheme, source FROM secrets \
      ORDER BY last_matched DESC, endpoint, scheme, source LIMIT -1 OFFSET ?1)";

const LIST: &str =
    "SELECT endpoint, scheme, source, last_matched FROM secrets ORDER BY endpoint, scheme, source";

/// A write of secret uses.
pub(super) struct NoteSecrets(pub Vec<SecretUse>);

impl WriteOp for NoteSecrets {
    type Output = ();

    fn apply(&self, batch: &mut Batch<'_>) -> Result<(), WriteError> {
        let mut note = batch.connection.prepare_cached(NOTE)?;
        for used in &self.0 {
            let at = used.last_matched.as_millis();
            note.execute(params![used.endpoint, used.scheme, used.source, at])?;
        }
        let kept = columns::integer(SECRETS_KEPT);
        batch.connection.prepare_cached(TRIM)?.execute([kept])?;
        Ok(())
    }
}

/// Lists the secrets of a store that a daemon may have open. Returns `None` if the file is
/// missing.
pub fn read(path: &Path) -> Result<Option<Vec<SecretUse>>, StoreError> {
    check_header(path)?;
    if !path.exists() {
        return Ok(None);
    }
    let connection = read_only(path)?;
    let store_error = |error: rusqlite::Error| map_error(path, &error);
    list(&connection).map(Some).map_err(store_error)
}

pub(super) fn list(connection: &Connection) -> rusqlite::Result<Vec<SecretUse>> {
    let mut list = connection.prepare_cached(LIST)?;
    let read = list.query_map([], |row| {
        Ok(SecretUse {
            endpoint: row.get::<_, String>(0)?.into(),
            scheme: row.get::<_, String>(1)?.into(),
            source: row.get::<_, String>(2)?.into(),
            last_matched: Timestamp::from_millis(row.get(3)?),
        })
    })?;
    read.collect()
}
