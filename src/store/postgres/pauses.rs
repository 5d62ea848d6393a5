//! Pauses of rules and targets.

use super::PostgresStore;
use crate::store::{Pause, PauseSubject, StoreError};

impl PostgresStore {
    pub(super) async fn write_pause(&self, pause: Pause) -> Result<bool, StoreError> {
        Err(super::unbuilt())
    }

    pub(super) async fn end_pause(&self, subject: PauseSubject) -> Result<bool, StoreError> {
        Err(super::unbuilt())
    }

    pub(super) async fn read_pauses(&self) -> Result<Vec<Pause>, StoreError> {
        Err(super::unbuilt())
    }
}
