//! Values of rows.

use std::sync::Arc;

use tokio_postgres::Row;
use uuid::Uuid;

use super::failure::Failure;
use crate::base::clock::Timestamp;
use crate::store::Interruption;

/// Reads a count, which is never negative.
pub(super) fn number(row: &Row, column: usize) -> Result<u32, Failure> {
    Ok(u32::try_from(row.try_get::<_, i32>(column)?).unwrap_or(0))
}

/// Reads a sum or a number of rows, which is never negative.
pub(super) fn count(row: &Row, column: usize) -> Result<u64, Failure> {
    Ok(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or(0))
}

/// Reads an index.
pub(super) fn index(row: &Row, column: usize) -> Result<usize, Failure> {
    Ok(usize::try_from(row.try_get::<_, i32>(column)?).unwrap_or(usize::MAX))
}

/// Reads the index of an element.
pub(super) fn item(row: &Row, column: usize) -> Result<Option<u32>, Failure> {
    let item: Option<i32> = row.try_get(column)?;
    Ok(item.map(|item| u32::try_from(item).unwrap_or(0)))
}

/// Reads a time in milliseconds.
pub(super) fn time(row: &Row, column: usize) -> Result<Timestamp, Failure> {
    Ok(Timestamp::from_millis(row.try_get(column)?))
}

/// Reads an id.
pub(super) fn id<I: From<Uuid>>(row: &Row, column: usize) -> Result<I, Failure> {
    Ok(I::from(row.try_get(column)?))
}

/// Reads a text that is shared.
pub(super) fn text(row: &Row, column: usize) -> Result<Arc<str>, Failure> {
    Ok(Arc::from(row.try_get::<_, &str>(column)?))
}

/// Reads a text that is shared, or none.
pub(super) fn optional_text(row: &Row, column: usize) -> Result<Option<Arc<str>>, Failure> {
    Ok(row.try_get::<_, Option<&str>>(column)?.map(Arc::from))
}

/// Reads the columns `interruptions` and `interrupted_at`, which follow each other.
pub(super) fn interruption(row: &Row, first: usize) -> Result<Option<Interruption>, Failure> {
    let in_a_row = number(row, first)?;
    let since: Option<i64> = row.try_get(first + 1)?;
    let since = Timestamp::from_millis(since.unwrap_or_default());
    Ok((in_a_row > 0).then_some(Interruption { in_a_row, since }))
}
