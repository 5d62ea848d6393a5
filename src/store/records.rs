//! The second door of a store: its records, for the operator's commands.
//!
//! The commands read history, search, replay, drop, check and copy from processes of their own,
//! whether a daemon runs or not. No module above this one knows how records are kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sqlite::{self, History};
use super::{Counts, Delivery, DeliveryId, SecretUse, StoreError};
use crate::base::clock::Timestamp;
use crate::event::{EventId, Received};

/// The records of the store at a path. Each call opens the store again.
#[derive(Clone, Debug)]
pub struct Records {
    path: PathBuf,
}

impl Records {
    /// Names the store. Nothing is opened yet.
    pub fn at(path: &Path) -> Self {
        let path = path.to_path_buf();
        Self { path }
    }

    /// Opens a snapshot of the store for reading.
    pub fn history(&self) -> Result<History, StoreError> {
        History::open(&self.path)
    }

    /// Lists the last use of each secret. Returns `None` if the store is missing.
    pub fn secrets(&self) -> Result<Option<Vec<SecretUse>>, StoreError> {
        sqlite::read_secrets(&self.path)
    }

    /// Replays deliveries that have ended, from their first action. Returns their number. Waiting
    /// and missing ones are skipped.
    pub fn replay(&self, deliveries: &[DeliveryId], now: Timestamp) -> Result<usize, StoreError> {
        sqlite::replay(&self.path, deliveries, now)
    }

    /// Gives up waiting deliveries, and deletes ended ones. An event without deliveries is deleted
    /// too. Its dedup keys stay.
    pub fn drop_deliveries(&self, deliveries: &[DeliveryId], now: Timestamp) -> Result<Dropped, StoreError> {
        sqlite::drop_deliveries(&self.path, deliveries, now)
    }

    /// Checks the whole store and counts its contents. A daemon may have it open.
    pub fn check(&self) -> Result<CheckReport, StoreError> {
        sqlite::check(&self.path)
    }

    /// Copies a snapshot of the store into a new file, completely or not at all. A daemon may go on
    /// writing.
    pub fn back_up(&self, target: &Path) -> Result<(), StoreError> {
        sqlite::back_up(&self.path, target)
    }

    /// Rewrites the store at its minimum size. Fails if a daemon has it open.
    pub fn vacuum(&self) -> Result<Vacuumed, StoreError> {
        sqlite::vacuum(&self.path)
    }
}

/// A filter for deliveries. `None` matches everything.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// The rule of the delivery.
    pub rule: Option<String>,
    /// The endpoint of the event.
    pub endpoint: Option<String>,
    /// The state: `waiting`, `done`, `superseded` or `dead`. `dead` matches dead letters only, not
    /// failed deliveries that were made for the failure of another.
    pub state: Option<&'static str>,
    /// Earliest arrival time of the event.
    pub since: Option<Timestamp>,
}

/// A delivery as a list shows it, with facts of its event.
#[derive(Clone, Debug)]
pub struct ListedDelivery {
    /// Row of the delivery; rows are in the order of arrival.
    pub row: i64,
    pub received_at: Timestamp,
    pub endpoint: String,
    pub delivery: Delivery,
    /// Number of replays.
    pub replays: u32,
}

/// An event as the store keeps it.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub received: Arc<Received>,
    /// The decoding of the body.
    pub decode: String,
}

/// The event or delivery that an id belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Event(EventId),
    Delivery { id: DeliveryId, event: EventId },
}

/// The result of looking up the prefix of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Exactly one event or delivery.
    Found(Named),
    /// No id has the prefix.
    Nothing,
    /// Several ids have the prefix; some of them.
    Several(Vec<String>),
}

/// Numbers of dropped deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Waiting deliveries that are dead now.
    pub given_up: usize,
    /// Ended deliveries that were deleted.
    pub forgotten: usize,
}

/// The result of a check of the whole file.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// The faults; empty if the file is sound.
    pub faults: Vec<String>,
    /// Numbers of rows, as far as they can be counted. Leased deliveries count as waiting.
    pub counts: Counts,
    /// Bytes of the file.
    pub size: u64,
    /// Free bytes in the file.
    pub free: u64,
}

/// The result of [`Records::vacuum`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vacuumed {
    /// Bytes of the file before.
    pub before: u64,
    /// Bytes of the file after.
    pub after: u64,
}
