//! Requests from columns. The texts of columns are in `store/columns.rs`.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use rusqlite::Row;

use super::body;
use crate::base::clock::Timestamp;
use crate::event::Received;
pub(super) use crate::store::columns::{
    Unreadable, from_json, headers, headers_column, integer, json, parameters, parameters_column, parsed,
};

/// Columns of [`received`], in its order.
pub(super) const RECEIVED: &str = "e.id, e.received_at, e.endpoint, e.method, e.path, e.query, e.parameters, \
                                   e.client, e.headers, b.body, b.lz4_size";

/// Reads a count. `SQLite` counts in signed numbers, which are never negative here.
pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let count: i64 = row.get(column)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Reads the index of an action.
pub(super) fn action(row: &Row<'_>, column: usize) -> rusqlite::Result<usize> {
    let action: i64 = row.get(column)?;
    Ok(usize::try_from(action).unwrap_or(usize::MAX))
}

impl From<rusqlite::Error> for Unreadable {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

/// Reads a request from a row of the columns [`RECEIVED`].
pub(super) fn received(row: &Row<'_>) -> Result<Received, Unreadable> {
    let client: Option<String> = row.get(7)?;
    Ok(Received {
        id: parsed("id", &row.get::<_, String>(0)?)?,
        at: Timestamp::from_millis(row.get(1)?),
        endpoint: Arc::from(row.get::<_, String>(2)?),
        method: parsed::<Method>("method", &row.get::<_, String>(3)?)?,
        path: row.get(4)?,
        query: row.get(5)?,
        parameters: parameters(&row.get::<_, String>(6)?)?,
        client: client
            .map(|client| parsed::<IpAddr>("client", &client))
            .transpose()?,
        certificate: None,
        headers: headers(&row.get::<_, String>(8)?)?,
        body: body::restore(row.get_ref(9)?, row.get(10)?).map_err(Unreadable)?,
    })
}
