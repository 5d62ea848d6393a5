//! Access of the operator's commands to the records of a store.
//!
//! The commands read history, search, replay, drop, check and copy from processes of their own,
//! whether a daemon runs or not. No module above this one knows how records are kept.

use std::path::Path;

use super::{
    CheckReport, Counts, DeliveryId, Dropped, History, Place, SecretUse, StoreError, Vacuumed, postgres,
    sqlite,
};
use crate::base::clock::Timestamp;

/// The records of the store at a place. Each call opens the store again.
#[derive(Clone, Debug)]
pub struct Records {
    place: Place,
}

impl Records {
    /// Names the store. Nothing is opened yet.
    pub fn at(place: &Place) -> Self {
        let place = place.clone();
        Self { place }
    }

    /// Opens a snapshot of the store for reading.
    pub fn history(&self) -> Result<History, StoreError> {
        History::open(&self.place)
    }

    /// Lists the last use of each secret. Returns `None` if the store is missing.
    pub fn secrets(&self) -> Result<Option<Vec<SecretUse>>, StoreError> {
        match &self.place {
            Place::File(path) => sqlite::read_secrets(path),
            Place::Postgres(target) => postgres::read_secrets(target),
        }
    }

    /// Replays deliveries that have ended, from their first action. Returns their number. Waiting
    /// and missing ones are skipped. `by` is the name of the operator, for the record.
    pub fn replay(&self, deliveries: &[DeliveryId], now: Timestamp, by: &str) -> Result<usize, StoreError> {
        match &self.place {
            Place::File(path) => sqlite::replay(path, deliveries, now, by),
            Place::Postgres(target) => postgres::replay(target, deliveries, now, by),
        }
    }

    /// Gives up waiting deliveries, and deletes ended ones. An event without deliveries is deleted
    /// too. Its dedup keys stay. `by` is the name of the operator, for the record.
    pub fn drop_deliveries(
        &self,
        deliveries: &[DeliveryId],
        now: Timestamp,
        by: &str,
    ) -> Result<Dropped, StoreError> {
        match &self.place {
            Place::File(path) => sqlite::drop_deliveries(path, deliveries, now, by),
            Place::Postgres(target) => postgres::drop_deliveries(target, deliveries, now, by),
        }
    }

    /// Checks the whole store and counts its contents. Daemons may have it open.
    pub fn check(&self) -> Result<CheckReport, StoreError> {
        match &self.place {
            Place::File(path) => sqlite::check(path),
            Place::Postgres(target) => postgres::check(target),
        }
    }

    /// Copies a snapshot of the store into a new file, completely or not at all. A daemon may go on
    /// writing.
    pub fn back_up(&self, target: &Path) -> Result<(), StoreError> {
        sqlite::back_up(self.file()?, target)
    }

    /// Rewrites the store at its minimum size. Fails if a daemon has it open.
    pub fn vacuum(&self) -> Result<Vacuumed, StoreError> {
        sqlite::vacuum(self.file()?)
    }

    /// Copies the stopped store in a file into this empty one on a server, completely or not at all.
    pub fn move_from(&self, file: &Path) -> Result<Counts, StoreError> {
        match &self.place {
            Place::Postgres(target) => postgres::move_from(target, file),
            Place::File(path) => Err(StoreError::Unexpected {
                detail: format!(
                    "`{}` is a file; a file is copied by `store backup`",
                    path.display()
                ),
            }),
        }
    }

    /// Path of the file. The tools of a server copy and shrink what it keeps.
    fn file(&self) -> Result<&Path, StoreError> {
        let detail = || format!("the store `{}` is no file", self.place);
        self.place
            .file()
            .ok_or_else(|| StoreError::Unexpected { detail: detail() })
    }
}
