//! The last use of secrets.

use std::sync::Arc;

use super::PostgresStore;
use super::failure::Failure;
use super::link::Link;
use super::row;
use crate::store::columns::integer;
use crate::store::{SECRETS_KEPT, SecretUse, StoreError};

/// Rows are written in one order, so that two nodes do not wait for each other.
const NOTE: &str = "INSERT INTO secrets AS s (endpoint, scheme, source, last_matched) \
     SELECT endpoint, scheme, source, max(at) FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) \
     AS used (endpoint, scheme, source, at) GROUP BY endpoint, scheme, source ORDER BY endpoint, scheme, source \
     ON CONFLICT (endpoint, scheme, source) DO UPDATE SET last_matched = greatest(s.last_matched, excluded.last_matched)";

/// Deletes the secrets whose last use is longest ago.
const TRIM: &str = "DELETE FROM secrets WHERE (endpoint, scheme, source) IN \
     (SELECT endpoint, scheme, source FROM secrets ORDER BY last_matched DESC, endpoint COLLATE \"C\", \
      scheme COLLATE \"C\", source COLLATE \"C\" OFFSET $1)";

const LIST: &str = "SELECT endpoint, scheme, source, last_matched FROM secrets \
     ORDER BY endpoint COLLATE \"C\", scheme COLLATE \"C\", source COLLATE \"C\"";

impl PostgresStore {
    pub(super) async fn write_secrets(&self, uses: Vec<SecretUse>) -> Result<(), StoreError> {
        let uses: Arc<[SecretUse]> = uses.into();
        self.write_small(move |link, _| {
            let uses = Arc::clone(&uses);
            Box::pin(async move {
                let texts = |text: fn(&SecretUse) -> &Arc<str>| -> Vec<&str> {
                    uses.iter().map(|used| &**text(used)).collect()
                };
                let endpoints = texts(|used| &used.endpoint);
                let schemes = texts(|used| &used.scheme);
                let sources = texts(|used| &used.source);
                let times: Vec<i64> = uses.iter().map(|used| used.last_matched.as_millis()).collect();
                link.execute(NOTE, &[&endpoints, &schemes, &sources, &times])
                    .await?;
                link.execute(TRIM, &[&integer(SECRETS_KEPT)]).await?;
                Ok(())
            })
        })
        .await
    }

    pub(super) async fn read_secrets(&self) -> Result<Vec<SecretUse>, StoreError> {
        self.requests
            .ask(|link| Box::pin(async move { list(link).await }))
            .await
    }
}

pub(super) async fn list(link: &Link) -> Result<Vec<SecretUse>, Failure> {
    let rows = link.query(LIST, &[]).await?;
    let used = rows.iter().map(|read| {
        Ok(SecretUse {
            endpoint: row::text(read, 0)?,
            scheme: row::text(read, 1)?,
            source: row::text(read, 2)?,
            last_matched: row::time(read, 3)?,
        })
    });
    used.collect()
}
