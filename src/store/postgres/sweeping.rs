//! Retention: what has expired is forgotten, in small steps.

use super::PostgresStore;
use crate::base::clock::Timestamp;
use crate::store::StoreError;

impl PostgresStore {
    pub(super) async fn sweep_once(&self, now: Timestamp) -> Result<usize, StoreError> {
        Err(super::unbuilt())
    }
}
