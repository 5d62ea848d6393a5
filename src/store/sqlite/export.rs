//! Rows of a stopped store, for a copy into another kind of store.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::SqliteStore;
use super::access::map_error;
use super::body;
use super::file::{self, StoreFile};
use super::history;
use crate::store::{Settings, StoreError};

/// Bytes after which a batch is full, unless one row has more.
const BATCH_BYTES: usize = 8 << 20;

/// Rows after which a batch is full.
const BATCH_ROWS: usize = 1000;

/// The kinds of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    Integer,
    Text,
    Blob,
    /// A body, which is followed by the column `lz4_size`.
    Body,
}

/// Values of one column, one for each row.
#[derive(Debug)]
pub enum ColumnValues {
    Integers(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Blobs(Vec<Vec<u8>>),
}

impl ColumnValues {
    fn new(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::Integer => Self::Integers(Vec::new()),
            ColumnKind::Text => Self::Texts(Vec::new()),
            ColumnKind::Blob | ColumnKind::Body => Self::Blobs(Vec::new()),
        }
    }
}

/// A store that no daemon uses.
pub struct Export {
    file: StoreFile,
}

impl Export {
    /// Opens a store as a daemon does, so that its attempts and its schema are in order, and locks it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // The file must exist, because opening it as a daemon does would create it.
        drop(history::open(path)?);
        drop(SqliteStore::open(path, Settings::default())?);
        let file = file::open(path)?;
        Ok(Self { file })
    }

    /// Opens the rows of a query.
    pub fn rows(&self, sql: &'static str, kinds: &'static [ColumnKind]) -> Batches<'_> {
        Batches {
            export: self,
            sql,
            kinds,
            after: i64::MIN,
        }
    }

    fn failed(&self, error: &rusqlite::Error) -> StoreError {
        map_error(&self.file.path, error)
    }
}

/// The rows of a query in batches. Its first column orders them, and `?1` is the last one that was
/// read.
pub struct Batches<'e> {
    export: &'e Export,
    sql: &'static str,
    kinds: &'static [ColumnKind],
    after: i64,
}

impl Batches<'_> {
    /// Reads the next rows, by columns. `None` after the last one.
    pub fn next(&mut self) -> Result<Option<Vec<ColumnValues>>, StoreError> {
        let export = self.export;
        let read = self.read(&export.file.connection);
        read.map_err(|error| match error {
            Unread::Disk(error) => export.failed(&error),
            Unread::Damaged(detail) => StoreError::Damaged {
                path: export.file.path.clone(),
                detail,
            },
        })
    }

    fn read(&mut self, connection: &Connection) -> Result<Option<Vec<ColumnValues>>, Unread> {
        let mut values: Vec<ColumnValues> = self.kinds.iter().map(|kind| ColumnValues::new(*kind)).collect();
        let mut select = connection.prepare_cached(self.sql)?;
        let mut rows = select.query([self.after])?;
        let (mut number, mut bytes) = (0, 0);
        while number < BATCH_ROWS
            && bytes < BATCH_BYTES
            && let Some(row) = rows.next()?
        {
            self.after = row.get(0)?;
            number += 1;
            // The first column is the order.
            let mut column = 1;
            for (kind, values) in self.kinds.iter().zip(&mut values) {
                bytes += read_value(row, column, *kind, values)?;
                column += if *kind == ColumnKind::Body { 2 } else { 1 };
            }
        }
        Ok((number > 0).then_some(values))
    }
}

/// Reads a value. Returns its bytes.
fn read_value(
    row: &Row<'_>,
    column: usize,
    kind: ColumnKind,
    values: &mut ColumnValues,
) -> Result<usize, Unread> {
    match values {
        ColumnValues::Integers(integers) => {
            integers.push(row.get(column)?);
            Ok(8)
        }
        ColumnValues::Texts(texts) => {
            let text: Option<String> = row.get(column)?;
            let bytes = text.as_ref().map_or(0, String::len);
            texts.push(text);
            Ok(bytes)
        }
        ColumnValues::Blobs(blobs) => {
            let value: ValueRef<'_> = row.get_ref(column)?;
            let blob = if kind == ColumnKind::Body {
                let restored = body::restore(value, row.get(column + 1)?);
                restored.map_err(Unread::Damaged)?.to_vec()
            } else {
                value
                    .as_blob()
                    .map_err(|error| Unread::Damaged(error.to_string()))?
                    .to_vec()
            };
            let bytes = blob.len();
            blobs.push(blob);
            Ok(bytes)
        }
    }
}

/// The reason why a row cannot be read.
enum Unread {
    Disk(rusqlite::Error),
    Damaged(String),
}

impl From<rusqlite::Error> for Unread {
    fn from(error: rusqlite::Error) -> Self {
        Self::Disk(error)
    }
}
