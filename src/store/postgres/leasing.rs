//! Leases of due deliveries.

use super::PostgresStore;
use crate::base::clock::Timestamp;
use crate::store::{Leased, StoreError, Wanted};

impl PostgresStore {
    pub(super) async fn lease_due(&self, wanted: Wanted, now: Timestamp) -> Result<Leased, StoreError> {
        Err(super::unbuilt())
    }

    pub(super) async fn first_due(&self, wanted: Wanted) -> Result<Option<Timestamp>, StoreError> {
        Err(super::unbuilt())
    }
}
